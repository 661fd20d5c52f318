//! Every configuration key, declared once: type, default, range and meaning.
//!
//! The struct, the environment names, the flags and the reference page all come from the one list below. To
//! add a key, add a line; `in MIN..=MAX` says what a number may be. A file sets keys, the environment
//! overrides it, flags override both ([`layers`]); a key that is not in the list is an error.

mod cpu_budget;
#[macro_use]
mod declare;
mod error;
pub mod flags;
mod layers;
mod reference;

pub use cpu_budget::CpuBudget;
pub use declare::{Group, Key, Value};
pub use error::ConfigError;
pub use reference::reference;

use layers::Layers;
use std::path::{Path, PathBuf};

choices! {
    /// Where a role's keys are.
    pub enum KeysFrom { Files = "files", Credentials = "credentials", Vault = "vault" }
}

choices! {
    /// How log lines are written.
    pub enum LogFormat { Text = "text", Json = "json" }
}

choices! {
    /// How the brokers are talked to.
    pub enum SecurityProtocol {
        Plaintext = "plaintext", Ssl = "ssl", SaslPlaintext = "sasl_plaintext", SaslSsl = "sasl_ssl",
    }
}

choices! {
    /// How the SASL user proves who it is.
    pub enum SaslMechanism { Plain = "PLAIN", Sha256 = "SCRAM-SHA-256", Sha512 = "SCRAM-SHA-512" }
}

choices! {
    /// How members of a group agree.
    pub enum GroupProtocol { Auto = "auto", Consumer = "consumer", Classic = "classic" }
}

choices! {
    /// When what lies in a spool is made sure of.
    pub enum SpoolSync { Never = "never", Interval = "interval", Always = "always" }
}

choices! {
    /// What gateways are told where too little is known.
    pub enum FailureMode { Open = "open", Closed = "closed" }
}

choices! {
    /// What is done about accounts of which an early word is heard.
    pub enum HoldMode { Off = "off", Observe = "observe", Hold = "hold" }
}

choices! {
    /// How lines for a SIEM are written.
    pub enum SiemFormat { Json = "json", Csv = "csv", Cef = "cef", Leef = "leef", Ocsf = "ocsf", Ecs = "ecs" }
}

choices! {
    /// Where a destination begins that was never told anything.
    pub enum ExportFrom { Beginning = "beginning", Now = "now" }
}

settings! {
    Common "log_level" log_level: String = "info", "What is logged: error, warn, info, debug, or a filter such as `weir=debug`.";
    Common "log_format" log_format: LogFormat = "text", "How it is logged; json is one object a line.";
    Common "node" node: Option<String> = "", "Name of this machine in the log; the host name when not given.";
    Embedded "data_dir" data_dir: PathBuf = "weir-data", "Directory of the embedded log.";
    Layout "partitions" partitions: u32 = "4" in 1..=1024, "Number of partitions of the shared topics when a log is created. It cannot be changed afterwards.";
    Common "keys_dir" keys_dir: Option<PathBuf> = "", "Directory of the role's keys: one of those that `weir keys make DIR` makes (`collector`, `enforcer`, `auditor`, `operator`); for `weir run` the one that holds them all, which it makes in the data directory when not given. A role that finds a secret it does not need ends, and `weir process` needs none.";
    Common "keys_from" keys_from: KeysFrom = "files", "Where the role's keys are. files: in keys_dir. credentials: in those that systemd gives the service (`LoadCredential=weir:DIR`). vault: in a KV engine (version 2) of Vault, in a secret for each role with a field for each file of its directory. Read when a role starts (docs/operations.md#keys-in-vault).";
    Vault "vault.address" vault_address: Option<String> = "", "Vault's address, such as https://vault:8200; http:// on this machine only.";
    Vault "vault.ca_file" vault_ca_file: Option<PathBuf> = "", "Certificate authorities that Vault's certificate is checked against, PEM; those of the Web when not given.";
    Vault "vault.namespace" vault_namespace: Option<String> = "", "Namespace of Vault in which all of it is.";
    Vault "vault.mount" vault_mount: String = "secret", "Where the KV engine is mounted.";
    Vault "vault.path" vault_path: String = "weir", "Where the roles' secrets are in it: that of the enforcer is PATH/enforcer.";
    Vault "vault.version" vault_version: Option<u64> = "" in 1..=4_294_967_295, "Version of the role's secret, to stay with one or to go back to it; the latest when not given.";
    Vault "vault.token_file" vault_token_file: Option<PathBuf> = "", "File with the token and nothing else, readable by the owner only. Without it and vault.kubernetes_role the token is VAULT_TOKEN of the environment. One that may read another role's secret is refused.";
    Vault "vault.kubernetes_role" vault_kubernetes_role: Option<String> = "", "Role at Vault that the pod's service account logs in as (Vault's auth method `kubernetes`), in place of a token.";
    Vault "vault.kubernetes_mount" vault_kubernetes_mount: String = "kubernetes", "Where that method is mounted.";
    Vault "vault.kubernetes_token_file" vault_kubernetes_token_file: PathBuf = "/var/run/secrets/kubernetes.io/serviceaccount/token", "File with the service account's token.";
    Vault "vault.timeout_ms" vault_timeout_ms: u64 = "10000" in 100..=600_000, "How long Vault is waited for, each time that it is asked.";
    Common "policy" policy: Option<PathBuf> = "", "Policy file. When it differs from the one in force it is published on weir.control. The built-in policy applies when there is neither.";
    Common "policy_trust" policy_trust: Option<PathBuf> = "", "Directory with the public keys (NAME.pub) of those who may sign policies. With it only bundles that they signed come in force, and none that is older than one that was; without it any policy does. Give all roles the same (docs/operations.md).";
    Common "policy_audience" policy_audience: String = "weir", "Name of this deployment: with policy_trust, bundles that were signed for another one are refused.";
    Kafka "brokers" brokers: Option<String> = "", "Kafka brokers, host:port separated by commas.";
    Kafka "kafka.security_protocol" kafka_security_protocol: SecurityProtocol = "plaintext", "How the brokers are talked to.";
    Kafka "kafka.ca_file" kafka_ca_file: Option<PathBuf> = "", "Certificate authorities that the brokers' certificates are checked against, PEM; those of the system when not given.";
    Kafka "kafka.cert_file" kafka_cert_file: Option<PathBuf> = "", "Client certificate, for mutual TLS, PEM.";
    Kafka "kafka.key_file" kafka_key_file: Option<PathBuf> = "", "Private key of the client certificate, PEM, readable by the owner only.";
    Kafka "kafka.sasl_mechanism" kafka_sasl_mechanism: Option<SaslMechanism> = "", "How the SASL user proves who it is.";
    Kafka "kafka.sasl_username" kafka_sasl_username: Option<String> = "", "SASL user.";
    Kafka "kafka.sasl_password_file" kafka_sasl_password_file: Option<PathBuf> = "", "File that holds the SASL password and nothing else, readable by the owner only.";
    Kafka "kafka.replication" kafka_replication: u32 = "3" in 1..=15, "Replicas of the topics that `weir topology apply` creates.";
    Kafka "kafka.prefix" kafka_prefix: Option<String> = "", "Put before the names of topics, groups and transactional ids, so that several deployments share a cluster.";
    Kafka "kafka.group_protocol" kafka_group_protocol: GroupProtocol = "auto", "auto (KIP-848 where the broker has it), consumer (KIP-848) or classic.";
    Kafka "kafka.instance_id" kafka_instance_id: Option<String> = "", "Name of this process in its groups that survives a restart; unique in the deployment.";
    Kafka "kafka.session_timeout_ms" kafka_session_timeout_ms: u64 = "10000" in 100..=1_800_000, "A worker that is silent for this long loses its partitions (classic groups; with the KIP-848 protocol the broker decides).";
    Kafka "kafka.options" kafka_options: Option<String> = "", "Further librdkafka properties, name=value separated by commas.";
    Kafka "registry_url" registry_url: Option<String> = "", "Schema registry with the Confluent interface. When given, records carry the Confluent frame; otherwise Avro's single-object frame. Both are read.";
    Serving "metrics_addr" metrics_addr: Option<String> = "", "Address on which /metrics, /health/live and /health/ready are served, for example 127.0.0.1:9635. Nothing is served when not given.";
    Collector "tail" tail: Option<PathBuf> = "", "Log file to follow. It need not exist yet.";
    Collector "source" source: Option<String> = "", "Name of the source, by which its position is stored. The file's name when not given.";
    Collector "tenant" tenant: String = "default", "Tenant of events whose source names none.";
    Collector "collector.format" collector_format: String = "auto", "Format of the lines: auto (the one that gets most out of each), the name of a shipped format (docs/formats.md), or a format file of your own.";
    Collector "collector.line_bytes_max" collector_line_bytes_max: usize = "1048576" in 1..=16_777_216, "Of a longer line only what is small is kept, and the beginning of what is long.";
    Collector "collector.keep_text" collector_keep_text: bool = "false", "Keep the text of prompts in events. Off, only features and keyed hashes leave the node.";
    Collector "collector.batch_lines" collector_batch_lines: usize = "1000" in 1..=1_000_000, "Most lines that are published in one commit.";
    Collector "collector.linger_ms" collector_linger_ms: u64 = "200" in 0..=60_000, "How long lines of a followed file wait for others to be published with in one commit.";
    Collector "collector.rotated_dir" collector_rotated_dir: Option<PathBuf> = "", "Directory that rotated files are moved to (logrotate's `olddir`), where that is not the log's own.";
    Indicators "indicators_dir" indicators_dir: Option<PathBuf> = "", "Directory of others' indicators: `weir indicators import` writes it, and collectors compare every request with the file `indicators` in it, and with the one that takes its place. Nothing is compared when not given (docs/operations.md).";
    Feed "from_topic" from_topic: Option<String> = "", "Topic on the same brokers that logs or records of gateways are read from, a record or lines of them each, in any format that files are read in; its name is taken as it is, without kafka.prefix. One process a topic reads all of its partitions.";
    Tracing "trace" trace: Option<String> = "", "Process to trace by eBPF: its number, which means its descendants too, or a name, which means every process of that name, also those that start later. What its TLS library reads and writes becomes events (docs/sensing.md).";
    Tracing "trace_user" trace_user: Option<String> = "", "User that the process becomes once it has loaded what traces, by name, or USER:GROUP by numbers; never root. It takes to be started as root. Keys, data and output must be this user's own. The process stays who it is when not given.";
    Tracing "trace_behind_proxy" trace_behind_proxy: bool = "false", "The traced process is behind a proxy that speaks TLS to it: the TLS fingerprints of its clients are the proxy's, and are left out of events.";
    Tracing "cpu_budget" cpu_budget: Option<CpuBudget> = "", "Processor time that a process which traces may use, in hundredths of one processor, such as 2%; with that of its probes where tap.measure_probes has it measured. Over it fewer accounts are kept, each whole: half of them, a quarter, and so on; and more again when it is calm (docs/sensing.md). All are kept when not given.";
    Tracing "tap.copy_bytes_max" tap_copy_bytes_max: u64 = "16384" in 64..=16_384, "Most bytes that are copied of each message that a traced process reads or writes.";
    Tracing "tap.ring_bytes" tap_ring_bytes: u32 = "16777216" in 4_096..=1_073_741_824, "Size of the buffer between kernel and collector, a power of two. What finds no room in it is not heard, and counted.";
    Tracing "tap.hello_age_max_ms" tap_hello_age_max_ms: u64 = "120000" in 1_000..=3_600_000, "How long the TLS hello of a client is waited for after its socket was accepted. Of one that comes later neither the fingerprints are known nor, where the process reads sockets itself, the address, and it is counted.";
    Tracing "tap.measure_probes" tap_measure_probes: bool = "false", "Have the kernel measure how long probes run, for `weir top`. It then measures every eBPF program of the machine, which costs each two looks at the clock a run, and it takes CAP_SYS_ADMIN. Where kernel.bpf_stats_enabled is 1 they are measured anyway.";
    Tracing "tap.entry_only" tap_entry_only: bool = "false", "Place each probe at the entry of its function only. Off, it is placed behind it where the kernel then does the probed instruction itself, which costs the traced process less (docs/sensing.md).";
    Tracing "spool.dir" spool_dir: Option<PathBuf> = "", "Directory in which what traced processes say lies, as events, from when it is heard until it is in the log: for its owner only, on a file system that outlasts the process, and of one source alone. Without it what is heard and not committed is lost when the process ends, and over 64 MiB while the log is away (docs/sensing.md).";
    Tracing "spool.bytes_max" spool_bytes_max: u64 = "1073741824" in 16_777_216..=1_099_511_627_776, "Most bytes that it takes on the disk. What comes then waits in memory, 64 MiB of it, and what comes after that is lost, and counted.";
    Tracing "spool.sync" spool_sync: SpoolSync = "interval", "When what was written to it is made sure of on the disk, for the case that the machine loses its power; a process that is killed loses nothing of it in any case. never: when the kernel comes to it. interval: so long after it as spool.sync_interval_ms says, as far as the log does not have it by then. always: before anything else is heard.";
    Tracing "spool.sync_interval_ms" spool_sync_interval_ms: u64 = "1000" in 10..=60_000, "How much time a loss of power may cost, where spool.sync is interval and the log is away.";
    Listener "listen" listen: Option<String> = "", "Address on which records are taken by HTTP, for example 127.0.0.1:4318: OpenTelemetry's spans (/v1/traces) and log records (/v1/logs), JSON lines and LiteLLM's generic callback (/v1/lines). Other addresses than loopback need a token or certificates of clients.";
    Listener "listener.token_file" listener_token_file: Option<PathBuf> = "", "File with the tokens, one a line, that clients send as `Authorization: Bearer TOKEN`; readable by the owner only.";
    Listener "listener.cert_file" listener_cert_file: Option<PathBuf> = "", "Certificate of the listener and its chain, PEM: with it clients speak TLS.";
    Listener "listener.key_file" listener_key_file: Option<PathBuf> = "", "Private key of that certificate, PEM, readable by the owner only.";
    Listener "listener.client_ca_file" listener_client_ca_file: Option<PathBuf> = "", "Certificate authorities of clients, PEM (mutual TLS): whoever shows no certificate of theirs is not let in. It takes the place of a token; where both are given, both are asked for.";
    Listener "listener.body_bytes_max" listener_body_bytes_max: usize = "67108864" in 65_536..=1_073_741_824, "Largest body of a request, unpacked. Twice as much is held at most; who comes then is told to come again.";
    Listener "listener.linger_ms" listener_linger_ms: u64 = "20" in 0..=60_000, "How long a request waits for others to be committed with. It is answered when it is committed.";
    Stages "epoch.interval_ms" epoch_interval_ms: u64 = "100" in 1..=60_000, "Longest time that an epoch gathers records.";
    Stages "epoch.records_max" epoch_records_max: usize = "10000" in 1..=1_000_000, "Most records that an epoch folds.";
    Stages "snapshot.interval_ms" snapshot_interval_ms: u64 = "5000" in 0..=3_600_000, "Time between snapshots of what changed of the state.";
    Stages "checkpoint.interval_ms" checkpoint_interval_ms: u64 = "21600000" in 1..=604_799_999, "Time between checkpoints of the whole state, from which `weir verify` and `weir replay` fold history whose beginning is no longer kept. Less than the retention of weir.events.";
    Stages "state.accounts_max" state_accounts_max: usize = "1000000" in 1..=100_000_000, "Most accounts that one task keeps; the longest idle is forgotten first, and counted.";
    Stages "standby" standby: bool = "false", "On Kafka: hold the state of the partitions of one's stages that other processes own, so that they are taken over without loading it first. Costs the memory of the whole state. Who owns a partition is the group's business as ever.";
    Enforcer "act.age_max_ms" act_age_max_ms: u64 = "86400000" in 60_000..=31_622_400_000, "Age up to which an event may be acted on; what is older when it is answered is history: judged, and its actions withheld. When it differs from what is in force it is published on weir.control.";
    Enforcer "act.limit_floor" act_limit_floor: u64 = "100" in 1..=1_000_000_000, "Accounts that may be acted on in an hour in any case, over all partitions, before the limiter pauses and a person is asked (`weir limiter`). Published on weir.control like act.age_max_ms.";
    Enforcer "act.limit_share_permille" act_limit_share_permille: u64 = "20" in 0..=1_000, "The same as a share of all accounts, in thousandths; it counts where it comes to more than act.limit_floor.";
    Enforcer "act.limit_tenant_permille" act_limit_tenant_permille: u64 = "1000" in 1..=1_000, "Share of the limiter's cap that may fall on one tenant that has no cap of its own (`weir limiter set`), in thousandths; over it that tenant's actions alone pause. 1000: none but the cap for all.";
    Enforcer "act.limit_traffic_permille" act_limit_traffic_permille: u64 = "100" in 1..=1_000, "Share of all requests that the accounts may have made that are acted on in an hour, in thousandths, before the limiter pauses and a person is asked; an account with more than that by itself is asked about, too. How many requests there are in a day is measured, from an hour after the start on. 1000: no cap on traffic.";
    Enforcer "act.limit_requests" act_limit_requests: u64 = "100000" in 1..=1_000_000_000_000, "How many requests of a day they may have made in any case; act.limit_traffic_permille counts where it comes to more.";
    Enforcer "act.storm_floor" act_storm_floor: u64 = "100" in 1..=1_000_000_000, "Accounts that may be found at CRITICAL within a minute, over all partitions (each has its part, and three times its root more); more, and more than act.storm_times as many as usual, are a storm, which pauses the limiter.";
    Enforcer "act.storm_times" act_storm_times: u64 = "10" in 2..=1_000, "How many times what is usual may be found at CRITICAL within a minute; usual is what the hour in the middle of the last day's had.";
    Tenants "tenants.dir" tenants_dir: Option<PathBuf> = "", "Directory of the tenants' registry: a file ID.toml for each tenant, with what it chose (docs/operations.md#tenants). Nobody is answered who is of a tenant without a file, and no event is taken of one. Without it every name is a tenant's.";
    Tenants "tenants.allow_anonymous" tenants_allow_anonymous: bool = "false", "With tenants.dir: who names no tenant is of the tenant `default`, which must have a file. Off, nobody is answered, and no line taken, that names none, unless `tenant` says whose all of it is.";
    Deciding "decide.addr" decide_addr: Option<String> = "", "Address on which gateways ask how accounts stand, for example 127.0.0.1:50051. Whoever reaches it learns how accounts stand: keep it on loopback or in the gateways' own network, or ask for tokens or certificates. Nothing is answered when not given.";
    Deciding "decide.token_file" decide_token_file: Option<PathBuf> = "", "File with the tokens, one a line, of which gateways send one as `X-Weir-Token: TOKEN`; readable by the owner only. Whoever shows none is not answered.";
    Deciding "decide.cert_file" decide_cert_file: Option<PathBuf> = "", "Certificate of the decision server and its chain, PEM: with it gateways speak TLS.";
    Deciding "decide.key_file" decide_key_file: Option<PathBuf> = "", "Private key of that certificate, PEM, readable by the owner only.";
    Deciding "decide.client_ca_file" decide_client_ca_file: Option<PathBuf> = "", "Certificate authorities of gateways, PEM (mutual TLS): whoever shows no certificate of theirs is not let in. With decide.token_file both are asked for.";
    Deciding "decide.failure_mode" decide_failure_mode: FailureMode = "open", "What gateways are told when nothing was ever read, or what was read is older than decide.stale_ms_max: open lets pass whoever is not known to be suspended or limited, closed lets nobody pass.";
    Deciding "decide.stale_ms_max" decide_stale_ms_max: u64 = "60000" in 1_000..=86_400_000, "Age of what is known up to which it is relied on, with decide.failure_mode closed.";
    Deciding "decide.limit_per_minute" decide_limit_per_minute: u32 = "6" in 1..=1_000_000, "Requests a minute that an account may make which is slowed down, at each server.";
    Deciding "decide.limit_burst" decide_limit_burst: u32 = "3" in 1..=1_000_000, "Requests at once that such an account may make after a pause.";
    Deciding "decide.tenant_header" decide_tenant_header: Option<String> = "", "Header in which the gateway names the tenant. Only where the gateway itself sets it and takes it away from clients: whoever may choose a tenant may choose an account that is known for nothing. Everybody is of the configured tenant when not given.";
    Deciding "decide.redis" decide_redis: Option<String> = "", "Redis server, host:port, in which all servers count the requests of accounts that are slowed down. Each counts for itself when not given, and while it does not answer.";
    FastPath "fastpath.keys_file" fastpath_keys_file: Option<PathBuf> = "", "File of the keys by which alerts are signed and believed (`weir keys fastpath FILE --sender NODE` makes one), readable by the owner only; read again when it changes (docs/fastpath.md).";
    FastPath "fastpath.score_min_permille" fastpath_score_min_permille: u64 = "900" in 500..=1_000, "Score of a verdict from which on an alert of it is sent before it is in the log, and heeded, in thousandths.";
    Sending "fastpath.send_to" fastpath_send_to: Option<String> = "", "Where alerts go, HOST:PORT separated by commas; to every address of a name. None are sent when not given.";
    Sending "fastpath.sender" fastpath_sender: Option<String> = "", "Name that signs the alerts of this process, one of the senders of its key. Processes that are alike may have one together, eight at most. The node when not given.";
    Tripping "fastpath.tripwires" fastpath_tripwires: bool = "false", "Send an alert of each request that meets a tripwire, a token that was planted or an indicator in indicators_dir, beside its event; an account once in ten seconds at most. It takes a key whose role is collector (docs/fastpath.md).";
    Tripping "fastpath.tripwire_trust_min_permille" fastpath_tripwire_trust_min_permille: u64 = "800" in 0..=1_000, "How far an indicator must be trusted for an alert of it to be sent, in thousandths.";
    Deciding "fastpath.listen" fastpath_listen: Option<String> = "", "Address on which alerts are heard, UDP, for example `[::]:8888`. None are heard when not given.";
    Deciding "fastpath.holds" fastpath_holds: HoldMode = "off", "What is done about the account of an alert. off: nothing. observe: it is written down, and counted, as if it were held. hold: it is slowed down until the log says what comes of its verdict, and so long as fastpath.hold_ms_max says at most.";
    Deciding "fastpath.tripwire_holds" fastpath_tripwire_holds: HoldMode = "off", "The same about the account of a tripwire that a collector tells of, once a day at most.";
    Deciding "fastpath.hold_ms_max" fastpath_hold_ms_max: u64 = "120000" in 1_000..=600_000, "How long an account is held on an alert at most.";
    Deciding "fastpath.holds_max" fastpath_holds_max: usize = "1000" in 1..=100_000, "Most accounts that a server holds at once; further ones are not held, and counted.";
    Enforcer "act.redis" act_redis: Option<String> = "", "Redis server, host:port, in which the enforcer says how accounts stand. Give all enforcers the same.";
    Enforcer "act.webhook_url" act_webhook_url: Option<String> = "", "Where the key-management server takes the enforcer's webhooks. Give all enforcers the same.";
    Enforcer "act.webhook_secret_file" act_webhook_secret_file: Option<PathBuf> = "", "File with the secret that webhooks are signed with and nothing else, readable by the owner only.";
    Enforcer "act.litellm_url" act_litellm_url: Option<String> = "", "LiteLLM's proxy, such as http://litellm:4000, where the enforcer blocks and unblocks keys and lowers their limits. Give all enforcers the same.";
    Enforcer "act.litellm_key_file" act_litellm_key_file: Option<PathBuf> = "", "File with the proxy's master key, or another key of an admin, and nothing else, readable by the owner only.";
    Enforcer "act.litellm_rpm_limit" act_litellm_rpm_limit: u64 = "6" in 1..=1_000_000, "Requests a minute that a key may make there which is slowed down, or as many as before where that is less.";
    Export "export.group" export_group: String = "siem", "Name under which it is kept how far destinations have come. Exporters with different destinations of one kind need different names; the later of two with the same name takes over from the earlier.";
    Export "export.topics" export_topics: String = "verdicts,campaigns,actions", "What is told, separated by commas.";
    Export "export.from" export_from: ExportFrom = "beginning", "Where a destination begins that was never told anything: with all that the log has, or with what comes from now on.";
    Export "export.files_dir" export_files_dir: Option<PathBuf> = "", "Directory of files for an agent of the SIEM to follow (docs/exports.md).";
    Export "export.files_format" export_files_format: SiemFormat = "json", "Format of their lines.";
    Export "export.files_bytes_max" export_files_bytes_max: u64 = "67108864" in 4_096..=1_099_511_627_776, "Size at which a file is followed by a new one, in bytes.";
    Export "export.files_kept" export_files_kept: u32 = "8" in 1..=1_000, "Files that are kept beside the one that grows.";
    Export "export.syslog" export_syslog: Option<String> = "", "Receiver of syslog, `tcp://host:port` or `tls://host:port`. It is told in batches with a connection each, and has what it closed after.";
    Export "export.syslog_format" export_syslog_format: SiemFormat = "cef", "Format of the messages' text.";
    Export "export.hec_url" export_hec_url: Option<String> = "", "Splunk's HTTP Event Collector, such as https://splunk:8088.";
    Export "export.hec_token_file" export_hec_token_file: Option<PathBuf> = "", "File with the collector's token and nothing else, readable by the owner only.";
    Export "export.hec_format" export_hec_format: SiemFormat = "json", "Format of the events.";
    Export "export.hec_index" export_hec_index: Option<String> = "", "Index that events go to; the token's own when not given.";
    Export "export.elasticsearch_url" export_elasticsearch_url: Option<String> = "", "Elasticsearch or OpenSearch, such as https://elastic:9200. Documents are in ECS.";
    Export "export.elasticsearch_index" export_elasticsearch_index: String = "weir", "Index or data stream that documents go to.";
    Export "export.elasticsearch_auth_file" export_elasticsearch_auth_file: Option<PathBuf> = "", "File with the value of the Authorization header, such as `ApiKey …` or `Basic …`, and nothing else, readable by the owner only.";
    Export "export.otlp_url" export_otlp_url: Option<String> = "", "Collector of OpenTelemetry's traces by OTLP over HTTP, such as http://otel-collector:4318, without /v1/traces. It is told the spans of verdicts and of what was done about them (docs/exports.md#opentelemetry).";
    Export "export.otlp_auth_file" export_otlp_auth_file: Option<PathBuf> = "", "File with the value of the Authorization header, such as `Bearer …`, and nothing else, readable by the owner only.";
    Export "export.otlp_share_permille" export_otlp_share_permille: u64 = "100" in 1..=1_000, "Share of the verdicts whose spans are told, in thousandths, by the verdict's id: exporters with the same share tell of the same.";
    Export "export.ca_file" export_ca_file: Option<PathBuf> = "", "Certificate authorities that destinations' certificates are checked against, PEM. Over HTTP those of the Web when not given; syslog over TLS needs it.";
    Enforcer "output_dir" output_dir: PathBuf = "weir-output", "Directory of the enforcer's JSON lines.";
}

impl Settings {
    /// Defaults, then the file, then the environment, then flags by their key's name.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        Self::read(&Layers::load(file, env, flags)?)
    }
}

#[cfg(test)]
mod tests;

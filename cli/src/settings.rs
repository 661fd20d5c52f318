//! Every configuration key, declared once: type, default and meaning.
//!
//! The struct, the environment names, the flags and the reference page all come from the one list
//! below. A file sets keys, the environment overrides it, flags override both; a key that is not in
//! the list is an error.

pub use error::ConfigError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use weir_topology::topic::Topic;

/// One key, for help texts and the reference page.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name in the file, dots for tables: `collector.format`.
    pub name: &'static str,
    /// What its value is.
    pub kind: &'static str,
    /// Default as it would be written; empty for none.
    pub default: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// Which commands take it as a flag.
    pub group: Group,
}

impl Key {
    /// Name as a flag: `--collector-format`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// Name in the environment: `WEIR_COLLECTOR_FORMAT`.
    pub fn env(&self) -> String {
        format!("WEIR_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// Which commands take a key as a flag. The file and the environment may set any key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Every command.
    Common,
    /// What opens the embedded log.
    Embedded,
    /// What talks to a broker.
    Kafka,
    /// What reads a source.
    Collector,
    /// What runs stages.
    Stages,
    /// What writes the enforcer's output.
    Enforcer,
    /// What serves metrics.
    Serving,
}

/// A value of a key.
trait Value: Sized {
    const KIND: &'static str;
    fn parse(text: &str) -> Result<Self, String>;
}

macro_rules! value_by_from_str {
    ($($type:ty = $kind:literal),+) => {
        $(impl Value for $type {
            const KIND: &'static str = $kind;
            fn parse(text: &str) -> Result<Self, String> {
                <$type>::from_str(text).map_err(|error| error.to_string())
            }
        })+
    };
}

value_by_from_str!(
    u32 = "number",
    u64 = "number",
    usize = "number",
    bool = "true or false",
    PathBuf = "path",
    String = "text"
);

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
}

/// Time between checkpoints, in milliseconds: some, and less than events are kept, which must be there since one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointInterval(pub Duration);

impl Value for CheckpointInterval {
    const KIND: &'static str = "number";
    fn parse(text: &str) -> Result<Self, String> {
        let interval = Duration::from_millis(u64::parse(text)?);
        let kept = Topic::Events.spec().cleanup.retention().unwrap_or(Duration::MAX);
        if interval.is_zero() || interval >= kept {
            return Err(format!(
                "it must be over 0 and under {} ms, for which events are kept",
                kept.as_millis()
            ));
        }
        Ok(Self(interval))
    }
}

macro_rules! settings {
    ($($group:ident $name:literal $field:ident: $type:ty = $default:literal, $doc:literal;)+) => {
        /// The configuration of a process.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            $(#[doc = $doc] pub $field: $type,)+
        }

        /// Every key, in the order of the reference page.
        pub const KEYS: &[Key] = &[
            $(Key {
                name: $name,
                kind: <$type as Value>::KIND,
                default: $default,
                doc: $doc,
                group: Group::$group,
            },)+
        ];

        impl Settings {
            /// Every key at its default.
            pub fn defaults() -> Result<Self, ConfigError> {
                Ok(Self {
                    $($field: <$type as Value>::parse($default)
                        .map_err(|reason| ConfigError::value($name, "the default", reason))?,)+
                })
            }

            /// Sets a key from text; `origin` says where the text came from.
            pub fn set(&mut self, name: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
                match name {
                    $($name => {
                        self.$field = <$type as Value>::parse(text)
                            .map_err(|reason| ConfigError::value($name, origin, reason))?;
                        Ok(())
                    })+
                    _ => Err(ConfigError::unknown(name, origin)),
                }
            }
        }
    };
}

settings! {
    Common "log_level" log_level: String = "info", "What is logged: error, warn, info, debug, or a filter such as `weir=debug`.";
    Common "log_format" log_format: String = "text", "How it is logged: text, or json for one object a line.";
    Common "node" node: Option<String> = "", "Name of this machine in the log; the host name when not given.";
    Embedded "data_dir" data_dir: PathBuf = "weir-data", "Directory of the embedded log.";
    Embedded "partitions" partitions: u32 = "4", "Number of partitions of the shared topics when a log is created. It cannot be changed afterwards.";
    Common "keys_dir" keys_dir: Option<PathBuf> = "", "Directory of the keys `pseudonym.key`, `seal.key`, `audit.key` and `sign.key` (for statements only), each 64 hex digits, readable by the owner only. `weir run` makes them in the data directory when not given; a distributed role must be given them.";
    Common "policy" policy: Option<PathBuf> = "", "Policy file. When it differs from the one in force it is published on weir.control. The built-in policy applies when there is neither.";
    Kafka "brokers" brokers: Option<String> = "", "Kafka brokers, host:port separated by commas.";
    Kafka "kafka.security_protocol" kafka_security_protocol: String = "plaintext", "plaintext, ssl, sasl_plaintext or sasl_ssl.";
    Kafka "kafka.ca_file" kafka_ca_file: Option<PathBuf> = "", "Certificate authorities that the brokers' certificates are checked against, PEM; those of the system when not given.";
    Kafka "kafka.cert_file" kafka_cert_file: Option<PathBuf> = "", "Client certificate, for mutual TLS, PEM.";
    Kafka "kafka.key_file" kafka_key_file: Option<PathBuf> = "", "Private key of the client certificate, PEM, readable by the owner only.";
    Kafka "kafka.sasl_mechanism" kafka_sasl_mechanism: Option<String> = "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.";
    Kafka "kafka.sasl_username" kafka_sasl_username: Option<String> = "", "SASL user.";
    Kafka "kafka.sasl_password_file" kafka_sasl_password_file: Option<PathBuf> = "", "File that holds the SASL password and nothing else, readable by the owner only.";
    Kafka "kafka.replication" kafka_replication: u32 = "3", "Replicas of the topics that `weir topology apply` creates.";
    Kafka "kafka.prefix" kafka_prefix: Option<String> = "", "Put before the names of topics, groups and transactional ids, so that several deployments share a cluster.";
    Kafka "kafka.group_protocol" kafka_group_protocol: String = "auto", "auto (KIP-848 where the broker has it), consumer (KIP-848) or classic.";
    Kafka "kafka.instance_id" kafka_instance_id: Option<String> = "", "Name of this process in its groups that survives a restart; unique in the deployment.";
    Kafka "kafka.session_timeout_ms" kafka_session_timeout_ms: u64 = "10000", "A worker that is silent for this long loses its partitions (classic groups; with the KIP-848 protocol the broker decides).";
    Kafka "kafka.options" kafka_options: Option<String> = "", "Further librdkafka properties, name=value separated by commas.";
    Kafka "registry_url" registry_url: Option<String> = "", "Schema registry with the Confluent interface. When given, records carry the Confluent frame; otherwise Avro's single-object frame. Both are read.";
    Serving "metrics_addr" metrics_addr: Option<String> = "", "Address on which /metrics, /health/live and /health/ready are served, for example 127.0.0.1:9635. Nothing is served when not given.";
    Collector "tail" tail: Option<PathBuf> = "", "Log file to follow. It need not exist yet.";
    Collector "source" source: Option<String> = "", "Name of the source: part of the events' ids. The file's name when not given.";
    Collector "tenant" tenant: String = "default", "Tenant of events whose source names none.";
    Collector "collector.format" collector_format: String = "auto", "Format of the lines: auto, weir, weir_rich, weir_basic, envoy or glasswally.";
    Collector "collector.line_bytes_max" collector_line_bytes_max: usize = "1048576", "A longer line is dead-lettered.";
    Collector "collector.keep_text" collector_keep_text: bool = "false", "Keep the text of prompts in events. Off, only features and keyed hashes leave the node.";
    Collector "collector.batch_lines" collector_batch_lines: usize = "5000", "Most lines that are published in one commit.";
    Stages "epoch.interval_ms" epoch_interval_ms: u64 = "100", "Longest time that an epoch gathers records.";
    Stages "epoch.records_max" epoch_records_max: usize = "10000", "Most records that an epoch folds.";
    Stages "snapshot.interval_ms" snapshot_interval_ms: u64 = "5000", "Time between snapshots of what changed of the state.";
    Stages "checkpoint.interval_ms" checkpoint_interval: CheckpointInterval = "21600000", "Time between checkpoints of the whole state, from which `weir verify` and `weir replay` fold history whose beginning is no longer kept. Over 0 and less than the retention of weir.events.";
    Stages "state.accounts_max" state_accounts_max: usize = "1000000", "Most accounts that one task keeps; the longest idle is forgotten first, and counted.";
    Stages "standby" standby: bool = "false", "On Kafka: hold the state of the partitions of one's stages that other processes own, so that they are taken over without loading it first. Costs the memory of the whole state. Who owns a partition is the group's business as ever.";
    Enforcer "output_dir" output_dir: PathBuf = "weir-output", "Directory of the enforcer's JSON lines.";
}

impl Settings {
    /// Defaults, then the file, then the environment, then flags.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        let mut settings = Self::defaults()?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError::file(path, error))?;
            let table: toml::Table = text.parse().map_err(|error| ConfigError::file(path, error))?;
            settings.set_table("", &table, &path.display().to_string())?;
        }
        for (name, text) in env.filter(|(name, _)| name.starts_with("WEIR_") && !is_reserved(name)) {
            let key = KEYS.iter().find(|key| key.env() == name);
            let key = key.ok_or_else(|| ConfigError::unknown(&name, "the environment"))?;
            settings.set(key.name, &text, &name)?;
        }
        for (name, text) in flags {
            let flag = KEYS.iter().find(|key| key.name == *name).map_or_else(String::new, Key::flag);
            settings.set(name, text, &format!("--{flag}"))?;
        }
        Ok(settings)
    }

    fn set_table(&mut self, prefix: &str, table: &toml::Table, origin: &str) -> Result<(), ConfigError> {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            match value {
                toml::Value::Table(inner) => self.set_table(&format!("{name}."), inner, origin)?,
                toml::Value::String(text) => self.set(&name, text, origin)?,
                toml::Value::Integer(_) | toml::Value::Boolean(_) | toml::Value::Float(_) => {
                    self.set(&name, &value.to_string(), origin)?;
                }
                _ => {
                    return Err(ConfigError::value(
                        &name,
                        origin,
                        "expected a text, number or boolean".into(),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Names in the environment that begin like a key's but are something else: the configuration
/// file's own, and what Weir's development tools use.
fn is_reserved(name: &str) -> bool {
    ["WEIR_CONFIG", "WEIR_CACHE", "WEIR_TEST_"].iter().any(|reserved| name.starts_with(reserved))
}

/// The reference page, as Markdown.
pub fn reference() -> String {
    use fmt::Write as _;
    let mut page = String::from(
        "# Configuration\n\nGenerated from the list in `cli/src/settings.rs`; `cargo xtask docs` writes it anew.\n\n\
         A key may stand in the file that `--config` or `WEIR_CONFIG` names (TOML), in the environment, or be a \
         flag; later wins. An unknown key is an error.\n\n\
         | key | environment | flag | value | default | meaning |\n|---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() { "–".into() } else { format!("`{}`", key.default) };
        let _ = writeln!(
            page,
            "| `{}` | `{}` | `--{}` | {} | {default} | {} |",
            key.name,
            key.env(),
            key.flag(),
            key.kind,
            key.doc,
        );
    }
    page
}

mod error {
    use std::fmt::Display;
    use std::path::Path;

    /// Why the configuration cannot be used.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ConfigError(String);

    impl ConfigError {
        pub(super) fn unknown(name: &str, origin: &str) -> Self {
            Self(format!(
                "{origin} sets {name}, which is no configuration key; see `weir config` for the list"
            ))
        }

        pub(super) fn value(name: &str, origin: &str, reason: String) -> Self {
            Self(format!("{origin} sets {name} to something it cannot be: {reason}"))
        }

        pub(super) fn file(path: &Path, error: impl Display) -> Self {
            Self(format!("the configuration file {} cannot be read: {error}", path.display()))
        }
    }

    impl Display for ConfigError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for ConfigError {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn load(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Settings, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weir.toml");
        std::fs::write(&path, file).unwrap();
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, value.to_string())).collect();
        Settings::load(Some(&path), env, &flags)
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn later_wins_file_then_environment_then_flag() {
        let file = "tenant = 'file'\nsource = 'file'\n[collector]\nformat = 'weir'\nkeep_text = true\n";
        let settings = load(
            file,
            &[("WEIR_TENANT", "env"), ("WEIR_COLLECTOR_FORMAT", "envoy"), ("PATH", "/bin")],
            &[("collector.format", "glasswally")],
        )
        .unwrap();
        assert_eq!(settings.source.as_deref(), Some("file"));
        assert_eq!(settings.tenant, "env");
        assert_eq!(settings.collector_format, "glasswally");
        assert!(settings.collector_keep_text);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_with_their_origin() {
        let refused = |file, env: &[(&str, &str)], expected: expect_test::Expect| {
            expected.assert_eq(&load(file, env, &[]).unwrap_err());
        };
        refused(
            "colector = 1",
            &[],
            expect_test::expect![
                "FILE sets colector, which is no configuration key; see `weir config` for the list"
            ],
        );
        refused(
            "",
            &[("WEIR_TENNANT", "x")],
            expect_test::expect![
                "the environment sets WEIR_TENNANT, which is no configuration key; see `weir config` for the list"
            ],
        );
        refused(
            "partitions = 'many'",
            &[],
            expect_test::expect![
                "FILE sets partitions to something it cannot be: invalid digit found in string"
            ],
        );
        refused(
            "checkpoint.interval_ms = 0",
            &[],
            expect_test::expect![
                "FILE sets checkpoint.interval_ms to something it cannot be: it must be over 0 and under 604800000 ms, for which events are kept"
            ],
        );
        refused(
            "partitions = []",
            &[],
            expect_test::expect![
                "FILE sets partitions to something it cannot be: expected a text, number or boolean"
            ],
        );
    }

    #[test]
    fn every_default_can_be_read_and_no_two_keys_share_a_name() {
        Settings::defaults().unwrap();
        let flags: BTreeSet<_> = KEYS.iter().map(Key::flag).collect();
        let envs: BTreeSet<_> = KEYS.iter().map(Key::env).collect();
        assert_eq!((flags.len(), envs.len()), (KEYS.len(), KEYS.len()));
    }

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == reference(), "docs/configuration.md is stale: run `cargo xtask docs`");
    }
}

//! How to reach the brokers, and the settings that Weir's promises rest on.

use super::connection::ConnectionWatch;
use crate::limits::{
    DRAIN_MAX, EPOCH_BYTES_MAX, MESSAGE_TIMEOUT, READ_AHEAD_BYTES_MAX, READ_AHEAD_BYTES_MIN,
    READ_RECORDS_MAX, RECORD_BYTES_MAX, TRANSACTION_TIMEOUT,
};
use crate::log::LogError;
use crate::topic::Topic;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use std::fmt;
use std::time::Duration;

/// Room for a record's framing and the header that carries its time, over [`RECORD_BYTES_MAX`].
pub(super) const FRAMING_BYTES_MAX: usize = 32 << 10;

/// How long an idle fetch waits at the broker. A partition whose queue was full is asked for again
/// only when the fetch in flight returns, so this also bounds the pause of a busy input.
const FETCH_WAIT: Duration = Duration::from_millis(100);

/// A password that no debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a client and the brokers know each other. Names and values are librdkafka's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// `plaintext` (the default), `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: Option<String>,
    /// File with the certificates to trust, PEM.
    pub ca: Option<String>,
    /// File with this client's certificate, PEM.
    pub certificate: Option<String>,
    /// File with this client's private key, PEM.
    pub key: Option<String>,
    /// Password of the private key.
    pub key_password: Option<Secret>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    /// SASL user.
    pub user: Option<String>,
    /// SASL password.
    pub password: Option<Secret>,
}

/// How a group's members are coordinated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// KIP-848 where the broker has it, classic otherwise.
    #[default]
    Auto,
    /// KIP-848: the broker assigns and keeps the session's times.
    Consumer,
    /// Members assign: cooperative-sticky.
    Classic,
}

/// How to reach a cluster. Its debug output shows no secret, and only the names of further settings.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub brokers: String,
    /// Name that the brokers log; `weir` by default.
    pub client_id: String,
    /// Put before the names of topics, groups and transactional ids, so that several deployments
    /// share a cluster. Empty by default.
    pub prefix: String,
    /// TLS and SASL.
    pub security: Security,
    /// How group members are coordinated.
    pub group_protocol: GroupProtocol,
    /// After what silence a member of a classic group is taken for dead. Under KIP-848 the broker
    /// decides (`group.consumer.session.timeout.ms`).
    pub session_timeout: Duration,
    /// Name of this process in the group that survives a restart, if it has one. It must be unique.
    pub instance_id: Option<String>,
    /// Further librdkafka settings. Those that Weir's promises rest on are refused.
    pub extra: Vec<(String, String)>,
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra: Vec<_> = self.extra.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("prefix", &self.prefix)
            .field("security", &self.security)
            .field("group_protocol", &self.group_protocol)
            .field("session_timeout", &self.session_timeout)
            .field("instance_id", &self.instance_id)
            .field("extra", &extra)
            .finish()
    }
}

/// Settings that nobody may change: exactly-once, ordering and what a reader sees rest on them.
const RESERVED: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "check.crcs",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "log.connection.close",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "request.required.acks",
    "retry.backoff.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

impl KafkaConfig {
    /// Plain text, no authentication.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: "weir".into(),
            prefix: String::new(),
            security: Security::default(),
            group_protocol: GroupProtocol::default(),
            session_timeout: Duration::from_secs(6),
            instance_id: None,
            extra: Vec::new(),
        }
    }

    /// Name of a topic on the brokers.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// What every client has in common.
    pub(super) fn base(&self) -> Result<ClientConfig, LogError> {
        openssl_sys::init();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client.set("client.id", &self.client_id);
        // Answers within a second of a broker's return, without a storm while it is away.
        client.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
        let security = &self.security;
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|Secret(value)| value.clone());
        let settings = [
            ("security.protocol", security.protocol.clone()),
            ("ssl.ca.location", security.ca.clone()),
            ("ssl.certificate.location", security.certificate.clone()),
            ("ssl.key.location", security.key.clone()),
            ("ssl.key.password", secret(&security.key_password)),
            ("sasl.mechanism", security.sasl_mechanism.clone()),
            ("sasl.username", security.user.clone()),
            ("sasl.password", secret(&security.password)),
        ];
        for (name, value) in settings {
            if let Some(value) = value {
                client.set(name, value);
            }
        }
        for (name, value) in &self.extra {
            if RESERVED.contains(&name.as_str()) {
                let reason = format!("the setting {name} cannot be changed: Weir's guarantees rest on it");
                return Err(LogError::Unavailable { reason });
            }
            client.set(name, value);
        }
        Ok(client)
    }

    /// A client that only asks about topics and offsets, as far as `isolation` lets it see.
    pub(super) fn query_client(&self, isolation: &str) -> Result<BaseConsumer<ConnectionWatch>, LogError> {
        let mut client = self.base()?;
        // A connection that a broker closes is told at this level.
        client.set_log_level(RDKafkaLogLevel::Info).set("isolation.level", isolation);
        client.create_with_context(ConnectionWatch::default()).map_err(refused)
    }

    /// A reader of fixed partitions. A group id is required to assign partitions; nothing is ever
    /// committed to it and nobody joins it.
    /// It is one of `of` that read the same topics.
    pub(super) fn reader(&self, of: u32) -> Result<ClientConfig, LogError> {
        let mut client = self.base()?;
        client
            .set("group.id", format!("{}weir-reader", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true");
        let ahead = (READ_AHEAD_BYTES_MAX / of.max(1) as usize).clamp(READ_AHEAD_BYTES_MIN, EPOCH_BYTES_MAX);
        set_default(&mut client, "queued.min.messages", READ_RECORDS_MAX);
        set_default(&mut client, "queued.max.messages.kbytes", ahead >> 10);
        set_default(&mut client, "fetch.queue.backoff.ms", 5);
        set_default(&mut client, "fetch.wait.max.ms", FETCH_WAIT.as_millis());
        Ok(client)
    }

    /// The one producer of a transactional id.
    pub(super) fn writer(&self, transactional_id: &str) -> Result<ClientConfig, LogError> {
        let mut client = self.base()?;
        // A broken connection is told at this level; see `Ending`.
        client.set_log_level(RDKafkaLogLevel::Info);
        client
            .set("transactional.id", transactional_id)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string())
            // A record counts as delivered when none is in flight and no report says otherwise.
            .set("delivery.report.only.error", "true");
        set_default(&mut client, "linger.ms", 1);
        set_default(&mut client, "compression.type", "lz4");
        set_default(&mut client, "message.max.bytes", RECORD_BYTES_MAX + FRAMING_BYTES_MAX);
        set_default(&mut client, "queue.buffering.max.messages", 100_000);
        set_default(&mut client, "queue.buffering.max.kbytes", (4 * EPOCH_BYTES_MAX) >> 10);
        Ok(client)
    }

    /// A member of a group that owns partition numbers and fetches nothing.
    pub(super) fn member(&self, group: &str, protocol: GroupProtocol) -> Result<ClientConfig, LogError> {
        let mut client = self.base()?;
        client
            .set("group.id", self.group_name(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest");
        // The time that a member has to drain what it must hand over, and then some.
        set_default(&mut client, "max.poll.interval.ms", (2 * DRAIN_MAX).as_millis());
        if let Some(id) = &self.instance_id {
            client.set("group.instance.id", id);
        }
        if protocol == GroupProtocol::Consumer {
            client.set("group.protocol", "consumer");
        } else {
            // Refused beside `group.protocol=consumer`.
            let heartbeat = (self.session_timeout / 6).min(Duration::from_secs(3));
            client
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
                .set("heartbeat.interval.ms", heartbeat.as_millis().max(1).to_string());
        }
        Ok(client)
    }

    /// A client of a group without members, for a writer that runs under no membership.
    pub(super) fn own_group(&self, writer: &str) -> Result<ClientConfig, LogError> {
        let mut client = self.base()?;
        client.set("group.id", self.group_name(writer)).set("enable.auto.commit", "false");
        Ok(client)
    }

    /// A client that asks for a group's offsets as they stand, without waiting for open transactions.
    pub(super) fn group_query(&self, group: &str) -> Result<ClientConfig, LogError> {
        let mut client = self.own_group(group)?;
        client.set("isolation.level", "read_uncommitted");
        Ok(client)
    }

    /// Name of a group on the brokers.
    pub(super) fn group_name(&self, group: &str) -> String {
        format!("{}weir-{group}", self.prefix)
    }
}

/// Sets what `extra` has not set.
fn set_default(client: &mut ClientConfig, name: &str, value: impl fmt::Display) {
    if client.get(name).is_none() {
        client.set(name, value.to_string());
    }
}

/// The error of a client that could not be made from its settings. It names a setting, not its value: that
/// may be a secret under a misspelt name.
pub(super) fn refused(error: KafkaError) -> LogError {
    let reason = match &error {
        KafkaError::ClientConfig(_, _, name, _) => {
            format!("{name} is no setting of it, or cannot have the value that it was given")
        }
        other => other
            .to_string()
            .replace("ssl.ca.location", "kafka.ca_file")
            .replace("ssl.certificate.location", "kafka.cert_file")
            .replace("ssl.key.location", "kafka.key_file"),
    };
    LogError::Unavailable { reason: format!("the Kafka client refuses its settings: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_debug_output() {
        let mut config = KafkaConfig::new("localhost:9092");
        config.security.password = Some(Secret::new("hunter2"));
        config.security.key_password = Some(Secret::new("hunter2"));
        config.extra = vec![("ssl.keystore.password".into(), "hunter2".into())];
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!format!("{:?}", config.base()).contains("hunter2"));
    }

    #[test]
    fn a_refused_setting_is_named_without_its_value() {
        let mut config = KafkaConfig::new("localhost:9092");
        config.extra = vec![("sasl.pasword".into(), "hunter2".into())];
        let Err(LogError::Unavailable { reason }) = config.query_client("read_committed").map(drop) else {
            panic!("it was accepted")
        };
        assert!(reason.contains("sasl.pasword") && !reason.contains("hunter2"), "{reason}");
    }

    #[test]
    fn a_setting_that_guarantees_rest_on_is_refused() {
        let mut config = KafkaConfig::new("localhost:9092");
        config.extra = vec![("isolation.level".into(), "read_uncommitted".into())];
        assert!(
            matches!(config.base(), Err(LogError::Unavailable { reason }) if reason.contains("isolation.level"))
        );
    }

    #[test]
    fn further_settings_win_over_defaults_only() {
        let mut config = KafkaConfig::new("localhost:9092");
        config.extra = vec![("linger.ms".into(), "7".into())];
        let client = config.writer("weir-a").unwrap();
        assert_eq!((client.get("linger.ms"), client.get("acks")), (Some("7"), Some("all")));
    }

    #[test]
    fn a_client_accepts_the_settings_of_every_kind() {
        let config = KafkaConfig::new("127.0.0.1:1");
        let members = [GroupProtocol::Consumer, GroupProtocol::Classic].map(|p| config.member("account", p));
        for client in [config.reader(1), config.writer("weir-a")].into_iter().chain(members) {
            let client = client.unwrap();
            client.create_native_config().unwrap();
        }
    }
}

//! A deployment on real Kafka, where `WEIR_BROKERS` names a broker.

use super::{Place, Report, Running, replay_in, report, success, text, weir};
use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A deployment of its own on the broker.
pub struct Fleet {
    pub place: Place,
    pub brokers: String,
    pub prefix: String,
    /// What the client needs to be let in: flags of TLS and SASL.
    pub security: Vec<String>,
}

impl Fleet {
    /// None where there is no broker.
    pub fn new(name: &str, partitions: u32) -> Option<Self> {
        Some(Self::at(Self::named()?, Vec::new(), name, partitions))
    }

    /// The broker that is named, or none: then nothing is tried on any.
    pub fn named() -> Option<String> {
        let brokers = std::env::var("WEIR_BROKERS").ok().filter(|brokers| !brokers.is_empty());
        if brokers.is_none() {
            assert!(std::env::var_os("CI").is_none(), "WEIR_BROKERS must name a broker in CI");
            eprintln!("skipped: WEIR_BROKERS names no broker (cargo xtask kafka up)");
        }
        brokers
    }

    /// On these brokers, whose clients need `security`.
    pub fn at(brokers: String, security: Vec<String>, name: &str, partitions: u32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let fleet = Self { place: Place::new(), brokers, prefix: format!("t{now}-{name}-"), security };
        success(fleet.with_brokers(&[
            "topology",
            "apply",
            "--partitions",
            &partitions.to_string(),
            "--kafka-replication",
            "1",
        ]));
        fleet
    }

    pub fn with_brokers(&self, arguments: &[&str]) -> Command {
        let mut command = weir(arguments);
        command.args(["--brokers", &self.brokers, "--kafka-prefix", &self.prefix]).args(&self.security);
        command
    }

    pub fn with_keys(&self, arguments: &[&str]) -> Command {
        let mut command = self.with_brokers(arguments);
        let role = match arguments[0] {
            "collect" | "import" => "collector",
            "coverage" => "operator",
            role => {
                if role == "enforce" {
                    "enforcer"
                } else {
                    role
                }
            }
        };
        command.arg("--keys-dir").arg(self.place.keys_of(role));
        command
    }

    pub fn processor(&self) -> Command {
        self.with_brokers(&["process", "--kafka-session-timeout-ms", "6000"])
    }

    pub fn replay(&self, how: &[&str]) -> Report {
        let mut command = self.with_brokers(&["replay", "--format", "json"]);
        command.args(how);
        report(command)
    }

    /// Makes the broker forget the first half of every partition of a topic, as its retention would.
    pub fn forget_half(&self, topic: &str, partitions: u32) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        let topic = format!("{}{topic}", self.prefix);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut offsets = TopicPartitionList::new();
        for partition in 0..partitions as i32 {
            let (_, end) = consumer.fetch_watermarks(&topic, partition, Duration::from_secs(20)).unwrap();
            offsets.add_partition_offset(&topic, partition, Offset::Offset(end / 2)).unwrap();
        }
        let admin: AdminClient<_> = config.create().unwrap();
        let deleted = block_on(admin.delete_records(&offsets, &AdminOptions::new())).unwrap();
        deleted.elements().iter().for_each(|partition| partition.error().unwrap());
    }

    /// Deletes a topic.
    pub fn delete(&self, topic: &str) {
        let mut config = ClientConfig::new();
        let admin: AdminClient<_> = config.set("bootstrap.servers", &self.brokers).create().unwrap();
        let topic = format!("{}{topic}", self.prefix);
        let deleted = block_on(admin.delete_topics(&[&topic], &AdminOptions::new())).unwrap();
        deleted.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    pub fn import(&self) {
        let mut command = self.with_keys(&["import", "--node", "test", "--source", "feed"]);
        command.arg(&self.place.feed);
        success(command);
    }

    /// The lockstep digest of the same feed on the embedded log.
    pub fn embedded_lockstep(&self) -> String {
        let (data, _) = self.place.beside();
        let mut command = weir(&["import", "--node", "test", "--source", "feed"]);
        command
            .arg(&self.place.feed)
            .arg("--data-dir")
            .arg(&data)
            .arg("--keys-dir")
            .arg(self.place.keys_of("collector"));
        success(command);
        replay_in(&data, &["--lockstep"]).digest().to_owned()
    }
}

pub fn all_succeed(running: Vec<Running>) {
    for mut process in running {
        let child = std::mem::replace(&mut process.0, Command::new("true").spawn().unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

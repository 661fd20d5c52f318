//! A deployment of its own for each test, and a bare client beside Weir's.
#![allow(dead_code, reason = "shared by two test programs, each of which uses a part")]

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use weir_topology::history::read_range;
use weir_topology::kafka::admin::Admin;
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::{Commit, Log, LogError, Position, Writer};
use weir_topology::plan::Target;
use weir_topology::record::Output;
use weir_topology::topic::Topic;

pub const WAIT: Duration = Duration::from_secs(20);

/// Topics under a prefix of their own, deleted when dropped.
pub struct Deployment {
    pub config: KafkaConfig,
    pub log: KafkaLog,
}

/// Brokers to test against, or none and a word about it.
pub fn brokers() -> Option<String> {
    let brokers = std::env::var("WEIR_BROKERS").ok().filter(|brokers| !brokers.is_empty());
    if brokers.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI has to set WEIR_BROKERS");
        println!("skipped: set WEIR_BROKERS to run this test (cargo xtask kafka up)");
    }
    brokers
}

/// A prefix that no other test and no other run has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("t{}-{}.", now.as_micros(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn config() -> Option<KafkaConfig> {
    let mut config = KafkaConfig::new(brokers()?);
    config.prefix = unique();
    Some(config)
}

/// A fresh deployment whose shared topics have this many partitions.
pub fn deploy(partitions: u32) -> Option<Deployment> {
    let config = config()?;
    let admin = Admin::connect(config.clone()).unwrap();
    let plan = admin.plan(&Target { partitions, replication: 1 }).unwrap();
    admin.apply(&plan).unwrap();
    let log = KafkaLog::connect(config.clone()).unwrap();
    Some(Deployment { config, log })
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let names: Vec<_> = Topic::ALL.iter().map(|topic| self.config.topic_name(*topic)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().request_timeout(Some(WAIT));
        let _ = futures_executor::block_on(admin.delete_topics(&names, &options));
    }
}

impl Deployment {
    /// Settings of a client that is not Weir's.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.config.brokers);
        client
    }

    /// A transaction under the id of Weir's writer `name`, with records on the broker and no end.
    pub fn open_transaction(&self, name: &str, topic: Topic, partition: i32, records: usize) -> BaseProducer {
        self.open_transaction_of(&format!("{}weir-{name}", self.config.prefix), topic, partition, records)
    }

    /// The same under any transactional id.
    pub fn open_transaction_of(
        &self,
        id: &str,
        topic: Topic,
        partition: i32,
        records: usize,
    ) -> BaseProducer {
        let mut client = self.client();
        client.set("transactional.id", id);
        client.set("transaction.timeout.ms", "60000");
        let producer: BaseProducer = client.create().unwrap();
        producer.init_transactions(WAIT).unwrap();
        producer.begin_transaction().unwrap();
        let name = self.config.topic_name(topic);
        for _ in 0..records {
            let record = BaseRecord::to(&name).key("open").payload("open").partition(partition);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        drain(&producer);
        producer
    }

    /// Changes one setting behind Weir's back, and drops the others.
    pub fn set(&self, topic: Topic, name: &str, value: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let on_broker = self.config.topic_name(topic);
        let change = AlterConfig::new(ResourceSpecifier::Topic(&on_broker)).set(name, value);
        let options = AdminOptions::new().request_timeout(Some(WAIT));
        let outcome = futures_executor::block_on(admin.alter_configs(&[change], &options)).unwrap();
        assert!(outcome.iter().all(Result::is_ok), "{outcome:?}");
        // The controller answers before the broker has heard of it.
        let admin = Admin::connect(self.config.clone()).unwrap();
        let is_seen = || {
            let found = admin.found().unwrap();
            found.get(&topic).and_then(|found| found.settings.get(name)).is_some_and(|now| now == value)
        };
        let deadline = Instant::now() + WAIT;
        while !is_seen() {
            assert!(Instant::now() < deadline, "{topic} does not show {name} = {value}");
        }
    }

    /// Every record that is visible, as text.
    pub fn visible(&self, topic: Topic, partition: u32) -> Vec<String> {
        let (first, end) = self.log.bounds(topic, partition).unwrap();
        let mut found = Vec::new();
        read_range(&self.log, topic, partition, first, end, |records| {
            found.extend(records.iter().map(|record| text(record.payload)));
            Ok(())
        })
        .unwrap();
        found
    }

    /// Deletes what is before an offset of partition 0, as retention does.
    pub fn delete_before(&self, topic: Topic, offset: i64) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(&self.config.topic_name(topic), 0, Offset::Offset(offset)).unwrap();
        let done = futures_executor::block_on(admin.delete_records(&before, &AdminOptions::new())).unwrap();
        done.elements()[0].error().unwrap();
    }

    /// A group's committed offsets.
    pub fn committed(&self, group: &str, places: &[(Topic, u32)]) -> Vec<Option<i64>> {
        let mut client = self.client();
        client.set("group.id", format!("{}weir-{group}", self.config.prefix));
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        for (topic, partition) in places {
            list.add_partition(&self.config.topic_name(*topic), *partition as i32);
        }
        let list = consumer.committed_offsets(list, WAIT).unwrap();
        let offset = |(topic, partition): &(Topic, u32)| match list
            .find_partition(&self.config.topic_name(*topic), *partition as i32)?
            .offset()
        {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        places.iter().map(offset).collect()
    }
}

/// Waits until the broker has everything.
pub fn drain(producer: &BaseProducer) {
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
}

pub fn text(payload: Option<&[u8]>) -> String {
    payload.map_or_else(|| "(none)".into(), |payload| String::from_utf8_lossy(payload).into_owned())
}

/// A record of partition `partition` of the events.
pub fn event(partition: u32, payload: &str) -> Output {
    Output::keyed(Topic::Events, b"key".to_vec(), payload.into(), 1_700_000_000_000).in_partition(partition)
}

pub fn write(writer: &mut dyn Writer, outputs: Vec<Output>) -> Result<(), LogError> {
    writer.commit(&Commit { outputs, positions: Vec::new() })
}

pub fn at(topic: Topic, partition: u32, next: i64) -> Position {
    Position { topic, partition, next }
}

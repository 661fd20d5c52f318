//! A topic of somebody else's, on the cluster of the log.

use super::config::{KafkaConfig, refused};
use super::errors::unavailable;
use crate::feed::{Feed, FeedRecord, Gap};
use crate::limits::BROKER_WAIT_MAX;
use crate::log::LogError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Reads a topic that Weir did not make. Its name is taken as it is, without the deployment's prefix.
pub struct KafkaFeed {
    consumer: BaseConsumer,
    topic: String,
    /// Partitions that are read.
    count: usize,
    /// When it was last asked how many there are.
    asked: Instant,
}

/// How often it is asked whether the topic has more partitions.
const ASK_EVERY: Duration = Duration::from_secs(30);

impl KafkaFeed {
    /// A reader of `topic`. The connection is made when it is first used.
    ///
    /// # Errors
    /// When the configuration is none.
    pub fn open(config: &KafkaConfig, topic: &str) -> Result<Self, LogError> {
        let mut client = config.reader(1)?;
        client.set("enable.partition.eof", "false");
        let consumer = client.create().map_err(refused)?;
        Ok(Self { consumer, topic: topic.to_owned(), count: 0, asked: Instant::now() })
    }

    fn partitions(&self) -> Result<Vec<i32>, LogError> {
        let asking = format!("asking for the topic {}", self.topic);
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), BROKER_WAIT_MAX);
        let metadata = metadata.map_err(|error| unavailable(&asking, &error))?;
        let found = metadata.topics().first().filter(|topic| topic.error().is_none());
        let partitions: Vec<i32> =
            found.into_iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
        if partitions.is_empty() {
            let reason = format!("there is no topic {}, or it is not this user's to read", self.topic);
            return Err(LogError::Unavailable { reason });
        }
        Ok(partitions)
    }
}

impl Feed for KafkaFeed {
    fn seek(&mut self, next: &BTreeMap<i32, i64>) -> Result<Vec<Gap>, LogError> {
        let asking = || format!("asking where the topic {} begins", self.topic);
        let (mut offsets, mut gaps) = (TopicPartitionList::new(), Vec::new());
        let partitions = self.partitions()?;
        (self.count, self.asked) = (partitions.len(), Instant::now());
        for partition in partitions {
            let bounds = self.consumer.fetch_watermarks(&self.topic, partition, BROKER_WAIT_MAX);
            let (first, end) = bounds.map_err(|error| unavailable(asking(), &error))?;
            let wanted = next.get(&partition).copied().unwrap_or(first);
            let from = match wanted {
                wanted if wanted < first => {
                    gaps.push(Gap { partition, from: wanted, to: first });
                    first
                }
                // The topic was made anew.
                wanted if wanted > end => first,
                wanted => wanted,
            };
            let added = offsets.add_partition_offset(&self.topic, partition, Offset::Offset(from));
            added.map_err(|error| unavailable(asking(), &error))?;
        }
        self.consumer.assign(&offsets).map_err(|error| unavailable(asking(), &error))?;
        Ok(gaps)
    }

    fn poll(&mut self, wait: Duration) -> Result<Option<FeedRecord>, LogError> {
        if self.asked.elapsed() >= ASK_EVERY {
            self.asked = Instant::now();
            // Who does not answer is asked again.
            if let Ok(partitions) = self.partitions()
                && partitions.len() != self.count
            {
                let reason = format!("the topic {} has {} partitions now", self.topic, partitions.len());
                return Err(LogError::Unavailable { reason });
            }
        }
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(FeedRecord {
                partition: message.partition(),
                offset: message.offset(),
                payload: message.payload().map(<[u8]>::to_vec),
            })),
            Some(Err(error)) => Err(unavailable(format!("reading the topic {}", self.topic), &error)),
        }
    }
}

//! A topic of somebody else's, on the cluster of the log.

use super::config::{KafkaConfig, refused};
use super::errors::unavailable;
use crate::feed::{Feed, FeedRecord, Gap};
use crate::limits::BROKER_WAIT_MAX;
use crate::log::LogError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Reads a topic that Weir did not make. Its name is taken as it is, without the deployment's prefix.
pub struct KafkaFeed {
    consumer: BaseConsumer,
    config: KafkaConfig,
    topic: String,
    /// Where each partition ended at the first seek.
    ends: Option<BTreeMap<i32, i64>>,
    /// Where reading goes on in each partition.
    next: BTreeMap<i32, i64>,
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
        let consumer = config.reader(1)?.create().map_err(refused)?;
        Ok(Self {
            consumer,
            config: config.clone(),
            topic: topic.to_owned(),
            ends: None,
            next: BTreeMap::new(),
            count: 0,
            asked: Instant::now(),
        })
    }

    fn bounds(&self, partition: i32) -> Result<(i64, i64), LogError> {
        let bounds = self.consumer.fetch_watermarks(&self.topic, partition, BROKER_WAIT_MAX);
        bounds.map_err(|error| unavailable(format!("asking where the topic {} begins", self.topic), &error))
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
        let mut ends = BTreeMap::new();
        self.next.clear();
        let partitions = self.partitions()?;
        (self.count, self.asked) = (partitions.len(), Instant::now());
        for partition in partitions {
            let (first, end) = self.bounds(partition)?;
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
            ends.insert(partition, end);
            self.next.insert(partition, from);
        }
        self.ends.get_or_insert(ends);
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
        let until = Instant::now() + wait;
        loop {
            match self.consumer.poll(until.saturating_duration_since(Instant::now())) {
                None => return Ok(None),
                Some(Ok(message)) => {
                    self.next.insert(message.partition(), message.offset() + 1);
                    return Ok(Some(record_of(&message)));
                }
                // Behind the last record there may be marks of transactions, which are never given.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let end = self.ends.as_ref().and_then(|ends| ends.get(&partition)).copied();
                    let next = self.next.entry(partition).or_default();
                    *next = end.unwrap_or(0).max(*next);
                }
                Some(Err(error)) => {
                    return Err(unavailable(format!("reading the topic {}", self.topic), &error));
                }
            }
        }
    }

    fn heads(&mut self) -> Result<Vec<FeedRecord>, LogError> {
        let asking = || format!("reading where the topic {} begins", self.topic);
        // Another client than the one that reads on, which has fetched ahead.
        let consumer: BaseConsumer = self.config.reader(1)?.create().map_err(refused)?;
        let mut heads = Vec::new();
        for partition in self.partitions()? {
            let (first, end) = self.bounds(partition)?;
            if first == end {
                continue;
            }
            let mut offsets = TopicPartitionList::new();
            let added = offsets.add_partition_offset(&self.topic, partition, Offset::Offset(first));
            added.and_then(|()| consumer.assign(&offsets)).map_err(|error| unavailable(asking(), &error))?;
            match consumer.poll(BROKER_WAIT_MAX) {
                Some(Ok(message)) => heads.push(record_of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                // Without the names that may stand there no row can be read, and what was refused is not read
                // again.
                None => {
                    let reason = format!("{}: there was no answer", asking());
                    return Err(LogError::Unavailable { reason });
                }
                Some(Err(error)) => return Err(unavailable(asking(), &error)),
            }
        }
        Ok(heads)
    }

    fn is_at_end(&self) -> bool {
        let is_given =
            |(partition, end): (&i32, &i64)| self.next.get(partition).is_none_or(|next| next >= end);
        self.ends.as_ref().is_some_and(|ends| ends.iter().all(is_given))
    }
}

fn record_of(message: &BorrowedMessage<'_>) -> FeedRecord {
    FeedRecord {
        partition: message.partition(),
        offset: message.offset(),
        payload: message.payload().map(<[u8]>::to_vec),
    }
}

//! A topic that is none of Weir's: records that somebody else writes, read from offsets that the reader
//! keeps.

use crate::log::LogError;
use std::collections::BTreeMap;
use std::time::Duration;

/// A record of such a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its value; none where it has none.
    pub payload: Option<Vec<u8>>,
}

/// Offsets of a partition that had passed their retention before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The partition.
    pub partition: i32,
    /// The first of them.
    pub from: i64,
    /// The one after the last of them.
    pub to: i64,
}

/// Reads all partitions of one topic.
pub trait Feed: Send {
    /// Goes on at these offsets, by partition; at the beginning of partitions that are not named. Offsets
    /// that are no longer kept are told, and passed over.
    ///
    /// # Errors
    /// When there is no such topic, or its brokers do not answer.
    fn seek(&mut self, next: &BTreeMap<i32, i64>) -> Result<Vec<Gap>, LogError>;

    /// The next record, in the order of offsets within a partition; waits for one at most `wait`. After an
    /// error [`Self::seek`] comes first.
    ///
    /// # Errors
    /// When the brokers do not answer, or the next offset is no longer kept.
    fn poll(&mut self, wait: Duration) -> Result<Option<FeedRecord>, LogError>;

    /// The first record that is kept of each partition, where it has one. Does not move where reading goes
    /// on.
    ///
    /// # Errors
    /// When the brokers do not answer.
    fn heads(&mut self) -> Result<Vec<FeedRecord>, LogError>;

    /// Whether all that stood in the topic at the first [`Self::seek`] was given, or is no longer kept.
    fn is_at_end(&self) -> bool;
}

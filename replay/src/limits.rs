//! Every bound of replay, in one place.

/// Event time that one lockstep epoch spans, in milliseconds. Feedback of the cluster stage counts
/// from the next epoch, so this is also the delay of a cluster's word in lockstep.
pub const LOCKSTEP_EPOCH_MS: i64 = 10_000;

/// Most bytes of events that the sorter holds in memory before it writes a sorted run to a temporary
/// file.
pub const SORT_BYTES_MAX: usize = 128 << 20;

/// Most events that a lockstep worker is handed in one step.
pub const STEP_RECORDS_MAX: usize = 4_096;

/// Steps that may wait in front of a lockstep worker.
pub const STEPS_QUEUED_MAX: usize = 4;

/// Largest number of partitions and of workers of a lockstep replay.
pub const LOCKSTEP_PARTITIONS_MAX: u32 = 1024;

/// Most findings of a verification, and most reasons of a partition's coverage, that are told; the
/// rest is counted.
pub const FINDINGS_MAX: usize = 20;

/// Starts before a verdict that are tried, the nearest first, where a fold from one of them fails.
pub const STARTS_TRIED_MAX: usize = 3;

/// Most verdicts of a partition that epochs emitted and the log lacks that are told one by one.
pub const MISSING_MAX: usize = 100;

/// Longest value of a field that is shown, in characters.
pub const VALUE_CHARS_MAX: usize = 160;

/// Most detectors whose change is told of an account that a policy gains or loses.
pub const DIFF_REASONS_MAX: usize = 5;

/// Most dead letters that one commit sends back.
pub const REQUEUE_RECORDS_MAX: usize = 500;

/// Most bytes of records that one commit sends back.
pub const REQUEUE_BYTES_MAX: usize = 4 << 20;

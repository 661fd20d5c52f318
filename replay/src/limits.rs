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

/// Most accounts whose verdicts a shadow compares, of each policy: about a kilobyte each.
pub const SHADOW_ACCOUNTS_MAX: usize = 200_000;

/// Event time after which a shadow knows as much of accounts as judges that saw what the log has forgotten:
/// the longest window, in milliseconds.
pub const SHADOW_WARM_UP_MS: i64 = 24 * 3_600_000;

/// Most dead letters that one commit sends back.
pub const REQUEUE_RECORDS_MAX: usize = 500;

/// Most bytes of records that one commit sends back.
pub const REQUEUE_BYTES_MAX: usize = 4 << 20;

/// Most judgements of an account that tuning keeps, of those that no other outdoes.
pub const MOMENTS_MAX: usize = 256;

/// The most that a policy lets a detector or a family say, in thousandths of a nat.
pub const NATS_MAX_MILLINATS: i32 = 20_000;

/// Caps at which tuning hears a detector that reads its own, besides the one in force, in thousandths of a
/// nat. Each costs a judgement of all worlds.
pub const CAPS_HEARD_MILLINATS: [i32; 3] = [3_000, 7_000, 12_000];

/// How far beyond MEDIUM, on either side, an account counts as clear where tuning chooses among policies that
/// flag the same; about one nat.
pub const CLEAR_SCORE: f64 = 0.1;

/// Improvement of clearness, in thousandths, below which tuning changes nothing more.
pub const CLEARER_PERMILLE_MIN: u64 = 20;

/// Most folds of a cross-validation.
pub const FOLDS_MAX: usize = 12;

/// Random pairs of changes that a round of tuning tries, beside every single one.
pub const PAIRS_TRIED: usize = 200;

/// Most bytes of records in one file of an archive, before they are compressed: what writing and reading one
/// holds in memory, twice. A larger record has a file of its own.
pub const ARCHIVE_FILE_BYTES_MAX: usize = 32 << 20;

/// Largest file of an archive that is read: a record of the largest size, and what a file holds besides.
pub const ARCHIVE_FILE_BYTES_READ_MAX: u64 = 256 << 20;

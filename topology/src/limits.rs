//! Every bound of the log and the epoch runner, in one place.

use std::time::Duration;

/// Most records that one epoch folds, over all inputs.
pub const EPOCH_RECORDS_MAX: usize = 10_000;

/// Most bytes of records that one epoch folds, over all inputs. A single larger record still forms
/// an epoch of its own.
pub const EPOCH_BYTES_MAX: usize = 8 << 20;

/// Largest record that a log accepts, key and payload and headers together, in bytes. Kafka's own
/// default limit of a batch is slightly more.
pub const RECORD_BYTES_MAX: usize = 1_000_000;

/// Most bytes that one read of a partition returns.
pub const READ_BYTES_MAX: usize = 4 << 20;

/// How long a shadow waits for live events before it looks whether there is feedback of its own.
pub const SHADOW_TURN: Duration = Duration::from_millis(20);

/// Most records that one read of a partition returns.
pub const READ_RECORDS_MAX: usize = 10_000;

/// A snapshot is taken early when this many state entries have changed, so that no transaction grows
/// with the number of accounts.
pub const SNAPSHOT_ENTRIES_MAX: usize = 50_000;

/// Most state entries of a [checkpoint](crate::checkpoint) that one epoch writes: some 600 KiB, so that no
/// epoch takes long for it.
pub const CHECKPOINT_ENTRIES_MAX: usize = 1_000;

/// Time from when a task is opened to its first checkpoint: one that is handed from process to process
/// must not write its state each time.
pub const CHECKPOINT_PAUSE: Duration = Duration::from_secs(60);

/// An idle task writes a checkpoint of what it wrote before after this time: less than checkpoints are kept,
/// so that there is always one.
pub const CHECKPOINT_RENEWAL: Duration = Duration::from_secs(86_400);

/// Most state entries of a task that still writes a checkpoint when it ends: as many as a snapshot has.
pub const CHECKPOINT_AT_END_MAX: usize = SNAPSHOT_ENTRIES_MAX;

/// Most of them that one epoch writes then. A task that ends is not to be waited for long, so they are few
/// commits, of some 6 MiB.
pub const CHECKPOINT_AT_END_SLICE: usize = 10_000;

/// How often the same commit is tried after aborts before the task starts over from the log.
pub const COMMIT_ATTEMPTS_MAX: u32 = 5;

/// Longest time that a read waits for records that the log says are there.
pub const READ_STALL_MAX: Duration = Duration::from_secs(30);

/// How often a standby that has taken in everything looks for more.
pub const STANDBY_POLL: Duration = Duration::from_millis(100);

/// How often it is told how far a standby is behind while it takes in its state for the first time.
pub const STANDBY_LOAD_LOOK: Duration = Duration::from_secs(1);

/// How often it is told afterwards.
pub const STANDBY_LOOK: Duration = Duration::from_secs(5);

/// A standby that has not been at the end of its state topic for this long is begun anew: what it
/// missed may have been compacted away, tombstones too (a broker keeps those for a day by default).
pub const STANDBY_STALE_MAX: Duration = Duration::from_secs(3600);

/// First and longest pause before a standby that could not go on is begun anew.
pub const STANDBY_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Longest wait of a task for the state of a standby that is just reading; then it takes the state
/// from the log.
pub const HANDOVER_MAX: Duration = Duration::from_secs(2);

/// Longest time that a task drains and commits after it was told to stop.
pub const DRAIN_MAX: Duration = Duration::from_secs(25);

/// Longest time that a member takes to leave its group.
pub const LEAVE_MAX: Duration = Duration::from_secs(5);

/// A transaction that its producer does not end is aborted by the broker after this time. Readers
/// wait for no longer behind a worker that died.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A record that the broker does not take within this time fails its transaction; less than
/// [`TRANSACTION_TIMEOUT`], so that the producer and not the broker gives up first.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(8);

/// Bytes that the readers of one stage hold ahead in a process that owns every partition: what each may is
/// its part of this, and at most an epoch.
pub const READ_AHEAD_BYTES_MAX: usize = 64 << 20;

/// Least that one reader may hold ahead, however many there are.
pub const READ_AHEAD_BYTES_MIN: usize = 512 << 10;

/// Longest time that a round of commits waits for others to join, from its begin.
pub const ROUND_JOIN_MAX: Duration = Duration::from_millis(20);

/// A task that committed within this time is expected to commit again, and a round waits for it.
pub const ROUND_RECENT: Duration = Duration::from_millis(250);

/// How long a task that is taken over waits for its last owner's transaction to end by itself, before that
/// owner's producer is fenced.
pub const OWNER_WAIT: Duration = Duration::from_millis(100);

/// How long a reader's bounds wait for transactions that were open: their time-out, and the
/// interval at which a broker looks for those that are over it (10 s by default), and a margin.
pub const OPEN_TRANSACTION_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a question to a broker is asked again while it starts or elects a leader.
pub const BROKER_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a question goes on after a broker has refused this client's user or certificate, or is not to be
/// trusted itself: another broker of the cluster may be in order.
pub const REFUSED_WAIT: Duration = Duration::from_secs(3);

/// How long a topic that the brokers do not know is asked for again: a broker that has just started
/// knows of none.
pub const MISSING_WAIT: Duration = Duration::from_secs(5);

/// Largest number of partitions of a topic.
pub const PARTITIONS_MAX: u32 = 1024;

const _: () = assert!(MESSAGE_TIMEOUT.as_secs() < TRANSACTION_TIMEOUT.as_secs());
const _: () = assert!(RECORD_BYTES_MAX <= READ_BYTES_MAX && READ_BYTES_MAX <= EPOCH_BYTES_MAX);

//! Every bound of the enforcer, in one place.

/// Accounts that one task remembers actions of. The one whose actions expire first goes first; one whose
/// action is under way goes last.
pub const ACCOUNTS_MAX: usize = 200_000;

/// Actions of one account that are followed at a time. Of more, the one that waits longest for its executor
/// is given up, and its record says so.
pub const OPEN_MAX: usize = 32;

/// Accounts about which one epoch does what is due; the rest follows in the next.
pub const DUE_PER_EPOCH_MAX: usize = 10_000;

/// How long after its deadline an action that nobody answered for counts as failed, in milliseconds: an
/// answer that was given in time has arrived by then.
pub const DEADLINE_GRACE_MS: i64 = 3_600_000;

/// After this time a standing that lasts is told again, in milliseconds: a topic that an older build made,
/// and to which `weir topology apply` was not applied yet, forgets its record after 90 days.
pub const STANDING_RENEWAL_MS: i64 = 30 * 86_400_000;

/// Age at which an event is history where no operator says otherwise, in milliseconds.
pub const AGE_DEFAULT_MS: i64 = 86_400_000;

/// Least and greatest age at which an operator may call an event history, in milliseconds.
pub const AGE_RANGE_MS: (i64, i64) = (60_000, 366 * 86_400_000);

/// Subjects that one list of operators may have: accounts and tenants that are never acted on, or that canary
/// acts on.
pub const LISTED_MAX: usize = 10_000;

/// Least and greatest time for which an operator may have the effects of a ring last, in milliseconds.
pub const LASTS_RANGE_MS: (i64, i64) = (1_000, 30 * 86_400_000);

/// How many accounts may be acted on in an hour where no operator says otherwise.
pub const LIMIT_FLOOR_DEFAULT: u64 = 100;

/// The same as a share of all accounts, in thousandths.
pub const LIMIT_SHARE_DEFAULT_PERMILLE: u64 = 20;

/// Among how many partitions the cap is divided where nobody has said so.
pub const LIMIT_PARTITIONS_DEFAULT: u64 = 4;

/// Most accounts that a limit may speak of.
pub const ACCOUNTS_TOLD_MAX: u64 = 1_000_000_000;

/// Most partitions that a limit may be divided among.
pub const PARTITIONS_MAX: u64 = 1_024;

/// Fewer accounts than this within a minute are never too many at once.
pub const BURST_ACCOUNTS_MIN: u64 = 5;

/// Which share of the cap may fall on one tenant where nobody has said so, in thousandths: all of it.
pub const LIMIT_TENANT_DEFAULT_PERMILLE: u64 = 1_000;

/// Which share of all requests the accounts that are acted on in an hour may have made where nobody has said
/// so, in thousandths.
pub const LIMIT_TRAFFIC_DEFAULT_PERMILLE: u64 = 100;

/// How many requests of a day they may have made in any case where nobody has said so.
pub const LIMIT_REQUESTS_DEFAULT: u64 = 100_000;

/// Most requests of a day that a limit may speak of.
pub const REQUESTS_TOLD_MAX: u64 = 1_000_000_000_000;

/// Tenants of whom the limiter of one partition counts accounts one by one. Of further ones the cap for all
/// holds.
pub const TENANTS_COUNTED_MAX: usize = 10_000;

/// How many accounts that are found at CRITICAL within a minute are no storm in any case where nobody has
/// said so.
pub const STORM_FLOOR_DEFAULT: u64 = 100;

/// How many times what is usual of a minute are no storm where nobody has said so.
pub const STORM_TIMES_DEFAULT: u64 = 10;

/// Least and greatest such number: once would make a storm of every second minute.
pub const STORM_TIMES_RANGE: (u64, u64) = (2, 1_000);

/// By how many times the root of its part one partition may have more of a storm's floor.
pub const STORM_SKEW: u64 = 3;

/// Hours that say what is usual of a minute: a day. What the hour had that stands in their middle is usual.
pub const STORM_HOURS: i64 = 24;

/// How many times what is usual a minute may count as, so that nobody makes a storm usual within a day.
pub const STORM_GROWTH: u64 = 2;

/// Minutes of verdicts that are counted side by side, the newest being the last; of older ones nothing is
/// counted. Nodes are no further apart.
pub const STORM_MINUTES: i64 = 10;

/// How long after an operator's approval no storm pauses, in milliseconds: a campaign is found again for as
/// long.
pub const STORM_APPROVED_MS: i64 = 3_600_000;

/// Minutes for which an account that was acted on counts: an hour.
pub const LIMITER_MINUTES: i64 = 60;

/// A minute, in milliseconds.
pub const MINUTE_MS: i64 = 60_000;

/// Longest tenant, policy version, detector or family name that the enforcer copies into its records, in
/// bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Most signals that a verdict may have.
pub const SIGNALS_MAX: usize = 64;

/// Largest sealed identity that the export keeps, in bytes; a collector's is far smaller.
pub const SEALED_BYTES_MAX: usize = 1024;

/// Sealed identities that the export keeps of one partition, at some 250 bytes each. Those that were
/// announced longest ago are forgotten first, and counted.
pub const IDENTITIES_MAX: usize = 1_000_000;

/// Age from which the identity of an account on which something is in force is written once more: a third of
/// its retention.
pub const IDENTITY_RENEWED_AFTER: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// Identities that one commit renews.
pub const RENEWED_PER_COMMIT_MAX: usize = 1_000;

/// Latest event time that makes sense, in milliseconds since the Unix epoch: the end of year 9999.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// What a dead letter needs beside the refused payload, in bytes.
pub const DEAD_LETTER_OVERHEAD_BYTES: usize = 4096;

/// Longest key that a dead letter keeps, in bytes.
pub const DEAD_LETTER_KEY_BYTES_MAX: usize = 65_536;

/// How often the same answers are committed after aborts before the export starts over from its files.
pub const ANSWER_ATTEMPTS_MAX: u32 = 5;

/// A round of the export ends when its lines reach this many bytes.
pub const ROUND_BYTES_MAX: usize = 4 << 20;

/// How long an executor carries out before it looks at what operators said meanwhile; what is left is done
/// next.
pub const ROUND_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(250);

/// Most records that a round of the export takes from one topic's partition.
pub const ROUND_RECORDS_MAX: usize = 2_000;

/// Most bytes of records that one read of the export takes.
pub const TAKE_BYTES_MAX: usize = 1 << 20;

/// How long one read of identities or standings waits.
pub const FOLLOW_WAIT: std::time::Duration = std::time::Duration::from_millis(100);

/// Tries of an effect, after which it counts as failed.
pub const APPLY_ATTEMPTS_MAX: u32 = 5;

/// Records of outcomes among which an executor looks for its last answer first.
pub const OUTCOMES_SEEN_FIRST: i64 = 1_000;

/// How long it is remembered that a hold was let go, in milliseconds: longer than an executor may be held up.
pub const TOMBSTONE_MS: i64 = 7 * 86_400_000;

/// How long Redis may take to connect, to take a command or to answer it.
pub const REDIS_WAIT: std::time::Duration = std::time::Duration::from_millis(250);

/// Longest text that Redis may answer with, in bytes.
pub const REDIS_REPLY_BYTES_MAX: u64 = 1 << 20;

/// Most items of a list that Redis may answer with.
pub const REDIS_REPLY_ITEMS_MAX: i64 = 1_024;

/// How long a key-management server may take to answer.
pub const WEBHOOK_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// How long LiteLLM's proxy may take to answer a call; a hold takes three at most.
pub const LITELLM_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Largest answer of LiteLLM's proxy that is read, in bytes.
pub const LITELLM_ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Holds that were let go and are known in a LiteLLM key's metadata. Those that were let go longest ago are
/// forgotten first.
pub const LITELLM_HOLDS_MAX: usize = 64;

/// Failures in a row after which a key-management server is left alone.
pub const BREAKER_FAILURES: u32 = 5;

/// For how long.
pub const BREAKER_REST: std::time::Duration = std::time::Duration::from_secs(5);

/// Accounts of which a server of gateways knows how they stand. Those on whom nothing is in force are
/// forgotten first; more than that are not told, and counted.
pub const STANDINGS_MAX: usize = 2_000_000;

/// How long a server of gateways says `watch` of an account on which something was in force, in milliseconds.
/// After that nothing is to be said of it, and the enforcer takes its word back.
pub const WATCH_MS: i64 = 86_400_000;

/// A server of gateways that was away from `weir.standing` for longer than this reads all of it again, in
/// milliseconds: it may have missed that a word was taken back. Well below how long a log keeps that.
pub const STANDINGS_AWAY_MS: i64 = 12 * 3_600_000;

/// Verdicts of which a server of gateways knows what enforcers decided, for early words that come after that.
pub const ANSWERED_MAX: usize = 10_000;

/// How old what operators and persons said may be that a server of gateways knows, in milliseconds, for
/// accounts to be held on early words.
pub const REINS_AGE_MS_MAX: i64 = 10_000;

/// How far the clocks of those who tell early words may be from that of who hears them, in milliseconds: what
/// was told so long after an operator gave an account access back may have been told before.
pub const EARLY_WORD_SKEW_MS_MAX: i64 = 5_000;

/// Accounts and tenants that a server of gateways remembers to have been given access back. Of more, nobody
/// is held on what was told before.
pub const REINSTATED_MAX: usize = 65_536;

/// How far a request that counts as many may put a limited account's next one off, in microseconds: as long
/// as the longest limit of the built-in rings lasts. A whole burst may always be used up.
pub const DEBT_MAX_US: i64 = 3_600_000_000;

/// Limited accounts whose requests one server counts. One more is let through: it is over the limit of the
/// others.
pub const BUCKETS_MAX: usize = 1_000_000;

/// Accounts with a verdict of HIGH or more that must rest on a shared value before it is an indicator.
pub const BUNDLE_MEMBERS_MIN: usize = 3;

/// Members that the export remembers of one shared value.
pub const BUNDLE_MEMBERS_MAX: usize = 1_536;

/// Members that the export remembers over all shared values; the value that was seen longest ago is
/// forgotten first.
pub const INDICATOR_MEMBERS_MAX: usize = 16_384;

/// Detectors that are named for a shared value.
pub const BUNDLE_DETECTORS_MAX: usize = 32;

/// Things to tell the operator that are kept until they are taken.
pub const NOTES_MAX: usize = 64;

/// Things that are wrong with one audit chain and are told one by one; the rest are counted.
pub const BREAKS_MAX: usize = 100;

/// How far back verification of an audit chain tells a repeated entry from another one of the same place,
/// and a reordered one from a deleted one, in entries.
pub const HASHES_REMEMBERED: usize = 65_536;

/// Longest text in what a SIEM is told, in bytes; the beginning of a longer one is told.
pub const SIEM_TEXT_BYTES_MAX: usize = 1_024;

/// Most items of a list in what a SIEM is told, such as detectors or shared values.
pub const SIEM_LIST_MAX: usize = 64;

/// Members of a campaign in one notice; a record that names more is told in several.
pub const SIEM_MEMBERS_MAX: usize = 50;

/// Most records that are read for one destination at once. A campaign record may come to several notices.
pub const SIEM_BATCH_RECORDS_MAX: usize = 500;

/// Most bytes of records that are read for one destination at once.
pub const SIEM_BATCH_BYTES_MAX: usize = 1 << 20;

/// How long a destination may take to be reached, and how long it may say or take nothing.
pub const SIEM_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// Largest answer of a destination that is read, in bytes.
pub const SIEM_ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Shortest and longest pause before a destination is tried again.
pub const SIEM_PAUSE: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_millis(200), std::time::Duration::from_secs(30));

/// How long a request to the kill switch is good, in milliseconds.
pub const REQUEST_LASTS_MS: i64 = 600_000;

/// How far a request may be ahead of the log's time, in milliseconds.
pub const REQUEST_AHEAD_MS: i64 = 300_000;

/// How long after its end a request is known, so that it cannot be said again by a log whose time went back.
pub const REQUEST_KNOWN_MS: i64 = 3_600_000;

/// Requests to the kill switch that may be open at a time.
pub const REQUESTS_OPEN_MAX: usize = 32;

/// How many of them one person may have asked for.
pub const REQUESTS_OPEN_EACH_MAX: usize = 4;

/// Requests of one person that were carried out and are still known.
pub const REQUESTS_SETTLED_EACH_MAX: usize = 256;

/// How long the glass stays broken, in milliseconds.
pub const GLASS_LASTS_MS: i64 = 1_800_000;

/// How long after a person broke the glass only another one may, in milliseconds.
pub const GLASS_REST_MS: i64 = 86_400_000;

/// Persons who may ask and approve.
pub const PERSONS_MAX: usize = 64;

/// Longest reason of a request, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// Largest word to the kill switch, in bytes.
pub const WORD_BYTES_MAX: usize = 65_536;

/// Policies that an enforcer knows as such that may enforce: far more than are in verdicts under way.
pub const CHARTERS_MAX: usize = 64;

/// Accounts that wait for an analyst or were decided on, of one task. Of more, those that were decided on go
/// first, then the one that waits longest; each is written down.
pub const REVIEWS_MAX: usize = 10_000;

/// How long an analyst may take for an account of tier HIGH or CRITICAL, in milliseconds.
pub const REVIEW_URGENT_MS: i64 = 24 * 3_600_000;

/// How long an analyst may take for any other account, in milliseconds.
pub const REVIEW_MS: i64 = 72 * 3_600_000;

/// How long an account stays in the queue at most, decided on or not, in milliseconds: as long as its actions
/// are kept.
pub const REVIEW_KEPT_MS: i64 = 90 * 86_400_000;

/// Notes that one account of the queue may have.
pub const REVIEW_NOTES_MAX: usize = 32;

/// Words about one account of the queue that are known at a time, so that none counts twice.
pub const REVIEW_WORDS_MAX: usize = 64;

/// Longest line of a file of labels, in bytes.
pub const LABEL_BYTES_MAX: usize = 4_096;

/// Most labels that one file may have.
pub const LABELS_MAX: usize = 1_000_000;

/// Longest bundle of others that is read, in bytes.
pub const RECEIVED_BYTES_MAX: usize = 32 << 20;

/// Most lines of a bundle of others.
pub const RECEIVED_LINES_MAX: usize = 10_000;

/// Most indicators of a bundle of others.
pub const RECEIVED_INDICATORS_MAX: usize = 20_000;

/// How long an account that was held on a tripwire is not held on one again, in milliseconds: a tripwire that
/// is met with every request slows nobody down for longer than once.
pub const TRIPWIRE_REST_MS: i64 = 24 * 3_600_000;

/// Accounts that are remembered for that, at 24 bytes each. While there are as many, nobody is held on a
/// tripwire.
pub const TRIPWIRE_RESTS_MAX: usize = 65_536;

/// How far a clock may go back before times that were read from it are taken for spoiled, in milliseconds.
pub const CLOCK_BACK_MS_MAX: i64 = 1_000;

/// Most indicators of which it is remembered when their source last changed them.
pub const LATEST_MAX: usize = 200_000;

/// How long that is remembered, in milliseconds: no source's indicators last longer.
pub const LATEST_KEPT_MS: i64 = 365 * 86_400_000;

/// How far what others told may be ahead of the clock, in milliseconds.
pub const RECEIVED_AHEAD_MAX_MS: i64 = 5 * 60_000;

//! Every bound of the processor, in one place. None of them is a matter of policy: they bound memory
//! and output, whatever a policy says.

/// Accounts that one task of the account stage keeps, unless its constructor is told otherwise.
pub const ACCOUNTS_MAX: usize = 1_000_000;

/// Shared values that one task of the cluster stage keeps, unless its constructor is told otherwise.
pub const VALUES_MAX: usize = 1_000_000;

/// Filings of entries that are no more which a store's time wheel puts up with, besides one for each entry.
pub const STALE_FILINGS_MAX: usize = 1_024;

/// How far the task's clock must be past an entry's horizon before the entry is removed from memory.
/// An entry is *judged* as forgotten by its own event time alone; this grace lets events that are a
/// day late still find it.
pub const EVICTION_GRACE_MS: i64 = 24 * 3_600_000;

/// How far an event's time may be ahead of the time at which the log took its record. Collectors allow
/// minutes, but by the clock of their own node, which may be the one that is wrong: an event of next year
/// would take the task's clock there, and every account would be forgotten as long idle, at once and from
/// then on. Not more than the grace, so that no event that is on time finds its account evicted by one that
/// is ahead.
pub const AHEAD_MAX_MS: i64 = EVICTION_GRACE_MS;

/// By so many later requests one may be overtaken without changing what is said of pauses: the latest pauses
/// wait for as many starts before they count.
pub const OVERTAKEN_MAX: usize = 12;

/// Events of an account that a verdict names.
pub const EVENT_IDS_MAX: usize = 16;

/// Points of a policy's calibration. What is fitted to more of them follows the noise of the accounts that
/// were looked at.
pub const CALIBRATION_POINTS_MAX: usize = 16;

/// Largest number of events that one sampled event may stand for.
pub const SAMPLE_WEIGHT_MAX: i32 = 1_000;

/// Shared values on which an account remembers the cluster stage's word: all that it links to. A word that
/// made room would not be said again until it changed, and what is remembered would depend on the order in
/// which words came.
pub const CLUSTER_WORDS_MAX: usize = 24;

/// Of these, most on themes: an account lies in six cells at a time, and comes to others as it goes on.
pub const THEME_WORDS_MAX: usize = 6;

/// Of these, most on openings of prompts: an account comes to others as it goes on.
pub const OPENING_WORDS_MAX: usize = 4;

/// Members of a value whose cards are remembered; more are only counted.
pub const MEMBERS_KEPT_MAX: usize = 64;

/// Hours after which a card says no longer what an account does.
pub const CARD_HOURS_MAX: u32 = 48;

/// Hours after which a member that links is told again what it was told before: well before it is too old to
/// count.
pub const TOLD_HOURS_MAX: u32 = 12;

/// Members that a cluster record names.
pub const SAMPLE_MAX: usize = 16;

/// Tenants whose members are told of one value when others link to it.
pub const VALUE_TENANTS_MAX: usize = 8;

/// Accounts with evidence of their own that the campaign stage keeps: the longest idle are forgotten first.
pub const SUSPECTS_MAX: usize = 50_000;

/// Accounts without that it keeps, to say who stands beside a campaign.
pub const BYSTANDERS_MAX: usize = 20_000;

/// Accounts that make a campaign.
pub const CAMPAIGN_MEMBERS_MIN: usize = 3;

/// Event time that a campaign is left alone for each of its members after it was told of, while nobody does
/// more than join it or rise in it: whatever is told of it looks at all of them, so a campaign of thousands
/// would cost more than their traffic.
pub const CAMPAIGN_WAIT_MS_EACH: i64 = 25;

/// Members from which that holds: smaller ones are told of at once.
pub const CAMPAIGN_WAIT_FROM: usize = 100;

/// Members that joined or left which one campaign record names: the rest follows in records of their own.
pub const CAMPAIGN_NEWS_MAX: usize = 1_000;

/// Bystanders, and shared values, that a campaign record names.
pub const CAMPAIGN_NAMED_MAX: usize = 32;

/// Longest policy text, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;

/// Tenants for which a policy may say something of their own. Every task keeps what each of them comes to,
/// about a kilobyte.
pub const POLICY_TENANTS_MAX: usize = 256;

/// Latest event time that is believed, in milliseconds since the Unix epoch: the end of the year
/// 9999. Anything later is a broken clock, and would overflow sums.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// Longest name of a source of indicators that is remembered of an account, in bytes.
pub const INDICATOR_SOURCE_BYTES_MAX: usize = 64;

/// Longest id of an indicator that is remembered of an account, in bytes.
pub const INDICATOR_BYTES_MAX: usize = 96;

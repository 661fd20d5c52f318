//! Every bound of the collector, in one place.

use std::time::Duration;

/// Longest line that is read where the configuration does not say otherwise, in bytes.
pub const LINE_BYTES_MAX_DEFAULT: usize = 1 << 20;

/// How much is kept of a line that is too long, in bytes, but for the room for its own fields.
pub const CONDENSED_BYTES_MAX: usize = 512 << 10;

/// How much of each string of a line that is too long is kept once half of the limit is taken, in bytes.
pub const CONDENSED_STRING_BYTES: usize = 256;

/// Room for a line's own fields behind what took all of the limit, in bytes.
pub const CONDENSED_FIELDS_BYTES: usize = 64 << 10;

/// Most places of a line that is too long whose loss is known one by one.
pub const CONDENSED_CUTS_MAX: usize = 64;

/// Longest line that the configuration may ask for, in bytes: each source holds one in memory.
pub const LINE_BYTES_MAX_CEILING: usize = 16 << 20;

/// What one read of a file asks for, in bytes.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Most lines that one commit covers where the configuration does not say otherwise.
pub const BATCH_LINES_DEFAULT: usize = 1_000;

/// Most bytes of records that one commit carries where the configuration does not say otherwise. The
/// last event of a batch may exceed it.
pub const BATCH_BYTES_DEFAULT: usize = 4 << 20;

/// Most entries of a directory that are looked at when a log's other files are searched.
pub const DIRECTORY_ENTRIES_MAX: usize = 16_384;

/// How often a log's other files are searched although it was not rotated, as far as can be seen.
pub const SEARCH_INTERVAL: Duration = Duration::from_secs(30);

/// Most files of a source that were left and are still known.
pub const LEFT_FILES_MAX: usize = 32;

/// Most files that were left and are held open, because their writers may not have noticed yet.
pub const LEFT_HANDLES_MAX: usize = 2;

/// Longest path of a file that is stored with its position, in bytes.
pub const PATH_BYTES_MAX: usize = 1_024;

/// How long a rotated file must have given nothing before it is left for the new one: a writer keeps
/// its old handle for a moment.
pub const ROTATION_GRACE_DEFAULT: Duration = Duration::from_secs(1);

/// How often a source at its end is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// How long lines wait for others before they are committed, where the configuration does not say otherwise.
pub const LINGER_DEFAULT: Duration = Duration::from_millis(200);

/// Longest time that the configuration may let lines wait.
pub const LINGER_CEILING: Duration = Duration::from_secs(60);

/// First pause before a commit that the log refused is tried again; doubled each time.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause before a commit that the log refused is tried again.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Most refused records whose reasons are kept when a file is looked at.
pub const REFUSED_KEPT_MAX: usize = 1_000;

/// Most bytes that a body has when it is unpacked; what is over it is not read.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Most messages of so few letters that are read with the one behind them; a conversation of more has words
/// that are not read.
pub const LITTLE_MESSAGES_MAX: usize = 64;

/// Letters and digits of a last message below which what the user said before it is read with it.
pub const FEW_LETTERS: usize = 12;

/// Most places of a line that are tried for the beginning of a record behind a torn one.
pub const RESYNC_TRIES_MAX: usize = 64;

/// Deepest nesting of records that stand inside of others.
pub const WRAPPED_DEPTH_MAX: usize = 4;

/// Most records over several lines that are held at a time, one a stream.
pub const ASSEMBLIES_MAX: usize = 4;

/// How often a torn line of columns is taken apart within what another one took along.
pub const APARTS_MAX: usize = 8;

/// Most columns of a line.
pub const COLUMNS_MAX: usize = 512;

/// How much of a file is read to find the names of its columns, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Most lines of a record over several lines.
pub const ASSEMBLED_LINES_MAX: usize = 10_000;

/// Longest account id, in bytes. An account is never cut: two ids must not become one. A longer one counts by
/// its SHA-256.
pub const ACCOUNT_BYTES_MAX: usize = 512;

/// Longest tenant, in bytes.
pub const TENANT_BYTES_MAX: usize = 128;

/// Longest endpoint, model, organisation or fingerprint that is kept, in bytes; the rest is cut.
pub const VALUE_BYTES_MAX: usize = 128;

/// Longest user agent that is kept, in bytes; the rest is cut.
pub const USER_AGENT_BYTES_MAX: usize = 256;

/// Longest country code that is kept, in bytes; the rest is cut.
pub const COUNTRY_BYTES_MAX: usize = 16;

/// Most header names that are looked at.
pub const HEADERS_MAX: usize = 64;

/// Largest number of tokens, bytes or milliseconds that is believed: far above any real one, and sums
/// of it do not overflow.
pub const COUNT_MAX: i64 = 1_000_000_000_000;

/// How much of a prompt features are taken from, in bytes: half from its head, half from its tail.
pub const PROMPT_BYTES_MAX: usize = 64 << 10;

/// How much of a system prompt is hashed, in bytes.
pub const PREAMBLE_BYTES_MAX: usize = 64 << 10;

/// How much text is kept where the operator keeps text, in bytes; well below a record's limit.
pub const KEPT_TEXT_BYTES_MAX: usize = 256 << 10;

/// Number of phrase occurrences that are counted.
pub const PHRASE_HITS_MAX: i32 = 255;

/// How far a line's time may be ahead of the collector's clock, in milliseconds.
pub const AHEAD_MAX_MS: i64 = 5 * 60 * 1_000;

/// How often an account's sealed identity is announced, in milliseconds: well within its retention.
pub const ANNOUNCE_EVERY_MS: i64 = 24 * 3600 * 1000;

/// Identities that are sealed with one ephemeral key: a commit has more only where it has more events than
/// most.
pub const SEALED_TOGETHER_MAX: i32 = 1_024;

/// Accounts of which it is remembered that they were announced, of one source, at some 40 bytes each.
pub const ANNOUNCED_MAX: usize = 262_144;

/// Pseudonyms that are remembered, at 32 bytes each.
pub const PSEUDONYMS_REMEMBERED: usize = 32_768;

/// Longest value whose pseudonym is remembered, in bytes.
pub const REMEMBERED_BYTES_MAX: usize = 640;

/// Among how many of a source's latest lines the same line is looked for, so that each time it stands
/// there is an event of its own.
pub const REPEATS_WINDOW_LINES: usize = 4_096;

/// Most records of a request that is pushed.
pub const RECORDS_PER_REQUEST_MAX: usize = 100_000;

/// Longest span or log record as JSON, in bytes.
pub const ITEM_BYTES_MAX: usize = 16 << 20;

/// Most bytes of events and dead letters that one request may make.
pub const REQUEST_OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Bytes of events and dead letters from which on a commit takes no further request.
pub const PUSH_COMMIT_BYTES: usize = 16 << 20;

/// Bytes of bodies, unpacked, from which on a commit takes no further request.
pub const PUSH_COMMIT_BODY_BYTES: usize = 64 << 20;

/// Most ids of requests and spans that are known again, in segments of so many: half a million, some 16 MB.
pub const SEEN_SEGMENT_IDS: usize = 512;

/// Most segments of ids that are known again.
pub const SEEN_SEGMENTS_MAX: usize = 1_024;

/// Largest body of a request that the configuration may allow, in bytes, unpacked.
pub const PUSH_BYTES_MAX_CEILING: usize = 1 << 30;

/// Longest head of an HTTP message that is listened to, and longest line of its framing, in bytes.
pub const TRACE_HEAD_BYTES_MAX: usize = 64 << 10;

/// How much of a request's body is kept until its response has ended, in bytes.
pub const TRACE_REQUEST_BYTES_MAX: usize = 1 << 20;

/// How much of a response's body is kept, in bytes; of a stream those events that say how it went.
pub const TRACE_RESPONSE_BYTES_MAX: usize = 256 << 10;

/// Longest path of a request that is listened to, in bytes; the rest is cut.
pub const TRACE_TARGET_BYTES_MAX: usize = 2 << 10;

/// Longest name of a header that is listened to, in bytes; the rest is cut.
pub const TRACE_HEADER_NAME_BYTES_MAX: usize = 128;

/// Most requests of a connection that wait for their responses.
pub const TRACE_PIPELINE_MAX: usize = 64;

/// Most streams of a connection of HTTP/2 that are under way; servers allow some hundred.
pub const TRACE_STREAMS_MAX: usize = 512;

/// Longest header block of HTTP/2 that is listened to, in bytes: over the limit of a head it costs its
/// request, over this one the connection.
pub const TRACE_BLOCK_BYTES_MAX: usize = 1 << 20;

/// Most bytes that a header block of HTTP/2 may have earlier ones keep for it; a client that asks for more is
/// lost. Servers allow 4 KiB, some 64 KiB.
pub const TRACE_HPACK_TABLE_BYTES_MAX: usize = 64 << 10;

/// Longest frame of settings of HTTP/2 that is looked at, in bytes.
pub const TRACE_SETTINGS_BYTES_MAX: usize = 600;

/// Most settings that the notation of a client's set-up has.
pub const TRACE_SETTINGS_MAX: usize = 16;

/// Most priorities that it has.
pub const TRACE_PRIORITIES_MAX: usize = 8;

/// How much of what a client begins a connection of TLS with is kept until its hello is whole, in bytes;
/// browsers need 2 KiB. Over all connections ([`TRACE_CONNECTIONS_MAX`]) that are 64 MiB, in vectors that may
/// have room for twice as much. They are not counted as messages that are held: who sends nothing but hellos
/// must not have bodies forgotten.
pub const TRACE_HELLO_BYTES_MAX: usize = 4 << 10;

/// Most connections that are listened to; the one that was silent for longest is forgotten first.
pub const TRACE_CONNECTIONS_MAX: usize = 16_384;

/// Most bytes of messages that are held for what follows them, over all connections; hellos have a bound of
/// their own.
pub const TRACE_HELD_BYTES_MAX: usize = 64 << 20;

/// Most bytes of events that wait in memory for a log that takes nothing.
pub const TRACE_WAITING_BYTES_MAX: usize = 64 << 20;

/// How long a batch stays open for more while an earlier one waits for the log.
pub const TRACE_BATCH_AGE_MAX: Duration = Duration::from_secs(5);

/// How long batches are handed over before anything else is looked at, but for the last one.
pub const TRACE_HANDOVER_SPAN: Duration = Duration::from_secs(1);

/// Longest segment of a spool, in bytes, but for one record that is longer: a segment is deleted as a whole.
pub const SPOOL_SEGMENT_BYTES: u64 = 16 << 20;

/// Bytes that a segment of a spool may have at least, however small the spool is.
pub const SPOOL_SEGMENT_BYTES_MIN: u64 = 128 << 10;

/// Longest batch that a spool takes, in bytes.
pub const SPOOL_RECORD_BYTES_MAX: usize = 64 << 20;

/// Longest beginning of a segment of a spool, in bytes.
pub const SPOOL_HEAD_BYTES_MAX: usize = 64 << 10;

/// Spools of one source of which the log remembers which batch it took last, those that were used last.
pub const SPOOLS_REMEMBERED_MAX: usize = 64;

/// Bytes of a spool's segment that the log has, from which on they are cut.
pub const SPOOL_IDLE_BYTES: u64 = 1 << 20;

/// How often it is looked whether the file of indicators is another, in milliseconds.
pub const INDICATORS_LOOK_MS: u64 = 1_000;

/// Most indicators that an event says its request met.
pub const INDICATOR_HITS_MAX: usize = 4;

/// From so many accounts on what comes with a value tells nothing, as the detector `indicator` reads it.
pub const INDICATOR_POPULAR_ACCOUNTS: i32 = 16;

/// Most accounts of one value of an indicator that are told apart.
pub const INDICATOR_ACCOUNTS_MAX: usize = 64;

/// Most values of indicators whose accounts are counted, of a day, at 512 bytes each.
pub const INDICATOR_VALUES_COUNTED_MAX: usize = 8_192;

/// How long accounts that come with a value are counted before it is begun anew, in milliseconds.
pub const INDICATOR_WINDOW_MS: i64 = 24 * 3600 * 1000;

/// Most accounts that may have come with a value of an indicator for a word to be said of it at once: a
/// household.
pub const TRIPWIRE_ACCOUNTS_MAX: i32 = 4;

/// Of a text no more is looked through for tokens, in bytes.
pub const CANARY_TEXT_BYTES_MAX: usize = 1 << 20;

/// Most words of a request that are hashed to see whether one is a token.
pub const CANARY_WORDS_MAX: usize = 1_024;

const _: () = assert!(KEPT_TEXT_BYTES_MAX < weir_topology::limits::RECORD_BYTES_MAX / 2);
const _: () = assert!(BATCH_BYTES_DEFAULT >= 2 * weir_topology::limits::RECORD_BYTES_MAX);

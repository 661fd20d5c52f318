//! Weir's senses: log sources, formats, features and privacy at the edge.
//!
//! A line's way: [`tail`] finds it and knows its byte offset; [`mod@format`] reads it as an
//! [`exchange::Exchange`]; [`features`] and [`privacy`] turn text and ids into what may leave the node,
//! and [`indicators`] says which of others' indicators it meets;
//! [`identity`] says what the line is known by and [`event`] writes the record; [`collector`] commits a batch
//! of them together with the position in the file. The collector decides nothing: it senses.
//!
//! Raw ids and text live in the line's own buffer and nowhere else. No type that holds them can be
//! printed, and no reason for refusing a line quotes it.

pub mod announce;
mod backoff;
mod body;
pub mod check;
pub mod collector;
pub mod config;
pub mod error;
pub mod event;
pub mod exchange;
pub mod features;
pub mod field;
pub mod format;
pub mod identity;
pub mod indicators;
mod json;
pub mod limits;
mod place;
pub mod privacy;
pub mod push;
mod read;
pub mod refusal;
pub mod sampling;
pub mod seal;
mod search;
pub mod spool;
pub mod tail;
pub mod tenants;
pub mod topic;
pub mod trace;

pub use collector::{Collector, Keys, Progress, SourceState, Totals};
pub use config::{CollectorConfig, Mode};
pub use error::CollectorError;
pub use format::{Format, account_of, tenant_of};
pub use identity::LineKey;
pub use indicators::{Alarm, Tripped, Tripwires};
pub use privacy::Pseudonymizer;
pub use push::{Intake, PushConfig};
pub use sampling::Sampling;
pub use seal::Sealer;
pub use spool::{Spool, SpoolConfig, SpoolError, SyncPolicy};
pub use tenants::Tenants;
pub use topic::{TopicProgress, TopicSource};
pub use trace::{Handover, TraceConfig, TraceSource};

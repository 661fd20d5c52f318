//! Tripwires: every request is compared with the indicators that an operator took from others, and the text
//! of its prompt with the tokens that the operator planted, and its event says which it met.
//!
//! It has to be done here: what leaves the node are keyed hashes, and only a collector sees what they stand
//! for. The mark names kind, source, trust and id, and nothing that the request said. Whoever is to know at
//! once is told before the event is in the log ([`Alarm`]). In this order: [`Tripwires`] (the file, and when
//! it is read anew), `table` (what meets what), `popular` (how many accounts come with a value).

mod popular;
mod table;

use crate::exchange::Exchange;
use crate::limits::INDICATORS_LOOK_MS;
use popular::Popular;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
pub(crate) use table::{Keyed, Mark};
use table::{Marks, Table};
use weir_schemas::indicators::{FILE_BYTES_MAX, parse};
use weir_schemas::{AccountId, EventId};
use weir_topology::telemetry::Telemetry;

/// The indicators that requests are compared with, the same for all sources of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tripwires(Option<Arc<Watched>>);

/// A tripwire that a request met, of a value that is one hand's and that few came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// The request's event, which is about to stand in the log.
    pub event: EventId,
    /// When it was, in milliseconds since the Unix epoch.
    pub event_ms: i64,
    /// Its account.
    pub account: AccountId,
    /// The account's tenant.
    pub tenant: String,
    /// Whether it was a token that the operator planted, and no indicator of others.
    pub is_canary: bool,
}

/// Who is told of tripwires at once, beside the event. It must not wait for anybody: whoever senses does not.
pub trait Alarm: Send + Sync {
    /// A request met one.
    fn tripped(&self, tripped: Tripped);
}

/// Who is told, and of indicators that are trusted how far.
struct Told {
    alarm: Arc<dyn Alarm>,
    trust_permille_min: u16,
}

struct Watched {
    path: PathBuf,
    telemetry: Arc<dyn Telemetry>,
    told: Option<Told>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    table: Table,
    popular: Popular,
    /// The file that was read last, or that could not be.
    seen: Option<Version>,
    /// Why the last one could not be read, where that was told.
    told: Option<String>,
    looked_ms: i64,
}

/// By which a file that was replaced or written to is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// When its rights or its name changed last.
    changed: (i64, i64),
}

impl fmt::Debug for Tripwires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tripwires").field(&self.0.as_ref().map(|watched| &watched.path)).finish()
    }
}

impl Tripwires {
    /// Compares with nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Compares with the indicators of this file, and with those of the file that takes its place. It need
    /// not be there yet. One that cannot be read is told of and changes nothing.
    pub fn open(path: impl Into<PathBuf>, telemetry: Arc<dyn Telemetry>, now_ms: i64) -> Self {
        Self::watch(path.into(), telemetry, None, now_ms)
    }

    /// The same, telling of each request that met an indicator which is trusted so far.
    pub fn telling(
        path: impl Into<PathBuf>,
        telemetry: Arc<dyn Telemetry>,
        alarm: Arc<dyn Alarm>,
        trust_permille_min: u16,
        now_ms: i64,
    ) -> Self {
        Self::watch(path.into(), telemetry, Some(Told { alarm, trust_permille_min }), now_ms)
    }

    fn watch(path: PathBuf, telemetry: Arc<dyn Telemetry>, told: Option<Told>, now_ms: i64) -> Self {
        let watched = Watched { path, telemetry, told, state: Mutex::default() };
        let mut state = State { looked_ms: now_ms, ..State::default() };
        watched.look(&mut state);
        *watched.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Self(Some(Arc::new(watched)))
    }

    /// Which indicators a request met, those of most trust first; for its event.
    #[inline]
    pub(crate) fn met(
        &self,
        exchange: &Exchange<'_>,
        keyed: Keyed,
        account: AccountId,
        now_ms: i64,
    ) -> Marks {
        match &self.0 {
            None => Marks::default(),
            Some(watched) => watched.met(exchange, keyed, account, now_ms),
        }
    }
}

impl Tripwires {
    /// Tells who is to know at once of what a request met, where there is anybody: once, however much it met.
    pub(crate) fn tell(
        &self,
        marks: &[Mark],
        (tenant, account): (&str, AccountId),
        event: EventId,
        event_ms: i64,
    ) {
        let Some(told) = self.0.as_ref().and_then(|watched| watched.told.as_ref()) else { return };
        let mut trips = marks.iter().filter(|mark| mark.trips(told.trust_permille_min)).peekable();
        if trips.peek().is_some() {
            let is_canary = trips.any(Mark::is_canary);
            told.alarm.tripped(Tripped { event, event_ms, account, tenant: tenant.to_owned(), is_canary });
        }
    }
}

impl Watched {
    fn met(&self, exchange: &Exchange<'_>, keyed: Keyed, account: AccountId, now_ms: i64) -> Marks {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms.abs_diff(state.looked_ms) >= INDICATORS_LOOK_MS {
            state.looked_ms = now_ms;
            self.look(&mut state);
        }
        let State { table, popular, .. } = &mut *state;
        let marks = table.met(exchange, keyed, now_ms, &mut |value| popular.count(value, account, now_ms));
        marks.iter().for_each(|mark| self.telemetry.indicator_met(mark.kind.as_str()));
        marks
    }

    /// Reads the file where it is another than before. Where that cannot be done, it goes on with what there
    /// is.
    fn look(&self, state: &mut State) {
        let version = match version_of(&self.path) {
            Ok(version) => version,
            Err(error) => {
                state.seen = None;
                return self.refuse(state, error.to_string());
            }
        };
        if version == state.seen && (version.is_some() || state.told.is_none()) {
            return;
        }
        state.seen = version;
        // Without a file nothing was imported yet, or somebody took all of it away.
        match version.map_or_else(|| Ok(Ok(Table::default())), |_| read(&self.path)) {
            Ok(Ok(table)) => {
                self.telemetry.indicators_loaded(table.count());
                (state.table, state.told) = (table, None);
            }
            Ok(Err(reason)) => self.refuse(state, reason),
            // It may be mended without another file: it is tried again.
            Err(error) => {
                state.seen = None;
                self.refuse(state, error.to_string());
            }
        }
    }

    /// Tells once why a file cannot be read.
    fn refuse(&self, state: &mut State, reason: String) {
        if state.told.as_ref() != Some(&reason) {
            self.telemetry.indicators_refused(&self.path.display().to_string(), &reason);
            state.told = Some(reason);
        }
    }
}

fn version_of(path: &Path) -> std::io::Result<Option<Version>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(metadata) => Ok(Some(Version {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })),
    }
}

/// The file's indicators, or why it is none of them.
fn read(path: &Path) -> std::io::Result<Result<Table, String>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Ok(Err(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Err("it is no text".to_owned())) };
    Ok(parse(&text).map(Table::of).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests;

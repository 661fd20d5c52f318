//! Who is gained and who is lost by a policy that judges beside the one in force.

use crate::evaluate::Judged;
use crate::evaluate::case::{Case, Outcome};
use crate::evaluate::diff::Diff;
use crate::limits::{SHADOW_ACCOUNTS_MAX, SHADOW_WARM_UP_MS};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;
use weir_processor::policy::version_of;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Event, Record as _, Verdict};
use weir_topology::history::History;
use weir_topology::limits::{READ_BYTES_MAX, READ_RECORDS_MAX};
use weir_topology::log::{Log, LogError, Position, Reader};
use weir_topology::record::Records;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// Population under which accounts are counted: nothing is known of them.
const ACCOUNTS: &str = "account";

/// The verdicts of both policies, as far as they were read.
pub struct Shadowing {
    in_force: Verdicts,
    shadow: Verdicts,
    left_out: u64,
    unreadable: u64,
}

/// What a shadow has found so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowReport {
    /// Verdicts of both policies count from this event time on, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Records that the shadow has not folded yet, and verdicts of both sides that it has not read yet, where
    /// it is known; while there are any, who is not flagged yet may be counted as lost or gained.
    pub behind_records: Option<i64>,
    /// Accounts that are not compared, because more were spoken of than are remembered.
    pub left_out: u64,
    /// Verdicts that cannot be read, such as those of a schema that nobody knows.
    pub unreadable: u64,
    /// Who is gained and who is lost.
    #[serde(flatten)]
    pub diff: Diff,
}

impl Shadowing {
    /// Compares the verdicts of the live log with those of the shadow's own, both from event time `since_ms`
    /// on.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn open(live: &dyn Log, own: &dyn Log, since_ms: i64) -> Result<Self, LogError> {
        let of = |log| Verdicts::open(log, since_ms);
        Ok(Self { in_force: of(live)?, shadow: of(own)?, left_out: 0, unreadable: 0 })
    }

    /// Takes the verdicts that fell since the last call; whether there were any. `schemas` says what the
    /// schemas are that other builds wrote by.
    ///
    /// # Errors
    /// When a log cannot be read, or a registry does not answer.
    pub fn refresh(&mut self, wire: &Wire, schemas: Option<&dyn SchemaSource>) -> Result<bool, LogError> {
        let rounds = [self.in_force.refresh(wire, schemas)?, self.shadow.refresh(wire, schemas)?];
        self.left_out += rounds.iter().map(|round| round.left_out).sum::<u64>();
        self.unreadable += rounds.iter().map(|round| round.unreadable).sum::<u64>();
        Ok(rounds.iter().any(|round| round.has_news))
    }

    /// Verdicts of both logs that were not read yet.
    ///
    /// # Errors
    /// When a log cannot be asked.
    pub fn behind(&self, live: &dyn Log, own: &dyn Log) -> Result<i64, LogError> {
        Ok(self.in_force.behind(live)? + self.shadow.behind(own)?)
    }

    /// What it comes to; `version` is the shadow's policy, which has judged so many events and is so many
    /// records behind.
    pub fn report(&self, version: &str, events: u64, behind_records: Option<i64>) -> ShadowReport {
        let spoken: BTreeMap<AccountId, i64> = (self.in_force.heard.iter())
            .chain(&self.shadow.heard)
            .map(|(account, heard)| (*account, heard.events))
            .collect();
        let judged = |verdicts: &Verdicts| Judged {
            cases: spoken.iter().map(|(account, events)| verdicts.case(*account, *events)).collect(),
            events,
            ..Judged::default()
        };
        let in_force = self.in_force.version.as_deref().unwrap_or("nothing said yet");
        ShadowReport {
            since_ms: self.in_force.since_ms,
            behind_records,
            left_out: self.left_out,
            unreadable: self.unreadable,
            diff: Diff::of(&judged(&self.in_force), &judged(&self.shadow), [in_force, version]),
        }
    }
}

impl Display for ShadowReport {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.behind_records {
            Some(0) => {}
            Some(behind) => {
                writeln!(
                    out,
                    "{behind} records behind: who is not flagged yet may be counted as lost or gained"
                )?;
            }
            None => writeln!(out, "the shadow has not begun to judge")?,
        }
        if self.left_out > 0 {
            writeln!(out, "{} verdicts are of accounts for which there was no room", self.left_out)?;
        }
        if self.unreadable > 0 {
            writeln!(out, "{} verdicts cannot be read", self.unreadable)?;
        }
        write!(out, "{}", self.diff)
    }
}

/// From which event time on verdicts of the live log and of a shadow that begins with its first event can be
/// compared, in milliseconds since the Unix epoch: from that event on, or, where the log has forgotten
/// earlier ones, when a day has passed, the longest time over which an account is measured. 0 where there is
/// no event.
///
/// # Errors
/// When the log cannot be read.
pub fn comparable_since_ms(log: &dyn Log, wire: &Wire) -> Result<i64, LogError> {
    let (mut since_ms, mut has_forgotten) = (None::<i64>, false);
    for partition in 0..log.partitions(Topic::Events)? {
        let (first, end) = log.bounds(Topic::Events, partition)?;
        has_forgotten |= first > 0;
        let mut history = History::new(log, Topic::Events, partition, first, end)?;
        while let Some(records) = history.next()? {
            let mut payloads = records.iter().filter_map(|record| record.payload);
            let Some(time_ms) = payloads.find_map(|payload| time_of(wire, payload)) else { continue };
            since_ms = Some(since_ms.map_or(time_ms, |known| known.min(time_ms)));
            break;
        }
    }
    let warm_up_ms = if has_forgotten { SHADOW_WARM_UP_MS } else { 0 };
    Ok(since_ms.map_or(0, |since_ms| since_ms + warm_up_ms))
}

fn time_of(wire: &Wire, payload: &[u8]) -> Option<i64> {
    let datum = wire.datum::<Event<'_>>(payload).ok()?;
    Some(Event::decode(&datum).ok()?.time_ms)
}

/// What one policy said.
struct Verdicts {
    reader: Box<dyn Reader>,
    partitions: usize,
    records: Records,
    since_ms: i64,
    heard: BTreeMap<AccountId, Heard>,
    /// The policy of the latest verdict.
    version: Option<String>,
}

/// What one look at the verdicts of a policy brought.
#[derive(Default)]
struct Round {
    has_news: bool,
    /// Verdicts for whose accounts there was no room.
    left_out: u64,
    unreadable: u64,
}

/// What was said of an account.
#[derive(Default)]
struct Heard {
    outcome: Outcome,
    /// Its events in the 24 hours before the last verdict.
    events: i64,
}

impl Verdicts {
    fn open(log: &dyn Log, since_ms: i64) -> Result<Self, LogError> {
        let mut from = Vec::new();
        for partition in 0..log.partitions(Topic::Verdicts)? {
            let (next, _) = log.bounds(Topic::Verdicts, partition)?;
            from.push(Position { topic: Topic::Verdicts, partition, next });
        }
        Ok(Self {
            reader: log.reader(&from)?,
            partitions: from.len(),
            records: Records::default(),
            since_ms,
            heard: BTreeMap::new(),
            version: None,
        })
    }

    /// Takes what there is, up to a bound.
    fn refresh(&mut self, wire: &Wire, schemas: Option<&dyn SchemaSource>) -> Result<Round, LogError> {
        let mut round = Round::default();
        // One round a call, so that whoever looks on is not held up by months of verdicts.
        if self.reader.wait(Duration::ZERO)? {
            for input in 0..self.partitions {
                self.records.clear();
                self.reader.take(input, READ_RECORDS_MAX, READ_BYTES_MAX, &mut self.records)?;
                let records = std::mem::take(&mut self.records);
                for payload in records.iter().filter_map(|record| record.payload) {
                    if let (Some(schemas), Some(id)) = (schemas, wire.unknown_id(payload)) {
                        schemas.learn(id, wire)?;
                    }
                    match wire.read(payload) {
                        Ok(verdict) => round.left_out += u64::from(!self.take(verdict)),
                        Err(_) => round.unreadable += 1,
                    }
                    round.has_news = true;
                }
                self.records = records;
            }
        }
        Ok(round)
    }

    fn behind(&self, log: &dyn Log) -> Result<i64, LogError> {
        let mut behind = 0;
        for input in 0..self.partitions {
            let (_, end) = log.bounds(Topic::Verdicts, input as u32)?;
            behind += (end - self.reader.next(input)).max(0);
        }
        Ok(behind)
    }

    /// Takes a verdict; false where there is no room for its account.
    fn take(&mut self, verdict: Verdict) -> bool {
        if verdict.time_ms < self.since_ms {
            return true;
        }
        if self.heard.len() >= SHADOW_ACCOUNTS_MAX && !self.heard.contains_key(&verdict.account) {
            return false;
        }
        let heard = self.heard.entry(verdict.account).or_default();
        heard.outcome.add(&verdict);
        heard.events = verdict.event_count;
        self.version = Some(version_of(&verdict.policy_version, &verdict.tenant).to_owned());
        true
    }

    fn case(&self, account: AccountId, events: i64) -> Case {
        let outcome = self.heard.get(&account).map(|heard| heard.outcome.clone()).unwrap_or_default();
        Case {
            run: 0,
            account,
            label: None,
            population: ACCOUNTS.into(),
            country: None,
            events: events.clamp(0, u32::MAX.into()) as u32,
            before: outcome.first_ms.map(|first_ms| first_ms.map(|_| 0)),
            score: outcome.score,
            probability: outcome.probability,
            assembled: None,
            signals: outcome.signals,
        }
    }
}

//! What is remembered of an account.
//!
//! In memory: [`Account`] itself, at most 632 bytes (held by a test), and six small lists behind it: up to 16
//! event ids (256 bytes), the latest pauses (48 bytes), the shared values (85 for the first five, 170 at
//! most), the cluster stage's words (1,408 at most), and from its fourth request on what it asks for (101
//! bytes) and how (96 bytes). A million accounts with every field of a rich source take about 1,000 bytes
//! each, with the map and the allocator's share. In the state topic: 450 to 1,000 bytes, numbers as LEB128.

use super::links::Links;
use crate::asks::Asks;
use crate::detector::{Counts, States};
use crate::fusion::Voice;
use crate::limits::EVENT_IDS_MAX;
use crate::persist::{Damage, Persist};
use crate::profile::Profile;
use crate::store::Entry;
use weir_schemas::{EventId, Origin};

/// One account.
pub struct Account {
    /// Windows, pauses, refusals.
    pub profile: Profile,
    /// What each detector remembers.
    pub detectors: States,
    /// Values that it shares, or could.
    pub links: Links,
    /// What its prompts ask for.
    pub asks: Asks,
    /// What was last said of it.
    pub voice: Voice,
    /// Its most recent events, a ring.
    events: Vec<EventId>,
    next_event: u8,
    /// Events for which a verdict is partial still, because a detector failed on one that it names.
    partial_events: u8,
    /// Whether the latest event was imported: a verdict that a cluster record causes is then history too.
    is_imported: bool,
}

impl Entry for Account {
    fn clock_ms(&self) -> i64 {
        self.profile.clock_ms
    }

    fn touch(&self) -> u64 {
        let event = self.events.get(usize::from(self.next_event)).map_or(0, |event| event.0[0]);
        self.links.touch()
            ^ self.detectors.touch()
            ^ u64::from(event)
            ^ self.profile.day.touch()
            ^ self.profile.words.touch()
    }
}

impl Account {
    /// An account whose first event is at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self {
            profile: Profile::new(time_ms),
            detectors: States::default(),
            links: Links::default(),
            asks: Asks::default(),
            voice: Voice::default(),
            events: Vec::new(),
            next_event: 0,
            partial_events: 0,
            is_imported: false,
        }
    }

    /// Appends the encoding: the fields in order.
    pub fn save(&self, out: &mut Vec<u8>) {
        self.profile.save(out);
        self.detectors.save(out);
        self.links.save(out);
        self.asks.save(out);
        self.voice.save(out);
        self.events.save(out);
        self.next_event.save(out);
        self.partial_events.save(out);
        self.is_imported.save(out);
    }

    /// Reads the encoding from the front of `input`; what a detector could not take back is counted in
    /// `forgotten`.
    pub fn load(input: &mut &[u8], forgotten: &mut Counts) -> Result<Self, Damage> {
        Ok(Self {
            profile: Persist::load(input)?,
            detectors: States::load(input, forgotten)?,
            links: Persist::load(input)?,
            asks: Persist::load(input)?,
            voice: Persist::load(input)?,
            events: Persist::load(input)?,
            next_event: Persist::load(input)?,
            partial_events: Persist::load(input)?,
            is_imported: Persist::load(input)?,
        })
    }

    /// Remembers an event's id and where it came from.
    #[inline]
    pub fn remember(&mut self, event: EventId, origin: Origin) {
        self.is_imported = origin == Origin::Import;
        let next = usize::from(self.next_event) % EVENT_IDS_MAX;
        match self.events.get_mut(next) {
            Some(oldest) => *oldest = event,
            None => self.events.push(event),
        }
        self.next_event = ((next + 1) % EVENT_IDS_MAX) as u8;
    }

    /// The most recent events, oldest first.
    pub fn events(&self) -> Vec<EventId> {
        let oldest = if self.events.len() < EVENT_IDS_MAX { 0 } else { usize::from(self.next_event) };
        let (new, old) = self.events.split_at(oldest.min(self.events.len()));
        [old, new].concat()
    }

    /// The latest event.
    pub fn last_event(&self) -> Option<EventId> {
        let last = (usize::from(self.next_event) + EVENT_IDS_MAX - 1) % EVENT_IDS_MAX;
        self.events.get(last).copied()
    }

    /// Origin of the latest event.
    pub fn origin(&self) -> Origin {
        if self.is_imported { Origin::Import } else { Origin::Live }
    }

    /// Marks the account's verdicts as partial while they name the event at hand.
    #[inline]
    pub fn note_faults(&mut self, faults: Counts) {
        if !faults.is_empty() {
            self.partial_events = EVENT_IDS_MAX as u8;
        }
    }

    /// One more event has gone by since the last fault.
    #[inline]
    pub fn age_faults(&mut self) {
        self.partial_events = self.partial_events.saturating_sub(1);
    }

    /// Whether a detector failed on an event that a verdict would name.
    pub fn is_partial(&self) -> bool {
        self.partial_events > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_takes_no_more_memory_than_documented() {
        assert!(size_of::<Account>() <= 632, "{} bytes", size_of::<Account>());
    }

    #[test]
    fn the_last_sixteen_events_are_kept_oldest_first() {
        let mut account = Account::new(1);
        assert_eq!(account.last_event(), None);
        for index in 0..37u8 {
            account.remember(EventId([index; 16]), Origin::Live);
            assert_eq!(account.last_event(), Some(EventId([index; 16])));
        }
        let expected: Vec<_> = (21..37).map(|index| EventId([index; 16])).collect();
        assert_eq!(account.events(), expected);
    }
}

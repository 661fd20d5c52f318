//! What was taken of late, so that what comes again is known: by whole requests, and by the spans that have
//! an id of their own. Bounded: the latest [`SEEN_SEGMENTS_MAX`] segments of [`SEEN_SEGMENT_IDS`].

use crate::limits::{SEEN_SEGMENT_IDS, SEEN_SEGMENTS_MAX};
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use weir_schemas::EventId;

/// A keyed hash of what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeenId(pub(crate) u64);

impl SeenId {
    /// What an event is known by.
    pub(super) fn of(id: EventId) -> Self {
        Self(id.0.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte)))
    }
}

/// Ids that are not committed yet, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct NewIds {
    list: Vec<SeenId>,
    known: HashSet<SeenId>,
}

impl NewIds {
    pub(super) fn contains(&self, id: SeenId) -> bool {
        self.known.contains(&id)
    }

    pub(super) fn add(&mut self, id: SeenId) {
        if self.known.insert(id) {
            self.list.push(id);
        }
    }

    pub(super) fn list(&self) -> &[SeenId] {
        &self.list
    }
}

/// See the module.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    known: HashSet<SeenId>,
    /// The latest last; all but the last are full.
    segments: VecDeque<Vec<SeenId>>,
    /// Number of the first of them, counted from the source's beginning.
    first: u64,
}

impl Seen {
    /// Version of a segment's encoding, of no other record of the topic.
    pub(super) const FORMAT: i32 = 101;

    pub(super) fn contains(&self, id: SeenId) -> bool {
        self.known.contains(&id)
    }

    /// Takes ids that are not known yet; the numbers of the segments that changed.
    pub(super) fn add(&mut self, ids: &[SeenId]) -> Range<u64> {
        let end = |this: &Self| this.first + this.segments.len() as u64;
        let is_open = self.segments.back().is_some_and(|last| last.len() < SEEN_SEGMENT_IDS);
        let from = end(self) - u64::from(is_open);
        for id in ids {
            if self.segments.back().is_none_or(|last| last.len() >= SEEN_SEGMENT_IDS) {
                self.segments.push_back(Vec::with_capacity(SEEN_SEGMENT_IDS));
            }
            if let Some(last) = self.segments.back_mut() {
                last.push(*id);
            }
            self.known.insert(*id);
            if self.segments.len() > SEEN_SEGMENTS_MAX {
                self.first += 1;
                for id in self.segments.pop_front().unwrap_or_default() {
                    self.known.remove(&id);
                }
            }
        }
        from.max(self.first)..end(self)
    }

    /// Where a segment is stored: a later one takes the place of one that is forgotten.
    pub(super) fn slot(number: u64) -> u64 {
        number % SEEN_SEGMENTS_MAX as u64
    }

    /// The encoding of a segment.
    pub(super) fn to_bytes(&self, number: u64) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        let segment = number.checked_sub(self.first).and_then(|index| self.segments.get(index as usize));
        segment.into_iter().flatten().for_each(|id| bytes.extend_from_slice(&id.0.to_be_bytes()));
        bytes
    }

    /// What segments, each at its slot, hold together; none where they are not what [`Self::to_bytes`] wrote.
    pub(super) fn of(stored: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Option<Self> {
        let mut segments = Vec::new();
        for (slot, bytes) in stored {
            let (number, rest) = bytes.split_first_chunk::<8>()?;
            let number = u64::from_be_bytes(*number);
            let (ids, rest) = rest.as_chunks::<8>();
            let is_whole = rest.is_empty() && (1..=SEEN_SEGMENT_IDS).contains(&ids.len());
            if !is_whole || Self::slot(number) != slot {
                return None;
            }
            segments.push((number, ids.iter().map(|id| SeenId(u64::from_be_bytes(*id))).collect()));
        }
        segments.sort_unstable_by_key(|(number, _): &(u64, Vec<SeenId>)| *number);
        let first = segments.first().map_or(0, |(number, _)| *number);
        let are_in_a_row = segments.iter().zip(first..).all(|((number, _), expected)| *number == expected);
        let segments: VecDeque<Vec<SeenId>> = segments.into_iter().map(|(_, ids)| ids).collect();
        let known = segments.iter().flatten().copied().collect();
        are_in_a_row.then_some(Self { known, segments, first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What the topic holds: the latest record of every slot.
    #[derive(Default)]
    struct Stored(BTreeMap<u64, Vec<u8>>);

    impl Stored {
        fn keep(&mut self, seen: &Seen, changed: Range<u64>) {
            changed.for_each(|number| drop(self.0.insert(Seen::slot(number), seen.to_bytes(number))));
        }
    }

    #[test]
    fn what_is_taken_is_known_again_after_a_restart_as_far_back_as_the_bound() {
        let (mut seen, mut stored) = (Seen::default(), Stored::default());
        let all = SEEN_SEGMENT_IDS * (SEEN_SEGMENTS_MAX + 3);
        let ids: Vec<SeenId> = (0..all as u64).map(SeenId).collect();
        for some in ids.chunks(SEEN_SEGMENT_IDS * 3 / 2) {
            let changed = seen.add(some);
            stored.keep(&seen, changed);
        }
        assert_eq!(Seen::of(stored.0), Some(seen));
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_latest_are_not() {
        let mut seen = Seen::default();
        let bound = (SEEN_SEGMENT_IDS * SEEN_SEGMENTS_MAX) as u64;
        let ids: Vec<SeenId> = (0..=bound).map(SeenId).collect();
        seen.add(&ids);
        let known = ids.iter().filter(|id| seen.contains(**id)).count();
        assert_eq!(known, ids.len() - SEEN_SEGMENT_IDS, "a segment at a time");
        assert!(!seen.contains(SeenId(0)) && seen.contains(SeenId(bound)));
    }

    #[test]
    fn a_segment_of_another_slot_or_with_a_gap_before_it_is_none() {
        let mut seen = Seen::default();
        seen.add(&(0..3 * SEEN_SEGMENT_IDS as u64).map(SeenId).collect::<Vec<_>>());
        let bytes = |number| seen.to_bytes(number);
        assert!(Seen::of([(0, bytes(0)), (1, bytes(1)), (2, bytes(2))]).is_some());
        assert_eq!(Seen::of([(0, bytes(1))]), None);
        assert_eq!(Seen::of([(0, bytes(0)), (2, bytes(2))]), None);
        assert_eq!(Seen::of([(0, bytes(0)[..9].to_vec())]), None);
    }

    proptest! {
        #[test]
        fn every_commit_can_be_read_back(batches in prop::collection::vec(1..2000usize, 0..20)) {
            let (mut seen, mut stored, mut next) = (Seen::default(), Stored::default(), 0);
            for batch in batches {
                let ids: Vec<SeenId> = (next..next + batch as u64).map(SeenId).collect();
                next += batch as u64;
                let changed = seen.add(&ids);
                stored.keep(&seen, changed);
                let again = Seen::of(stored.0.clone());
                prop_assert_eq!(again.as_ref(), Some(&seen));
            }
        }

        #[test]
        fn other_bytes_are_no_segment_or_one(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let number = bytes.first_chunk::<8>().map_or(0, |number| u64::from_be_bytes(*number));
            if let Some(seen) = Seen::of([(Seen::slot(number), bytes.clone())]) {
                prop_assert_eq!(seen.to_bytes(number), bytes);
            }
        }
    }
}

//! The state of a stage: entries by key, bounded by time and by number.
//!
//! Entries lie in chunks that never move, so that a million of them grow without copying, and a table
//! holds only their places. A time wheel files every entry once, under an hour at or before its clock;
//! an hour that has passed its horizon is looked through once, and entries that have moved on since
//! are filed again. So eviction is O(1) amortised, and what is evicted depends on the entries' clocks
//! and the task's clock alone, never on the order in which entries came or were restored.

use crate::limits::STALE_FILINGS_MAX;
use hashbrown::HashTable;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Takes eight bytes of an id as its hash. Ids are keyed hashes already, so they are uniform and
/// nobody outside can choose them to collide.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

/// Makes maps and sets that are looked into by id, and never gone through.
pub type ById = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        // Tests use small ids; the multiplication spreads those too.
        self.0 = (self.0 ^ u64::from_le_bytes(first)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, _: usize) {
        // The length that arrays hash before their bytes is the same for all.
    }

    fn write_isize(&mut self, value: isize) {
        self.0 ^= value as u64;
    }
}

/// What the store needs to know of an entry.
pub trait Entry {
    /// Latest event time of the entry.
    fn clock_ms(&self) -> i64;

    /// Reads a word of each place in memory that a fold will need first.
    fn touch(&self) -> u64;
}

struct Slot<K, V> {
    key: K,
    is_dirty: bool,
    /// Where the wheel has it. A filing under another hour is one of an entry that had this place before.
    hour: i32,
    value: V,
}

/// Entries that are filed under one hour.
struct Hour<K> {
    /// As they were filed.
    places: Vec<u32>,
    /// Those that were looked at to be evicted, the longest idle first, by the clock that they had then.
    by_clock: BinaryHeap<Reverse<(i64, K, u32)>>,
}

impl<K: Ord> Default for Hour<K> {
    fn default() -> Self {
        Self { places: Vec::new(), by_clock: BinaryHeap::new() }
    }
}

/// Size of a chunk: what an allocator gives without rounding up.
const CHUNK_BYTES: usize = 512 << 10;

const HOUR_MS: i64 = 3_600_000;

/// Entries by key.
pub struct Store<K, V> {
    /// Places, by the hash of their entry's key.
    index: HashTable<u32>,
    slots: Slots<K, V>,
    free: Vec<u32>,
    wheel: BTreeMap<i32, Hour<K>>,
    /// Filings of entries that were forgotten since the wheel was last made anew, or more.
    stale: usize,
    dirty: Vec<u32>,
    gone: Vec<K>,
}

/// The entries by place, occupied or free.
struct Slots<K, V>(Vec<Vec<Option<Slot<K, V>>>>);

impl<K, V> Slots<K, V> {
    /// Entries of a chunk.
    const CHUNK: usize = CHUNK_BYTES / size_of::<Option<Slot<K, V>>>();

    #[inline]
    fn get(&self, place: u32) -> Option<&Slot<K, V>> {
        self.0.get(place as usize / Self::CHUNK)?.get(place as usize % Self::CHUNK)?.as_ref()
    }

    /// The place itself, which must have been pushed before.
    #[inline]
    fn at(&mut self, place: u32) -> &mut Option<Slot<K, V>> {
        &mut self.0[place as usize / Self::CHUNK][place as usize % Self::CHUNK]
    }

    /// Number of places.
    fn places(&self) -> u32 {
        self.0.split_last().map_or(0, |(last, full)| full.len() * Self::CHUNK + last.len()) as u32
    }

    /// A new place at the end.
    fn push(&mut self, slot: Slot<K, V>) -> u32 {
        if self.0.last().is_none_or(|chunk| chunk.len() == Self::CHUNK) {
            self.0.push(Vec::with_capacity(Self::CHUNK));
        }
        let chunks = self.0.len();
        let chunk = &mut self.0[chunks - 1];
        chunk.push(Some(slot));
        ((chunks - 1) * Self::CHUNK + chunk.len() - 1) as u32
    }
}

impl<K: Copy + Ord + Hash, V: Entry> Default for Store<K, V> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            slots: Slots(Vec::new()),
            free: Vec::new(),
            wheel: BTreeMap::new(),
            stale: 0,
            dirty: Vec::new(),
            gone: Vec::new(),
        }
    }
}

fn hour_of(clock_ms: i64) -> i32 {
    // Event times end with the year 9999, which is far from the last hour of 32 bits.
    clock_ms.div_euclid(HOUR_MS) as i32
}

#[inline]
fn hash_of(key: &impl Hash) -> u64 {
    let mut hasher = IdHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

impl<K: Copy + Ord + Hash, V: Entry> Store<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    #[inline]
    fn place_of(&self, key: K) -> Option<u32> {
        let is_key = |place: &u32| self.slots.get(*place).is_some_and(|slot| slot.key == key);
        self.index.find(hash_of(&key), is_key).copied()
    }

    /// Reads the entries of keys that are about to be asked for. The state of many entries lies in memory,
    /// not in a cache: what is fetched for one key after the other is waited for each time, what is fetched
    /// for many at once is waited for once.
    pub fn touch<const N: usize>(&self, keys: &[Option<K>; N]) {
        // Each step of the way for all keys, before the next. Another key's place does no harm.
        let place = |key: K| self.index.find(hash_of(&key), |_| true).copied();
        let places = keys.map(|key| key.and_then(place));
        let slots = places.map(|place| self.slots.get(place?));
        let read = slots.into_iter().flatten().map(|slot| slot.value.touch());
        std::hint::black_box(read.fold(0, u64::wrapping_add));
    }

    /// The entry, to be changed: it will be among the next changes.
    #[inline]
    pub fn change(&mut self, key: K) -> Option<&mut V> {
        let place = self.place_of(key)?;
        let slot = self.slots.at(place).as_mut()?;
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty.push(place);
        }
        Some(&mut slot.value)
    }

    /// The entry, made by `new` if there is none, to be changed.
    #[inline]
    pub fn change_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let place = match self.place_of(key) {
            Some(place) => place,
            None => self.place(key, new()),
        };
        let slot = self.slots.at(place).as_mut();
        let slot = slot.unwrap_or_else(|| unreachable!("the index names occupied places only"));
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty.push(place);
        }
        &mut slot.value
    }

    /// Puts an entry back as it was saved.
    pub fn restore(&mut self, key: K, value: V) {
        match self.place_of(key) {
            Some(place) => {
                let hour = hour_of(value.clock_ms());
                let Some(slot) = self.slots.at(place) else { return };
                (slot.is_dirty, slot.value) = (false, value);
                // A later hour is corrected when the old one is looked through. An earlier one would not be:
                // an entry that was evicted and began anew, between two snapshots, with events of before.
                if hour < slot.hour {
                    self.file(place, hour);
                    self.note_stale();
                }
            }
            None => {
                self.place(key, value);
            }
        }
    }

    #[cold]
    fn place(&mut self, key: K, value: V) -> u32 {
        let hour = hour_of(value.clock_ms());
        let slot = Slot { key, is_dirty: false, hour, value };
        let place = match self.free.pop() {
            Some(place) => {
                *self.slots.at(place) = Some(slot);
                place
            }
            None => self.slots.push(slot),
        };
        let slots = &self.slots;
        self.index.insert_unique(hash_of(&key), place, |place| {
            slots.get(*place).map_or(0, |slot| hash_of(&slot.key))
        });
        self.file(place, hour);
        place
    }

    fn file(&mut self, place: u32, hour: i32) {
        if let Some(slot) = self.slots.at(place) {
            slot.hour = hour;
        }
        self.wheel.entry(hour).or_default().places.push(place);
    }

    /// The entry at a place, if it is the one that was filed there under this hour.
    fn filed(&self, place: u32, hour: i32) -> Option<&Slot<K, V>> {
        self.slots.get(place).filter(|slot| slot.hour == hour)
    }

    /// Takes the entry out of its place, which may then be used again.
    fn vacate(&mut self, place: u32) -> Option<K> {
        let key = self.slots.get(place)?.key;
        if let Ok(found) = self.index.find_entry(hash_of(&key), |other| *other == place) {
            found.remove();
        }
        *self.slots.at(place) = None;
        self.free.push(place);
        Some(key)
    }

    fn remove(&mut self, place: u32) {
        let key = self.vacate(place);
        self.gone.extend(key);
    }

    /// Removes every entry whose clock's hour ended at or before `limit_ms`; returns how many.
    pub fn expire(&mut self, limit_ms: i64) -> u64 {
        let mut expired = 0;
        while let Some(first) = self.wheel.first_entry() {
            let hour = *first.key();
            if (i64::from(hour) + 1) * HOUR_MS > limit_ms {
                break;
            }
            let filed = first.remove();
            let looked_at = filed.by_clock.into_iter().map(|Reverse((_, _, place))| place);
            for place in filed.places.into_iter().chain(looked_at) {
                let Some(slot) = self.filed(place, hour) else { continue };
                let now = hour_of(slot.value.clock_ms());
                if now > hour {
                    // Filed under a later hour, which this loop still reaches if that has passed too.
                    self.file(place, now);
                } else {
                    self.remove(place);
                    expired += 1;
                }
            }
        }
        expired
    }

    /// Removes the longest idle until `max` entries are left; returns how many.
    pub fn evict_to(&mut self, max: usize) -> u64 {
        let mut evicted = 0;
        while self.len() > max {
            let Some(mut first) = self.wheel.first_entry() else { break };
            let hour = *first.key();
            let filed = std::mem::take(&mut first.get_mut().places);
            if !filed.is_empty() {
                filed.into_iter().for_each(|place| self.look_at(place, hour));
                continue;
            }
            let Some(Reverse((clock_ms, key, place))) = first.get_mut().by_clock.pop() else {
                first.remove();
                continue;
            };
            match self.filed(place, hour).filter(|slot| slot.key == key).map(|slot| slot.value.clock_ms()) {
                // Clocks only go up, so that no other can have become longer idle than this one.
                Some(now_ms) if now_ms == clock_ms => {
                    self.remove(place);
                    evicted += 1;
                }
                // It was heard of since it was looked at.
                Some(_) => self.look_at(place, hour),
                None => {}
            }
        }
        evicted
    }

    /// Files an entry of `hour` by its clock, or under a later hour if it has moved on.
    fn look_at(&mut self, place: u32, hour: i32) {
        let Some(slot) = self.filed(place, hour) else { return };
        let (clock_ms, key) = (slot.value.clock_ms(), slot.key);
        match hour_of(clock_ms) {
            now if now > hour => self.file(place, now),
            _ => self.wheel.entry(hour).or_default().by_clock.push(Reverse((clock_ms, key, place))),
        }
    }

    /// How many keys [`Self::take_changes`] would give, or a little more.
    pub fn changed(&self) -> usize {
        self.dirty.len() + self.gone.len()
    }

    /// Forgets an entry that a snapshot says is gone.
    pub fn forget(&mut self, key: K) {
        let Some(place) = self.place_of(key) else { return };
        self.vacate(place);
        self.note_stale();
    }

    /// The wheel names a place under an hour that counts no more. Now and then it is made anew: whoever only
    /// follows the snapshots of others never turns it.
    fn note_stale(&mut self) {
        self.stale += 1;
        if self.stale <= self.len() + STALE_FILINGS_MAX {
            return;
        }
        self.stale = 0;
        self.wheel.clear();
        for place in 0..self.slots.places() {
            if let Some(slot) = self.slots.get(place) {
                let hour = hour_of(slot.value.clock_ms());
                self.file(place, hour);
            }
        }
    }

    /// Entries in the order of their places, from `place` on, at most `entries_max` (one at least); returns
    /// where the rest begins, none after the last. Entries never move: one that is there all the while is met
    /// once.
    pub fn survey(&self, place: u32, entries_max: usize, mut each: impl FnMut(K, &V)) -> Option<u32> {
        let mut left = entries_max.max(1);
        for place in place..self.slots.places() {
            let Some(slot) = self.slots.get(place) else { continue };
            if left == 0 {
                return Some(place);
            }
            left -= 1;
            each(slot.key, &slot.value);
        }
        None
    }

    /// Keys that changed since the last call, in order, each with its entry or none where it is gone.
    pub fn take_changes(&mut self, mut each: impl FnMut(K, Option<&V>)) {
        let mut keys = std::mem::take(&mut self.gone);
        for place in std::mem::take(&mut self.dirty) {
            // A place that was freed and used again may be listed twice, or not be dirty any more.
            if let Some(slot) = self.slots.at(place).as_mut().filter(|slot| slot.is_dirty) {
                slot.is_dirty = false;
                keys.push(slot.key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let slot = self.place_of(key).and_then(|place| self.slots.get(place));
            each(key, slot.map(|slot| &slot.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Clock(i64);

    impl Entry for Clock {
        fn clock_ms(&self) -> i64 {
            self.0
        }

        fn touch(&self) -> u64 {
            0
        }
    }

    fn keys(store: &mut Store<[u8; 2], Clock>) -> Vec<([u8; 2], Option<i64>)> {
        let mut keys = Vec::new();
        store.take_changes(|key, value| keys.push((key, value.map(|clock| clock.0))));
        keys
    }

    #[derive(Debug, Clone)]
    enum Act {
        Touch(u8, i64),
        Expire(i64),
        EvictTo(usize),
    }

    impl Act {
        fn on(&self, store: &mut Store<[u8; 2], Clock>) {
            match *self {
                Self::Touch(key, clock_ms) => {
                    let clock = store.change_or_insert([key, 0], || Clock(clock_ms));
                    clock.0 = clock.0.max(clock_ms);
                }
                Self::Expire(limit_ms) => {
                    store.expire(limit_ms);
                }
                Self::EvictTo(max) => {
                    store.evict_to(max);
                }
            }
        }
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            8 => (0..40u8, 0..200i64).prop_map(|(key, part)| Act::Touch(key, part * HOUR_MS / 40)),
            1 => (0..6i64).prop_map(|hours| Act::Expire(hours * HOUR_MS)),
            2 => (0..40usize).prop_map(Act::EvictTo),
        ]
    }

    proptest! {
        #[test]
        fn the_store_keeps_and_forgets_as_a_plain_map_does(acts in prop::collection::vec(act(), 1..200)) {
            let mut store = Store::default();
            let mut model: BTreeMap<[u8; 2], i64> = BTreeMap::new();
            for act in acts {
                act.on(&mut store);
                match act {
                    Act::Touch(key, clock_ms) => {
                        let modelled = model.entry([key, 0]).or_insert(clock_ms);
                        *modelled = (*modelled).max(clock_ms);
                    }
                    Act::Expire(limit_ms) => {
                        model.retain(|_, clock_ms| (i64::from(hour_of(*clock_ms)) + 1) * HOUR_MS > limit_ms);
                    }
                    Act::EvictTo(max) => {
                        let mut idle: Vec<_> = model.iter().map(|(key, clock)| (*clock, *key)).collect();
                        idle.sort_unstable();
                        let evicted = idle.len().saturating_sub(max);
                        idle[..evicted].iter().for_each(|(_, key)| { model.remove(key); });
                    }
                }
                prop_assert_eq!(store.len(), model.len());
            }
            for (key, clock_ms) in &model {
                prop_assert_eq!(store.change(*key).map(|clock| clock.0), Some(*clock_ms));
            }
        }

        #[test]
        fn a_survey_and_what_changes_meanwhile_are_all_of_the_store(
            acts in prop::collection::vec(act(), 1..200),
            entries_max in 1..9usize,
            looks in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut store = Store::default();
            let (before, during) = acts.split_at(acts.len() / 2);
            let mut copy: BTreeMap<[u8; 2], i64> = BTreeMap::new();
            before.iter().for_each(|act| act.on(&mut store));
            let mut next = Some(0);
            for (act, looks) in during.iter().zip(looks) {
                act.on(&mut store);
                if let Some(from) = next.filter(|_| looks) {
                    let mut met = 0;
                    next = store.survey(from, entries_max, |key, clock| {
                        met += 1;
                        copy.insert(key, clock.0);
                    });
                    prop_assert!(met <= entries_max);
                    prop_assert!(next.is_none() || met == entries_max);
                }
            }
            while let Some(from) = next {
                next = store.survey(from, entries_max, |key, clock| { copy.insert(key, clock.0); });
            }
            store.take_changes(|key, clock| {
                match clock {
                    Some(clock) => copy.insert(key, clock.0),
                    None => copy.remove(&key),
                };
            });
            prop_assert_eq!(copy.len(), store.len());
            for (key, clock_ms) in copy {
                prop_assert_eq!(store.change(key).map(|clock| clock.0), Some(clock_ms));
            }
        }
    }

    #[test]
    fn an_entry_that_was_heard_of_within_its_hour_outlives_one_that_was_not() {
        let mut store = Store::default();
        for key in 1..=3 {
            store.change_or_insert([key, 0], || Clock(key.into()));
        }
        assert_eq!(store.evict_to(2), 1);
        // Its hour is in order already; a task that is restored here would see the new clock.
        store.change_or_insert([2, 0], || Clock(0)).0 = 9;
        assert_eq!(store.evict_to(1), 1);
        assert_eq!(store.change([2, 0]).map(|clock| clock.0), Some(9));
    }

    #[test]
    fn a_place_that_was_forgotten_is_used_again_and_its_old_filing_counts_no_more() {
        let mut store = Store::default();
        for round in 0..1_000 {
            store.restore([1, 0], Clock(0));
            store.restore([2, 0], Clock(round * HOUR_MS));
            store.forget([1, 0]);
            store.forget([2, 0]);
        }
        assert_eq!(store.slots.places(), 2);
        assert!(store.wheel.values().map(|hour| hour.places.len()).sum::<usize>() <= STALE_FILINGS_MAX + 2);
        store.restore([3, 0], Clock(999 * HOUR_MS));
        assert_eq!((store.expire(999 * HOUR_MS), store.len()), (0, 1));
        assert_eq!((store.expire(1_000 * HOUR_MS), store.len()), (1, 0));
    }

    #[test]
    fn an_entry_that_is_restored_with_an_earlier_clock_expires_by_that() {
        let mut store = Store::default();
        store.restore([1, 0], Clock(9 * HOUR_MS));
        store.restore([1, 0], Clock(2 * HOUR_MS));
        assert_eq!((store.expire(3 * HOUR_MS), store.len()), (1, 0));
    }

    #[test]
    fn changes_are_told_once_and_in_order() {
        let mut store = Store::default();
        store.change_or_insert([9, 9], || Clock(1));
        store.change_or_insert([1, 1], || Clock(2));
        store.change_or_insert([9, 9], || Clock(3));
        assert_eq!(keys(&mut store), [([1, 1], Some(2)), ([9, 9], Some(1))]);
        assert_eq!(keys(&mut store), []);
    }

    #[test]
    fn what_is_gone_is_told_unless_it_came_back() {
        let mut store = Store::default();
        store.change_or_insert([1, 1], || Clock(0));
        store.change_or_insert([2, 2], || Clock(0));
        keys(&mut store);
        assert_eq!(store.expire(HOUR_MS), 2);
        store.change_or_insert([2, 2], || Clock(7));
        assert_eq!(keys(&mut store), [([1, 1], None), ([2, 2], Some(7))]);
    }
}

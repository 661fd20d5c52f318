//! Verification of one chain, entry by entry, with the public keys alone. It goes on after what is
//! wrong, so that one flipped bit hides nothing behind it.

use super::{ChainHead, PublicKeys, has_signed, hash_of, message};
use crate::limits::{BREAKS_MAX, HASHES_REMEMBERED};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;
use weir_schemas::{AuditEntry, Digest};

/// Where a chain is not sound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("entry {sequence}: {what}")]
pub struct Break {
    /// The entry that should stand there.
    pub sequence: i64,
    /// What is wrong.
    pub what: Flaw,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// What stands there is no entry at all.
    #[error("unreadable: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// The entry is not what was signed, or another secret signed it.
    #[error("flipped: this is not what key {key_id} signed")]
    Altered {
        /// Key that it names.
        key_id: String,
    },
    /// The entry names a key that was not given.
    #[error("unknown key: it names {key_id}, whose public key was not given")]
    UnknownKey {
        /// Key that it names.
        key_id: String,
    },
    /// Entries are missing.
    #[error("deleted: missing up to entry {to}")]
    Deleted {
        /// The last that is missing.
        to: i64,
    },
    /// The entry is there, but later than it should be.
    #[error("reordered: it stands after entry {after}")]
    Reordered {
        /// Highest entry before it.
        after: i64,
    },
    /// The same entry stands there again.
    #[error("repeated: it stands there again after entry {after}")]
    Repeated {
        /// Highest entry before it.
        after: i64,
    },
    /// A signed entry of another chain.
    #[error("spliced: an entry of the chain of {found} stands in that of {expected}")]
    OtherChain {
        /// The chain that is verified.
        expected: String,
        /// The chain that it belongs to.
        found: String,
    },
    /// A signed entry that was made after another one than stands before it.
    #[error("spliced: it does not continue the entry before it")]
    Unlinked,
    /// The chain ends before its known head.
    #[error("truncated: the chain once reached entry {head}")]
    Truncated {
        /// Sequence of the known head.
        head: i64,
    },
    /// The entry at the known head's place is another one.
    #[error("replaced: it is not the entry that was the chain's head")]
    NotTheHead,
}

/// What a chain consists of, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainReport {
    /// The chain; empty where there was no entry.
    pub writer: String,
    /// Sequence of the first entry; earlier ones may have passed their retention.
    pub first: i64,
    /// Number of entries looked at.
    pub entries: u64,
    /// Its end.
    pub head: ChainHead,
    /// Entries with a good signature, by the key that made it.
    pub by_key: BTreeMap<String, u64>,
    /// What is wrong, in the order in which it was found; the first of them.
    pub breaks: Vec<Break>,
    /// How many more things are wrong.
    pub breaks_more: u64,
}

impl ChainReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.breaks.is_empty() && self.breaks_more == 0
    }
}

/// Verifies one chain, whose entries it is given in the order in which they stand.
#[derive(Debug)]
pub struct Verifier<'k> {
    keys: &'k PublicKeys,
    report: ChainReport,
    /// Heads that are known from elsewhere.
    known: BTreeMap<i64, Digest>,
    /// Whether the chain may begin with any entry.
    may_begin_later: bool,
    /// What stands after the head and cannot be believed: each was inserted, or stands for an entry.
    doubtful: i64,
    /// Places that were passed over and may be filled yet.
    missing: BTreeSet<i64>,
    /// Hashes of the latest entries.
    hashes: BTreeMap<i64, Digest>,
}

impl<'k> Verifier<'k> {
    /// A verifier of a chain from its beginning.
    pub fn new(keys: &'k PublicKeys) -> Self {
        Self {
            keys,
            report: ChainReport::default(),
            known: BTreeMap::new(),
            may_begin_later: false,
            doubtful: 0,
            missing: BTreeSet::new(),
            hashes: BTreeMap::new(),
        }
    }

    /// The same for a chain whose first entries may have passed their retention, or stand in another file.
    pub fn may_begin_later(mut self) -> Self {
        self.may_begin_later = true;
        self
    }

    /// The same for a chain that is known to have reached `head`: that shows what was cut off its end.
    pub fn reaches(mut self, head: ChainHead) -> Self {
        if head.sequence > 0 {
            self.known.insert(head.sequence, head.hash);
        }
        self
    }

    /// Takes the next entry.
    ///
    /// The signature is checked first, so that what is said about an entry afterwards is what was signed.
    pub fn entry(&mut self, entry: &AuditEntry) {
        self.report.entries += 1;
        let message = message(entry);
        let hash = hash_of(&message, &entry.signature);
        let flaw = match self.keys.get(&entry.key_id) {
            None => Some(Flaw::UnknownKey { key_id: entry.key_id.clone() }),
            Some(key) if !has_signed(key, &message, &entry.signature) => {
                Some(Flaw::Altered { key_id: entry.key_id.clone() })
            }
            Some(_) => None,
        };
        if let Some(flaw) = flaw {
            return self.doubt(flaw);
        }
        *self.report.by_key.entry(entry.key_id.clone()).or_default() += 1;
        if self.report.writer.is_empty() {
            entry.writer.clone_into(&mut self.report.writer);
        } else if entry.writer != self.report.writer {
            let (expected, found) = (self.report.writer.clone(), entry.writer.clone());
            return self.broken(self.next(), Flaw::OtherChain { expected, found });
        }
        self.place(entry, hash);
    }

    /// Takes something that stands where an entry should and cannot be read as one.
    pub fn unreadable(&mut self, reason: String) {
        self.report.entries += 1;
        self.doubt(Flaw::Unreadable { reason });
    }

    /// What came out.
    pub fn finish(mut self) -> ChainReport {
        for (from, to) in ranges(&std::mem::take(&mut self.missing)) {
            self.broken(from, Flaw::Deleted { to });
        }
        let end = self.next() - 1;
        if let Some((head, _)) = self.known.last_key_value().filter(|(head, _)| **head > end) {
            self.broken(end + 1, Flaw::Truncated { head: *head });
        }
        self.report
    }

    /// The place after everything that was taken.
    fn next(&self) -> i64 {
        self.report.head.sequence + self.doubtful + 1
    }

    fn broken(&mut self, sequence: i64, what: Flaw) {
        match self.report.breaks.len() < BREAKS_MAX {
            true => self.report.breaks.push(Break { sequence, what }),
            false => self.report.breaks_more += 1,
        }
    }

    fn doubt(&mut self, flaw: Flaw) {
        self.broken(self.next(), flaw);
        self.doubtful += 1;
    }

    fn place(&mut self, entry: &AuditEntry, hash: Digest) {
        let sequence = entry.sequence;
        let begins_later = self.report.first == 0 && self.may_begin_later && sequence > self.doubtful + 1;
        if begins_later {
            let before = sequence - self.doubtful - 1;
            self.report.breaks.iter_mut().for_each(|found| found.sequence += before);
            self.report.head.sequence = before;
        }
        if self.report.first == 0 {
            self.report.first = (sequence - self.doubtful).max(1);
        }
        let after = self.report.head.sequence;
        if sequence <= after {
            return self.late(sequence, hash, after);
        }
        let from = (after + 1).saturating_add(self.doubtful);
        if sequence == after + 1 {
            if !begins_later && entry.previous != self.report.head.hash {
                self.broken(sequence, Flaw::Unlinked);
            }
        } else if sequence > from {
            // Places that lie too far back to be told apart are one deletion.
            let near = from.max(sequence - HASHES_REMEMBERED as i64);
            if near > from {
                self.broken(from, Flaw::Deleted { to: near - 1 });
            }
            self.missing.extend(near..sequence);
        }
        self.moves_to(sequence, hash);
    }

    /// An entry that stands behind a later one.
    fn late(&mut self, sequence: i64, hash: Digest, after: i64) {
        let what = if self.missing.remove(&sequence) {
            Flaw::Reordered { after }
        } else if self.hashes.get(&sequence).is_some_and(|known| *known != hash) {
            Flaw::Unlinked
        } else {
            Flaw::Repeated { after }
        };
        self.broken(sequence, what);
    }

    fn moves_to(&mut self, sequence: i64, hash: Digest) {
        if self.known.get(&sequence).is_some_and(|known| *known != hash) {
            self.broken(sequence, Flaw::NotTheHead);
        }
        self.report.head = ChainHead { sequence, hash };
        self.doubtful = 0;
        self.hashes.insert(sequence, hash);
        if self.hashes.len() > HASHES_REMEMBERED {
            self.hashes.pop_first();
        }
        while let Some(first) =
            self.missing.first().filter(|first| **first < sequence - HASHES_REMEMBERED as i64)
        {
            let (from, to) = run_from(&self.missing, *first);
            self.missing.retain(|place| *place > to);
            self.broken(from, Flaw::Deleted { to });
        }
    }
}

/// The run of numbers that begins with `from`.
fn run_from(places: &BTreeSet<i64>, from: i64) -> (i64, i64) {
    let to = places.range(from..).zip(from..).take_while(|(place, expected)| *place == expected).last();
    (from, to.map_or(from, |(place, _)| *place))
}

fn ranges(places: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let (mut ranges, mut next) = (Vec::new(), places.first().copied());
    while let Some(from) = next {
        let (from, to) = run_from(places, from);
        ranges.push((from, to));
        next = places.range(to + 1..).next().copied();
    }
    ranges
}

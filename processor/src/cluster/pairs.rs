//! How much the members of a value are alike, two by two. A card is held against the others once, when it
//! comes: taking it out again, telling somebody, and naming those like a member ask for the same numbers.
//!
//! They follow from the cards, so they are not saved; two bytes for each pair, four kilobytes for 64 members.

use crate::card::{By, Likeness, alike_permille};

/// How much two cards are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair(u16);

impl Pair {
    const NOT_COMPARED: Self = Self(u16::MAX);

    /// Holds two cards against each other.
    pub(super) fn of(one: &Likeness, other: &Likeness, by: By) -> Self {
        alike_permille(one, other, by).map_or(Self::NOT_COMPARED, |permille| Self(permille as u16))
    }

    /// In thousandths; none where cards like these are not held against each other.
    pub(super) fn compared(self) -> Option<u32> {
        (self != Self::NOT_COMPARED).then_some(self.0.into())
    }

    /// In thousandths.
    pub(super) fn permille(self) -> u32 {
        self.compared().unwrap_or(0)
    }
}

/// The pairs of all members.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    /// The row of each member, in the members' order.
    rows: Vec<u8>,
    /// Row after row, each with those before it.
    pairs: Vec<Pair>,
}

/// Where the pair of two different rows is.
fn index(one: u8, other: u8) -> usize {
    let (lower, upper) = (usize::from(one.min(other)), usize::from(one.max(other)));
    upper * (upper - 1) / 2 + lower
}

impl Pairs {
    /// Number of members.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The pair of two different members, by their places.
    pub(super) fn get(&self, one: usize, other: usize) -> Pair {
        self.pairs[index(self.rows[one], self.rows[other])]
    }

    /// Those of the member at a place with all others, in the order of these.
    pub(super) fn of(&self, place: usize) -> impl Iterator<Item = (usize, Pair)> {
        (0..self.len()).filter(move |other| *other != place).map(move |other| (other, self.get(place, other)))
    }

    /// Puts a member at a place, whose pairs with those that are there are in the order of these.
    pub(super) fn insert(&mut self, place: usize, with: &[Pair]) {
        let row = self.rows.len();
        let begin = self.pairs.len();
        self.pairs.resize(begin + row, Pair::NOT_COMPARED);
        for (other, pair) in self.rows.iter().zip(with) {
            self.pairs[begin + usize::from(*other)] = *pair;
        }
        self.rows.insert(place, row as u8);
    }

    /// Takes a member out. The last row takes the place of its row, so that none is left empty.
    pub(super) fn remove(&mut self, place: usize) {
        let row = self.rows.remove(place);
        let last = self.rows.len() as u8;
        for other in self.rows.iter_mut().filter(|other| **other != last) {
            if row != last {
                self.pairs[index(row, *other)] = self.pairs[index(last, *other)];
            }
        }
        if let Some(moved) = self.rows.iter_mut().find(|other| **other == last) {
            *moved = row;
        }
        self.pairs.truncate(usize::from(last) * usize::from(last).saturating_sub(1) / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn members_keep_their_pairs_whoever_comes_and_goes(
            acts in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)
        ) {
            // Each member is a number; two of them are as much alike as their sum says.
            let (mut pairs, mut members) = (Pairs::default(), Vec::<u16>::new());
            let alike = |one: u16, other: u16| Pair(one + other);
            for (number, (comes, at)) in acts.into_iter().enumerate() {
                if (comes || members.is_empty()) && members.len() < 64 {
                    let place = at.index(members.len() + 1);
                    let with: Vec<Pair> = members.iter().map(|other| alike(number as u16, *other)).collect();
                    pairs.insert(place, &with);
                    members.insert(place, number as u16);
                } else {
                    let place = at.index(members.len());
                    pairs.remove(place);
                    members.remove(place);
                }
                prop_assert_eq!(pairs.len(), members.len());
                for place in 0..members.len() {
                    for (other, pair) in pairs.of(place) {
                        prop_assert_eq!(pair, alike(members[place], members[other]));
                    }
                }
            }
        }
    }
}

//! Which accounts are kept while less than all are.
//!
//! Whether an account is kept is a keyed hash of it, so that nobody can choose to be left out, and all
//! collectors of a deployment leave out the same ones. Who is kept at one rate is kept at every higher one.

use crate::privacy::Pseudonymizer;
use weir_schemas::AccountId;
use weir_schemas::keyed::KeyedHash;

/// Most halvings: one of 1,024 accounts is kept then.
pub(crate) const HALVINGS_MAX: u32 = 10;

/// Which share of accounts is kept: one of so many, a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sampling {
    halvings: u32,
}

impl Sampling {
    /// All accounts.
    pub const ALL: Self = Self { halvings: 0 };

    /// One of so many is kept.
    pub fn one_of(self) -> u32 {
        1 << self.halvings
    }

    pub(crate) fn less(self) -> Self {
        Self { halvings: (self.halvings + 1).min(HALVINGS_MAX) }
    }

    pub(crate) fn more(self) -> Self {
        Self { halvings: self.halvings.saturating_sub(1) }
    }

    pub(crate) fn is_least(self) -> bool {
        self.halvings == HALVINGS_MAX
    }
}

/// See the module.
pub(crate) struct Sampler {
    key: KeyedHash,
    pub(crate) sampling: Sampling,
}

impl Sampler {
    pub(crate) fn new(keys: &Pseudonymizer) -> Self {
        Self { key: keys.domain("weir.sampling"), sampling: Sampling::ALL }
    }

    pub(crate) fn keeps(&self, account: AccountId) -> bool {
        let one_of = u128::from(self.sampling.one_of());
        one_of == 1 || u128::from_be_bytes(self.key.first_16(&[&account.0])).is_multiple_of(one_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(key: u8, sampling: Sampling) -> Vec<u32> {
        let sampler = Sampler { sampling, ..Sampler::new(&Pseudonymizer::new([key; 32], 1)) };
        let account =
            |number: u32| AccountId([[0; 12].as_slice(), &number.to_be_bytes()].concat().try_into().unwrap());
        (0..8_192).filter(|number| sampler.keeps(account(*number))).collect()
    }

    #[test]
    fn of_accounts_so_many_are_kept_and_they_are_among_those_of_every_higher_rate() {
        let rates: Vec<Sampling> =
            std::iter::successors(Some(Sampling::ALL), |rate| Some(rate.less())).take(6).collect();
        let kept_at: Vec<Vec<u32>> = rates.iter().map(|rate| kept(1, *rate)).collect();
        assert_eq!(kept_at[0].len(), 8_192);
        for (rate, pair) in rates[1..].iter().zip(kept_at.windows(2)) {
            assert!(pair[1].iter().all(|account| pair[0].contains(account)));
            let expected = 8_192 / rate.one_of();
            // Six standard deviations.
            let range = 6 * f64::from(expected).sqrt() as u32;
            assert!((pair[1].len() as u32).abs_diff(expected) < range, "{} of {expected}", pair[1].len());
        }
    }

    #[test]
    fn another_key_keeps_others() {
        let half = Sampling::ALL.less();
        let (one, other) = (kept(1, half), kept(2, half));
        let both = one.iter().filter(|account| other.contains(account)).count() as u32;
        assert!(both.abs_diff(8_192 / 4) < 6 * 45, "{both}");
    }
}

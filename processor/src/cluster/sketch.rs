//! How many different accounts there were, in 256 bytes: HyperLogLog with 256 registers.
//!
//! The usual correction for small counts needs a logarithm, whose last digit differs between machines'
//! libraries. Here small counts are estimated by the coupon collector's expectation, a sum of
//! reciprocals: the same in every bit everywhere. The standard error is about 6.5 %.

use weir_schemas::AccountId;

const REGISTERS: usize = 256;

/// A set of accounts of which only the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sketch {
    registers: [u8; REGISTERS],
}
persist_fields!(Sketch { registers });

impl Default for Sketch {
    fn default() -> Self {
        Self { registers: [0; REGISTERS] }
    }
}

impl Sketch {
    /// Adds an account; false if the sketch cannot tell that it is new.
    pub fn insert(&mut self, account: AccountId) -> bool {
        // The store hashes by the first bytes of the id; these are others, all of them uniform.
        let bytes = account.0;
        let register = &mut self.registers[usize::from(bytes[15])];
        let tail = u64::from_le_bytes([
            bytes[7], bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14],
        ]);
        let rank = (tail.trailing_zeros() + 1) as u8;
        let is_new = rank > *register;
        *register = rank.max(*register);
        is_new
    }

    /// The estimated number of accounts.
    pub fn estimate(&self) -> u32 {
        let registers = REGISTERS as f64;
        let empty = self.registers.iter().filter(|rank| **rank == 0).count();
        // The sum is of powers of two, so it is exact in any order.
        let sum: f64 = self.registers.iter().map(|rank| 1.0 / (1u128 << (*rank).min(100)) as f64).sum();
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        if raw > 2.5 * registers || empty == 0 {
            return raw as u32;
        }
        let collected: f64 = (empty + 1..=REGISTERS).map(|left| 1.0 / left as f64).sum();
        (registers * collected) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::hash;

    fn sketch_of(count: u32) -> Sketch {
        let mut sketch = Sketch::default();
        (0..count).for_each(|index| {
            sketch.insert(AccountId(hash(&format!("account {index}")).0));
        });
        sketch
    }

    #[test]
    fn estimates_are_within_a_fifth() {
        for count in [1, 10, 65, 200, 500, 700, 1_000, 5_000, 100_000] {
            let estimate = f64::from(sketch_of(count).estimate());
            let off = (estimate / f64::from(count) - 1.0).abs();
            assert!(off < 0.2, "{count} accounts are estimated as {estimate}");
        }
    }

    #[test]
    fn an_account_counts_once_and_order_does_not_matter() {
        let once = sketch_of(300);
        let mut twice = Sketch::default();
        for index in (0..300).rev().chain(0..300) {
            twice.insert(AccountId(hash(&format!("account {index}")).0));
        }
        assert_eq!(once, twice);
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(Sketch::default().estimate(), 0);
    }
}

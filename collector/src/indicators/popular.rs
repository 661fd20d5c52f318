//! How many accounts come with a value that an indicator names, of late: what many come with is nobody's.

use crate::limits::{INDICATOR_ACCOUNTS_MAX, INDICATOR_VALUES_COUNTED_MAX, INDICATOR_WINDOW_MS};
use std::collections::HashMap;
use weir_schemas::AccountId;

/// Accounts of each value, of this day and of the one before: at most 64 of each, in short.
#[derive(Debug, Default)]
pub(super) struct Popular {
    day: i64,
    today: HashMap<u64, Vec<u64>>,
    before: HashMap<u64, Vec<u64>>,
}

impl Popular {
    /// Notes that an account came with a value, and gives how many did. A value that there is no room to
    /// count for counts as one that many come with.
    pub fn count(&mut self, value: u64, account: AccountId, now_ms: i64) -> i32 {
        self.turn(now_ms.div_euclid(INDICATOR_WINDOW_MS));
        if !self.today.contains_key(&value) && self.today.len() == INDICATOR_VALUES_COUNTED_MAX {
            return INDICATOR_ACCOUNTS_MAX as i32;
        }
        let accounts = self.today.entry(value).or_default();
        let short = short(account);
        if accounts.len() < INDICATOR_ACCOUNTS_MAX && !accounts.contains(&short) {
            accounts.push(short);
        }
        let before = self.before.get(&value).map_or(0, Vec::len);
        accounts.len().max(before) as i32
    }

    /// What was today is of yesterday, and what was before that is forgotten.
    fn turn(&mut self, day: i64) {
        if day != self.day {
            let ended = std::mem::take(&mut self.today);
            self.before = if day == self.day + 1 { ended } else { HashMap::new() };
            self.day = day;
        }
    }
}

/// Eight of its bytes: pseudonyms are hashes.
fn short(account: AccountId) -> u64 {
    account.0.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId((u128::from(number) << 64).to_be_bytes())
    }

    #[test]
    fn accounts_of_this_day_and_of_the_one_before_are_counted_once() {
        let mut popular = Popular::default();
        let mut count = |number, day| popular.count(7, account(number), day * INDICATOR_WINDOW_MS);
        assert_eq!((count(1, 0), count(1, 0), count(2, 0), count(3, 0)), (1, 1, 2, 3));
        // The next day knows of the three, and the one after that of none.
        assert_eq!((count(9, 1), count(8, 3)), (3, 1));
    }

    #[test]
    fn values_and_accounts_are_bounded_and_what_is_not_counted_is_many() {
        let mut popular = Popular::default();
        let counts: Vec<i32> = (0..100).map(|number| popular.count(7, account(number), 0)).collect();
        assert_eq!((counts[63], counts[99]), (64, 64));
        for value in 100..100 + INDICATOR_VALUES_COUNTED_MAX as u64 {
            popular.count(value, account(1), 0);
        }
        assert_eq!(popular.count(1, account(1), 0), 64);
        assert_eq!(popular.today.len(), INDICATOR_VALUES_COUNTED_MAX);
    }
}

//! How much is kept so that a budget of processor time is held: which share of accounts, from what was used.
//!
//! It is a function of the times that it is given. One step is taken at the end of a window, and the next
//! window begins with it, so that what a step comes to is seen before another is taken. Where the fewest
//! accounts are kept and that is still too much, what is heard waits until the budget has room for it: what
//! finds no room meanwhile the tap counts.

use crate::sampling::Sampling;

/// How long use is measured before anything follows from it, in milliseconds.
const WINDOW_MS: u64 = 5_000;

/// How many windows in a row must have room for twice as much before more is kept.
const CALM_WINDOWS: u32 = 6;

/// Use up to which twice as much is well within the budget, in hundredths of it.
const CALM_PERCENT: u64 = 40;

/// What a window came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What is kept from now on.
    pub sampling: Sampling,
    /// What was kept before.
    pub before: Sampling,
    /// What was used in it, in millionths of one processor.
    pub used_ppm: u64,
    /// It was over the budget, or would have been but for [rests](Budget::must_rest), and no fewer accounts
    /// can be kept.
    pub is_beyond: bool,
}

/// Holds a budget.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Processor time that may be used, in millionths of one processor.
    budget_ppm: u64,
    sampling: Sampling,
    /// When the window began, in milliseconds, and what had been used by then, in microseconds.
    began: Option<(u64, u64)>,
    calm_windows: u32,
    /// Nothing was heard in this window yet.
    is_fresh: bool,
    /// There was a rest in this window.
    has_rested: bool,
}

impl Budget {
    /// A budget in millionths of one processor.
    pub fn of_ppm(budget_ppm: u64) -> Self {
        Self {
            budget_ppm,
            sampling: Sampling::ALL,
            began: None,
            calm_windows: 0,
            is_fresh: true,
            has_rested: false,
        }
    }

    /// Whether nothing may be heard now, by the same clocks as [`look`](Self::look) has: the fewest accounts
    /// are kept, and since the window began more was used than the budget has for this time. Whatever else is
    /// used, each window begins with some hearing.
    pub fn must_rest(&mut self, now_ms: u64, used_us: u64) -> bool {
        let Some((began_ms, before_us)) = self.began.filter(|_| self.sampling.is_least()) else {
            return false;
        };
        let (elapsed_ms, used_us) = (now_ms.saturating_sub(began_ms), used_us.saturating_sub(before_us));
        let must_rest = !std::mem::take(&mut self.is_fresh)
            && used_us.saturating_mul(1_000) > elapsed_ms.saturating_mul(self.budget_ppm);
        self.has_rested |= must_rest;
        must_rest
    }

    /// Takes what was used in all up to now, by a clock that does not go back: `now_ms` in milliseconds,
    /// `used_us` in microseconds. What a window came to, where one has ended.
    pub fn look(&mut self, now_ms: u64, used_us: u64) -> Option<Window> {
        let (began_ms, before_us) = *self.began.get_or_insert((now_ms, used_us));
        let elapsed_ms = now_ms.saturating_sub(began_ms);
        if elapsed_ms < WINDOW_MS {
            return None;
        }
        self.began = Some((now_ms, used_us));
        self.is_fresh = true;
        let used_ppm = used_us.saturating_sub(before_us).saturating_mul(1_000) / elapsed_ms;
        let before = self.sampling;
        let is_over = used_ppm > self.budget_ppm;
        let has_rested = std::mem::take(&mut self.has_rested);
        let is_calm =
            !has_rested && used_ppm.saturating_mul(100) <= self.budget_ppm.saturating_mul(CALM_PERCENT);
        self.calm_windows = if is_calm { self.calm_windows + 1 } else { 0 };
        if is_over {
            self.sampling = before.less();
        } else if self.calm_windows >= CALM_WINDOWS {
            (self.sampling, self.calm_windows) = (before.more(), 0);
        }
        let is_beyond = has_rested || is_over && before.is_least();
        Some(Window { sampling: self.sampling, before, used_ppm, is_beyond })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::HALVINGS_MAX;
    use expect_test::expect;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    /// Runs windows in each of which so much is used as this says of what is kept, and says what was kept in
    /// each.
    fn run(budget_ppm: u64, windows: usize, mut used_ppm: impl FnMut(usize, u64) -> u64) -> Vec<u32> {
        let mut budget = Budget::of_ppm(budget_ppm);
        let (mut now_ms, mut used_us, mut kept) = (17, 5, Vec::new());
        assert_eq!(budget.look(now_ms, used_us), None);
        let mut sampling = Sampling::ALL;
        for window in 0..windows {
            kept.push(sampling.one_of());
            let used = used_ppm(window, u64::from(sampling.one_of())) * WINDOW_MS / 1_000;
            assert_eq!(budget.look(now_ms + WINDOW_MS / 2, used_us + used / 2), None);
            (now_ms, used_us) = (now_ms + WINDOW_MS, used_us + used);
            let ended = budget.look(now_ms, used_us).unwrap();
            assert_eq!(ended.before, sampling);
            sampling = ended.sampling;
        }
        kept
    }

    #[test]
    fn a_day_with_a_rush_is_sampled_as_it_rises_and_whole_again_behind_it() {
        let load = |window: usize| [5_000, 30_000, 90_000, 90_000, 90_000, 25_000, 0][(window / 4).min(6)];
        let mut budget = Budget::of_ppm(20_000);
        let (mut now_ms, mut used_us, mut told) = (0, 0, String::new());
        budget.look(now_ms, used_us);
        let mut one_of = 1;
        for window in 0..56 {
            let used_ppm = 1_000 + load(window) / u64::from(one_of);
            (now_ms, used_us) = (now_ms + WINDOW_MS, used_us + used_ppm * WINDOW_MS / 1_000);
            let ended = budget.look(now_ms, used_us).unwrap();
            if ended.sampling != ended.before {
                let (before, after) = (ended.before.one_of(), ended.sampling.one_of());
                writeln!(
                    told,
                    "{:>3} s, {:.1} % used: 1/{before} to 1/{after}",
                    now_ms / 1_000,
                    ended.used_ppm as f64 / 1e4
                )
                .unwrap();
            }
            one_of = ended.sampling.one_of();
        }
        expect![[r#"
             25 s, 3.1 % used: 1/1 to 1/2
             45 s, 4.6 % used: 1/2 to 1/4
             50 s, 2.4 % used: 1/4 to 1/8
            130 s, 0.1 % used: 1/8 to 1/4
            160 s, 0.1 % used: 1/4 to 1/2
            190 s, 0.1 % used: 1/2 to 1/1
        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn what_no_sampling_can_save_is_told() {
        let mut budget = Budget::of_ppm(10_000);
        let beyond: Vec<bool> = (0..13)
            .filter_map(|window| budget.look(window * WINDOW_MS, window * WINDOW_MS * 20))
            .map(|ended| ended.is_beyond)
            .collect();
        assert_eq!(beyond, [[false; 10].as_slice(), &[true; 2]].concat());
    }

    #[test]
    fn where_no_sampling_can_save_it_hearing_waits_until_the_budget_has_room() {
        let mut budget = Budget::of_ppm(10_000);
        // A hundredth of the time may be used, and hearing takes all of it: 1 ms a ms.
        let (mut used_us, mut heard, mut beyond) = (0, 0, Vec::new());
        for now_ms in 0..20 * WINDOW_MS {
            if let Some(window) = budget.look(now_ms, used_us) {
                beyond.push(window.is_beyond);
                heard = 0;
            }
            if !budget.must_rest(now_ms, used_us) {
                (used_us, heard) = (used_us + 1_000, heard + 1);
            }
        }
        assert_eq!(beyond, [[false; 10].as_slice(), &[true; 9]].concat());
        // What else is used must not keep it from hearing anything at all.
        budget.look(20 * WINDOW_MS, used_us).unwrap();
        let more_us = used_us + WINDOW_MS * 1_000;
        let rests = [20 * WINDOW_MS, 20 * WINDOW_MS + 1].map(|now_ms| budget.must_rest(now_ms, more_us));
        assert_eq!(rests, [false, true]);
        // A hundredth of the last window but for what it began with.
        assert!((50..=51).contains(&heard), "{heard} ms");
        // While more accounts could be left out it never waits.
        let mut budget = Budget::of_ppm(1);
        assert!(!budget.must_rest(0, 0));
        budget.look(0, 0);
        assert!(!budget.must_rest(1, u64::MAX));
    }

    #[test]
    fn clocks_that_stand_still_or_go_back_change_nothing() {
        let mut budget = Budget::of_ppm(1);
        for now_ms in [10_000, 10_000, 9_000, 0, 10_001] {
            assert_eq!(budget.look(now_ms, u64::MAX), None);
        }
        let ended = budget.look(u64::MAX, 0).unwrap();
        assert_eq!((ended.used_ppm, ended.sampling), (0, Sampling::ALL));
    }

    proptest! {
        #[test]
        fn a_load_that_stays_is_brought_within_the_budget_and_then_nothing_changes_any_more(
            fixed in 0u64..20_000, load in 0u64..2_000_000, budget in 1_000u64..100_000,
        ) {
            let used = |one_of: u64| fixed + load / one_of;
            let kept = run(budget, 200, |_, one_of| used(one_of));
            prop_assert!(kept.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == 2 * pair[0] || 2 * pair[1] == pair[0]));
            let last = u64::from(kept[199]);
            prop_assert!(used(last) <= budget || last == 1 << HALVINGS_MAX, "{last}");
            prop_assert!(kept[20..].iter().all(|one_of| u64::from(*one_of) == last), "{kept:?}");
            // No more is shed than is needed: with twice as much kept it would be over.
            prop_assert!(last == 1 || used(last / 2) > budget, "{last}");
        }

        #[test]
        fn within_the_budget_all_is_kept_and_after_a_rush_all_is_kept_again(
            budget in 1_000u64..100_000, rush in 1usize..30, calm in 0u64..40,
        ) {
            prop_assert!(run(budget, 50, |_, _| budget).iter().all(|one_of| *one_of == 1));
            let kept = run(budget, 30 + 6 * 10 + 1, |window, _| if window < rush { budget * 3 } else { budget * calm / 100 });
            prop_assert_eq!(kept[kept.len() - 1], 1);
            prop_assert!(kept.iter().max().is_some_and(|most| *most > 1));
        }
    }
}

//! Fixed point against floating point.

use super::*;
use proptest::prelude::*;

/// Verdicts rest on these bits: a faster way to them has to come to the same.
#[test]
fn an_exponential_is_the_product_of_its_bits_powers_each_cut_in_its_turn() {
    for millinats in 0..1u32 << 15 {
        let set = POWERS.iter().enumerate().filter(|(bit, _)| millinats >> bit & 1 == 1);
        let product = set.fold(ONE, |value, (_, power)| (value * power) >> 30);
        assert_eq!(exp_neg(millinats), product, "{millinats}");
    }
    assert_eq!([exp_neg(1 << 15), exp_neg(u32::MAX)], [0, 0]);
}

proptest! {
    #[test]
    fn logarithms_are_right_to_a_thousandth(number in 1u64..u64::MAX) {
        prop_assert!((f64::from(ln(number)) - (number as f64).ln() * 1e3).abs() <= 1.5);
    }

    #[test]
    fn exponentials_are_right_to_a_millionth(millinats in 0u32..40_000) {
        let exact = (-f64::from(millinats) / 1e3).exp();
        prop_assert!((exp_neg(millinats) as f64 / ONE as f64 - exact).abs() < 1e-6);
    }

    #[test]
    fn a_higher_log_odds_never_has_a_lower_score_or_probability(one in -40_000..40_000, other in -40_000..40_000) {
        let (low, high) = (i32::min(one, other), i32::max(one, other));
        prop_assert!(score(low) <= score(high));
        prop_assert!(probability(low) <= probability(high));
    }

    #[test]
    fn moments_are_those_of_the_textbook(values in prop::collection::vec(0i32..25_000, 1..500)) {
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.note(*value));
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
        prop_assert!((f64::from(moments.mean()) - mean).abs() <= 1.0);
        let spread = (variance / values.len() as f64).sqrt();
        prop_assert!((f64::from(moments.spread()) - spread).abs() <= 1.0);
    }
}

#[test]
fn the_score_is_the_sources_scale_of_the_probability() {
    for (odds, millionths, score_expected) in
        [(0, 500_000, 0.35), (2_197, 899_981, 0.55), (4_595, 989_999, 0.72), (-12_000, 6, 0.0)]
    {
        assert_eq!(score(odds), score_expected);
        assert!(probability(odds).abs_diff(millionths) < 60, "{} for {odds}", probability(odds));
    }
    assert_eq!((score(i32::MIN), score(i32::MAX)), (0.0, 1.0));
}

#[test]
fn a_line_is_flat_beyond_its_ends() {
    let points = [(0, -100), (10, 0), (20, 50)];
    let at = |at| line(&points, at);
    assert_eq!([at(-5), at(0), at(5), at(10), at(15), at(99)], [-100, -100, -50, 0, 25, 50]);
}

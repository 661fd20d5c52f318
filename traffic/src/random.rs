//! Seeded chance. The same seed gives the same numbers on every machine and in every later build: nothing
//! here comes from a library whose next release could draw otherwise, and logarithms are computed from the
//! four operations that IEEE 754 fixes to the last bit.

/// A stream of numbers (splitmix64), eight bytes small, so that every account can have its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random(u64);

/// One number made of several: streams with different parts have nothing to do with one another.
pub fn mixed(parts: &[u64]) -> u64 {
    parts.iter().fold(0x243f_6a88_85a3_08d3, |state, part| scrambled(state ^ scrambled(*part)))
}

fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of these parts.
    pub fn of(parts: &[u64]) -> Self {
        Self(mixed(parts))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let bits = scrambled(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number from 0 up to but without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Index of one of the weights, in proportion to them.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let total: u64 = weights.clone().map(u64::from).sum();
        let mut rest = self.below(total);
        for (index, weight) in weights.enumerate() {
            if rest < u64::from(weight) {
                return index;
            }
            rest -= u64::from(weight);
        }
        0
    }

    /// A waiting time of a Poisson process.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }

    /// A standard normal number (Marsaglia's polar method).
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * ln(square) / square).sqrt();
            }
        }
    }

    /// A log-normal number: half of them are below `median`; `sigma` is the spread of their logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    /// A rank below `bound` by Zipf's law: low ranks are common.
    pub fn zipf(&mut self, bound: u64) -> u64 {
        let rank = exp(self.unit() * ln(bound.max(1) as f64 + 1.0)) - 1.0;
        (rank as u64).min(bound.saturating_sub(1))
    }
}

/// The natural logarithm of a positive number, to about 1e-12.
pub fn ln(x: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    let bits = x.max(f64::MIN_POSITIVE).to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // 2 artanh(t), |t| < 0.172: eight terms are enough.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = (0..8).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    2.0 * t * series + exponent as f64 * LN_2
}

/// e to the power of `x`, to about 1e-12.
pub fn exp(x: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    let x = x.clamp(-700.0, 700.0);
    let whole = (x / LN_2 + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let rest = x - whole as f64 * LN_2;
    let series = (1..=13).rev().fold(1.0, |sum, k| 1.0 + sum * rest / f64::from(k));
    series * f64::from_bits(((whole + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut random = Random::of(&[7, 1]);
        assert_eq!([random.bits(), random.bits()], [6_006_071_733_314_251_164, 16_957_903_063_320_595_738]);
        assert_ne!(Random::of(&[7, 1]), Random::of(&[1, 7]));
    }

    #[test]
    fn logarithm_and_power_agree_with_the_library() {
        for x in [1e-9, 0.1, 0.5, 0.99, 1.0, 1.5, 2.0, 10.0, 12_345.6, 1e15] {
            assert!((ln(x) - f64::ln(x)).abs() < 1e-11 * f64::ln(x).abs().max(1.0), "{x}");
        }
        for x in [-30.0, -1.0, -0.2, 0.0, 0.3, 1.0, 5.5, 40.0] {
            assert!((exp(x) / f64::exp(x) - 1.0).abs() < 1e-11, "{x}");
        }
    }

    #[test]
    fn draws_have_the_distribution_that_they_are_named_after() {
        let mut random = Random::of(&[3]);
        let mean = |draw: &mut dyn FnMut() -> f64| (0..100_000).map(|_| draw()).sum::<f64>() / 100_000.0;
        assert!((mean(&mut || random.exponential(5.0)) - 5.0).abs() < 0.1);
        assert!(mean(&mut || random.normal()).abs() < 0.02);
        assert!((mean(&mut || random.normal().powi(2)) - 1.0).abs() < 0.03);
        assert!((mean(&mut || f64::from(random.log_normal(9.0, 1.3) < 9.0)) - 0.5).abs() < 0.01);
        assert!((mean(&mut || f64::from(random.chance(0.2))) - 0.2).abs() < 0.01);
        assert!((mean(&mut || f64::from(random.weighted([1, 0, 3].into_iter()) == 2)) - 0.75).abs() < 0.01);
        assert!(mean(&mut || f64::from(random.zipf(1000) < 10)) > 0.3);
        assert!((0..1000).all(|_| (3..=5).contains(&random.between(3, 5)) && random.zipf(7) < 7));
    }
}

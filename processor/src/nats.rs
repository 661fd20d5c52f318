//! Logarithms in fixed point: evidence is counted in thousandths of a nat, whole numbers that every
//! machine adds to the same sum. Tables and integer arithmetic only; no mathematical library, whose last
//! bits differ.

use weir_schemas::log2::log2;

/// Thousandths of a nat.
pub type Millinats = i32;

/// Logarithms to base 2 of 1 + i/256, in 1/65536.
static MANTISSA: [u32; 257] = {
    let mut table = [0; 257];
    let mut index = 0;
    while index < 257 {
        table[index] = log2(256 + index as u32) - (8 << 16);
        index += 1;
    }
    table
};

/// Natural logarithm of a whole number, in thousandths; that of 0 is taken for that of 1. Right to one
/// thousandth.
#[inline]
pub const fn ln(number: u64) -> Millinats {
    let number = if number == 0 { 1 } else { number };
    let whole = number.ilog2();
    // Sixteen bits behind the leading one: eight for the table, eight between its entries.
    let bits = if whole >= 16 { number >> (whole - 16) } else { number << (16 - whole) } as usize & 0xFFFF;
    let (index, rest) = (bits >> 8, (bits & 0xFF) as u32);
    let (low, high) = (MANTISSA[index], MANTISSA[index + 1]);
    let log2 = (whole << 16) as u64 + (low + (((high - low) * rest) >> 8)) as u64;
    ((log2 * 693_147 / 1_000) >> 16) as Millinats
}

/// Natural logarithm of `numerator / denominator`.
#[inline]
pub const fn ln_ratio(numerator: u64, denominator: u64) -> Millinats {
    ln(numerator) - ln(denominator)
}

/// What [`exp_neg`] calls one.
pub const ONE: u64 = 1 << 30;

/// Exponentials of minus 1, 2, 4 … thousandths of a nat.
const POWERS: [u64; 15] = [
    1_072_668_619,
    1_071_596_486,
    1_069_455_435,
    1_065_186_158,
    1_056_698_664,
    1_039_926_024,
    1_007_175_199,
    944_735_372,
    831_228_610,
    643_488_952,
    385_640_219,
    138_504_783,
    17_866_096,
    297_276,
    82,
];

/// Bits of a number of thousandths whose exponentials are in [`SMALL`].
const SMALL_BITS: usize = 8;

/// Exponentials of minus 0 to 255 thousandths of a nat.
static SMALL: [u64; 1 << SMALL_BITS] = {
    let mut table = [ONE; 1 << SMALL_BITS];
    let mut millinats = 0;
    while millinats < table.len() {
        let mut bit = 0;
        while bit < SMALL_BITS {
            table[millinats] = times_power(table[millinats], millinats, bit);
            bit += 1;
        }
        millinats += 1;
    }
    table
};

/// `value` times the exponential of minus two to the `bit`, where that bit of `millinats` is set. Without a
/// branch: which bits are set nobody can foresee.
const fn times_power(value: u64, millinats: usize, bit: usize) -> u64 {
    let is_set = (millinats >> bit & 1) as u64;
    (value * (ONE - is_set * (ONE - POWERS[bit]))) >> 30
}

/// Exponential of minus so many thousandths of a nat, as a part of [`ONE`].
#[inline]
pub fn exp_neg(millinats: u32) -> u64 {
    if millinats >= 1 << POWERS.len() {
        return 0;
    }
    let millinats = millinats as usize;
    let small = SMALL[millinats % SMALL.len()];
    (SMALL_BITS..POWERS.len()).fold(small, |value, bit| times_power(value, millinats, bit))
}

/// The probability that log-odds stand for, taken at their word, in millionths.
pub fn probability(log_odds: Millinats) -> u32 {
    let tail = exp_neg(log_odds.unsigned_abs());
    let smaller = (tail * 1_000_000 / (ONE + tail)) as u32;
    if log_odds >= 0 { 1_000_000 - smaller } else { smaller }
}

/// Log-odds and the score that stands for them, in thousandths: odds of one to one are 0.35, of nine to one
/// 0.55, of 99 to one 0.72. Straight between.
const SCALE: [(i64, i64); 6] =
    [(-12_000, 0), (0, 350), (2_197, 550), (4_595, 720), (9_210, 900), (25_000, 1_000)];

/// The sources' score for log-odds, 0 to 1.
pub fn score(log_odds: Millinats) -> f64 {
    let odds = i64::from(log_odds).clamp(SCALE[0].0, SCALE[SCALE.len() - 1].0);
    let upper = SCALE.iter().position(|(edge, _)| odds <= *edge).unwrap_or(0).max(1);
    let ((low, from), (high, to)) = (SCALE[upper - 1], SCALE[upper]);
    let millionths = from * 1_000 + (odds - low) * (to - from) * 1_000 / (high - low);
    millionths as f64 / 1e6
}

/// A straight line through points in rising order, flat beyond both ends; 0 where there are none.
#[inline]
pub fn line(points: &[(i64, Millinats)], at: i64) -> Millinats {
    let Some(upper) = points.iter().position(|(edge, _)| at <= *edge) else {
        return points.last().map_or(0, |(_, last)| *last);
    };
    if upper == 0 {
        return points[0].1;
    }
    let ((low, from), (high, to)) = (points[upper - 1], points[upper]);
    let (from, to) = (i64::from(from), i64::from(to));
    (from + (at - low) * (to - from) / (high - low).max(1)) as Millinats
}

/// What is left of `said` by each of these shares in turn, in thousandths.
#[inline]
pub fn left_of(said: i64, shares_permille: impl IntoIterator<Item = Millinats>) -> Millinats {
    shares_permille.into_iter().fold(said, |said, share| said * i64::from(share) / 1_000) as Millinats
}

/// How many were counted, and mean and spread of what they measured. The past fades: at
/// `MEMORY` everything is halved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moments {
    count: u32,
    sum: u64,
    squares: u64,
}
persist_fields!(Moments { count, sum, squares });

impl Moments {
    const MEMORY: u32 = 4_096;

    /// Counts one measurement, in thousandths.
    #[inline]
    pub fn note(&mut self, value: Millinats) {
        if self.count >= Self::MEMORY {
            (self.count, self.sum, self.squares) = (self.count / 2, self.sum / 2, self.squares / 2);
        }
        let value = u64::from(value.max(0) as u32);
        self.count += 1;
        // A damaged entry may hold any number.
        self.sum = self.sum.saturating_add(value);
        self.squares = self.squares.saturating_add(value * value);
    }

    /// Measurements that are remembered.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Their mean, in thousandths; 0 for none.
    #[inline]
    pub fn mean(&self) -> Millinats {
        (self.sum / u64::from(self.count.max(1))).min(i32::MAX as u64) as Millinats
    }

    /// Their standard deviation, in thousandths.
    #[inline]
    pub fn spread(&self) -> Millinats {
        let count = u64::from(self.count.max(1));
        // What was measured fits into 64 bits; what a damaged entry says may not.
        let variance = match (count.checked_mul(self.squares), self.sum.checked_mul(self.sum)) {
            (Some(squares), Some(sums)) => squares.saturating_sub(sums) / (count * count),
            _ => self.wide_variance(),
        };
        variance.isqrt().min(i32::MAX as u64) as Millinats
    }

    /// The variance in 128 bits.
    #[cold]
    fn wide_variance(&self) -> u64 {
        let (count, sum) = (u128::from(self.count.max(1)), u128::from(self.sum));
        let variance = (count * u128::from(self.squares)).saturating_sub(sum * sum) / (count * count);
        u64::try_from(variance).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;

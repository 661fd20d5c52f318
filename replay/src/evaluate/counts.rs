//! Right and wrong, counted, and what follows from the counts.

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

/// How often flagged and honest met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of campaigns, and flagged.
    pub tp: u64,
    /// Honest, and flagged.
    pub fp: u64,
    /// Of campaigns, and not flagged.
    pub fn_: u64,
    /// Honest, and not flagged.
    pub tn: u64,
}

impl Counts {
    /// Counts `times` cases of one kind.
    pub fn add(&mut self, is_campaign: bool, is_flagged: bool, times: u64) {
        *match (is_campaign, is_flagged) {
            (true, true) => &mut self.tp,
            (false, true) => &mut self.fp,
            (true, false) => &mut self.fn_,
            (false, false) => &mut self.tn,
        } += times;
    }

    /// Share of the flagged that belong to campaigns; 0 where none is flagged.
    pub fn precision(&self) -> f64 {
        share(self.tp, self.tp + self.fp)
    }

    /// Share of the campaigns' that are flagged; 0 where there are none.
    pub fn recall(&self) -> f64 {
        share(self.tp, self.tp + self.fn_)
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        share(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// Share of the honest that are flagged; 0 where there are none.
    pub fn fpr(&self) -> f64 {
        share(self.fp, self.fp + self.tn)
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Counts", 8)?;
        out.serialize_field("precision", &self.precision())?;
        out.serialize_field("recall", &self.recall())?;
        out.serialize_field("f1", &self.f1())?;
        out.serialize_field("fpr", &self.fpr())?;
        out.serialize_field("tp", &self.tp)?;
        out.serialize_field("fp", &self.fp)?;
        out.serialize_field("fn", &self.fn_)?;
        out.serialize_field("tn", &self.tn)?;
        out.end()
    }
}

/// `part` of `whole`; 0 where there is no whole.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A share that was counted, and the interval that its true value lies in 95 times of 100 (Wilson).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The share.
    pub share: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of `part` out of `whole`.
    pub fn of(part: u64, whole: u64) -> Self {
        const Z: f64 = 1.959_964;
        if whole == 0 {
            return Self { share: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, p) = (whole as f64, share(part, whole));
        let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { share: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_that_one_counts_by_hand() {
        let mut counts = Counts::default();
        counts.add(true, true, 6);
        counts.add(false, true, 2);
        counts.add(true, false, 4);
        counts.add(false, false, 88);
        assert_eq!((counts.precision(), counts.recall()), (0.75, 0.6));
        assert!((counts.f1() - 2.0 / 3.0).abs() < 1e-12);
        assert!((counts.fpr() - 2.0 / 90.0).abs() < 1e-12);
        let nothing = Counts::default();
        assert_eq!([nothing.precision(), nothing.recall(), nothing.f1(), nothing.fpr()], [0.0; 4]);
    }

    #[test]
    fn the_interval_is_wilsons() {
        let interval = Interval::of(8, 10);
        assert!(
            (interval.low - 0.490_16).abs() < 1e-4 && (interval.high - 0.943_32).abs() < 1e-4,
            "{interval:?}"
        );
        assert_eq!(Interval::of(0, 0), Interval { share: 0.0, low: 0.0, high: 1.0 });
        assert!(Interval::of(0, 50).low.abs() < 1e-12);
    }
}

//! What a collector has come to since it was opened, for whoever watches it.

use super::tally::Gathered;
use std::collections::BTreeSet;

/// Counts of what was committed, and of what was lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Lines.
    pub lines: u64,
    /// Events of them.
    pub events: u64,
    /// Lines, or parts of them, that were refused.
    pub refused: u64,
    /// Events of lines with bytes that are not UTF-8.
    pub mended: u64,
    /// Times that lines may have been lost.
    pub losses: u64,
    /// Names of the formats that were taken.
    pub formats: BTreeSet<String>,
}

impl Totals {
    pub(super) fn add(&mut self, gathered: &Gathered) {
        self.lines += gathered.lines;
        self.events += gathered.events;
        self.refused += gathered.refused.len() as u64;
        self.mended += gathered.mended;
        for format in gathered.formats.keys() {
            if !self.formats.contains(format) {
                self.formats.insert(format.clone());
            }
        }
    }
}

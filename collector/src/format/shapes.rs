//! What to make of a record, by which places it has: a log writes few kinds of lines over and over, and which
//! format a kind has, and which of its fields stand there, is found out once.

use super::catalog::Catalog;
use super::found::{Bits, Found};

/// Most kinds of lines that are remembered; of a log with more, the latest.
const SHAPES_MAX: usize = 8;

/// One kind of lines.
#[derive(Debug)]
pub(super) struct Shape {
    /// The places that are there.
    present: Bits,
    /// Those that say something.
    filled: Bits,
    /// Its format; none where it looks like none.
    pub(super) plan: Option<usize>,
    /// Whether the format's account and time are there.
    pub(super) is_readable: bool,
    /// Which of the format's reads have a place that is there.
    pub(super) reads: Vec<usize>,
}

/// The kinds of lines of a source.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: Vec<Shape>,
    /// The one that was asked for last.
    last: usize,
    /// The one that gives way to the next new one.
    oldest: usize,
}

impl Shapes {
    /// The kind of the record that was scanned last.
    pub(super) fn of(&mut self, catalog: &Catalog, found: &Found) -> &Shape {
        let is_like = |shape: &Shape| shape.present == *found.present() && shape.filled == *found.filled();
        if !self.known.get(self.last).is_some_and(is_like) {
            self.last = self.known.iter().position(is_like).unwrap_or_else(|| self.add(catalog, found));
        }
        &self.known[self.last]
    }

    fn add(&mut self, catalog: &Catalog, found: &Found) -> usize {
        let plan = catalog.choose(found);
        let shape = Shape {
            present: found.present().clone(),
            filled: found.filled().clone(),
            plan,
            is_readable: plan.is_some_and(|plan| catalog.is_readable(plan, found)),
            reads: plan.map_or_else(Vec::new, |plan| catalog.plans[plan].reads_there(found)),
        };
        if self.known.len() < SHAPES_MAX {
            self.known.push(shape);
            return self.known.len() - 1;
        }
        let index = self.oldest;
        self.oldest = (index + 1) % SHAPES_MAX;
        self.known[index] = shape;
        index
    }
}

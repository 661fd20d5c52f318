//! Who takes what a connection tells, and when it was told.

use super::exchange::Exchange;
use super::loss::Losses;
use crate::event::Hidden;

/// See the module.
pub(crate) struct Taker<'t> {
    pub(crate) losses: &'t mut Losses,
    /// Hides a credential.
    pub(crate) hide: &'t mut dyn FnMut(&str) -> Hidden,
    /// Takes exchanges that are over.
    pub(crate) done: &'t mut dyn FnMut(Exchange),
    pub(crate) now_ms: i64,
}

impl Taker<'_> {
    /// The same for a while.
    pub(crate) fn lend(&mut self) -> Taker<'_> {
        let Self { losses, hide, done, now_ms } = self;
        Taker { losses, hide, done, now_ms: *now_ms }
    }
}

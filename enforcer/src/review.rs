//! What analysts are to look at, and what they say of it.
//!
//! An account that the enforcer asks a person about stands in the queue of its partition's enforcer, with a
//! clock: 24 hours where its tier is HIGH or CRITICAL, 72 otherwise. Whoever has the role `analyst` assigns
//! it, notes, and decides: `confirmed`, `refuted` or `unclear`. Every word is signed by the person's own key
//! and stands on `weir.control`, as those to the kill switch do; the enforcer that has the account folds it,
//! audits it, and undoes what is in force where the finding is refuted. Decisions are labels, by which
//! policies are measured.
//!
//! In this order: [`decision`] (what is found), [`words`] (the signed words), [`item`] (one account in the
//! queue), [`queue`] (the fold), [`refused`] (what a word is refused for, by name), [`labels`] (decisions as
//! labels).

pub mod decision;
pub mod item;
pub mod labels;
pub mod queue;
pub mod refused;
mod spelled;
#[cfg(test)]
mod tests;
pub mod words;

pub use decision::Decision;
pub use item::{ITEM_PREFIX, Item};
pub use queue::Queue;
pub use refused::Refused;
pub use words::{Says, Word};

//! The kill switch and the glass that is broken in an emergency: what persons may ask for, who must approve,
//! and what is in force of it.
//!
//! Every word is signed by a person's own Ed25519 key and stands on `weir.control`; who the persons are and
//! which roles they have is signed by the deployment's root key (the operator's `sign.key`). Each enforcer
//! folds the same words in the same order and checks every one of them itself, so none has to believe
//! another. Times are the log's own, which whoever writes cannot choose on brokers: an enforcer that was away
//! hears the same as the others did.
//!
//! In this order: [`kind`] (what may be asked for, and by which roles), [`words`] (the signed words and their
//! bytes), [`fold`] (what is in force), [`refused`] (what a word is refused for, by name).

pub mod fold;
pub mod kind;
pub mod refused;
#[cfg(test)]
mod tests;
pub mod words;

pub use fold::{Heard, KillSwitch, Sweep, SweepOf};
pub use kind::{PersonRole, RequestKind};
pub use refused::Refused;
pub use words::{Approval, Person, PersonKey, Persons, Request};

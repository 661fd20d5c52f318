//! Weir's hands: it decides what to do about verdicts, writes down why before anything is done, and
//! puts both where people and gateways find them.
//!
//! Read in this order: [`chain`] (the audit chain), [`posture`] (how far the enforcer is trusted),
//! [`decide`] (which tier asks for which action), [`age`] (what is history and never acted on), [`stage`] (the pure
//! fold from verdicts to audit records and actions), [`export`] (the output directory), [`open`] (the only place where a
//! pseudonym is reversed).

mod accounts;
pub mod age;
pub mod chain;
pub mod decide;
pub mod export;
mod lifecycle;
pub mod limits;
pub mod open;
pub mod posture;
mod refuse;
pub mod stage;
#[cfg(test)]
mod testing;

pub use chain::{AuditKey, AuditKeys};
pub use export::{Export, Progress};
pub use open::Opener;
pub use stage::EnforcerStage;

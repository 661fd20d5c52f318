//! Weir's hands: it decides what to do about verdicts, writes down why before anything is done, and
//! puts both where people and gateways find them.
//!
//! Read in this order: [`chain`] (the audit chain), [`posture`] (how far the enforcer is trusted), [`decide`]
//! (which tier asks for which action), [`rings`] (how far each reaches), [`age`] (what is history and never
//! acted on), [`subject`] (who is never acted on), [`limiter`] (how many may be before a person is asked),
//! `storm` (whether many more are found at once than usual), [`kill_switch`] (how persons stop it),
//! [`review`] (what analysts say of whom it found), [`stage`] (the pure fold from verdicts to audit records
//! and actions), [`export`] (the output directory), [`act`] (effects in the world), [`answer`] (what gateways
//! are told), [`siem`] (what leaves for SIEMs), [`share`] (what is shared of campaigns), [`evidence`] (what
//! is proved of it all), [`open`] (the only place where a pseudonym is reversed).

mod accounts;
pub mod act;
pub mod age;
pub mod answer;
pub mod chain;
mod charter;
pub mod decide;
pub mod evidence;
pub mod export;
pub mod http;
pub mod kill_switch;
mod lifecycle;
pub mod limiter;
pub mod limits;
pub mod open;
pub mod posture;
mod refuse;
pub mod reinstate;
pub mod renewal;
pub mod review;
pub mod rings;
pub mod safeguards;
pub mod share;
pub mod siem;
pub mod stage;
mod storm;
pub mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod withheld;

pub use chain::{AuditKey, AuditKeys};
pub use export::{Export, Progress};
pub use open::Opener;
pub use stage::EnforcerStage;

//! What an executor drives.

use thiserror::Error;
use weir_schemas::Action;

/// A hold that is put on an account, or let go.
pub struct Hold<'a> {
    /// The action: its id is the hold's, and the idempotency key.
    pub action: &'a Action,
    /// The account id as the gateway knows it, where the actuator needs it and it could be had.
    pub account_raw: Option<&'a str>,
}

impl Hold<'_> {
    /// How long the hold lasts by itself, in milliseconds; none where only a person or a later word ends it.
    pub fn lasts_ms(&self) -> Option<i64> {
        self.action.lasts_ms.filter(|_| self.action.revert == weir_schemas::Revert::Auto)
    }
}

/// Why an actuator did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ActuatorError {
    /// It may work later: the same is tried again.
    #[error("{0}")]
    Away(String),
    /// It will not work, however often it is tried.
    #[error("{0}")]
    Refused(String),
}

/// Something that carries holds out. Doing the same twice is doing it once, and letting go wins over putting
/// on, in whatever order the two arrive.
pub trait Actuator: Send {
    /// Name in outcomes, metrics and log lines.
    fn name(&self) -> &'static str;

    /// Whether it needs the account id as the gateway knows it.
    fn needs_raw(&self) -> bool;

    /// Puts the hold on its account.
    fn apply(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError>;

    /// Lets the hold go.
    fn release(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError>;
}

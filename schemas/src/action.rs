//! What an action says of its effect.

use crate::{Action, ActionKind};

impl ActionKind {
    /// Whether actions of this kind have an effect on the account itself, which an executor carries out. That
    /// people are to look at somebody, or that others are told, is none.
    pub fn has_effect(self) -> bool {
        match self {
            Self::RateLimit | Self::Suspend | Self::ClusterTakedown => true,
            Self::Other | Self::Review | Self::ShareIndicators => false,
        }
    }
}

impl Action {
    /// When the effect of an action that is done was there, in milliseconds since the Unix epoch: where it
    /// lasts, that is what its end is counted from; else it is when the enforcer heard of it.
    pub fn effect_ms(&self) -> i64 {
        match (self.expires_ms, self.lasts_ms) {
            (Some(expires_ms), Some(lasts_ms)) => expires_ms.saturating_sub(lasts_ms),
            _ => self.taken_ms,
        }
    }
}

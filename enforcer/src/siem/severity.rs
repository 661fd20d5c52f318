//! One scale of how serious a notice is, and its number in each format.

use weir_schemas::{ActionState, Tier};

/// How serious something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do: a judgement of CLEAR, an effect that ended.
    Informational,
    /// To be known.
    Low,
    /// To be looked at: MEDIUM, and what was not carried out.
    Medium,
    /// HIGH, and what has an effect on an account.
    High,
    /// CRITICAL, and what should have been carried out and was not.
    Critical,
}

impl Severity {
    /// Every severity, the least serious first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Of a judgement.
    pub const fn of_tier(tier: Tier) -> Self {
        match tier {
            Tier::Clear => Self::Informational,
            Tier::Medium => Self::Medium,
            Tier::High => Self::High,
            Tier::Critical => Self::Critical,
        }
    }

    /// Of what became of an action.
    pub const fn of_action(state: ActionState) -> Self {
        match state {
            ActionState::Withheld => Self::Medium,
            ActionState::Pending | ActionState::Done => Self::High,
            ActionState::Failed => Self::Critical,
            ActionState::Reverted | ActionState::Expired | ActionState::Superseded => Self::Low,
        }
    }

    /// Its name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// 0 to 10, as CEF and LEEF count: up to 3 is low, up to 6 medium, up to 8 high.
    pub const fn of_ten(self) -> u8 {
        match self {
            Self::Informational => 1,
            Self::Low => 3,
            Self::Medium => 4,
            Self::High => 8,
            Self::Critical => 10,
        }
    }

    /// OCSF's `severity_id`.
    pub const fn ocsf(self) -> u8 {
        match self {
            Self::Informational => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
            Self::Critical => 5,
        }
    }

    /// Syslog's severity, where less is more: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
    pub const fn syslog(self) -> u8 {
        match self {
            Self::Informational => 6,
            Self::Low => 5,
            Self::Medium => 4,
            Self::High => 3,
            Self::Critical => 2,
        }
    }
}

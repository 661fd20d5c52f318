//! What an analyst finds of an account.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What an analyst finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The account distils, as was found: where the judge finds it again at HIGH, it is suspended.
    Confirmed,
    /// It does not: what is in force on it is undone.
    Refuted,
    /// It cannot be told. This is no label.
    Unclear,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Refuted, Self::Unclear];

    /// Its name, in words and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Unclear => "unclear",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Decision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| "a decision is confirmed, refuted or unclear".to_owned())
    }
}

//! What may be asked for, what it does, and who must approve of it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A role that a person has: towards the kill switch, and towards what is to be reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonRole {
    /// Whoever answers for security.
    Security,
    /// Whoever runs the service.
    Operations,
    /// Whoever answers for its reliability.
    Sre,
    /// Whoever looks at what was found, and says whether it is so. The kill switch asks for no analyst.
    Analyst,
}

impl PersonRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Security, Self::Operations, Self::Sre, Self::Analyst];

    /// Its name, in words and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Operations => "operations",
            Self::Sre => "sre",
            Self::Analyst => "analyst",
        }
    }
}

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Nothing is acted on from now on, as in audit posture; what is in force lasts as long as it was meant
    /// to.
    EnableAuditOnly,
    /// The same, and everything that is in force is undone.
    EmergencyShutdown,
    /// The glass is broken: as an emergency shutdown, on one person's word, and over by itself after half an
    /// hour.
    BreakGlass,
    /// What still waits for its executor is given up, once.
    FlushJournal,
    /// All of the above is over; the posture is again what it was set to.
    RestoreNormal,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::EnableAuditOnly,
        Self::EmergencyShutdown,
        Self::BreakGlass,
        Self::FlushJournal,
        Self::RestoreNormal,
    ];

    /// Its name, in words and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnableAuditOnly => "enable_audit_only",
            Self::EmergencyShutdown => "emergency_shutdown",
            Self::BreakGlass => "break_glass",
            Self::FlushJournal => "flush_journal",
            Self::RestoreNormal => "restore_normal",
        }
    }

    /// The roles that must all approve, each by another person. Where it is one, who has it need not ask
    /// anybody.
    pub const fn roles(self) -> &'static [PersonRole] {
        match self {
            Self::EnableAuditOnly | Self::RestoreNormal => &[PersonRole::Operations],
            Self::BreakGlass => &[PersonRole::Sre],
            Self::EmergencyShutdown => &[PersonRole::Security, PersonRole::Sre],
            Self::FlushJournal => &[PersonRole::Security, PersonRole::Operations, PersonRole::Sre],
        }
    }
}

macro_rules! named {
    ($($name:ident: $what:literal),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
                    format!(concat!($what, " must be one of {}"), names.join(", "))
                })
            }
        }
    )+};
}

named!(PersonRole: "a role", RequestKind: "a request");

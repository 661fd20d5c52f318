//! What is shared with others of campaigns: STIX 2.1, signed lines, and a list of accounts for who runs the
//! same deployment.
//!
//! Pure: the same campaigns give the same bytes and the same ids. Accounts are pseudonyms and values are
//! keyed hashes, as in the topics. In this order: [`stix`] (a bundle of others' vocabulary), [`lines`] (the
//! same facts as signed lines, and the list), [`received`] (what others share), [`latest`] (when they last
//! did).

pub mod latest;
pub mod lines;
mod pattern;
pub mod received;
pub mod stix;

use std::fmt;
use std::str::FromStr;
use weir_schemas::{Campaign, CampaignMember};

/// A campaign as it is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared<'a> {
    /// How it stands.
    pub campaign: &'a Campaign,
    /// All of its members, in the order of their pseudonyms.
    pub members: Vec<&'a CampaignMember>,
}

/// How far what is shared may go: the Traffic Light Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tlp {
    /// Anybody.
    White,
    /// The community.
    Green,
    /// Organisations that need it.
    Amber,
    /// Those who are told, and nobody else.
    Red,
}

impl Tlp {
    /// Every colour.
    pub const ALL: [Self; 4] = [Self::White, Self::Green, Self::Amber, Self::Red];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::Red => "red",
        }
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tlp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tlp| tlp.as_str() == text);
        found.ok_or_else(|| "a colour is white, green, amber or red".to_owned())
    }
}

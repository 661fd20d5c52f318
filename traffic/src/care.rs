//! How much care a campaign takes not to be found: measures that it can buy, what each costs, and levels of
//! care.
//!
//! Prices are assumptions in US dollars, stated so that "what would it cost to get by" is a number that two
//! policies can be compared by. They are list prices of 2025 for what is sold, and wages or lost volume for
//! what is not.

/// What an account costs a month that takes no care: a number to sign up with.
pub const ACCOUNT_DOLLARS: f64 = 1.5;

/// Something that a campaign does in order not to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Measure {
    /// Every account has an address of its own in a home's network, and keeps it.
    Addresses,
    /// Every account pays with a card of its own.
    Cards,
    /// Real, different clients that do not contradict themselves.
    Clients,
    /// Sessions, pauses and nights like a person's.
    Hours,
    /// Every prompt reworded by a model, in several languages, without a template.
    Words,
    /// No system prompt, or each account its own.
    Preambles,
    /// Accounts that behaved like people for days before they are used.
    Aged,
    /// Volumes unlike one another.
    Volumes,
    /// Half of the requests are ordinary conversation.
    Cover,
    /// Limits of the answer as customers have them.
    Limits,
}

/// Every measure.
pub const MEASURES: [Measure; 10] = [
    Measure::Addresses,
    Measure::Cards,
    Measure::Clients,
    Measure::Hours,
    Measure::Words,
    Measure::Preambles,
    Measure::Aged,
    Measure::Volumes,
    Measure::Cover,
    Measure::Limits,
];

impl Measure {
    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Cards => "cards",
            Self::Clients => "clients",
            Self::Hours => "hours",
            Self::Words => "words",
            Self::Preambles => "preambles",
            Self::Aged => "aged",
            Self::Volumes => "volumes",
            Self::Cover => "cover",
            Self::Limits => "limits",
        }
    }

    /// What it costs for an account and month.
    pub const fn dollars_per_account(self) -> f64 {
        match self {
            Self::Addresses => 3.0, // A static residential proxy.
            Self::Cards => 6.0,     // A virtual card on a name of its own.
            Self::Clients => 2.0,   // A driven browser, shared with others.
            Self::Aged => 15.0,     // An account bought with a history.
            Self::Hours | Self::Words | Self::Preambles | Self::Volumes | Self::Cover | Self::Limits => 0.0,
        }
    }

    /// What it costs for a thousand useful exchanges.
    pub const fn dollars_per_thousand(self) -> f64 {
        match self {
            Self::Words => 0.6,     // A small model rewords 1,000 prompts.
            Self::Preambles => 0.1, // Written once an account.
            Self::Cover => 4.0,     // As many exchanges again that nobody needs.
            Self::Addresses
            | Self::Cards
            | Self::Clients
            | Self::Hours
            | Self::Aged
            | Self::Volumes
            | Self::Limits => 0.0,
        }
    }
}

/// A set of measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures(u16);

impl Measures {
    /// These.
    pub fn of(measures: &[Measure]) -> Self {
        Self(measures.iter().fold(0, |bits, measure| bits | 1 << *measure as u8))
    }

    /// Every one.
    pub fn all() -> Self {
        Self::of(&MEASURES)
    }

    /// Whether it is among them.
    pub fn has(self, measure: Measure) -> bool {
        self.0 & 1 << measure as u8 != 0
    }

    /// Those of either.
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// In their order.
    pub fn iter(self) -> impl Iterator<Item = Measure> {
        MEASURES.into_iter().filter(move |measure| self.has(*measure))
    }

    /// Names, joined by `+`; `none` where there are none.
    pub fn names(self) -> String {
        let names: Vec<&str> = self.iter().map(Measure::name).collect();
        if names.is_empty() { "none".into() } else { names.join("+") }
    }

    /// Dollars that a thousand useful exchanges cost, where an account makes `per_month` a month that are of
    /// use.
    pub fn dollars_per_thousand(self, per_month: f64) -> f64 {
        let account: f64 = self.iter().map(Measure::dollars_per_account).sum();
        let thousand: f64 = self.iter().map(Measure::dollars_per_thousand).sum();
        (ACCOUNT_DOLLARS + account) * 1_000.0 / per_month.max(1.0) + thousand
    }
}

/// How careful a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// Takes what is cheapest.
    Naive,
    /// Has read about fingerprints.
    Careful,
    /// Hides everything that does not cost volume.
    Expert,
    /// Knows the detectors and buys every measure.
    Adaptive,
}

/// Every level.
pub const LEVELS: [Care; 4] = [Care::Naive, Care::Careful, Care::Expert, Care::Adaptive];

impl Care {
    /// Its name on the command line and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Careful => "careful",
            Self::Expert => "expert",
            Self::Adaptive => "adaptive",
        }
    }

    /// The measures that it buys.
    pub fn measures(self) -> Measures {
        use Measure::{Addresses, Cards, Clients, Limits, Preambles, Words};
        match self {
            Self::Naive => Measures::default(),
            Self::Careful => Measures::of(&[Addresses, Preambles]),
            Self::Expert => Measures::of(&[Addresses, Cards, Clients, Words, Preambles, Limits]),
            Self::Adaptive => Measures::all(),
        }
    }
}

impl std::str::FromStr for Measure {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names: Vec<&str> = MEASURES.iter().map(|measure| measure.name()).collect();
        let known = MEASURES.into_iter().find(|measure| measure.name() == name);
        known.ok_or_else(|| format!("no such measure; there are {}", names.join(", ")))
    }
}

impl std::str::FromStr for Care {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = LEVELS.into_iter().find(|care| care.name() == name);
        known.ok_or_else(|| "no such level; there are naive, careful, expert and adaptive".into())
    }
}

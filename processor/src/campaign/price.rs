//! What it costs to do without a shared value: the price of evading a campaign's assembly.
//!
//! Prices are assumptions, list prices of 2025 in US cents for an account and month, so that campaigns can be
//! compared: a campaign that is linked by one payment method alone is cheaper to hide than one that shares
//! its network too.

use weir_schemas::LinkKind;

/// What a campaign can buy so that its accounts share less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    /// A virtual card on a name of its own.
    Card,
    /// An organisation to declare.
    Organisation,
    /// A static residential proxy.
    Proxy,
    /// A driven browser, or another client with other settings.
    Client,
    /// Every prompt reworded by a small model.
    Words,
    /// Settings of its own: a limit, a system prompt, other hours.
    Settings,
    /// As many texts of another theme as of its own.
    Texts,
}

impl Measure {
    /// What gives an account a value of its own; none for a value of which nothing is known.
    pub(super) fn against(kind: LinkKind) -> Option<Self> {
        Some(match kind {
            LinkKind::Payment => Self::Card,
            LinkKind::Org => Self::Organisation,
            LinkKind::Subnet | LinkKind::Address => Self::Proxy,
            LinkKind::Program | LinkKind::Tls | LinkKind::H2 | LinkKind::Headers => Self::Client,
            LinkKind::Template | LinkKind::Opening => Self::Words,
            LinkKind::Preamble | LinkKind::Habit | LinkKind::Timing => Self::Settings,
            LinkKind::Theme => Self::Texts,
            LinkKind::Other => return None,
        })
    }

    /// For one account and month.
    pub(super) fn cents(self) -> i64 {
        match self {
            Self::Card => 600,
            Self::Organisation => 100,
            Self::Proxy => 300,
            Self::Client => 200,
            Self::Words => 60,
            Self::Settings => 10,
            Self::Texts => 500,
        }
    }
}

/// What it costs a month to give each of `members` a value of this kind of its own: one of them can keep it.
pub(super) fn cents(kind: LinkKind, members: u64) -> i64 {
    let each = Measure::against(kind).map_or(0, Measure::cents);
    each.saturating_mul(i64::try_from(members.saturating_sub(1)).unwrap_or(i64::MAX))
}

//! How much two accounts are alike, and how likely two strangers would be that much alike.
//!
//! An account tells its card to the values that it shares; a value holds cards against each other. Each
//! coordinate has a width within which two runs of one script fall, and a chance that two unrelated accounts
//! fall within it. Nothing here says that being alike is bad: most that are alike are innocent, and other
//! evidence says which are not.

mod peers;

use crate::nats::{Millinats, ONE, exp_neg, ln};
use crate::openings::Stock;
use crate::theme::Direction;
use weir_schemas::{Card, LinkKind};

/// Age from which an account has a history of its own, which a newcomer does not share however well it
/// copies: a week, in hours.
const SETTLED_H: u16 = 168;

/// So many of the least texts in common show that two ask for the same: who only wants to be taken for one of
/// those who do has to ask a third of its texts again with every other account.
const TEXTS_COMMON_MIN: usize = 3;

/// A card as a value remembers it: 52 bytes, and 96 more with a theme or with openings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Likeness {
    requests: u32,
    age_h: u16,
    pause: u16,
    pause_spread: u16,
    length: i16,
    length_spread: i16,
    novelty: i16,
    busy: u16,
    limit: u32,
    /// Its rhythm speaks for a person.
    pub is_human: bool,
    /// A part of its organisation's hash; 0 for none.
    pub org: u32,
    /// A part of its payment method's hash; 0 for none.
    pub payment: u32,
    /// What it asks for, where values of that kind are told.
    theme: Option<Box<Direction>>,
    /// How its prompts begin, where values of that kind are told.
    stock: Option<Box<Stock>>,
}
persist_fields!(Likeness {
    requests,
    age_h,
    pause,
    pause_spread,
    length,
    length_spread,
    novelty,
    busy,
    limit,
    is_human,
    org,
    payment,
    theme,
    stock
});

impl Likeness {
    /// Whether its prompts are told: to an owner's value only those of a harvest are.
    fn has_prompts(&self) -> bool {
        self.novelty >= 0
    }

    /// How many of their least texts both asked for.
    fn common_texts(&self, other: &Self) -> usize {
        let themes = self.theme.as_ref().zip(other.theme.as_ref());
        let stocks = self.stock.as_ref().zip(other.stock.as_ref());
        let by_theme = themes.map_or(0, |(one, other)| one.common_texts(other));
        by_theme.max(stocks.map_or(0, |(one, other)| one.common_texts(other)))
    }
}

fn narrow(value: i32) -> u16 {
    value.clamp(0, i32::from(u16::MAX)) as u16
}

fn signed(value: i32) -> i16 {
    value.clamp(-1, i32::from(i16::MAX)) as i16
}

impl From<&Card> for Likeness {
    fn from(card: &Card) -> Self {
        let whole = |value: i64| value.clamp(0, u32::MAX.into()) as u32;
        Self {
            requests: whole(card.requests),
            age_h: narrow((card.age_ms / 3_600_000).clamp(0, 60_000) as i32),
            pause: narrow(card.pause_millinats),
            pause_spread: narrow(card.pause_spread),
            length: signed(card.length_millinats),
            length_spread: signed(card.length_spread),
            novelty: signed(card.novelty_permille),
            busy: narrow(card.busy_permille),
            limit: whole(card.limit),
            is_human: card.is_human,
            org: whole(card.org),
            payment: whole(card.payment),
            theme: Direction::from_bytes(&card.theme).map(Box::new),
            stock: Stock::from_bytes(&card.openings).map(Box::new),
        }
    }
}

/// A coordinate's width and the logarithm of the chance that strangers fall within it.
const PAUSE: (i64, Millinats) = (250, -2_150);
const PAUSE_SPREAD: (i64, Millinats) = (250, -900);
const LENGTH: (i64, Millinats) = (200, -1_600);
const LENGTH_SPREAD: (i64, Millinats) = (150, -1_200);
const NOVELTY: (i64, Millinats) = (150, -1_000);
const BUSY: (i64, Millinats) = (150, -700);
const LIMIT: Millinats = -1_000;

/// Coordinates are not independent: so much of the product of chances is not to be believed.
const DEPENDENCE: Millinats = 1_900;
/// People are more alike to each other than machines are.
const PEOPLE: Millinats = 2_000;
/// People who do one job are alike more often than strangers: one in eight.
const OF_ONE_THEME: Millinats = -2_080;
/// Of strangers one in twelve takes long answers to ever new texts.
const HARVESTS: Millinats = -2_500;
/// Of strangers with one transport one in twelve says that it is a browser, and is none.
const DISGUISED: Millinats = -2_500;
/// No chance is believed to be smaller: one in five hundred.
const CHANCE_MIN: Millinats = -6_200;
const CHANCE_MAX: Millinats = -300;

/// Sum of squared distances, in thousandths, from which two are not alike at all.
const APART: i64 = 40_000;

/// By what two cards are held against each other: what the accounts share anyway says nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By a value of chance.
    Value,
    /// By a value with which goes the same limit.
    Limit,
    /// By the kind of thing that they ask for.
    Theme,
    /// By the first words of what they ask.
    Opening,
    /// By whether they harvest: one owner who pays, however differently his accounts ask.
    Owner,
    /// By the same lie of what their clients are, however differently they go on.
    Disguise,
}

impl By {
    /// How accounts that share a value of a kind are held against each other.
    pub fn of(kind: LinkKind) -> Self {
        match kind {
            LinkKind::Program | LinkKind::Habit => Self::Limit,
            LinkKind::Theme => Self::Theme,
            LinkKind::Opening => Self::Opening,
            LinkKind::Org => Self::Owner,
            LinkKind::Tls => Self::Disguise,
            _ => Self::Value,
        }
    }

    /// Whether they are held against each other at all: persons and machines are not, unless they ask for the
    /// same kind of thing, and then only they are.
    pub fn compares(self, one: &Likeness, other: &Likeness) -> bool {
        match self {
            Self::Theme => {
                one.theme.as_ref().zip(other.theme.as_ref()).is_some_and(|(one, other)| one.is_near(other))
            }
            Self::Opening => one.stock.is_some() && other.stock.is_some(),
            Self::Owner => true,
            // An organisation is held against nobody else, and nobody else against it.
            Self::Disguise => one.is_human == other.is_human && one.org == other.org,
            Self::Value | Self::Limit => one.is_human == other.is_human,
        }
    }
}

/// Few requests measure less exactly: wider coordinates, and a greater chance. In thousandths.
const WIDTHS_PERMILLE: [i64; 4] = [2_000, 1_500, 1_250, 1_000];

/// The place of the width by which two are measured.
fn width(one: &Likeness, other: &Likeness) -> usize {
    match one.requests.min(other.requests) {
        ..16 => 0,
        16..32 => 1,
        32..64 => 2,
        _ => 3,
    }
}

/// Whether one has a history that the other has not.
fn is_newcomer(one: &Likeness, other: &Likeness) -> bool {
    let (young, old) = (one.age_h.min(other.age_h), one.age_h.max(other.age_h));
    old >= SETTLED_H && u32::from(young) * 2 < u32::from(old)
}

/// How much two cards are alike, in thousandths; none where they are not held against each other. It is the
/// same whichever is the first.
pub fn alike_permille(one: &Likeness, other: &Likeness, by: By) -> Option<u32> {
    if !by.compares(one, other) {
        return None;
    }
    if is_newcomer(one, other) {
        return Some(0);
    }
    Some(match by {
        By::Theme | By::Opening if one.common_texts(other) >= TEXTS_COMMON_MIN => 0,
        By::Theme | By::Opening => peers::alike_permille(one, other),
        By::Owner => 1_000 * u32::from(one.has_prompts() && other.has_prompts()),
        By::Disguise => 1_000,
        By::Value | By::Limit => match squares(one, other, by) {
            APART.. => 0,
            squares => (exp_neg((squares / 2) as u32) * 1_000 / ONE) as u32,
        },
    })
}

/// Sum of the squared distances of two cards, in thousandths. Beyond [`APART`] no more is added: most pairs
/// are apart by the first of their coordinates.
fn squares(one: &Likeness, other: &Likeness, by: By) -> i64 {
    let width_permille = WIDTHS_PERMILLE[width(one, other)];
    // Of accounts that shall have the same limit anyway, the limit says nothing more.
    let mut squares = if by == By::Value && one.limit != other.limit { 4_000 } else { 0 };
    let mut hold = |a: i64, b: i64, (width, _): (i64, Millinats)| {
        if squares < APART {
            let away = (a - b) * 1_000_000 / (width * width_permille);
            squares += away * away / 1_000;
        }
    };
    hold(one.pause.into(), other.pause.into(), PAUSE);
    hold(one.pause_spread.into(), other.pause_spread.into(), PAUSE_SPREAD);
    hold(one.busy.into(), other.busy.into(), BUSY);
    if one.length >= 0 || other.length >= 0 {
        hold(one.length.into(), other.length.into(), LENGTH);
        hold(one.length_spread.into(), other.length_spread.into(), LENGTH_SPREAD);
    }
    if one.novelty >= 0 || other.novelty >= 0 {
        hold(one.novelty.into(), other.novelty.into(), NOVELTY);
    }
    squares
}

/// Logarithm of the chance that two strangers whose cards are [compared](By::compares) would be alike.
pub fn chance(one: &Likeness, other: &Likeness, by: By) -> Millinats {
    match by {
        By::Theme | By::Opening => return OF_ONE_THEME,
        By::Owner => return HARVESTS,
        By::Disguise => return DISGUISED,
        By::Value | By::Limit => {}
    }
    let widening = ln(WIDTHS_PERMILLE[width(one, other)] as u64) - ln(1_000);
    let of = |(_, stranger): (i64, Millinats)| (stranger + widening).min(0);
    let mut chance = DEPENDENCE + of(PAUSE) + of(PAUSE_SPREAD) + of(BUSY);
    if one.length >= 0 || other.length >= 0 {
        chance += of(LENGTH) + of(LENGTH_SPREAD);
    }
    if one.novelty >= 0 || other.novelty >= 0 {
        chance += of(NOVELTY);
    }
    if by == By::Value && one.limit == other.limit {
        chance += LIMIT;
    }
    if one.is_human {
        chance += PEOPLE;
    }
    chance.clamp(CHANCE_MIN, CHANCE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Likeness {
        Likeness {
            requests: 400,
            age_h: 23,
            pause: 12_000,
            pause_spread: 1_280,
            length: 5_600,
            length_spread: 400,
            novelty: 900,
            busy: 1_000,
            limit: 4_096,
            ..Default::default()
        }
    }

    fn alike(change: impl Fn(&mut Likeness)) -> u32 {
        let mut other = card();
        change(&mut other);
        let alike = alike_permille(&card(), &other, By::Value);
        assert_eq!(alike, alike_permille(&other, &card(), By::Value));
        alike.unwrap_or(0)
    }

    #[test]
    fn two_runs_of_one_script_are_alike_and_two_scripts_are_not() {
        assert_eq!(alike(|_| ()), 1_000);
        assert!(alike(|other| (other.pause, other.length) = (12_100, 5_650)) > 850);
        assert!(alike(|other| other.pause = 12_700) < 50);
        assert!(alike(|other| other.length = 4_900) < 5);
        assert_eq!(alike(|other| other.length = -1), 0);
        assert!((100..200).contains(&alike(|other| other.limit = 0)));
    }

    #[test]
    fn a_person_is_never_like_a_machine_nor_a_newcomer_like_one_with_a_history() {
        assert_eq!(alike(|other| other.is_human = true), 0);
        assert_eq!(alike(|other| other.age_h = 200), 0);
    }

    #[test]
    fn to_an_owner_those_are_alike_who_harvest_however_differently() {
        let mut other = Likeness { pause: 9_000, length: 4_000, limit: 0, is_human: true, ..card() };
        let alike = |other: &Likeness| alike_permille(&card(), other, By::Owner);
        assert_eq!(alike(&other), Some(1_000));
        other.age_h = 200;
        assert_eq!(alike(&other), Some(0));
        (other.age_h, other.novelty) = (23, -1);
        assert_eq!(alike(&other), Some(0));
    }

    #[test]
    fn in_one_disguise_those_of_one_manner_are_alike_however_they_go_on_and_no_newcomer_is_like_the_settled()
    {
        let alike = |change: fn(&mut Likeness)| {
            let mut other = Likeness { pause: 9_000, length: 4_000, novelty: -1, limit: 0, ..card() };
            change(&mut other);
            alike_permille(&card(), &other, By::of(LinkKind::Tls))
        };
        assert_eq!(alike(|_| ()), Some(1_000));
        assert_eq!((alike(|other| other.is_human = true), alike(|other| other.age_h = 200)), (None, Some(0)));
        assert_eq!(alike(|other| other.org = 7), None);
    }

    #[test]
    fn few_requests_and_people_are_alike_by_chance_more_often() {
        let chance = |change: fn(&mut Likeness)| {
            let mut one = card();
            change(&mut one);
            chance(&one, &one, By::Limit)
        };
        let machine = chance(|_| ());
        assert_eq!(machine, -5_650);
        assert!(chance(|one| one.requests = 20) > machine + 2_000);
        assert_eq!(chance(|one| one.is_human = true), machine + 2_000);
        assert!(chance(|one| (one.length, one.length_spread, one.novelty) = (-1, -1, -1)) > machine + 3_000);
    }
}

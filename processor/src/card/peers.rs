//! How much two accounts are alike of those who ask for one kind of thing: by how much likelier their cards
//! lie so near to each other if one hand moves both than if two strangers ask.
//!
//! Accounts of one hand differ as one program's runs with some noise do; strangers who ask for the same kind
//! of thing differ as people do. What both differ by was measured on simulated worlds, and by an independent
//! generator's.

use super::{Likeness, WIDTHS_PERMILLE, width};
use crate::nats::{Millinats, ONE, exp_neg, line, ln_ratio};

/// A coordinate's spread within one hand and among strangers, in thousandths.
#[derive(Clone, Copy)]
struct Spread {
    hand: i64,
    strangers: i64,
}

const REQUESTS: Coordinate = Spread { hand: 350, strangers: 1_000 }.measured(1_000);
static PAUSE: [Coordinate; WIDTHS_PERMILLE.len()] = Spread { hand: 250, strangers: 850 }.by_width();
static PAUSE_SPREAD: [Coordinate; WIDTHS_PERMILLE.len()] = Spread { hand: 220, strangers: 600 }.by_width();
static LENGTH: [Coordinate; WIDTHS_PERMILLE.len()] = Spread { hand: 160, strangers: 380 }.by_width();
static LENGTH_SPREAD: [Coordinate; WIDTHS_PERMILLE.len()] = Spread { hand: 130, strangers: 240 }.by_width();
static NOVELTY: [Coordinate; WIDTHS_PERMILLE.len()] = Spread { hand: 60, strangers: 130 }.by_width();
static BUSY: [Coordinate; WIDTHS_PERMILLE.len()] = Spread { hand: 170, strangers: 410 }.by_width();

/// What it says that two ask for one kind of thing: people who do one job do it alike more often than
/// strangers do.
const OF_ONE_THEME: Millinats = -700;

/// What it says that so many openings of two stocks are the same, beyond the one by which they meet.
const COMMON: [(i64, Millinats); 4] = [(1, -2_000), (2, 0), (3, 1_500), (4, 2_500)];

/// What it says that two have so many texts in common: who divides a list asks hardly any twice, who has one
/// homework, many.
const SAME_TEXTS: [(i64, Millinats); 3] = [(0, 0), (1, -1_500), (2, -3_000)];

/// What is said from which two are rather alike than not: one in eight of strangers reach it.
const ALIKE_FROM: Millinats = 3_000;

/// A coordinate as it is measured.
#[derive(Clone, Copy)]
struct Coordinate {
    spread: Spread,
    /// What it says that two are the same.
    same: i64,
}

impl Spread {
    /// What is measured less exactly says less.
    const fn measured(self, width_permille: i64) -> Coordinate {
        let wider = self.hand * width_permille / 1_000;
        let hand = if wider < self.strangers { wider } else { self.strangers };
        let same = ln_ratio(self.strangers as u64, hand as u64) as i64;
        Coordinate { spread: Self { hand, ..self }, same }
    }

    const fn by_width(self) -> [Coordinate; WIDTHS_PERMILLE.len()] {
        let [few, some, more, enough] = WIDTHS_PERMILLE;
        [self.measured(few), self.measured(some), self.measured(more), self.measured(enough)]
    }
}

impl Coordinate {
    /// What a difference says.
    fn says(&self, difference: i64) -> i64 {
        let squares = |spread: i64| (difference * 1_000 / spread).pow(2) / 2_000;
        self.same - squares(self.spread.hand) + squares(self.spread.strangers)
    }
}

/// How much two cards are alike, in thousandths.
pub(super) fn alike_permille(one: &Likeness, other: &Likeness) -> u32 {
    let width = width(one, other);
    let away = |of: fn(&Likeness) -> i64| of(one) - of(other);
    let requests = i64::from(ln_ratio(one.requests.into(), 1) - ln_ratio(other.requests.into(), 1));
    let said = REQUESTS.says(requests)
        + PAUSE[width].says(away(|card| card.pause.into()))
        + PAUSE_SPREAD[width].says(away(|card| card.pause_spread.into()))
        + LENGTH[width].says(away(|card| card.length.into()))
        + LENGTH_SPREAD[width].says(away(|card| card.length_spread.into()))
        + NOVELTY[width].says(away(|card| card.novelty.into()))
        + BUSY[width].says(away(|card| card.busy.into()));
    let stocks = one.stock.as_ref().zip(other.stock.as_ref());
    let common = stocks.map_or(OF_ONE_THEME, |(one, other)| line(&COMMON, one.common(other) as i64));
    let same_texts = line(&SAME_TEXTS, one.common_texts(other) as i64);
    let above = (said + i64::from(common + same_texts) - i64::from(ALIKE_FROM)).clamp(-30_000, 30_000);
    // The logistic function.
    let tail = exp_neg(above.unsigned_abs() as u32);
    let smaller = tail * 1_000 / (ONE + tail);
    (if above >= 0 { 1_000 - smaller } else { smaller }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::By;
    use crate::fixture::card;
    use crate::measure::quick_hash;
    use weir_schemas::Card;

    fn alike(change: impl Fn(&mut Card)) -> u32 {
        let mut other = card();
        change(&mut other);
        let (one, other) = (Likeness::from(&card()), Likeness::from(&other));
        assert_eq!(alike_permille(&one, &other), alike_permille(&other, &one));
        alike_permille(&one, &other)
    }

    #[test]
    fn two_of_one_hand_are_rather_alike_and_two_people_are_not() {
        assert!(alike(|_| ()) > 900);
        let of_one_hand = |other: &mut Card| {
            (other.pause_millinats, other.pause_spread, other.requests) = (11_600, 1_450, 310);
            (other.length_millinats, other.busy_permille) = (5_500, 900);
        };
        assert!(alike(of_one_hand) > 600, "{}", alike(of_one_hand));
        assert!(alike(|other| other.pause_millinats = 12_400) < 100);
        assert!(alike(|other| other.requests = 60) < 300);
        assert!(alike(|other| other.length_millinats = 4_700) < 50);
    }

    #[test]
    fn a_text_or_two_in_common_make_two_less_alike_and_three_no_company() {
        let stock = |name: &str, common: u32| {
            let other = |place: u32| quick_hash(name, place.into()) as u32;
            let text = |place: u32| if place < common { place + 1 } else { other(place) };
            (1..=16).chain((0..8).map(text)).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
        };
        let alike = |common: u32| {
            let card = |name| {
                Likeness::from(&Card {
                    openings: stock(name, common),
                    length_spread: 550,
                    pause_millinats: 11_600,
                    ..card()
                })
            };
            let other = Likeness { pause: 11_200, ..card("other") };
            crate::card::alike_permille(&card("one"), &other, By::Opening).unwrap()
        };
        assert_eq!([0, 1, 2, 3, 8].map(alike), [992, 963, 851, 0, 0]);
    }

    #[test]
    fn a_stock_in_common_makes_it_likelier_that_one_hand_moves_both() {
        let stock = |openings: &[u32]| {
            let part = |place| openings.get(place).copied().unwrap_or(0_u32);
            (0..24).flat_map(|place| part(place).to_le_bytes()).collect::<Vec<u8>>()
        };
        let whole = Card { openings: stock(&[1, 2, 3, 4, 5, 6, 7, 8]), ..card() };
        let alike = |openings: &[u32]| {
            let near = Card { openings: stock(openings), pause_spread: 1_600, length_spread: 200, ..card() };
            alike_permille(&Likeness::from(&whole), &Likeness::from(&near))
        };
        let (one, two, four) = (alike(&[1, 11, 12]), alike(&[1, 2, 11]), alike(&[1, 2, 3, 4]));
        assert!(one < two && two < four, "{one} {two} {four}");
    }
}

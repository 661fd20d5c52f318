//! `indicator`: others told of a value that the account came with, such as an address or a TLS fingerprint.
//!
//! *Evidence*: the strongest indicator that a request of the last two days met, as strong as the operator
//! trusts who told of it. It is hearsay: the family is no witness, so it moves the log-odds of an account
//! against which two families speak by themselves, and is never one of the two. What more than a few accounts
//! meet is nobody's, and says nothing; so a source that is wrong, or lies, and tells of a large network's
//! address moves nobody. *Missing* where no request met one, which is always so until indicators are
//! imported. *Cost*: a look at an empty list; some 200 bytes for an account that met one. *Evasion*: another
//! address, or fifteen more accounts on it. *Price to fake*: against an honest customer, a source that the
//! operator trusts and an address that is the customer's own; it then costs the customer at most `nats_max`,
//! which does nothing while its own conduct does not speak against it. *Source*: STIX 2.1 (indicators with a
//! confidence and an end), Pyramid of Pain (what is cheap to change is weak evidence).

use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::limits::{INDICATOR_BYTES_MAX, INDICATOR_SOURCE_BYTES_MAX};
use crate::nats::{Millinats, left_of, line};
use weir_schemas::{IndicatorHit, IndicatorKind};

detector_settings! {}

/// See [`crate::detectors::indicator`].
pub struct Indicator;

/// What is remembered of an account: the indicator that says most.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    met: Option<Box<Met>>,
}
persist_fields!(State { met });

/// An indicator that requests of the account met.
#[derive(Debug, Clone, Default, PartialEq)]
struct Met {
    source: String,
    indicator: String,
    kind: u8,
    trust_permille: u16,
    /// The most accounts that were seen with the value, however often a collector began to count anew.
    accounts: u32,
    requests: u32,
    last_ms: i64,
}
persist_fields!(Met { source, indicator, kind, trust_permille, accounts, requests, last_ms });

/// Trust in thousandths, and what an indicator then says.
const TRUST: [(i64, Millinats); 2] = [(0, 0), (1_000, 2_500)];

/// Accounts that came with the value, and how much of it is left: a household, and an office.
const POPULAR: [(i64, Millinats); 2] = [(4, 1_000), (16, 0)];

/// Minutes since a request last met it, and how much of it is left.
const AGE: [(i64, Millinats); 2] = [(24 * 60, 1_000), (48 * 60, 0)];

/// Thousandths that are all of it.
const ALL: i32 = 1_000;

impl Met {
    fn of(hit: &IndicatorHit<'_>, now_ms: i64) -> Self {
        Self {
            source: cut(hit.source, INDICATOR_SOURCE_BYTES_MAX).to_owned(),
            indicator: cut(hit.indicator, INDICATOR_BYTES_MAX).to_owned(),
            kind: hit.kind as u8,
            trust_permille: hit.trust_permille.clamp(0, ALL) as u16,
            accounts: hit.accounts.max(1) as u32,
            requests: 1,
            last_ms: now_ms,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.source, &self.indicator, self.kind) == (&other.source, &other.indicator, other.kind)
    }

    fn again(&mut self, hit: &Self) {
        self.trust_permille = hit.trust_permille;
        self.accounts = self.accounts.max(hit.accounts);
        self.requests = self.requests.saturating_add(1);
        self.last_ms = self.last_ms.max(hit.last_ms);
    }

    fn says(&self, now_ms: i64) -> Millinats {
        let age_min = now_ms.saturating_sub(self.last_ms) / 60_000;
        let left_permille = [line(&POPULAR, self.accounts.into()), line(&AGE, age_min)];
        left_of(line(&TRUST, self.trust_permille.into()).into(), left_permille)
    }

    /// Whether it was met too long ago to be spoken of.
    fn is_over(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= AGE[1].0 * 60_000
    }

    fn kind(&self) -> IndicatorKind {
        IndicatorKind::ALL.get(usize::from(self.kind)).copied().unwrap_or_default()
    }
}

/// The beginning of a text, at most so many bytes of it.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

impl Detector for Indicator {
    const NAME: &'static str = "indicator";
    const CLAIM: &'static str = "Others told of a value that the account came with.";
    const FAMILY: Family = Family::Hearsay;
    const STATE_VERSION: u8 = 1;
    /// What a collector compares with indicators.
    const INPUTS: Inputs = Inputs {
        needs: &[&["address", "asn", "ja3", "ja4", "user_agent", "payment"]],
        uses: &[&["indicators"]],
    };
    type State = State;
    type Settings = Settings;

    #[inline]
    fn observe(state: &mut State, seen: Seen<'_>, now_ms: i64, _: &Settings) {
        let Seen::Request(request) = seen else { return };
        for hit in &request.indicators {
            let hit = Met::of(hit, now_ms);
            match &mut state.met {
                Some(met) if met.is_same(&hit) && !met.is_over(now_ms) => met.again(&hit),
                Some(met) if met.says(now_ms) >= hit.says(now_ms) => (),
                met => *met = Some(Box::new(hit)),
            }
        }
    }

    fn judge(state: &State, account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let met = state.met.as_ref().filter(|met| !met.is_over(account.now_ms))?;
        notes.note("indicator_source", &met.source);
        notes.note("indicator_kind", met.kind());
        notes.note("indicator", &met.indicator);
        notes.note("source_trust_permille", met.trust_permille);
        notes.note("accounts_that_met_it", met.accounts);
        notes.note("requests_that_met_it", met.requests);
        Some(met.says(account.now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;
    use weir_schemas::Request;

    fn hit(source: &'static str, trust_permille: i32, accounts: i32) -> IndicatorHit<'static> {
        let kind = IndicatorKind::Address;
        IndicatorHit { kind, source, indicator: "indicator--1", trust_permille, accounts }
    }

    /// Requests a minute apart, of which each meets what `hits` gives for it.
    fn met(count: usize, hits: impl Fn(usize) -> Vec<IndicatorHit<'static>>) -> Traffic {
        Traffic::every_ms(60_000, count, move |request: &mut Request<'static>, index| {
            request.indicators = hits(index);
        })
    }

    #[test]
    fn it_says_as_much_as_its_source_is_trusted() {
        check::<Indicator>(
            met(3, |_| vec![hit("partner", 1_000, 1)]),
            expect![
                "2.5 nats; indicator_source partner; indicator_kind ADDRESS; indicator indicator--1; \
                 source_trust_permille 1000; accounts_that_met_it 1; requests_that_met_it 3"
            ],
        );
        check::<Indicator>(
            met(1, |_| vec![hit("forum", 200, 1)]),
            expect![
                "0.5 nats; indicator_source forum; indicator_kind ADDRESS; indicator indicator--1; \
                 source_trust_permille 200; accounts_that_met_it 1; requests_that_met_it 1"
            ],
        );
    }

    #[test]
    fn who_met_none_has_nothing_to_be_judged_by() {
        check::<Indicator>(met(9, |_| Vec::new()), expect!["missing"]);
    }

    #[test]
    fn what_many_meet_says_nothing_and_a_new_count_does_not_arm_it_again() {
        let accounts = |index| if index == 1 { 64 } else { 1 };
        check::<Indicator>(
            met(5, move |index| vec![hit("partner", 1_000, accounts(index))]),
            expect![
                "0.0 nats; indicator_source partner; indicator_kind ADDRESS; indicator indicator--1; \
                 source_trust_permille 1000; accounts_that_met_it 64; requests_that_met_it 5"
            ],
        );
    }

    #[test]
    fn two_sources_that_tell_the_same_are_not_added_up() {
        check::<Indicator>(
            met(2, |_| vec![hit("partner", 600, 1), hit("forum", 400, 1)]),
            expect![
                "1.5 nats; indicator_source partner; indicator_kind ADDRESS; indicator indicator--1; \
                 source_trust_permille 600; accounts_that_met_it 1; requests_that_met_it 2"
            ],
        );
    }

    #[test]
    fn it_fades_after_a_day_and_is_forgotten_after_two() {
        let once = |index| if index == 0 { vec![hit("partner", 1_000, 1)] } else { Vec::new() };
        check::<Indicator>(
            met(36 * 60 + 1, once),
            expect![
                "1.2 nats; indicator_source partner; indicator_kind ADDRESS; indicator indicator--1; \
                 source_trust_permille 1000; accounts_that_met_it 1; requests_that_met_it 1"
            ],
        );
        check::<Indicator>(met(48 * 60 + 1, once), expect!["missing"]);
    }

    #[test]
    fn what_a_record_says_out_of_bounds_is_cut_to_them() {
        const LONG: &str =
            "äääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää";
        let met = Met::of(&IndicatorHit { source: LONG, ..hit("", i32::MAX, i32::MIN) }, 0);
        assert_eq!((met.source.len(), met.trust_permille, met.accounts), (64, 1_000, 1));
    }
}

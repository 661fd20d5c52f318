//! `switch`: accounts that do the same moved to another model at the same moment.
//!
//! A campaign follows the newest model with all its accounts at once. On a release day everybody does, but not within
//! one quarter of an hour and in the same manner. *Evidence*: of the accounts alike (see `kin`), those whose whole
//! stream moved within a quarter of an hour of the account's own. *Missing* while the account has not
//! moved. *Cost*: one hash a request. *Evasion*: move over at different hours. *Price*: none but the wait.
//! *Source*: the disclosures of 2026-02; Glasswally's `pivot`, which scored any change of model at all.

use super::kin::weighed;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::measure::quick_hash;
use crate::nats::{Millinats, line};

detector_settings! {
    /// Requests on the old model, and on the new one without going back, that make a move.
    run_min: u16 = 2 ..= 1000,
}

/// Models that are remembered as used before.
const KNOWN: usize = 6;

/// See [`crate::detectors::switch`].
pub struct Switch;

/// What is remembered of an account's models: 48 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Models used before, the oldest forgotten first; zero is free.
    known: [u32; KNOWN],
    settled: u32,
    settled_run: u16,
    candidate: u32,
    candidate_run: u16,
    candidate_ms: i64,
    /// When the stream last moved to a model that is new to the account; 0 for never.
    pub moved_ms: i64,
}
persist_fields!(State { known, settled, settled_run, candidate, candidate_run, candidate_ms, moved_ms });

/// Accounts that moved together, in thousandths of an account.
const TOGETHER: [(i64, Millinats); 3] = [(500, 0), (2_000, 1_500), (6_000, 3_000)];

impl Detector for Switch {
    const NAME: &'static str = "switch";
    const CLAIM: &'static str = "Accounts that do the same moved to another model at the same moment.";
    const FAMILY: Family = Family::Switch;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs =
        Inputs { needs: &[&["model"], &["payment", "address", "preamble", "prompt"]], uses: &[] };
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.settled.into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, account: &AccountView<'_>, settings: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(model) = request.model else { return };
        let model = quick_hash(model, 2) as u32 | 1;
        if state.settled == 0 {
            (state.settled, state.settled_run) = (model, 1);
        } else if model == state.settled {
            state.settled_run = state.settled_run.saturating_add(1);
            (state.candidate, state.candidate_run) = (0, 0);
        } else if model == state.candidate {
            state.candidate_run = state.candidate_run.saturating_add(1);
            if state.candidate_run >= settings.run_min {
                if !state.known.contains(&model) && state.settled_run >= settings.run_min {
                    state.moved_ms = state.candidate_ms;
                }
                state.known.rotate_right(1);
                state.known[0] = state.settled;
                (state.settled, state.settled_run) = (model, state.candidate_run);
                (state.candidate, state.candidate_run) = (0, 0);
            }
        } else {
            (state.candidate, state.candidate_run, state.candidate_ms) = (model, 1, account.now_ms);
        }
    }

    fn judge(state: &State, account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        if state.moved_ms == 0 {
            return None;
        }
        let mut most = 0;
        for word in account.profile.words.at(account.now_ms) {
            let together = i64::from(word.alike_milli) * i64::from(word.moved_permille) / 1_000;
            most = most.max(weighed(word, account, line(&TOGETHER, together)));
            notes.milli("moved_together_accounts", together);
        }
        Some(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster};
    use expect_test::expect;
    use weir_schemas::{Cluster, LinkKind};

    fn moves(at: usize) -> Traffic {
        Traffic::every_ms(2_000, 400, move |request, index| {
            request.model = Some(if index < at { "atlas-1" } else { "atlas-2" });
        })
    }

    #[test]
    fn accounts_that_moved_together_speak_against_each_other() {
        let word = Cluster { moved_permille: 900, ..cluster(LinkKind::Program, "client", 7) };
        check::<Switch>(moves(200).told(vec![word]), expect!["2.8 nats; moved_together_accounts 5.400"]);
    }

    #[test]
    fn who_moved_alone_is_not_spoken_of() {
        check::<Switch>(
            moves(200).told(vec![cluster(LinkKind::Program, "client", 7)]),
            expect!["0.0 nats; moved_together_accounts 0.000"],
        );
    }

    #[test]
    fn who_takes_turns_or_stays_has_not_moved() {
        let turns = Traffic::every_ms(2_000, 400, |request, index| {
            request.model = Some(if index / 5 % 2 == 0 { "atlas-1" } else { "atlas-2" });
        });
        check::<Switch>(turns, expect!["missing"]);
        check::<Switch>(moves(400), expect!["missing"]);
    }
}

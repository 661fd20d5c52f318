//! `pivot`: the whole stream moves to a model that is new to the account, at once and by clockwork.
//!
//! A campaign follows the newest model: one request to the old, the next and all that follow to the
//! new. A person tries the new model, goes back, and pauses as people do; a return to a model that was
//! used before is never a pivot. *Evidence*: run length on both sides, the gap between them in units
//! of the usual pause, evenness of the pauses. *Missing* when no request names a model. *Cost*: one
//! hash and a comparison with six. *Evasion*: move over slowly, or keep some traffic on the old model.
//! *Source*: Glasswally's worker of the same name, which scored any change of model at all.

use crate::detector::{AccountView, Detector, Notes, Opinion, Seen};
use crate::measure::{confidence, quick_hash};

detector_settings! {
    /// Requests on the old model, and on the new one without going back, that make a pivot.
    run_min: u16 = 2 ..= 1000,
    /// Hours over which a pivot fades.
    fade_h: u32 = 1 ..= 168,
}

/// Models that are remembered as used before.
const KNOWN: usize = 6;

/// See [`crate::detectors::pivot`].
pub struct Pivot;

/// What is remembered of an account's models: 56 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Models used before, the oldest forgotten first; zero is free.
    known: [u32; KNOWN],
    settled: u32,
    settled_run: u16,
    candidate: u32,
    candidate_run: u16,
    /// Time between the last request on the old model and the first on the new, in usual pauses.
    handover_pauses: f32,
    pivots: u8,
    last_request_ms: i64,
    pivot_ms: i64,
}
persist_fields!(State {
    known,
    settled,
    settled_run,
    candidate,
    candidate_run,
    handover_pauses,
    pivots,
    last_request_ms,
    pivot_ms
});

impl State {
    fn forget_candidate(&mut self) {
        (self.candidate, self.candidate_run) = (0, 0);
    }

    fn settle(&mut self, model: u32, run: u16) {
        self.known.rotate_right(1);
        self.known[0] = self.settled;
        (self.settled, self.settled_run) = (model, run);
        self.forget_candidate();
    }
}

impl Detector for Pivot {
    const NAME: &'static str = "pivot";
    const CLAIM: &'static str =
        "The whole stream moved at once, by clockwork, to a model that is new to the account.";
    const STATE_VERSION: u8 = 1;
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.settled.into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, account: &AccountView<'_>, settings: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(model) = request.model else { return };
        let model = quick_hash(model, 2) as u32 | 1;
        let gap_ms = (account.now_ms - state.last_request_ms).max(0);
        state.last_request_ms = account.now_ms;
        if state.settled == 0 {
            (state.settled, state.settled_run) = (model, 1);
        } else if model == state.settled {
            state.settled_run = state.settled_run.saturating_add(1);
            state.forget_candidate();
        } else if model == state.candidate {
            state.candidate_run = state.candidate_run.saturating_add(1);
            if state.candidate_run >= settings.run_min {
                let is_new = !state.known.contains(&model);
                if is_new && state.settled_run >= settings.run_min {
                    state.pivots = state.pivots.saturating_add(1);
                    state.pivot_ms = account.now_ms;
                }
                let run = state.candidate_run;
                state.settle(model, run);
            }
        } else {
            (state.candidate, state.candidate_run) = (model, 1);
            state.handover_pauses = (gap_ms as f64 / account.profile.pauses.mean_ms().max(1.0)) as f32;
        }
    }

    fn judge(
        state: &State,
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Opinion> {
        if state.settled == 0 {
            return None;
        }
        let seen = u32::from(state.settled_run) + u32::from(state.candidate_run);
        let confidence = confidence(seen, settings.run_min.into());
        if state.pivots == 0 {
            return Some(Opinion { score: 0.0, confidence });
        }
        let fade_ms = i64::from(settings.fade_h) * 3_600_000;
        let age_ms = account.now_ms - state.pivot_ms;
        let fade = (1.0 - age_ms as f64 / fade_ms as f64).max(0.0);
        let handover = f64::from(state.handover_pauses);
        let quick = if handover <= 3.0 { 1.0 } else { 3.0 / handover };
        let evenness = account.profile.pauses.evenness().unwrap_or(0.0);
        // Customers move to a new model once in a while as well; who follows every one is followed.
        let often = if state.pivots > 1 { 1.0 } else { 0.7 };
        let score = often * quick * evenness * fade;
        if score > 0.0 {
            notes.note("pivots", state.pivots);
            notes.note("since_pivot_s", age_ms / 1_000);
            notes.note("handover_pauses", format_args!("{handover:.1}"));
            notes.share("pause_evenness_share", evenness);
        }
        Some(Opinion { score, confidence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;

    #[test]
    fn a_stream_that_moves_at_once_by_clockwork_scores() {
        check::<Pivot>(
            Traffic::every_ms(2_000, 120, |request, index| {
                request.model = Some(if index < 60 { "atlas-1" } else { "atlas-2" });
            }),
            expect![
                "score 0.699 confidence 0.800; pivots 1; since_pivot_s 90; handover_pauses 1.0; pause_evenness_share 1.000"
            ],
        );
    }

    #[test]
    fn a_person_who_alternates_models_does_not() {
        check::<Pivot>(
            Traffic::uneven_ms(&[3_000, 60_000, 8_000, 240_000, 5_000], 200, |request, index| {
                request.model = Some(if index % 7 < 4 { "atlas-1" } else { "atlas-mini" });
            }),
            expect!["score 0.000 confidence 0.885"],
        );
    }

    #[test]
    fn a_person_who_moves_to_the_new_model_does_not() {
        check::<Pivot>(
            Traffic::uneven_ms(&[3_000, 60_000, 8_000, 240_000, 5_000], 200, |request, index| {
                request.model = Some(if index < 90 { "atlas-1" } else { "atlas-2" });
            }),
            expect!["score 0.000 confidence 0.880"],
        );
    }

    #[test]
    fn a_return_to_a_model_that_was_used_before_is_no_second_pivot() {
        check::<Pivot>(
            Traffic::every_ms(2_000, 180, |request, index| {
                request.model = Some(if index / 60 == 1 { "atlas-2" } else { "atlas-1" });
            }),
            expect![
                "score 0.698 confidence 0.800; pivots 1; since_pivot_s 210; handover_pauses 1.0; pause_evenness_share 1.000"
            ],
        );
    }

    #[test]
    fn without_models_it_is_missing() {
        check::<Pivot>(Traffic::every_ms(100, 900, |_, _| ()), expect!["missing"]);
    }
}

//! `cot`: prompts that make the model show how it thinks, again and again, in one shape.
//!
//! *Evidence*: share of prompts with a phrase of elicitation (the collector finds the phrases on the
//! node, in text that never leaves it); the signature of distillation, which is one template or one
//! opening with ever other content; share of refusals, which probing causes. One shape alone is
//! what every honest batch job looks like, so it scores little without the phrases. *Missing*
//! without prompt features. *Cost*: three hashes compared, O(1); no text is scanned again. *Evasion*:
//! paraphrase the elicitation in words that no list has, vary the opening. *Source*: Glasswally's
//! `cot`, `role_preamble`, `biometric` and `refusal_probe` by idea; PRADA (arXiv 1805.02628) for
//! looking at the stream of queries and not at one.

use crate::detector::{AccountView, Detector, Notes, Opinion, Seen};
use crate::measure::{Common, Share, confidence, ramp, short};

detector_settings! {
    /// Which phrase classes count, as a bit set.
    phrase_classes: i64 = 0 ..= 9223372036854775807_i64,
    /// Share of prompts with such a phrase up to which there is no score.
    phrase_share_low: f64 = 0 ..= 1,
    /// Share from which the score is full.
    phrase_share_high: f64 = 0 ..= 1,
    /// Prompts below which there is nothing to judge.
    prompts_min: u32 = 1 ..= 500,
}

/// Texts that are remembered to notice the same prompt again.
const TEXTS: usize = 8;

/// See [`crate::detectors::cot`].
pub struct Cot;

/// What is remembered of an account's prompts: 68 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    phrases: Share,
    /// The most common template.
    template: Common,
    /// The most common opening.
    head: Common,
    /// Prompts that were among the last few before.
    repeats: Share,
    texts: [u32; TEXTS],
    next_text: u8,
}
persist_fields!(State { phrases, template, head, repeats, texts, next_text });

impl Detector for Cot {
    const NAME: &'static str = "cot";
    const CLAIM: &'static str =
        "Prompts elicit the model's reasoning over and over in one shape with other content.";
    const STATE_VERSION: u8 = 1;
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.next_text.into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: &AccountView<'_>, settings: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(prompt) = &request.prompt else { return };
        state.phrases.note(prompt.phrases & settings.phrase_classes != 0);
        state.template.note(short(&prompt.template_hash.0));
        state.head.note(short(&prompt.head_hash.0));
        let text = short(&prompt.text_hash.0);
        state.repeats.note(state.texts.contains(&text));
        // A damaged index would be refused by the codec's length check only by luck; mask it.
        state.texts[usize::from(state.next_text) % TEXTS] = text;
        state.next_text = (state.next_text + 1) % TEXTS as u8;
    }

    fn judge(
        state: &State,
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Opinion> {
        let prompts = state.phrases.total();
        if prompts < settings.prompts_min {
            return None;
        }
        let elicitation = ramp(state.phrases.value(), settings.phrase_share_low, settings.phrase_share_high);
        let constancy = state.template.share().max(state.head.share());
        let novelty = 1.0 - state.repeats.value();
        let distillation = ramp(constancy, 0.4, 0.85) * novelty;
        let refused = account.profile.refused;
        let probing = if refused.total() >= 10 { ramp(refused.value(), 0.15, 0.5) } else { 0.0 };
        if elicitation > 0.0 {
            notes.share("elicitation_phrase_share", state.phrases.value());
        }
        if distillation > 0.0 {
            notes.share("same_template_share", state.template.share());
            notes.share("same_opening_share", state.head.share());
            notes.share("new_text_share", novelty);
        }
        if probing > 0.0 {
            notes.share("refused_share", refused.value());
        }
        let main = elicitation * (0.65 + 0.35 * distillation) + (1.0 - elicitation) * 0.15 * distillation;
        let score = 1.0 - (1.0 - main) * (1.0 - 0.2 * probing);
        Some(Opinion { score, confidence: confidence(prompts, 8) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, prompt};
    use expect_test::expect;

    #[test]
    fn one_template_of_elicitation_with_ever_other_content_scores() {
        check::<Cot>(
            Traffic::every_ms(2_000, 100, |request, index| {
                request.prompt = Some(prompt("step by step", &format!("problem {index}"), 1));
            }),
            expect![
                "score 1.000 confidence 0.926; elicitation_phrase_share 1.000; same_template_share 0.990; same_opening_share 0.990; new_text_share 1.000"
            ],
        );
    }

    #[test]
    fn elicitation_in_varied_words_still_scores() {
        check::<Cot>(
            Traffic::every_ms(90_000, 100, |request, index| {
                let template = format!("shape {index}");
                request.prompt = Some(prompt(&template, &template, i64::from(index % 2 == 0)));
            }),
            expect!["score 0.506 confidence 0.926; elicitation_phrase_share 0.500"],
        );
    }

    #[test]
    fn a_heavy_batch_with_one_template_and_no_elicitation_hardly_scores() {
        check::<Cot>(
            Traffic::every_ms(1_000, 500, |request, index| {
                request.prompt = Some(prompt("classify this ticket", &format!("ticket {index}"), 0));
            }),
            expect![
                "score 0.150 confidence 0.984; same_template_share 0.998; same_opening_share 0.998; new_text_share 1.000"
            ],
        );
    }

    #[test]
    fn a_pupil_who_asks_for_the_steps_now_and_then_does_not() {
        check::<Cot>(
            Traffic::every_ms(40_000, 60, |request, index| {
                let text = format!("question {index}");
                request.prompt = Some(prompt(&text, &text, i64::from(index % 8 == 0)));
            }),
            expect!["score 0.000 confidence 0.882"],
        );
    }

    #[test]
    fn a_monitor_that_sends_the_same_prompt_for_ever_does_not() {
        check::<Cot>(
            Traffic::every_ms(60_000, 300, |request, _| request.prompt = Some(prompt("ping", "ping", 0))),
            expect![
                "score 0.000 confidence 0.974; same_template_share 0.997; same_opening_share 0.997; new_text_share 0.003"
            ],
        );
    }

    #[test]
    fn without_prompts_it_is_missing() {
        check::<Cot>(Traffic::every_ms(100, 900, |_, _| ()), expect!["missing"]);
    }
}

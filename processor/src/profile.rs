//! What every account is counted by, whichever detectors are on: requests by the hour, behaviour, and the
//! cluster stage's words.

use crate::behaviour::Behaviour;
use crate::measure::Share;
use crate::nats::Millinats;
use crate::openings::Openings;
use crate::pauses::Pace;
use crate::theme::Theme;
use crate::windows::Day;
use crate::words::Words;
use weir_schemas::{Outcome, Request, Response};

/// What an account did, as detectors see it.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// It asked.
    Request(&'a Request<'a>),
    /// It was answered; the request was an event of its own.
    Response(&'a Response),
    /// The cluster stage spoke of a value that the account shares.
    Cluster(&'a weir_schemas::Cluster),
}

/// The counts of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Start of the account's latest request: its clock. Responses do not move it; before the first request
    /// it is the time of the first event.
    pub clock_ms: i64,
    /// Earliest event time since the account was last forgotten.
    pub first_ms: i64,
    /// Requests by the hour, for a day.
    pub day: Day,
    /// What it does.
    pub behaviour: Behaviour,
    /// Share of answers that the model declined.
    pub refused: Share,
    /// What it asks for.
    pub theme: Theme,
    /// How its prompts begin.
    pub openings: Openings,
    /// What the cluster stage said.
    pub words: Words,
}
persist_fields!(Profile { clock_ms, first_ms, day, behaviour, refused, theme, openings, words });

impl Profile {
    /// An account whose first event is at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self {
            clock_ms: time_ms,
            first_ms: time_ms,
            day: Day::default(),
            behaviour: Behaviour::default(),
            refused: Share::default(),
            theme: Theme::default(),
            openings: Openings::default(),
            words: Words::default(),
        }
    }

    /// Counts an event that stands for `weight` events; false if it came too late for the window.
    pub fn observe(&mut self, time_ms: i64, weight: u32, seen: Seen<'_>) -> bool {
        self.first_ms = self.first_ms.min(time_ms);
        match seen {
            Seen::Request(request) => {
                if time_ms > self.clock_ms {
                    self.day.advance(self.clock_ms, time_ms);
                    self.clock_ms = time_ms;
                }
                self.behaviour.observe(request, time_ms);
                // Who passes by costs no memory.
                if let Some(prompt) = request.prompt.as_ref().filter(|_| self.behaviour.requests >= 4) {
                    self.theme.observe(prompt);
                    self.openings.observe(prompt);
                }
                if let Some(outcome) = &request.outcome {
                    self.note_outcome(outcome);
                }
                self.day.add(self.clock_ms, time_ms, weight)
            }
            Seen::Response(response) => {
                self.note_outcome(&response.outcome);
                true
            }
            Seen::Cluster(cluster) => {
                self.words.take(cluster);
                true
            }
        }
    }

    fn note_outcome(&mut self, outcome: &Outcome) {
        self.refused.note(outcome.refused);
    }

    /// The counts as of the clock, with what several detectors make of them.
    #[inline]
    pub fn view(&self) -> AccountView<'_> {
        let age_ms = self.clock_ms - self.first_ms;
        let hours = (age_ms / 3_600_000 + 1).clamp(1, 24) as u32;
        AccountView {
            profile: self,
            now_ms: self.clock_ms,
            age_ms,
            hours,
            day: self.day.sum(),
            busy_hours: self.day.busy_buckets(),
            silence_h: self.day.longest_silence(self.clock_ms, hours),
            pace: self.behaviour.pauses.pace(),
            novelty_permille: self.behaviour.texts.novelty_permille(),
        }
    }
}

/// What a detector may know of the account besides its own state.
#[derive(Debug, Clone, Copy)]
pub struct AccountView<'a> {
    /// The counts.
    pub profile: &'a Profile,
    /// The account's clock.
    pub now_ms: i64,
    /// Time since its first event.
    pub age_ms: i64,
    /// Hours of the last day in which it was there at all, 1 to 24.
    pub hours: u32,
    /// Requests within a day.
    pub day: u32,
    /// Hours of the last day with a request.
    pub busy_hours: u32,
    /// The longest run of hours without one, within those in which it was there.
    pub silence_h: u32,
    /// How it paces its requests.
    pub pace: Pace,
    /// Different texts among all, in thousandths; none without prompts.
    pub novelty_permille: Option<i32>,
}

/// Pauses from which a pace is known.
const PAUSES_MIN: u32 = 11;

/// Spread of the pauses' logarithm below which they are as even as a program's: nobody reads, thinks and
/// types that evenly.
const EVEN_SPREAD: Millinats = 400;

impl AccountView<'_> {
    /// Whether there are enough pauses to speak of a pace.
    pub fn has_pace(&self) -> bool {
        self.pace.count >= PAUSES_MIN
    }

    /// Whether the pauses are as even as a program's.
    pub fn is_even(&self) -> bool {
        self.has_pace() && self.pace.spread < EVEN_SPREAD
    }

    /// How much there is to judge a likeness by, in thousandths: six busy hours or 256 requests are enough,
    /// and 64 that come as evenly as no class hands in its homework.
    pub fn maturity_permille(&self) -> i64 {
        let enough = if self.is_even() { 64 } else { 256 };
        let by_hours = i64::from(self.busy_hours) * 1_000 / 6;
        let by_requests = i64::from(self.profile.behaviour.requests) * 1_000 / enough;
        by_hours.max(by_requests).min(1_000)
    }
}

//! What every account is counted by, whichever detectors are on: windows, pauses, refusals.

use crate::measure::Share;
use crate::windows::Windows;
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

/// Mean and spread of the pauses between requests, the recent ones counting more.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    mean_ms: f32,
    variance: f32,
    count: u32,
}
persist_fields!(Pace { mean_ms, variance, count });

impl Pace {
    /// The pauses that weigh: an older one counts ever less.
    const MEMORY: u32 = 32;

    /// Counts one pause.
    #[inline]
    pub fn note(&mut self, pause_ms: i64) {
        self.count = self.count.saturating_add(1);
        let weight = 1.0 / self.count.min(Self::MEMORY) as f32;
        let away = pause_ms as f32 - self.mean_ms;
        self.mean_ms += weight * away;
        self.variance = (1.0 - weight) * (self.variance + weight * away * away);
    }

    /// Pauses so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Mean pause in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.mean_ms.into()
    }

    /// How even the pauses are: 1 for a metronome, 0 for a person, whose pauses spread as widely as
    /// they are long or wider. Unknown before eight pauses.
    #[inline]
    pub fn evenness(&self) -> Option<f64> {
        if self.count < 8 {
            return None;
        }
        if self.mean_ms <= 0.0 {
            return Some(1.0);
        }
        let spread = f64::from(self.variance).max(0.0).sqrt() / f64::from(self.mean_ms);
        Some((1.0 - spread).max(0.0))
    }
}

/// The counts of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Latest event time of the account: its clock.
    pub clock_ms: i64,
    /// Earliest event time since the account was last forgotten.
    pub first_ms: i64,
    /// Requests by time.
    pub windows: Windows,
    /// Pauses between requests.
    pub pace: Pace,
    /// Share of answers that the model declined.
    pub refused: Share,
    /// Whether the account's own score once passed the policy's threshold of suspicion.
    pub suspected: bool,
    /// Phrase classes that it has used.
    pub phrases: u64,
}
persist_fields!(Profile { clock_ms, first_ms, windows, pace, refused, suspected, phrases });

impl Profile {
    /// An account whose first event is at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self {
            clock_ms: time_ms,
            first_ms: time_ms,
            windows: Windows::default(),
            pace: Pace::default(),
            refused: Share::default(),
            suspected: false,
            phrases: 0,
        }
    }

    /// Counts an event that stands for `weight` events; false if it came too late for a window.
    pub fn observe(&mut self, time_ms: i64, weight: u32, seen: Seen<'_>) -> bool {
        let before_ms = self.clock_ms;
        if time_ms > before_ms {
            self.windows.advance(before_ms, time_ms);
            self.clock_ms = time_ms;
        }
        self.first_ms = self.first_ms.min(time_ms);
        match seen {
            Seen::Request(request) => {
                // A pause is known only between requests that came in order, and not before the first.
                if time_ms >= before_ms && self.windows.day.sum() > 0 {
                    self.pace.note(time_ms - before_ms);
                }
                if let Some(prompt) = &request.prompt {
                    self.phrases |= prompt.phrases as u64;
                }
                if let Some(outcome) = &request.outcome {
                    self.note_outcome(outcome);
                }
                self.windows.add(self.clock_ms, time_ms, weight)
            }
            Seen::Response(response) => {
                self.note_outcome(&response.outcome);
                true
            }
            Seen::Cluster(_) => true,
        }
    }

    fn note_outcome(&mut self, outcome: &Outcome) {
        self.refused.note(outcome.refused);
    }

    /// The counts as of the clock.
    #[inline]
    pub fn view(&self) -> AccountView<'_> {
        AccountView {
            profile: self,
            now_ms: self.clock_ms,
            minute: self.windows.minute.sum(),
            five_minutes: self.windows.five_minutes.sum(),
            hour: self.windows.hour.sum(),
            day: self.windows.day.sum(),
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
    /// Requests within a minute.
    pub minute: u32,
    /// Requests within five minutes.
    pub five_minutes: u32,
    /// Requests within an hour.
    pub hour: u32,
    /// Requests within a day.
    pub day: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evenness(pauses_ms: impl IntoIterator<Item = i64>) -> f64 {
        let mut pace = Pace::default();
        pauses_ms.into_iter().for_each(|pause| pace.note(pause));
        pace.evenness().unwrap()
    }

    #[test]
    fn a_metronome_is_even_and_a_person_is_not() {
        assert!(evenness((0..50).map(|index| 2_000 + index % 3)) > 0.95);
        assert!(evenness([3, 60, 8, 900, 5, 12, 4, 300, 7, 2, 1_500, 9, 30].map(|s| s * 1_000)) < 0.05);
    }

    #[test]
    fn evenness_is_unknown_before_eight_pauses() {
        let mut pace = Pace::default();
        (0..7).for_each(|_| pace.note(1_000));
        assert_eq!(pace.evenness(), None);
    }
}

//! What every account is counted by, whichever detectors are on: windows, pauses, refusals.

use crate::measure::Share;
use crate::pauses::Pauses;
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

/// The counts of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Start of the account's latest request: its clock. Responses do not move it; before the first request
    /// it is the time of the first event.
    pub clock_ms: i64,
    /// Earliest event time since the account was last forgotten.
    pub first_ms: i64,
    /// Requests by time.
    pub windows: Windows,
    /// Pauses between requests.
    pub pauses: Pauses,
    /// Share of answers that the model declined.
    pub refused: Share,
    /// Whether the account's own score once passed the policy's threshold of suspicion.
    pub suspected: bool,
    /// Phrase classes that it has used.
    pub phrases: u64,
}
persist_fields!(Profile { clock_ms, first_ms, windows, pauses, refused, suspected, phrases });

impl Profile {
    /// An account whose first event is at `time_ms`.
    pub fn new(time_ms: i64) -> Self {
        Self {
            clock_ms: time_ms,
            first_ms: time_ms,
            windows: Windows::default(),
            pauses: Pauses::default(),
            refused: Share::default(),
            suspected: false,
            phrases: 0,
        }
    }

    /// Counts an event that stands for `weight` events; false if it came too late for a window.
    pub fn observe(&mut self, time_ms: i64, weight: u32, seen: Seen<'_>) -> bool {
        self.first_ms = self.first_ms.min(time_ms);
        match seen {
            Seen::Request(request) => {
                if time_ms > self.clock_ms {
                    self.windows.advance(self.clock_ms, time_ms);
                    self.clock_ms = time_ms;
                }
                self.pauses.note(time_ms);
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

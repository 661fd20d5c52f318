//! Leaves a server alone that fails again and again.

use super::actuator::ActuatorError;
use crate::limits::{BREAKER_FAILURES, BREAKER_REST};
use std::time::Duration;
use weir_topology::clock::Clock;

/// Lets calls through while they succeed, and after too many failures none for a while.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    rests_until: Option<Duration>,
}

impl Breaker {
    /// Makes a call, unless the server, which is called `server`, is left alone.
    pub fn guard(
        &mut self,
        clock: &dyn Clock,
        server: &str,
        call: impl FnOnce() -> Result<(), ActuatorError>,
    ) -> Result<(), ActuatorError> {
        if !self.lets_through(clock.now()) {
            let reason = format!("{server} failed several times in a row, and is left alone for a moment");
            return Err(ActuatorError::Away(reason));
        }
        let outcome = call();
        self.note(!matches!(outcome, Err(ActuatorError::Away(_))), clock.now());
        outcome
    }

    /// Whether a call may be made at `now`, by a clock that never goes back.
    fn lets_through(&self, now: Duration) -> bool {
        self.rests_until.is_none_or(|until| until <= now)
    }

    /// Takes in how a call went: not well where the server was away.
    fn note(&mut self, is_well: bool, now: Duration) {
        self.failures = if is_well { 0 } else { self.failures + 1 };
        self.rests_until = (self.failures >= BREAKER_FAILURES).then(|| now + BREAKER_REST);
    }
}

/// What a status says that the server, which is called `server`, answers with.
pub(super) fn succeeded(server: &str, status: u16) -> Result<(), ActuatorError> {
    match status {
        200..=299 => Ok(()),
        // What is wrong on the way there, or with who asks, says nothing of this hold: it is tried again.
        300..=399 | 401 | 403..=405 | 407 | 408 | 421 | 425 | 429 | 500..=599 => {
            Err(ActuatorError::Away(format!("{server} answers with {status}")))
        }
        _ => Err(ActuatorError::Refused(format!("{server} refuses with {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_again_and_again_is_left_alone_for_a_while_and_then_asked_once() {
        let (mut breaker, second) = (Breaker::default(), Duration::from_secs(1));
        for _ in 1..BREAKER_FAILURES {
            breaker.note(false, second);
        }
        assert!(breaker.lets_through(second));
        breaker.note(false, second);
        assert!(!breaker.lets_through(second) && breaker.lets_through(second + BREAKER_REST));
        breaker.note(false, second + BREAKER_REST);
        assert!(!breaker.lets_through(second + BREAKER_REST), "it failed once more");
        breaker.note(true, second * 100);
        assert!(breaker.lets_through(second * 100));
    }
}

//! From requests that wait to commits: whoever waits when a commit begins is part of it.

use super::limits::{COMMIT_BYTES_MAX, LOOK, REQUESTS_MAX};
use super::server::{Arrival, Server};
use crate::liveness::Pulse;
use anyhow::Result;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use weir_collector::Intake;
use weir_collector::push::Answer;

/// Who is told how many events were taken, and how many records refused.
pub type Sensed<'s> = &'s (dyn Fn(u64, u64) + Sync);

/// Commits what arrives and answers it, until told to stop and all that was under way is answered.
///
/// # Errors
/// When the log cannot be used any more, or another process took the source over.
pub fn run(
    mut intake: Intake<'_>,
    arrivals: &Receiver<Arrival>,
    linger: Duration,
    sensed: Sensed<'_>,
    is_stopped: &dyn Fn() -> bool,
    server: &Server,
    pulse: &Pulse,
) -> Result<()> {
    loop {
        pulse.beat();
        if is_stopped() {
            server.drain();
        }
        let first = match arrivals.recv_timeout(LOOK) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            // The server ends when nothing is under way any more.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let (mut deliveries, mut waiting, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        for Arrival { delivery, answer, room } in gather(first, arrivals, linger, is_stopped) {
            deliveries.push(delivery);
            waiting.push(answer);
            rooms.push(room);
        }
        // Whoever still waits when this fails is told to come again.
        let answers = intake.take(&deliveries)?;
        drop((deliveries, rooms));
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            if let Answer::Taken(taken) = &answer {
                sensed(taken.events, taken.refused);
            }
            // Whoever went away asks again, and is told then.
            let _ = waiting.send(answer);
        }
    }
}

/// Who comes within the linger; once told to stop nobody is waited for.
fn gather(
    first: Arrival,
    arrivals: &Receiver<Arrival>,
    linger: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> Vec<Arrival> {
    let until = Instant::now() + linger;
    let mut bytes = first.delivery.body.len();
    let mut gathered = vec![first];
    while bytes < COMMIT_BYTES_MAX && gathered.len() < REQUESTS_MAX {
        let left = until.saturating_duration_since(Instant::now());
        match arrivals.recv_timeout(left.min(LOOK)) {
            Ok(next) => {
                bytes += next.delivery.body.len();
                gathered.push(next);
            }
            Err(RecvTimeoutError::Timeout) if !left.is_zero() && !is_stopped() => {}
            Err(_) => break,
        }
    }
    gathered
}

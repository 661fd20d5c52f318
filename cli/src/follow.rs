//! Follows a log for a server of gateways: again and again, also while it does not answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use weir_topology::log::LogError;

/// How often the log is asked for news.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(50);

/// How long is waited after the log failed.
const FOLLOW_AGAIN: Duration = Duration::from_secs(1);

/// Has `look` look at the log until `is_over`. When it begins to fail, that is told once, with what it means
/// in the meantime.
pub fn until(is_over: &AtomicBool, meanwhile: &str, mut look: impl FnMut() -> Result<(), LogError>) {
    let mut is_away = false;
    while !is_over.load(Ordering::Relaxed) {
        match look() {
            Ok(()) => {
                is_away = false;
                std::thread::sleep(FOLLOW_EVERY);
            }
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(%error, "the log does not answer; {meanwhile}");
                }
                std::thread::sleep(FOLLOW_AGAIN);
            }
        }
    }
}

//! Hands what was heard over to the log, while another thread listens.

use super::{LOOK, PATIENCE};
use crate::context::Context;
use crate::listen::Sensed;
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::{info, warn};
use weir_collector::Handover;
use weir_collector::trace::Waits;

/// Hands over until nothing more is heard and all of it is in the log, which is waited for as long as
/// patience lasts. What the log does not take by then stays in the spool.
///
/// # Errors
/// When the log cannot be used any more, or another process took the source over.
pub(super) fn run(
    mut handover: Handover<'_>,
    context: &Context,
    sensed: Sensed<'_>,
    is_over: &AtomicBool,
) -> Result<()> {
    let pulse = context.liveness.watch("the handover of what was traced");
    let mut ended: Option<Instant> = None;
    loop {
        pulse.beat();
        // What was heard before it was over is a batch by now.
        let is_over = is_over.load(Ordering::Acquire);
        sensed(handover.commit()?.events, 0);
        if is_over {
            let waits = handover.waits();
            if may_end(waits, ended.get_or_insert_with(Instant::now).elapsed()) {
                if waits.memory_events > 0 {
                    let events = waits.memory_events;
                    warn!(events, "the log takes nothing: events of traced processes are lost");
                }
                if waits.spool_bytes > 0 {
                    let bytes = waits.spool_bytes;
                    info!(bytes, "the log is away or slow: events of traced processes stay in the spool");
                }
                handover.end();
                return Ok(());
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether nothing more is waited for at the end, after so long: also a commit that failed is tried again
/// where a spool has its events, because nobody may open that spool again.
fn may_end(waits: Waits, waited: Duration) -> bool {
    waits.is_empty() || waited > PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_at_the_end_is_tried_again_while_patience_lasts_in_memory_and_in_a_spool() {
        let moment = Duration::from_millis(10);
        let waits = |memory_events, spool_bytes| Waits { memory_events, spool_bytes };
        assert!(may_end(waits(0, 0), Duration::ZERO));
        for some in [waits(1, 0), waits(0, 1)] {
            assert!(!may_end(some, Duration::ZERO) && !may_end(some, PATIENCE - moment));
            assert!(may_end(some, PATIENCE + moment));
        }
    }
}

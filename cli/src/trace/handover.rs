//! Hands what was heard over to the log, while another thread listens.

use super::{LOOK, PATIENCE};
use crate::context::Context;
use crate::listen::Sensed;
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tracing::{info, warn};
use weir_collector::Handover;

/// Hands over until nothing more is heard and all of it is in the log. What the log does not take by then
/// stays in the spool.
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
            let has_waited = ended.get_or_insert_with(Instant::now).elapsed() > PATIENCE;
            if waits.memory_events == 0 || has_waited {
                if waits.memory_events > 0 {
                    let events = waits.memory_events;
                    warn!(events, "the log takes nothing: events of traced processes are lost");
                }
                if waits.spool_bytes > 0 {
                    let bytes = waits.spool_bytes;
                    info!(bytes, "the log takes nothing: events of traced processes stay in the spool");
                }
                handover.end();
                return Ok(());
            }
        }
        std::thread::sleep(LOOK);
    }
}

//! Publishes what operators leave for the process that has the log open, in a thread of its own: of a word that undoes what is in force, that is
//! looked up in all that the log has of its account.

use crate::context::Context;
use crate::liveness::Pulse;
use crate::roles::control::commit;
use crate::roles::in_force::named;
use crate::roles::inbox::Inbox;
use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

/// How often words are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Publishes what is left, until it is over.
pub fn publish(context: &Context, log: &dyn Log, wire: &Wire, is_over: &dyn Fn() -> bool) -> Result<()> {
    let inbox = Inbox::of(&context.settings.data_dir);
    let pulse = context.liveness.watch("the reader of operators' words");
    while !is_over() {
        pulse.beat();
        take(&inbox, log, wire, &pulse)?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn take(inbox: &Inbox, log: &dyn Log, wire: &Wire, pulse: &Pulse) -> Result<()> {
    for (path, control) in inbox.take() {
        match control {
            Ok(control) => {
                tracing::info!(
                    name = control.name,
                    author = control.author,
                    "an operator's word is published"
                );
                commit(log, wire, &named(log, wire, control, || pulse.beat())?)?;
            }
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "an operator's word cannot be read")
            }
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

//! Publishes what operators leave for the process that has the log open, in a thread of its own: of a word
//! that undoes what is in force, that is looked up in all that the log has of its account, after every word
//! for which that is not needed: the kill switch does not wait for it.

use crate::context::Context;
use crate::liveness::Pulse;
use crate::roles::control::commit;
use crate::roles::in_force::{is_looked_up, named};
use crate::roles::inbox::Inbox;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;
use weir_schemas::Control;
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
        if !take(&inbox, log, wire, &pulse, is_over)? {
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// Publishes the words that wait, and of those that need a look-up the first. Whether more of those may wait.
fn take(
    inbox: &Inbox,
    log: &dyn Log,
    wire: &Wire,
    pulse: &Pulse,
    is_over: &dyn Fn() -> bool,
) -> Result<bool> {
    let mut to_look_up = Vec::new();
    for (path, control) in inbox.take() {
        match control {
            Ok(control) if is_looked_up(&control) => to_look_up.push((path, control)),
            Ok(control) => {
                tell(&control);
                commit(log, wire, &[control])?;
                remove(&path)?;
            }
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "an operator's word cannot be read");
                remove(&path)?;
            }
        }
    }
    let is_more = to_look_up.len() > 1;
    let Some((path, control)) = to_look_up.into_iter().next() else { return Ok(false) };
    let goes_on = || {
        pulse.beat();
        !is_over()
    };
    // What is not looked up to the end stays where it is, for whoever has the log next.
    let Some(controls) = named(log, wire, control.clone(), goes_on)? else { return Ok(false) };
    tell(&control);
    commit(log, wire, &controls)?;
    remove(&path)?;
    Ok(is_more)
}

fn tell(control: &Control) {
    tracing::info!(name = control.name, author = control.author, "an operator's word is published");
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::Liveness;
    use std::cell::Cell;
    use weir_enforcer::safeguards::REINSTATE_NAME;
    use weir_schemas::{AccountId, ControlKind};
    use weir_topology::memory::MemoryLog;
    use weir_topology::topic::Topic;

    #[test]
    fn what_needs_a_look_up_waits_for_all_else_and_stays_where_it_is_told_to_end() {
        let place = tempfile::tempdir().unwrap();
        let (inbox, log, wire) = (Inbox::of(place.path()), MemoryLog::new(1), Wire::new());
        let liveness = Liveness::new(None);
        let pulse = liveness.watch("the test");
        let word = |time_ms, name: &str, body: String| {
            let (name, kind) = (name.to_owned(), ControlKind::Setting);
            Control { name, kind, time_ms, body, ..Control::default() }
        };
        let reinstate = |time_ms: i64| {
            word(time_ms, REINSTATE_NAME, format!("account/{}", AccountId([time_ms as u8; 16])))
        };
        inbox.put(&[reinstate(1), reinstate(2), word(3, "act.kill_switch", "on".into())]).unwrap();
        let said = || -> Vec<i64> {
            let words = log.all(Topic::Control).into_iter();
            words.map(|word| wire.read::<Control>(&word.payload.unwrap()).unwrap().time_ms).collect()
        };
        // SIGTERM comes within the look-up.
        let looked = Cell::new(0);
        let ends = || looked.replace(looked.get() + 1) > 0;
        assert!(!take(&inbox, log.as_ref(), &wire, &pulse, &ends).unwrap());
        assert_eq!((said(), inbox.take().len()), (vec![3], 2));
        assert!(take(&inbox, log.as_ref(), &wire, &pulse, &|| false).unwrap(), "another waits");
        assert_eq!(said(), [3, 1]);
        assert!(!take(&inbox, log.as_ref(), &wire, &pulse, &|| false).unwrap());
        assert_eq!((said(), inbox.take().len()), (vec![3, 1, 2], 0));
    }
}

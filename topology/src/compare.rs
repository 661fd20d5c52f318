//! Whether an epoch that was folded again came to what was recorded of it.

use crate::error::TaskError;
use crate::outputs::count_outputs;
use crate::stage::{Effects, Stage, StateEntry};
use crate::topic::TaskId;
use sha2::{Digest as _, Sha256};
use weir_schemas::{Digest, Epoch, Judge, OutputCount};

/// A difference between two judges is none of the build.
pub(crate) fn of_judges(error: TaskError, recorded: &Judge, judge: Judge) -> TaskError {
    match error {
        TaskError::Diverged { task, epoch, what, .. } if *recorded != judge => {
            TaskError::OtherJudge { task, epoch, what, recorded: name_of(recorded), own: name_of(&judge) }
        }
        error => error,
    }
}

/// A judge in words: `version 3 with policy 41ab0c2f… and trust 9d03ee71…`.
fn name_of(judge: &Judge) -> String {
    let short = |digest: Digest| format!("{}…", digest.to_string().chars().take(8).collect::<String>());
    let policy = judge.policy.map(|digest| format!("policy {}", short(digest)));
    let trust = judge.trust.map(|digest| format!("trust {}", short(digest)));
    let by: Vec<String> = policy.into_iter().chain(trust).collect();
    let by = if by.is_empty() { String::new() } else { format!(" with {}", by.join(" and ")) };
    format!("version {}{by}", judge.version)
}

/// Holds what a fold gave against what was recorded of it.
pub(crate) fn compare(
    task: TaskId,
    stage: &mut dyn Stage,
    epoch: &Epoch,
    effects: &Effects,
    adopted: u64,
) -> Result<(), TaskError> {
    let diverged = |what, recorded: &dyn ToString, found: &dyn ToString| TaskError::Diverged {
        task,
        epoch: epoch.epoch,
        what,
        recorded: recorded.to_string(),
        found: found.to_string(),
    };
    let accounts = epoch.adopted.as_ref().map_or(0, |adopted| adopted.accounts);
    if accounts != adopted as i64 {
        return Err(diverged("accounts adopted", &accounts, &adopted));
    }
    if epoch.judged != effects.judged as i64 {
        return Err(diverged("judged", &epoch.judged, &effects.judged));
    }
    if epoch.dead_lettered != effects.dead_lettered as i64 {
        return Err(diverged("dead_lettered", &epoch.dead_lettered, &effects.dead_lettered));
    }
    if epoch.clock_ms != effects.clock_ms {
        return Err(diverged("clock_ms", &epoch.clock_ms, &effects.clock_ms));
    }
    if epoch.policy_version != effects.policy_version {
        return Err(diverged("policy", &epoch.policy_version, &effects.policy_version));
    }
    let found = count_outputs(task.stage, &effects.outputs);
    if epoch.outputs != found {
        return Err(diverged("outputs", &told(&epoch.outputs), &told(&found)));
    }
    if let Some(recorded) = epoch.state_digest {
        let found = digest_of(&stage.take_changes());
        if found != recorded {
            return Err(diverged("state digest", &recorded, &found));
        }
    }
    Ok(())
}

/// In words: `2 to weir.verdicts (1f0c44d2…)`.
fn told(counts: &[OutputCount]) -> String {
    let one = |count: &OutputCount| {
        let digest: String = count.digest.to_string().chars().take(8).collect();
        format!("{} to {} ({digest}…)", count.records, count.topic)
    };
    counts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Digest of changed state entries: what an epoch record carries when it took a snapshot.
pub fn digest_of(entries: &[StateEntry]) -> Digest {
    let mut sha = Sha256::new();
    for entry in entries {
        for part in [Some(&entry.key), entry.body.as_ref()] {
            match part {
                Some(bytes) => {
                    sha.update((bytes.len() as u64 + 1).to_be_bytes());
                    sha.update(bytes);
                }
                None => sha.update(0u64.to_be_bytes()),
            }
        }
    }
    Digest(sha.finalize().into())
}

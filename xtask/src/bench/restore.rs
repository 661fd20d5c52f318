//! Taking state back: a million accounts from the embedded log's state topic.

use super::account::{EPOCH_EVENTS, START_MS, batch};
use super::meter::{Meter, Who, line, memory_bytes};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use weir_processor::account::AccountStage;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{State, StateKind};
use weir_topology::cursor::{CURSOR_FORMAT, CURSOR_KEY};
use weir_topology::embedded::EmbeddedLog;
use weir_topology::log::{Commit, Log};
use weir_topology::record::Output;
use weir_topology::restore::restore;
use weir_topology::stage::Stage;
use weir_topology::topic::{StageName, TaskId, Topic};

pub const ACCOUNTS: usize = 1_000_000;
pub const TASK: TaskId = TaskId { stage: StageName::Account, partition: 0 };

/// Without a directory: writes state in one process and takes it back in another, so that memory is
/// the restored state's alone. With one: takes back what is there.
pub fn run(accounts: Option<usize>, dir: Option<&Path>) -> Result<()> {
    let accounts = accounts.unwrap_or(ACCOUNTS);
    if let Some(dir) = dir {
        return take_back(accounts, dir);
    }
    let place = tempfile::tempdir()?;
    for part in ["save", "restore"] {
        let mut command = Command::new(std::env::current_exe().context("cannot tell where this binary is")?);
        command.args(["bench", "--only", part, "--accounts", &accounts.to_string(), "--dir"]);
        command.arg(place.path());
        crate::shell::succeed(command, "xtask again")?;
    }
    Ok(())
}

fn stage(accounts: usize) -> AccountStage {
    AccountStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin())).with_accounts_max(accounts + 1)
}

/// Writes the state of accounts with two events each, as a task's snapshots do.
pub fn save(accounts: Option<usize>, dir: Option<&Path>) -> Result<()> {
    let log = EmbeddedLog::open(dir.context("save needs --dir")?, 1)?;
    write_state(log.as_ref(), accounts.unwrap_or(ACCOUNTS))
}

/// Writes to any log what [`save`] writes to the embedded one.
pub fn write_state(log: &dyn Log, accounts: usize) -> Result<()> {
    let wire = Wire::new();
    let (mut stage, mut writer) = (stage(accounts), log.writer(&TASK.to_string())?);
    let state = |kind, format, body| {
        wire.to_bytes(&State { kind, format, epoch: 1, clock_ms: START_MS, body, ..State::default() })
    };
    let keyed = |key: Vec<u8>, payload| {
        Output::keyed(Topic::StateAccount, key, payload, START_MS).in_partition(TASK.partition)
    };
    for from in (0..accounts).step_by(EPOCH_EVENTS) {
        for round in 0..2 {
            stage.step(&batch(&wire, from..(from + EPOCH_EVENTS).min(accounts), round));
        }
        let format = stage.state_format();
        let mut outputs = Vec::with_capacity(EPOCH_EVENTS + 1);
        for change in stage.take_changes() {
            let body = change.body.context("an account was forgotten")?;
            outputs.push(keyed(change.key, state(StateKind::Entry, format, body)));
        }
        outputs.push(keyed(CURSOR_KEY.to_vec(), state(StateKind::Cursor, CURSOR_FORMAT, Vec::new())));
        writer.commit(&Commit { outputs, positions: Vec::new() })?;
    }
    Ok(())
}

fn take_back(accounts: usize, dir: &Path) -> Result<()> {
    let (wire, log) = (Wire::new(), EmbeddedLog::open_existing(dir)?);
    let (mut stage, before) = (stage(accounts), memory_bytes("self", "VmRSS").unwrap_or(0));
    let meter = Meter::start(Who::Ourselves)?;
    let restored = restore(TASK, &mut stage, log.as_ref(), &wire)?;
    let taken = meter.stop()?;
    ensure!(restored.entries == accounts as u64, "{} of {accounts} accounts came back", restored.entries);
    let resident = memory_bytes("self", "VmRSS").unwrap_or(0);
    let more = json!({
        "goal_per_cpu_s": 300_000,
        "ideal_per_cpu_s": 500_000,
        "rss_bytes": resident,
        "goal_rss_bytes_max": 1u64 << 30,
        "bytes_per_account": resident.saturating_sub(before) / accounts as u64,
    });
    line("restore", accounts as u64, taken, more);
    Ok(())
}

//! What stands in the files, and what happens to files that somebody touched.

mod contents;
mod faults;

use super::*;
use crate::testing::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use weir_schemas::{ActionKind, ActionState, Tier, Verdict};

/// What the export told.
#[derive(Default)]
struct Told {
    stalls: Mutex<Vec<String>>,
    settled: Mutex<Vec<(ActionKind, ActionState)>>,
    unreadable: AtomicU64,
    unopened: AtomicU64,
    refused: AtomicU64,
    waiting: AtomicU64,
}

impl Telemetry for Told {
    fn output_stalled(&self, reason: &str) {
        self.stalls.lock().unwrap().push(reason.into());
    }
    fn action_settled(&self, kind: ActionKind, state: ActionState) {
        self.settled.lock().unwrap().push((kind, state));
    }
    fn output_unreadable(&self, records: u64) {
        self.unreadable.fetch_add(records, Relaxed);
    }
    fn output_unopened(&self, actions: u64) {
        self.unopened.fetch_add(actions, Relaxed);
    }
    fn output_identities_refused(&self, identities: u64) {
        self.refused.fetch_add(identities, Relaxed);
    }
    fn output_waiting(&self, actions: u64) {
        self.waiting.store(actions, Relaxed);
    }
}

/// A directory that an export writes from a rig's log.
struct Outputs {
    directory: tempfile::TempDir,
    telemetry: Arc<Told>,
}

impl Outputs {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), telemetry: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, rig: &Rig) -> Result<Export, ExportError> {
        self.open_with(rig, Some(opener()))
    }

    fn open_with(&self, rig: &Rig, opener: Option<Opener>) -> Result<Export, ExportError> {
        let telemetry = self.telemetry.clone();
        let partitions = 0..rig.partitions;
        let (log, wire) = (rig.log.clone(), rig.wire.clone());
        Export::open(self.directory.path(), log, partitions, opener, rig.executor(), wire, telemetry)
    }

    /// Opens, writes everything there is, and closes; what was noted.
    fn export(&self, rig: &Rig) -> Vec<Note> {
        let mut export = self.open(rig).unwrap();
        drain(&mut export);
        export.take_notes()
    }

    /// Every file's lines; a line that is not whole fails the test.
    fn lines(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let lines = |file: &OutputFile| {
            let text = std::fs::read_to_string(self.path(file.name())).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{} ends inside a line", file.name());
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (file.name(), lines)
        };
        OutputFile::ALL.iter().map(lines).collect()
    }

    fn lines_of(&self, file: OutputFile) -> Vec<Value> {
        self.lines().remove(file.name()).unwrap()
    }
}

/// Runs rounds until all is written; the sum of lines.
fn drain(export: &mut Export) -> u64 {
    let mut lines = 0;
    loop {
        let progress = export.run_once(Duration::ZERO).unwrap();
        assert_eq!(progress.stalled, None);
        lines += progress.lines;
        if progress.caught_up {
            return lines;
        }
    }
}

/// Verdicts and a campaign that reach every file, over several partitions.
fn busy(rig: &Rig, from: u32) {
    rig.put_campaign(&campaign(from));
    let verdicts: Vec<Verdict> = (from..from + 12)
        .map(|n| {
            let tier = [Tier::Clear, Tier::Medium, Tier::High, Tier::Critical][n as usize % 4];
            resting_on(1, verdict(n, i64::from(n) * 1000, tier))
        })
        .collect();
    rig.put_verdicts(&verdicts);
    rig.enforce();
}

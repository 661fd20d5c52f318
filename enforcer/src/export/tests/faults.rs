//! The export dies, or its disk is full, at every step there is.

use super::*;
use files::Disk;
use std::io::ErrorKind;
use weir_schemas::ActionOutcome;

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The process is killed: what was written is in the files.
    Kill,
    /// The process is killed in the middle of a write.
    KillMidWrite,
    /// The power goes: only what was synced is in the files, renames that were not are undone.
    PowerCut,
}

/// What a failing disk is told, from outside of the export that owns it.
#[derive(Default)]
struct Plan {
    /// Steps until the end; none for no end.
    steps_left: Option<(usize, Option<End>)>,
    is_dead: bool,
    /// Bytes that can be written until the disk is full.
    room: Option<usize>,
    /// What the files hold for certain: length by name, and the sidecar before an unsynced rename.
    synced: BTreeMap<String, u64>,
    renamed_over: Option<Vec<u8>>,
    steps: usize,
}

/// A disk that fails as planned.
struct Failing {
    disk: Disk,
    path: PathBuf,
    plan: Arc<Mutex<Plan>>,
}

impl Failing {
    /// Counts a step; the error is that of a process that is no more.
    fn step(&mut self, half: impl FnOnce(&mut Disk)) -> io::Result<()> {
        let mut plan = self.plan.lock().unwrap();
        plan.steps += 1;
        if plan.is_dead {
            return Err(io::Error::other("dead"));
        }
        match &mut plan.steps_left {
            Some((0, end)) => {
                match end {
                    Some(End::KillMidWrite) => half(&mut self.disk),
                    Some(End::PowerCut) => {}
                    _ => {}
                }
                if *end == Some(End::PowerCut) {
                    plan.cut_power(&self.path);
                }
                plan.is_dead = true;
                Err(io::Error::other("dead"))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn written(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut plan = self.plan.lock().unwrap();
        match plan.room {
            Some(room) if room < bytes.len() => {
                plan.room = Some(0);
                Err(room)
            }
            Some(room) => {
                plan.room = Some(room - bytes.len());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note_synced(&mut self, name: &str) {
        let length = self.disk.length(name).unwrap().unwrap_or(0);
        self.plan.lock().unwrap().synced.insert(name.into(), length);
    }
}

impl Plan {
    fn cut_power(&mut self, path: &Path) {
        if let Some(content) = self.renamed_over.take() {
            std::fs::write(path.join(POSITIONS_NAME), content).unwrap();
        }
        for file in OutputFile::ALL {
            let path = path.join(file.name());
            if let Ok(file_on_disk) = std::fs::OpenOptions::new().write(true).open(&path) {
                let length = file_on_disk.metadata().unwrap().len();
                let synced = self.synced.get(file.name()).copied().unwrap_or(0);
                file_on_disk.set_len(length.min(synced)).unwrap();
            }
        }
    }
}

impl Files for Failing {
    fn length(&mut self, name: &str) -> io::Result<Option<u64>> {
        self.disk.length(name)
    }
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(name)
    }
    fn whole_lines(&mut self, name: &str) -> io::Result<u64> {
        self.disk.whole_lines(name)
    }
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.step(|_| {})?;
        self.disk.create(name)
    }
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.step(|_| {})?;
        self.disk.truncate(name, length)?;
        self.note_synced(name);
        Ok(())
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(|disk| disk.append(name, &bytes[..bytes.len() / 2]).unwrap())?;
        match self.written(bytes) {
            Ok(()) => self.disk.append(name, bytes),
            Err(room) => {
                self.disk.append(name, &bytes[..room])?;
                Err(ErrorKind::StorageFull.into())
            }
        }
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.step(|_| {})?;
        self.disk.sync(name)?;
        self.note_synced(name);
        Ok(())
    }
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.step(|disk| disk.write(name, &bytes[..bytes.len() / 2]).unwrap())?;
        match self.written(bytes) {
            Ok(()) => self.disk.write(name, bytes),
            Err(room) => {
                self.disk.write(name, &bytes[..room])?;
                Err(ErrorKind::StorageFull.into())
            }
        }
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step(|_| {})?;
        let before = self.disk.read(to)?;
        self.plan.lock().unwrap().renamed_over = before;
        self.disk.rename(from, to)
    }
    fn sync_directory(&mut self) -> io::Result<()> {
        self.step(|_| {})?;
        self.plan.lock().unwrap().renamed_over = None;
        self.disk.sync_directory()
    }
}

impl Outputs {
    fn open_failing(&self, rig: &Rig, plan: &Arc<Mutex<Plan>>) -> Result<Export, Failure> {
        let path = self.directory.path().to_owned();
        let disk = Failing { disk: Disk::open(&path).unwrap().unwrap(), path, plan: plan.clone() };
        let opener = opener();
        let (log, telemetry) = (rig.log.clone(), self.telemetry.clone());
        Export::open_on(
            Box::new(disk),
            log,
            0..rig.partitions,
            Some(opener),
            rig.executor(),
            rig.wire.clone(),
            telemetry,
        )
    }

    /// The lines of every file in some order that does not depend on how rounds fell, and without where an
    /// audit record stands in its chain: when the enforcer hears an answer is the world's business.
    fn sorted(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut files: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (name, mut lines) in self.lines() {
            for line in lines.iter_mut().filter_map(Value::as_object_mut) {
                line.retain(|name, _| {
                    !["sequence", "epoch", "previous", "record", "signature"].contains(&name.as_str())
                });
            }
            let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            lines.sort_unstable();
            files.insert(name, lines);
        }
        files
    }

    /// Runs enforcer and export until neither has anything more to say; every action that was to be carried
    /// out is then answered once, and its answer was heard.
    fn settle(&self, rig: &Rig) -> Vec<Note> {
        let mut notes = self.export(rig);
        let mut told = 0;
        while std::mem::replace(&mut told, rig.actions().len()) != rig.actions().len() {
            rig.enforce();
            notes.extend(self.export(rig));
        }
        let mut answered: Vec<_> = rig.all::<ActionOutcome>(Topic::Outcomes);
        answered.sort_by_key(|outcome| outcome.action_id);
        let ids = |state| {
            let of_state = rig.actions().into_iter().filter(move |action| action.state == state);
            let mut ids: Vec<_> = of_state.map(|action| action.action_id).collect();
            ids.sort();
            ids
        };
        let answered: Vec<_> = answered.iter().map(|outcome| outcome.action_id).collect();
        assert_eq!(answered, ids(ActionState::Pending));
        assert_eq!(answered, ids(ActionState::Done));
        notes
    }

    /// No action stands in a file whose decision is not in the audit log.
    fn assert_audited(&self) {
        let text = |file: OutputFile| std::fs::read_to_string(self.path(file.name())).unwrap_or_default();
        let audited = text(OutputFile::AuditLog);
        let of_actions = OutputFile::ALL[1..].iter().filter(|file| **file != OutputFile::Campaigns);
        for file in of_actions {
            for line in text(*file).lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                let id = line["action_id"].as_str().unwrap();
                assert!(audited.contains(id), "{} tells {id} before its audit record", file.name());
            }
        }
    }
}

/// A log with two waves of decisions, of which the second comes when the first is exported.
fn first_wave() -> Rig {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    busy(&rig, 0);
    rig
}

fn second_wave(rig: &Rig) {
    busy(rig, 12);
}

/// What an export that nothing happens to writes.
fn undisturbed() -> (BTreeMap<&'static str, Vec<String>>, usize) {
    let (rig, outputs, plan) = (first_wave(), Outputs::new(), Arc::default());
    let mut export = outputs.open_failing(&rig, &plan).ok().unwrap();
    drain(&mut export);
    second_wave(&rig);
    drain(&mut export);
    drop(export);
    let steps = plan.lock().unwrap().steps;
    outputs.settle(&rig);
    (outputs.sorted(), steps)
}

#[test]
fn killed_or_cut_off_at_any_step_every_line_is_there_once_and_whole() {
    let (expected, steps) = undisturbed();
    assert!(expected.values().all(|lines| !lines.is_empty()));
    assert!(steps > 25, "{steps}");
    for end in [End::Kill, End::KillMidWrite, End::PowerCut] {
        for step in 0..steps {
            let (rig, outputs) = (first_wave(), Outputs::new());
            let plan = Arc::new(Mutex::new(Plan { steps_left: Some((step, Some(end))), ..Plan::default() }));
            let export = outputs.open_failing(&rig, &plan);
            let mut is_second = false;
            if let Ok(mut export) = export {
                while export.run_once(Duration::ZERO).unwrap().stalled.is_none() {
                    if !is_second && export.run_once(Duration::ZERO).unwrap().caught_up {
                        second_wave(&rig);
                        is_second = true;
                    }
                }
            }
            assert!(plan.lock().unwrap().is_dead);
            outputs.assert_audited();
            if !is_second {
                second_wave(&rig);
            }
            let notes = outputs.settle(&rig);
            assert_eq!(notes, [], "{end:?} at step {step}");
            assert_eq!(outputs.sorted(), expected, "{end:?} at step {step}");
        }
    }
}

#[test]
fn an_export_that_dies_again_and_again_gets_there() {
    let (expected, _) = undisturbed();
    let (rig, outputs) = (first_wave(), Outputs::new());
    second_wave(&rig);
    let mut lives = 0;
    loop {
        // Each life is one step longer, so that one of them finishes.
        let plan = Plan { steps_left: Some((lives, Some(End::KillMidWrite))), ..Plan::default() };
        let plan = Arc::new(Mutex::new(plan));
        lives += 1;
        if let Ok(mut export) = outputs.open_failing(&rig, &plan)
            && export.run_once(Duration::ZERO).unwrap().caught_up
        {
            break;
        }
    }
    assert!(lives > 10, "{lives}");
    outputs.settle(&rig);
    assert_eq!(outputs.sorted(), expected);
}

#[test]
fn on_a_full_disk_the_files_keep_whole_lines_it_is_told_and_the_same_lines_come_when_there_is_room() {
    let (expected, _) = undisturbed();
    for room in (0..40_000).step_by(977) {
        let (rig, outputs) = (first_wave(), Outputs::new());
        let plan = Arc::new(Mutex::new(Plan::default()));
        let mut export = outputs.open_failing(&rig, &plan).ok().unwrap();
        drain(&mut export);
        let before = outputs.sorted();
        second_wave(&rig);
        plan.lock().unwrap().room = Some(room);
        let progress = export.run_once(Duration::ZERO).unwrap();
        if progress.stalled.is_some() {
            assert_eq!(progress.lines, 0);
            assert_eq!(outputs.sorted(), before, "room for {room} bytes");
            // Still full: still nothing, and still told.
            plan.lock().unwrap().room = Some(0);
            assert!(export.run_once(Duration::ZERO).unwrap().stalled.is_some());
            assert_eq!(outputs.telemetry.stalls.lock().unwrap().len(), 2);
        } else {
            assert!(room > 10_000, "{room} bytes are too few");
        }
        outputs.assert_audited();
        plan.lock().unwrap().room = None;
        drain(&mut export);
        drop(export);
        outputs.settle(&rig);
        assert_eq!(outputs.sorted(), expected, "room for {room} bytes");
    }
}

#[test]
fn a_second_export_of_a_directory_is_refused() {
    let (rig, outputs) = (first_wave(), Outputs::new());
    let export = outputs.open(&rig).unwrap();
    let refused = outputs.open(&rig).err().unwrap().to_string();
    assert!(refused.starts_with("another process writes ") && refused.contains("its own output directory"));
    drop(export);
    assert!(outputs.open(&rig).is_ok());
}

/// Exports the first wave, lets `touch` change the files of a running or stopped export, exports the
/// second; what was noted, and the lines of the analyst's queue.
fn touched(is_running: bool, touch: impl Fn(&Outputs)) -> (Vec<Note>, Vec<Value>) {
    let (rig, outputs) = (first_wave(), Outputs::new());
    let mut export = outputs.open(&rig).unwrap();
    drain(&mut export);
    if !is_running {
        drop(export);
        touch(&outputs);
        export = outputs.open(&rig).unwrap();
    } else {
        touch(&outputs);
    }
    second_wave(&rig);
    drain(&mut export);
    let notes = export.take_notes();
    drop(export);
    assert_eq!(outputs.export(&rig), [], "what was noted once is not noted again");
    (notes, outputs.lines_of(OutputFile::AnalystQueue))
}

#[test]
fn a_file_that_was_deleted_is_made_again_and_gone_on_with() {
    let (_, all) = touched(true, |_| {});
    for is_running in [true, false] {
        let (notes, lines) = touched(is_running, |outputs| {
            std::fs::remove_file(outputs.path("analyst_queue.jsonl")).unwrap();
        });
        assert_eq!(notes.len(), 1);
        let note = notes[0].to_string();
        assert!(note.starts_with("analyst_queue.jsonl should have") && note.contains("has 0"), "{note}");
        assert_eq!(lines, all[all.len() / 2..]);
    }
}

#[test]
fn a_file_that_was_cut_inside_a_line_is_gone_on_with_from_its_last_whole_line() {
    let (_, all) = touched(true, |_| {});
    for is_running in [true, false] {
        let (notes, lines) = touched(is_running, |outputs| {
            let path = outputs.path("analyst_queue.jsonl");
            let text = std::fs::read_to_string(&path).unwrap();
            let first = text.find('\n').unwrap() + 1;
            std::fs::write(&path, &text[..first + 20]).unwrap();
        });
        assert_eq!(notes.len(), 1);
        assert_eq!(lines[0], all[0]);
        assert_eq!(lines[1..], all[all.len() / 2..]);
    }
}

#[test]
fn a_crash_after_a_file_was_deleted_does_not_repeat_lines() {
    let (_, steps) = undisturbed();
    let mut outcomes = std::collections::BTreeSet::new();
    for step in 0..steps {
        let (rig, outputs) = (first_wave(), Outputs::new());
        outputs.export(&rig);
        std::fs::remove_file(outputs.path("analyst_queue.jsonl")).unwrap();
        second_wave(&rig);
        let plan = Plan { steps_left: Some((step, Some(End::Kill))), ..Plan::default() };
        if let Ok(mut export) = outputs.open_failing(&rig, &Arc::new(Mutex::new(plan))) {
            export.run_once(Duration::ZERO).unwrap();
        }
        outputs.export(&rig);
        outcomes.insert(
            outputs
                .lines_of(OutputFile::AnalystQueue)
                .iter()
                .map(|l| l["action_id"].to_string())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(outcomes.len(), 1, "the same lines wherever it crashed");
}

fn refused(prepare: impl Fn(&Outputs)) -> String {
    let (rig, outputs) = (first_wave(), Outputs::new());
    outputs.export(&rig);
    prepare(&outputs);
    outputs.open(&rig).err().unwrap().to_string()
}

#[test]
fn lines_of_unknown_origin_a_damaged_sidecar_and_another_log_are_refused_with_what_to_do() {
    expect_test::expect![
        "audit_log.jsonl has lines, but .positions.json is missing: move the old files away, or restore it"
    ]
    .assert_eq(&refused(|outputs| std::fs::remove_file(outputs.path(POSITIONS_NAME)).unwrap()));
    expect_test::expect![
        ".positions.json is damaged (EOF while parsing an object at line 1 column 1): restore it, or move the output files away and start afresh"
    ]
    .assert_eq(&refused(|outputs| std::fs::write(outputs.path(POSITIONS_NAME), "{").unwrap()));

    let (rig, outputs) = (first_wave(), Outputs::new());
    outputs.export(&rig);
    let error = outputs.open(&Rig::new(1)).err().unwrap().to_string();
    assert!(
        error.contains("of weir.audit/0, but that ends at 0: this is another log than before"),
        "{error}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let directory = file.path().join("out");
    let rig = Rig::new(1);
    let opened = Export::open(
        &directory,
        rig.log.clone(),
        0..1,
        None,
        rig.executor(),
        rig.wire.clone(),
        Arc::new(Told::default()),
    );
    assert!(opened.err().unwrap().to_string().contains("out cannot be used"));
}

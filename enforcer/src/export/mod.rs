//! The output directory: whole lines or none, each exactly once, whatever dies in between.
//!
//! A round appends to the audit log and syncs it, appends to the other files and syncs them, then
//! replaces the sidecar, which says how far the log was read and how long each file is. Opening cuts
//! every file back to the length in the sidecar, so that an unfinished round leaves nothing behind and
//! is done again from the log. A failed write is treated as a crash would be: there is one way back.
//!
//! What is to be carried out is carried out, as far as Weir knows, when it stands in the files. Then the log
//! is answered (`answers.rs`), and the enforcer's fold goes on from there.

mod answers;
pub mod audit_file;
mod campaign_line;
pub mod files;
pub mod identities;
mod indicators;
mod intake;
mod json;
mod lines;
mod round;
mod sidecar;
#[cfg(test)]
mod tests;

pub use answers::ACTION_OFFSET_HEADER;
pub(crate) use campaign_line::campaign_details;
pub(crate) use json::{is_hostile, write_line};
pub(crate) use lines::verdict_details;
pub use sidecar::{OutputFile, POSITIONS_NAME};

use crate::limits::{NAME_BYTES_MAX, NOTES_MAX};
use crate::open::Opener;
use answers::Answers;
use files::{Disk, Files};
use identities::Identities;
use intake::{Intake, TOPICS};
use round::Round;
use sha2::{Digest as _, Sha256};
use sidecar::{Range, Sidecar, Unanswered};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use weir_schemas::wire::Wire;
use weir_topology::clock::Clock;
use weir_topology::log::{Log, LogError};
use weir_topology::task::SchemaSource;
use weir_topology::telemetry::Telemetry;
use weir_topology::topic::Topic;

/// Why the export cannot go on.
#[derive(Debug, Error)]
pub enum ExportError {
    /// Another process writes this directory.
    #[error("another process writes {directory}: give each its own output directory")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The directory cannot be used.
    #[error("the output directory {directory} cannot be used: {source}")]
    Directory {
        /// The directory.
        directory: String,
        /// What failed.
        source: io::Error,
    },
    /// There are lines, but no word of where they came from: going on would repeat them.
    #[error("{file} has lines, but {POSITIONS_NAME} is missing: move the old files away, or restore it")]
    Foreign {
        /// The file.
        file: &'static str,
    },
    /// The sidecar cannot be understood.
    #[error(
        "{POSITIONS_NAME} is damaged ({reason}): restore it, or move the output files away and start afresh"
    )]
    Sidecar {
        /// What is wrong with it.
        reason: String,
    },
    /// The files were written from another log.
    #[error(
        "the files were written up to offset {next} of {topic}/{partition}, but that ends at {end}: this is \
         another log than before; give it another output directory"
    )]
    OtherLog {
        /// Topic.
        topic: &'static str,
        /// Partition.
        partition: u32,
        /// The position in the sidecar.
        next: i64,
        /// The log's end.
        end: i64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Something that the operator should know and that did not stop the export.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Note {
    /// A file was deleted, moved away, or shortened. Lines that were in it are not written again.
    #[error("{file} should have {recorded} bytes and has {found}: lines that are gone are not written again")]
    Shortened {
        /// The file.
        file: &'static str,
        /// Its length when it was last written.
        recorded: u64,
        /// Its length now; 0 where it was gone.
        found: u64,
    },
    /// Records passed their retention before they were exported.
    #[error("offsets {from} to {to} of {topic}/{partition} passed their retention before they were exported")]
    Missed {
        /// Topic.
        topic: &'static str,
        /// Partition.
        partition: u32,
        /// The first that is missing.
        from: i64,
        /// The first that is there.
        to: i64,
    },
}

/// What a call of [`Export::run_once`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Lines written, over all files.
    pub lines: u64,
    /// Whether every committed audit record, action and campaign record is in the files.
    pub caught_up: bool,
    /// Why nothing could be written; the same is tried again by the next call.
    pub stalled: Option<String>,
    /// Records that could not be read and were passed over, and actions without an audit record.
    pub unreadable: u64,
    /// Actions to be carried out whose raw account id could not be had; their line says why.
    pub unopened: u64,
    /// Shared values forgotten to stay within the limit.
    pub indicators_forgotten: u64,
    /// Actions that were read and wait to be told, as for their audit record or verdict.
    pub waiting: u64,
    /// Actions told that were withheld because what they answer is history.
    pub withheld_as_history: u64,
}

/// Who carries actions out by telling them in files.
#[derive(Clone)]
pub struct Executor {
    /// Name under which the log is answered, of one directory only. The directory keeps the first that it was
    /// given.
    pub name: String,
    /// By which effects have their time.
    pub clock: Arc<dyn Clock>,
}

impl Executor {
    /// Of this directory of the machine `node`.
    pub fn of(node: &str, directory: &Path, clock: Arc<dyn Clock>) -> Self {
        let path = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let node: String = node.chars().take(NAME_BYTES_MAX / 8).collect();
        Self { name: format!("executor/files/{node}/{digits}"), clock }
    }
}

/// Writes what the enforcer committed into a directory.
pub struct Export {
    files: Box<dyn Files>,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    telemetry: Arc<dyn Telemetry>,
    identities: Option<Identities>,
    executor: Executor,
    answers: Answers,
    schemas: Option<Arc<dyn SchemaSource>>,
    partitions: Vec<u32>,
    notes: Vec<Note>,
    /// None after a failed write, until what it left behind is cleared away.
    live: Option<Live>,
}

/// What is only true while memory and disk agree.
struct Live {
    sidecar: Sidecar,
    intake: Intake,
}

/// A write that failed, an answer that could not be given, or a log that failed.
enum Failure {
    Write(io::Error),
    Answer(LogError),
    Other(ExportError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::Other(error)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Other(error.into())
    }
}

impl Export {
    /// Opens `directory`, which is made where it is missing, and goes on where it left off.
    ///
    /// One export should read every partition: an indicator's accounts lie in many. Raw account ids
    /// are written only with an `opener`.
    pub fn open(
        directory: &Path,
        log: Arc<dyn Log>,
        partitions: impl IntoIterator<Item = u32>,
        opener: Option<Opener>,
        executor: Executor,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Result<Self, ExportError> {
        let name = || directory.display().to_string();
        let disk = Disk::open(directory)
            .map_err(|source| ExportError::Directory { directory: name(), source })?
            .ok_or_else(|| ExportError::Locked { directory: name() })?;
        let opened = Self::open_on(Box::new(disk), log, partitions, opener, executor, wire, telemetry);
        opened.map_err(|failure| match failure {
            Failure::Write(source) => ExportError::Directory { directory: name(), source },
            Failure::Answer(error) => error.into(),
            Failure::Other(error) => error,
        })
    }

    /// The same on any files: where a directory of this machine is not wanted.
    pub fn open_with(
        files: Box<dyn Files>,
        log: Arc<dyn Log>,
        partitions: impl IntoIterator<Item = u32>,
        opener: Option<Opener>,
        executor: Executor,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Result<Self, ExportError> {
        let opened = Self::open_on(files, log, partitions, opener, executor, wire, telemetry);
        opened.map_err(|failure| match failure {
            Failure::Write(source) => ExportError::Directory { directory: "of the export".into(), source },
            Failure::Answer(error) => error.into(),
            Failure::Other(error) => error,
        })
    }

    fn open_on(
        files: Box<dyn Files>,
        log: Arc<dyn Log>,
        partitions: impl IntoIterator<Item = u32>,
        opener: Option<Opener>,
        executor: Executor,
        wire: Arc<Wire>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Result<Self, Failure> {
        let mut partitions: Vec<u32> = partitions.into_iter().collect();
        partitions.sort_unstable();
        partitions.dedup();
        let followed = partitions.clone();
        let identities = opener.map(|opener| Identities::new(log.clone(), wire.clone(), opener, followed));
        let mut export = Self {
            files,
            answers: Answers::new(log.clone(), wire.clone()),
            log,
            wire,
            executor,
            telemetry,
            identities,
            schemas: None,
            partitions,
            notes: Vec::new(),
            live: None,
        };
        export.live = Some(export.recover()?);
        Ok(export)
    }

    /// Looks registry ids up that its frames name and nobody has told of yet.
    pub fn with_schemas(mut self, schemas: Arc<dyn SchemaSource>) -> Self {
        if let Some(identities) = &mut self.identities {
            identities.set_schemas(schemas.clone());
        }
        if let Some(live) = &mut self.live {
            live.intake.set_schemas(schemas.clone());
        }
        self.schemas = Some(schemas);
        self
    }

    /// Leaves what has an effect on an account to an executor that carries it out: its lines are written as
    /// ever, and the log is answered by who did it.
    pub fn leaving_effects(mut self) -> Self {
        self.answers.leave_effects();
        self
    }

    /// Accounts of which somebody announced who stands behind them, over the partitions that are read here; 0
    /// without an opener.
    pub fn accounts_known(&self) -> u64 {
        self.identities.as_ref().map_or(0, Identities::known)
    }

    /// What the operator should know and was not told yet.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Writes what was committed since the last call, and waits for it at most `wait`.
    ///
    /// A failed write (a full disk) is no error: it is told to the telemetry and in
    /// [`Progress::stalled`], the files keep whole lines, and the next call tries again.
    pub fn run_once(&mut self, wait: Duration) -> Result<Progress, ExportError> {
        match self.try_round(wait) {
            Ok(progress) => Ok(progress),
            Err(Failure::Other(error)) => {
                // Memory may be ahead of the disk now; the next call starts from the disk.
                self.live = None;
                Err(error)
            }
            Err(Failure::Write(error)) => {
                Ok(self.stalled(format!("the output files cannot be written: {error}"), wait))
            }
            Err(Failure::Answer(error)) => {
                Ok(self.stalled(format!("what was carried out cannot be told: {error}"), wait))
            }
        }
    }

    fn stalled(&mut self, reason: String, wait: Duration) -> Progress {
        self.telemetry.output_stalled(&reason);
        // Cuts the unfinished lines off at once: that needs no room.
        self.live = self.recover().ok();
        std::thread::sleep(wait);
        Progress { stalled: Some(reason), ..Progress::default() }
    }

    fn try_round(&mut self, wait: Duration) -> Result<Progress, Failure> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.recover()?,
        };
        self.answer(&mut live.sidecar)?;
        live.intake.wait(wait)?;
        if let Some(identities) = &mut self.identities {
            // Before anybody may overwrite them.
            identities.keep_up()?;
        }
        let told_ms = self.executor.clock.unix_ms();
        let mut round = Round::new(&mut live.sidecar.indicators, self.identities.as_mut(), told_ms);
        let used = live.intake.fill(&mut round)?;
        let mut written = round.finish()?;
        if used > 0 {
            let before = self.partitions.iter().map(|p| live.sidecar.position(Topic::Actions, *p)).collect();
            live.intake.note_positions(&mut live.sidecar);
            if written.has_pending {
                live.sidecar.unanswered = Some(self.to_be_answered(told_ms, before, &live.sidecar)?);
            }
            self.write(&mut live.sidecar, &written)?;
            self.answer(&mut live.sidecar)?;
            for (kind, state) in &written.settled {
                self.telemetry.action_settled(*kind, *state);
            }
        } else {
            written.progress.caught_up = live.intake.is_caught_up()?;
        }
        written.progress.waiting = live.intake.waiting();
        self.live = Some(live);
        self.tell(&written.progress);
        Ok(written.progress)
    }

    /// The actions that a round tells, and where the answers to them will begin.
    fn to_be_answered(
        &self,
        told_ms: i64,
        before: Vec<i64>,
        after: &Sidecar,
    ) -> Result<Unanswered, LogError> {
        let mut round = Unanswered { told_ms, ..Unanswered::default() };
        for (partition, from) in self.partitions.iter().copied().zip(before) {
            let to = after.position(Topic::Actions, partition);
            if from < to {
                let outcomes_from = self.log.bounds(Topic::Outcomes, partition)?.1;
                round.partitions.insert(partition, Range { from, to, outcomes_from });
            }
        }
        Ok(round)
    }

    /// Answers for what the last round told. What failed here is tried again from what the files say.
    fn answer(&mut self, sidecar: &mut Sidecar) -> Result<(), Failure> {
        let Some(round) = &sidecar.unanswered else { return Ok(()) };
        match self.answers.answer(&sidecar.executor, round) {
            Ok(()) => {
                sidecar.unanswered = None;
                Ok(())
            }
            Err(
                error @ (LogError::Aborted { .. }
                | LogError::Indefinite { .. }
                | LogError::Storage { .. }
                | LogError::Unavailable { .. }),
            ) => Err(Failure::Answer(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the telemetry of a round that is on disk: one that failed is told when it succeeds.
    fn tell(&mut self, progress: &Progress) {
        let (refused, forgotten) = self.identities.as_mut().map(Identities::take_counts).unwrap_or_default();
        if refused > 0 {
            self.telemetry.output_identities_refused(refused);
        }
        if forgotten > 0 {
            self.telemetry.output_identities_forgotten(forgotten);
        }
        let Progress { unreadable, unopened, indicators_forgotten, waiting, .. } = *progress;
        if unreadable > 0 {
            self.telemetry.output_unreadable(unreadable);
        }
        if unopened > 0 {
            self.telemetry.output_unopened(unopened);
        }
        if indicators_forgotten > 0 {
            self.telemetry.output_indicators_forgotten(indicators_forgotten);
        }
        self.telemetry.output_waiting(waiting);
    }

    /// Appends a round's lines and then says so in the sidecar.
    fn write(&mut self, next: &mut Sidecar, written: &round::Written) -> Result<(), Failure> {
        self.adopt_lengths(next)?;
        for file in OutputFile::ALL {
            let lines = written.lines(*file);
            if !lines.is_empty() {
                self.files.append(file.name(), lines)?;
                self.files.sync(file.name())?;
                next.set_length(*file, next.length(*file) + lines.len() as u64);
            }
        }
        next.store(self.files.as_mut())?;
        Ok(())
    }

    /// Makes the files and the lengths in `sidecar` agree before anything is appended.
    ///
    /// A file that somebody shortened is gone on with from its last whole line; that is written down
    /// first, with the positions that are on disk, so that a crash does not make it look like an
    /// unfinished round.
    fn adopt_lengths(&mut self, sidecar: &mut Sidecar) -> Result<(), Failure> {
        let mut is_shorter = false;
        for file in OutputFile::ALL {
            let recorded = sidecar.length(*file);
            let found = self.files.length(file.name())?;
            match found {
                Some(found) if found == recorded => continue,
                Some(found) if found > recorded => {
                    self.files.truncate(file.name(), recorded)?;
                    continue;
                }
                Some(found) => {
                    let whole = self.files.whole_lines(file.name())?;
                    if whole < found {
                        self.files.truncate(file.name(), whole)?;
                    }
                    sidecar.set_length(*file, whole);
                }
                None => {
                    self.files.create(file.name())?;
                    sidecar.set_length(*file, 0);
                }
            }
            is_shorter = true;
            if recorded > 0 {
                self.note(Note::Shortened { file: file.name(), recorded, found: found.unwrap_or(0) });
            }
        }
        if is_shorter {
            let mut on_disk = match Sidecar::load(self.files.as_mut())? {
                Some(loaded) => loaded.map_err(|reason| ExportError::Sidecar { reason })?,
                None => Sidecar::default(),
            };
            for file in OutputFile::ALL {
                on_disk.set_length(*file, sidecar.length(*file));
            }
            on_disk.store(self.files.as_mut())?;
        }
        Ok(())
    }

    /// Brings files and memory to what the sidecar says.
    fn recover(&mut self) -> Result<Live, Failure> {
        self.answers.look_again();
        let mut sidecar = match Sidecar::load(self.files.as_mut())? {
            Some(loaded) => {
                // Whoever put it there may have died before that was safe. Lines that outlived their
                // first sidecar would belong to nobody.
                self.files.sync_directory()?;
                loaded.map_err(|reason| ExportError::Sidecar { reason })?
            }
            None => {
                for file in OutputFile::ALL {
                    if self.files.length(file.name())?.unwrap_or(0) > 0 {
                        return Err(ExportError::Foreign { file: file.name() }.into());
                    }
                }
                let sidecar = Sidecar::of(&self.executor.name);
                sidecar.store(self.files.as_mut())?;
                sidecar
            }
        };
        self.adopt_lengths(&mut sidecar)?;
        self.check_positions(&mut sidecar)?;
        let intake = Intake::open(
            self.log.clone(),
            self.wire.clone(),
            self.schemas.clone(),
            &self.partitions,
            &sidecar,
        )?;
        Ok(Live { sidecar, intake })
    }

    /// Holds the positions against the log: it must reach them, and what it has forgotten is skipped.
    fn check_positions(&mut self, sidecar: &mut Sidecar) -> Result<(), ExportError> {
        let partitions = self.partitions.clone().into_iter();
        let places = partitions.flat_map(|partition| TOPICS.map(|topic| (topic, partition)));
        for (topic, partition) in places.chain([(Topic::Campaigns, 0)]) {
            let next = sidecar.position(topic, partition);
            let (first, end) = self.log.bounds(topic, partition)?;
            if next > end {
                return Err(ExportError::OtherLog { topic: topic.name(), partition, next, end });
            }
            if next < first {
                sidecar.set_position(topic, partition, first);
                // Where the export never was, and among verdicts, which are read only as far as
                // actions name them, nothing is missed.
                if next > 0 && topic != Topic::Verdicts {
                    self.note(Note::Missed { topic: topic.name(), partition, from: next, to: first });
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

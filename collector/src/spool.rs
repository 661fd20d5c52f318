//! A spool: batches lie on the disk from when they are made until they are in the log, so that neither a log
//! that is away nor a process that is killed costs them.
//!
//! A directory has segments (`segment`), files that are only appended to, and each of them records (`frame`):
//! a number, a checksum, a payload. Every opening is a session with segments of its own, and begins no record
//! in a segment of an earlier one. The oldest record is read first, and again until it is said to be in the
//! log; segments behind it are deleted. What is found damaged is passed over and told of by file and byte
//! (`damage`).
//!
//! A batch is known by its [`BatchId`], which whoever commits it writes in the same commit: after a crash the
//! log says which batch it took last, and what is older in the spool is there too. Numbers alone would not
//! do: a machine that loses its power may lose the newest records although the log has them, and their
//! numbers would be given again. So a batch is known by its session first.

mod damage;
mod directory;
mod disk;
mod error;
mod frame;
mod segment;
mod sync;
#[cfg(test)]
mod tests;

use crate::limits::{SPOOL_IDLE_BYTES, SPOOL_RECORD_BYTES_MAX, SPOOL_SEGMENT_BYTES, SPOOL_SEGMENT_BYTES_MIN};
pub use damage::{Damage, DamageKind};
use directory::Directory;
pub use disk::{Disk, MachineDisk};
pub use error::{Refusal, SpoolError};
use frame::Found;
use segment::{Segment, SegmentHead};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub use sync::SyncPolicy;

/// What a spool is told.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// Its directory, which is made when it is not there, for its owner only.
    pub directory: PathBuf,
    /// Whose batches it holds: node and name of the source.
    pub source_key: String,
    /// Most bytes of its segments.
    pub bytes_max: u64,
    /// When what was written is made sure of.
    pub sync: SyncPolicy,
    /// What no other session has: from the operating system's generator.
    pub run: [u8; 16],
    /// When it is opened, in Unix time in milliseconds.
    pub opened_ms: i64,
}

/// Which spool it is: the run that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpoolId(pub [u8; 16]);

/// Which batch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// What no other session has.
    pub run: [u8; 16],
    /// The session of its spool, which is above all earlier ones; 0 without a spool.
    pub session: u64,
    /// The how many-th batch of it, from 1.
    pub number: u64,
}

impl BatchId {
    /// Whether the log has this batch, where `last` is the one that it took last, and `own` the run of who
    /// asks: batches go there in their order. Of two sessions with one place and different runs neither tells
    /// of the other: the disk had been set back between them. And only a batch of the own run tells of the
    /// own run, which is the newest whatever its session is: the clock may have been set back with the disk.
    pub fn is_up_to(&self, last: &Self, own: [u8; 16]) -> bool {
        match self.run == last.run {
            true => self.number <= last.number,
            false => self.run != own && self.session < last.session,
        }
    }
}

/// A batch as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Which it is.
    pub id: BatchId,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// See the module.
pub struct Spool {
    directory: Directory,
    disk: Arc<dyn Disk>,
    bytes_max: u64,
    sync: SyncPolicy,
    head: SegmentHead,
    /// The oldest first; of this session only those behind the first record that was appended. The last one
    /// stays, whatever it holds: it says which session was the last.
    segments: VecDeque<Segment>,
    /// Where in the oldest segment the oldest record begins that is not known to be in the log.
    at: u64,
    /// Where that record ends, when it was read.
    first_end: Option<u64>,
    /// Number of the batch that was named last.
    number: u64,
    /// Bytes of all segments, also of those that could not be deleted.
    bytes: u64,
    /// Since when there is something that was not made sure of.
    unsynced_since: Option<Duration>,
    damages: Vec<Damage>,
    /// Segments of no more use that could not be deleted, and how long they are.
    undeleted: Vec<(PathBuf, u64)>,
    /// Why, since that was asked last.
    faults: Vec<String>,
    frame: Vec<u8>,
}

impl Spool {
    /// Opens the spool of a directory, or makes it there.
    ///
    /// # Errors
    /// When the directory cannot be used, another process has it, or it holds the spool of another source or
    /// build.
    pub fn open(config: &SpoolConfig) -> Result<Self, SpoolError> {
        Self::open_on(config, Arc::new(MachineDisk))
    }

    /// The same on a given disk.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(config: &SpoolConfig, disk: Arc<dyn Disk>) -> Result<Self, SpoolError> {
        let mut directory = Directory::open(&config.directory)?;
        let (mut segments, mut damages) = (VecDeque::new(), Vec::new());
        for path in directory.segments()? {
            match Segment::open(&path, &config.source_key)? {
                Some(segment) => segments.push_back(segment),
                // It was being made, or is damaged where it says whose it is: nothing behind that can be told
                // apart.
                None => damages.push(directory.discard(&path)?),
            }
        }
        let of_one = segments.front().map(|first: &Segment| first.head.spool);
        if let Some(stranger) = segments.iter().find(|segment| Some(segment.head.spool) != of_one) {
            return Err(SpoolError::Mixed { file: stranger.path.clone() });
        }
        if let Some(last) = segments.back_mut() {
            damages.extend(last.cut_torn_tail()?);
        }
        // A disk that was set back to an old copy has not the newest sessions; the clock is behind them all
        // the same.
        let newest = segments.iter().map(|segment| segment.head.session).max().unwrap_or_default();
        let session = newest.saturating_add(1).max(u64::try_from(config.opened_ms).unwrap_or_default());
        let head = SegmentHead {
            spool: of_one.unwrap_or(SpoolId(config.run)),
            session,
            run: config.run,
            source_key: config.source_key.clone(),
        };
        let bytes = segments.iter().map(|segment| segment.end).sum();
        let at = segments.front().map_or(0, |segment| segment.begin);
        Ok(Self {
            directory,
            disk,
            bytes_max: config.bytes_max,
            sync: config.sync,
            head,
            segments,
            at,
            first_end: None,
            number: 0,
            bytes,
            unsynced_since: None,
            damages,
            undeleted: Vec::new(),
            faults: Vec::new(),
            frame: Vec::new(),
        })
    }

    /// Which spool it is.
    pub fn id(&self) -> SpoolId {
        self.head.spool
    }

    /// Names a batch that goes to the log without having been appended, in its place behind those that were.
    pub fn name(&mut self) -> BatchId {
        self.number += 1;
        BatchId { run: self.head.run, session: self.head.session, number: self.number }
    }

    /// Appends a batch. `now` is by any clock that only goes forward.
    ///
    /// # Errors
    /// When there is no room for it, or the disk does not take it: then nothing of it is there.
    pub fn append(&mut self, payload: &[u8], now: Duration) -> Result<BatchId, Refusal> {
        if payload.len() > SPOOL_RECORD_BYTES_MAX {
            return Err(Refusal::Disk(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame::write(self.number + 1, payload, &mut frame);
        let outcome = self.write(&frame, now);
        self.frame = frame;
        outcome.map(|()| self.name())
    }

    fn write(&mut self, frame: &[u8], now: Duration) -> Result<(), Refusal> {
        let bytes = frame.len() as u64;
        if self.bytes + self.head.bytes_len() + bytes > self.bytes_max {
            self.forget_what_the_log_has().map_err(Refusal::Disk)?;
        }
        if self.bytes + self.head.bytes_len() + bytes > self.bytes_max {
            return Err(Refusal::Full);
        }
        let own = self.segments.back().filter(|last| last.head.run == self.head.run);
        if own.is_none_or(|last| !last.is_empty() && last.end + bytes > self.segment_bytes()) {
            let syncs = self.sync != SyncPolicy::Never;
            if let Some(full) = own.filter(|_| syncs) {
                self.disk.sync(&full.file).map_err(Refusal::Disk)?;
            }
            let segment = self.directory.create(&self.head, &*self.disk, syncs).map_err(Refusal::Disk)?;
            self.bytes += segment.end;
            if self.segments.is_empty() {
                self.at = segment.begin;
            }
            self.segments.push_back(segment);
        }
        let Some(last) = self.segments.back_mut() else { return Err(Refusal::Full) };
        let written = self.disk.write_at(&last.file, frame, last.end).and_then(|()| match self.sync {
            SyncPolicy::Always => self.disk.sync(&last.file),
            SyncPolicy::Never | SyncPolicy::Interval(_) => Ok(()),
        });
        if let Err(error) = written {
            // What may be there of it is written over by the next one, and cut when the spool is opened
            // again.
            let _ = last.file.set_len(last.end);
            return Err(Refusal::Disk(error));
        }
        last.end += bytes;
        self.bytes += bytes;
        self.unsynced_since.get_or_insert(now);
        Ok(())
    }

    /// Small spools have small segments: a segment is deleted as a whole.
    fn segment_bytes(&self) -> u64 {
        (self.bytes_max / 8).clamp(SPOOL_SEGMENT_BYTES_MIN, SPOOL_SEGMENT_BYTES)
    }

    /// Makes sure of what was written, where that is due and the log does not have it anyway.
    ///
    /// # Errors
    /// When the disk does not answer for it; it is tried again when it is due next.
    pub fn sync_when_due(&mut self, now: Duration) -> io::Result<()> {
        let SyncPolicy::Interval(interval) = self.sync else { return Ok(()) };
        if self.unsynced_since.is_none_or(|since| now.saturating_sub(since) < interval) {
            return Ok(());
        }
        // Those before it were made sure of when they were full.
        let Some(last) = self.segments.back() else { return Ok(()) };
        let outcome = self.disk.sync(&last.file);
        self.unsynced_since = outcome.is_err().then_some(now);
        outcome
    }

    /// The oldest batch that is not known to be in the log; none when there is none. It stays the oldest
    /// until it is [let go](Self::let_first_go).
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn first(&mut self) -> io::Result<Option<Spooled>> {
        loop {
            let Some(segment) = self.segments.front() else { return Ok(None) };
            match frame::read(&segment.file, self.at, segment.end)? {
                Found::End if self.segments.len() == 1 => return Ok(None),
                Found::End => self.leave_segment(),
                Found::Record { number, payload, end } => {
                    self.first_end = Some(end);
                    let SegmentHead { run, session, .. } = segment.head;
                    return Ok(Some(Spooled { id: BatchId { run, session, number }, payload }));
                }
                Found::Damaged { end } => {
                    let (file, from, bytes) = (segment.path.clone(), self.at, end - self.at);
                    self.damages.push(Damage { kind: DamageKind::Record, file, from, bytes });
                    self.at = end;
                }
            }
        }
    }

    /// The batch that was read as the oldest is in the log.
    ///
    /// # Errors
    /// When a file that is of no more use cannot be cut.
    pub fn let_first_go(&mut self) -> io::Result<()> {
        let Some(end) = self.first_end.take() else { return Ok(()) };
        self.at = end;
        if self.is_empty() {
            self.unsynced_since = None;
        }
        while self.segments.len() > 1 && self.segments.front().is_some_and(|first| self.at >= first.end) {
            self.leave_segment();
        }
        match self.segments.front() {
            Some(last) if self.is_empty() && last.end - last.begin > SPOOL_IDLE_BYTES => {
                self.forget_what_the_log_has()
            }
            _ => Ok(()),
        }
    }

    /// Cuts the last segment, where nothing of it is needed any more: what is written next takes its place,
    /// and the most of it never comes to the disk.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub fn forget_what_the_log_has(&mut self) -> io::Result<()> {
        if !self.is_empty() || self.segments.len() != 1 {
            return Ok(());
        }
        let Some(last) = self.segments.front_mut() else { return Ok(()) };
        last.file.set_len(last.begin)?;
        self.bytes -= last.end - last.begin;
        (last.end, self.at) = (last.begin, last.begin);
        Ok(())
    }

    /// Deletes the oldest segment, of which nothing is needed any more. There is a newer one. A file that
    /// cannot be deleted holds nothing up: it takes its room until that goes well with a later one, or
    /// whoever opens the spool next has read it to its end.
    fn leave_segment(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        self.at = self.segments.front().map_or(0, |next| next.begin);
        self.undeleted.push((segment.path, segment.end));
        let Self { undeleted, faults, bytes, .. } = self;
        undeleted.retain(|(path, length)| match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                faults.push(format!("{} cannot be deleted: {error}", path.display()));
                true
            }
            _ => {
                *bytes -= length;
                false
            }
        });
    }

    /// Whether no batch lies here that is not known to be in the log.
    pub fn is_empty(&self) -> bool {
        self.waiting_bytes() == 0
    }

    /// Bytes of the records that are not known to be in the log.
    pub fn waiting_bytes(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|segment| segment.end - segment.begin).sum();
        all - self.segments.front().map_or(0, |first| self.at - first.begin)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which files of no more use could not be deleted since the last call, and why.
    pub fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// What was found damaged and passed over since the last call.
    pub fn take_damages(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damages)
    }
}

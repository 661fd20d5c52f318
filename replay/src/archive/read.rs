//! An archive as a log that can be read and not written.

use super::manifest::{FileEntry, Manifest, sha256_of};
use super::{ArchiveError, file};
use std::collections::VecDeque;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_topology::log::{Log, LogError, Position, Reader, Writer};
use weir_topology::record::Records;
use weir_topology::topic::Topic;

/// An archive, read as the log that it was made from.
#[derive(Debug)]
pub struct ArchiveLog {
    archive: Arc<Archive>,
}

#[derive(Debug)]
struct Archive {
    directory: PathBuf,
    manifest: Manifest,
}

impl ArchiveLog {
    /// Opens the archive in a directory.
    pub fn open(directory: &Path) -> Result<Self, ArchiveError> {
        let Some(manifest) = Manifest::read(directory)? else {
            return Err(ArchiveError::Damaged {
                path: directory.to_owned(),
                reason: format!("there is no {} in it, so it is no archive", super::manifest::NAME),
            });
        };
        Ok(Self { archive: Arc::new(Archive { directory: directory.to_owned(), manifest }) })
    }

    /// Reads every file against its digest. `progress` is told of each file's bytes.
    pub fn check(&self, mut progress: impl FnMut(u64)) -> Result<(), ArchiveError> {
        for entry in &self.archive.manifest.files {
            self.archive.load(entry)?;
            progress(entry.bytes);
        }
        Ok(())
    }

    /// What the archive holds.
    pub fn manifest(&self) -> &Manifest {
        &self.archive.manifest
    }
}

impl Archive {
    /// The records of a file, which is what it was when it was written.
    fn load(&self, entry: &FileEntry) -> Result<Records, ArchiveError> {
        let path = entry.path(&self.directory);
        let damaged = |reason: String| ArchiveError::Damaged { path: path.clone(), reason };
        let size = fs::metadata(&path).map_err(ArchiveError::at(&path))?.len();
        if size != entry.bytes {
            return Err(damaged(format!("it has {size} bytes, and the manifest says {}", entry.bytes)));
        }
        let bytes = fs::read(&path).map_err(ArchiveError::at(&path))?;
        let found = sha256_of(&bytes);
        if found != entry.sha256 {
            return Err(damaged(format!("its SHA-256 is {found}, and the manifest says {}", entry.sha256)));
        }
        // A file that somebody made by hand ends the decoder in a panic, whose digest the manifest may well
        // name.
        let decoded =
            catch_unwind(|| file::decode(bytes)).map_err(|_| damaged("no archive wrote it".into()))?;
        let records = decoded.map_err(|error| damaged(error.to_string()))?;
        let covers = |offset: i64| (entry.from..entry.to).contains(&offset);
        let is_sound = records.len() as u64 == entry.records
            && records.iter().all(|record| covers(record.offset))
            && records.iter().zip(records.iter().skip(1)).all(|(one, next)| one.offset < next.offset);
        if is_sound {
            Ok(records)
        } else {
            Err(damaged("its records are not those that the manifest says".into()))
        }
    }

    fn check(&self, topic: Topic, partition: u32) -> Result<(), LogError> {
        if partition < topic.partitions(self.manifest.partitions) {
            return Ok(());
        }
        Err(LogError::Missing { topic: topic.name(), partition })
    }

    fn bounds(&self, topic: Topic, partition: u32) -> (i64, i64) {
        let mut files = self.manifest.of(topic, partition);
        let first = files.clone().next().map_or(0, |file| file.from);
        (first, files.next_back().map_or(first, |file| file.to))
    }
}

impl Log for ArchiveLog {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        Ok(topic.partitions(self.archive.manifest.partitions))
    }

    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.archive.check(topic, partition)?;
        Ok(self.archive.bounds(topic, partition))
    }

    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        let inputs = from.iter().map(|position| Input::open(&self.archive, *position));
        let inputs = inputs.collect::<Result<_, _>>()?;
        Ok(Box::new(ArchiveReader { archive: self.archive.clone(), inputs }))
    }

    fn writer(&self, _: &str) -> Result<Box<dyn Writer>, LogError> {
        Err(LogError::Storage { reason: "an archive is only read; `weir archive` writes it".into() })
    }
}

struct ArchiveReader {
    archive: Arc<Archive>,
    inputs: Vec<Input>,
}

struct Input {
    /// Files that are not read yet.
    files: VecDeque<FileEntry>,
    /// The file that is being read, how many of its records were taken, and the offset after it.
    records: Records,
    taken: usize,
    to: i64,
    next: i64,
}

impl Input {
    fn open(archive: &Archive, position: Position) -> Result<Self, LogError> {
        let Position { topic, partition, next } = position;
        archive.check(topic, partition)?;
        let (first, _) = archive.bounds(topic, partition);
        if next != 0 && next < first {
            return Err(LogError::Gone { topic: topic.name(), partition, wanted: next, first });
        }
        let files = archive.manifest.of(topic, partition).filter(|file| file.to > next).cloned().collect();
        Ok(Self { files, records: Records::default(), taken: 0, to: next, next })
    }

    /// Whether a record is there; reads on where one file is used up.
    fn is_ready(&mut self, archive: &Archive) -> Result<bool, LogError> {
        loop {
            if self.taken < self.records.len() {
                return Ok(true);
            }
            self.next = self.next.max(self.to);
            let Some(entry) = self.files.pop_front() else {
                // Nothing comes any more, however far somebody wants to read: the log may have gone on
                // unarchived.
                self.next = i64::MAX;
                return Ok(false);
            };
            self.records =
                archive.load(&entry).map_err(|error| LogError::Damaged { reason: error.to_string() })?;
            self.taken = self.records.iter().take_while(|record| record.offset < self.next).count();
            self.to = entry.to;
        }
    }
}

impl Reader for ArchiveReader {
    fn wait(&mut self, _: Duration) -> Result<bool, LogError> {
        // Nothing comes that is not there.
        let mut is_ready = false;
        for input in &mut self.inputs {
            is_ready |= input.is_ready(&self.archive)?;
        }
        Ok(is_ready)
    }

    fn take(
        &mut self,
        input: usize,
        records_max: usize,
        bytes_max: usize,
        into: &mut Records,
    ) -> Result<(), LogError> {
        let input = &mut self.inputs[input];
        let mut bytes = 0;
        for _ in 0..records_max {
            if !input.is_ready(&self.archive)? {
                break;
            }
            let Some(record) = input.records.get(input.taken) else { break };
            if bytes > 0 && bytes + record.bytes_len() > bytes_max {
                break;
            }
            bytes += record.bytes_len();
            into.push_ref(record);
            input.taken += 1;
            input.next = record.offset + 1;
        }
        Ok(())
    }

    fn next(&self, input: usize) -> i64 {
        self.inputs[input].next
    }
}

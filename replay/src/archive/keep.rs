//! Copies into an archive what it does not have yet.

use super::manifest::{FileEntry, Manifest, put, sha256_of};
use super::{ArchiveError, file, topics};
use crate::limits::ARCHIVE_FILE_BYTES_MAX;
use serde::Serialize;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::record::Records;
use weir_topology::topic::Topic;

/// Name of the file that whoever writes has locked.
const LOCK: &str = "lock";

/// Files after which the manifest is written besides at the end.
const MANIFEST_EVERY_FILES: u64 = 64;

/// What was archived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Records.
    pub records: u64,
    /// Files that were written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs of offsets that had passed their retention before they were archived.
    pub gaps: Vec<Gap>,
}

/// Offsets that the log no longer had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Topic.
    pub topic: &'static str,
    /// Partition.
    pub partition: u32,
    /// First offset that is missing.
    pub from: i64,
    /// First offset after it that was there.
    pub to: i64,
}

/// A partition, and what is to be copied of it.
struct Range {
    topic: Topic,
    partition: u32,
    from: i64,
    end: i64,
}

/// Copies everything that the log has and the archive has not. A file is there before the manifest names it,
/// so that what was not named when a run was killed is written again the next time. `progress` is told how
/// many records of how many were copied.
pub fn keep(
    log: &dyn Log,
    directory: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Kept, ArchiveError> {
    // Two that write the same files and one manifest would leave digests of the one beside bytes of the
    // other.
    let _lock = lock(directory)?;
    let partitions = log.partitions(Topic::Events)?;
    let mut manifest = Manifest::read(directory)?.unwrap_or_else(|| Manifest::new(partitions));
    if manifest.partitions != partitions {
        return Err(ArchiveError::OtherLog { archived: manifest.partitions, found: partitions });
    }
    let mut kept = Kept::default();
    let ranges = ranges(log, &manifest, &mut kept)?;
    let all: i64 = ranges.iter().map(|range| range.end - range.from).sum();
    let copied = ranges.iter().rev().try_for_each(|range| {
        copy(log, directory, &mut manifest, range, &mut kept, |records| progress(records, all as u64))
    });
    // An empty archive is one too, and what was copied before a failure need not be copied again.
    manifest.write(directory)?;
    copied.map(|()| kept)
}

/// The only one who writes, until it is dropped.
fn lock(directory: &Path) -> Result<File, ArchiveError> {
    let path = directory.join(LOCK);
    fs::create_dir_all(directory).map_err(ArchiveError::at(directory))?;
    let file = File::create(&path).map_err(ArchiveError::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Busy(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(ArchiveError::at(&path)(source)),
    }
}

fn ranges(log: &dyn Log, manifest: &Manifest, kept: &mut Kept) -> Result<Vec<Range>, ArchiveError> {
    let mut ranges = Vec::new();
    for topic in topics() {
        for partition in 0..log.partitions(topic)? {
            let (first, end) = log.bounds(topic, partition)?;
            let archived = manifest.end(topic, partition);
            if let Some(archived) = archived.filter(|archived| *archived > end) {
                return Err(ArchiveError::Behind { topic: topic.name(), partition, end, archived });
            }
            if let Some(from) = archived.filter(|archived| *archived < first) {
                kept.gaps.push(Gap { topic: topic.name(), partition, from, to: first });
            }
            let from = archived.unwrap_or(first).max(first);
            if from < end {
                ranges.push(Range { topic, partition, from, end });
            }
        }
    }
    Ok(ranges)
}

fn copy(
    log: &dyn Log,
    directory: &Path,
    manifest: &mut Manifest,
    range: &Range,
    kept: &mut Kept,
    mut progress: impl FnMut(u64),
) -> Result<(), ArchiveError> {
    let mut history = History::new(log, range.topic, range.partition, range.from, range.end)?;
    let (mut records, mut from) = (Records::default(), range.from);
    while let Some(batch) = history.next()? {
        for record in batch.iter() {
            if !records.is_empty() && records.bytes_len() + record.bytes_len() > ARCHIVE_FILE_BYTES_MAX {
                write(directory, manifest, range, (from, record.offset), &records, kept)?;
                from = record.offset;
                records.clear();
            }
            records.push_ref(record);
        }
        progress(batch.len() as u64);
    }
    // Offsets without records, of aborted commits or a topic that was emptied, are covered as well.
    write(directory, manifest, range, (from, range.end), &records, kept)
}

fn write(
    directory: &Path,
    manifest: &mut Manifest,
    range: &Range,
    (from, to): (i64, i64),
    records: &Records,
    kept: &mut Kept,
) -> Result<(), ArchiveError> {
    let mut entry = FileEntry {
        topic: range.topic.name().to_owned(),
        partition: range.partition,
        from,
        to,
        records: records.len() as u64,
        bytes: 0,
        sha256: String::new(),
    };
    let path = entry.path(directory);
    let bytes = file::encode(records)
        .map_err(|error| ArchiveError::Damaged { path: path.clone(), reason: error.to_string() })?;
    put(&path, &bytes)?;
    (entry.bytes, entry.sha256) = (bytes.len() as u64, sha256_of(&bytes));
    kept.records += entry.records;
    kept.files += 1;
    kept.bytes += entry.bytes;
    manifest.add(entry);
    // It names every file: not after each, or a year's archive would be written again and again.
    if kept.files.is_multiple_of(MANIFEST_EVERY_FILES) { manifest.write(directory) } else { Ok(()) }
}

//! What an archive holds: a file of its own, replaced as a whole, after the files that it names.

use super::ArchiveError;
use crate::limits::ARCHIVE_FILE_BYTES_READ_MAX;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use weir_schemas::Digest;
use weir_topology::limits::PARTITIONS_MAX;
use weir_topology::topic::Topic;

/// Name of the manifest in an archive's directory.
pub const NAME: &str = "manifest.json";

/// Version of the archive's layout.
const FORMAT: u32 = 1;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Partitions of the log's shared topics.
    pub partitions: u32,
    /// The files, in ascending order of topic, partition and offset.
    pub files: Vec<FileEntry>,
}

/// A file: the records of a partition in a run of offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name of the topic.
    pub topic: String,
    /// Partition of it.
    pub partition: u32,
    /// First offset that it covers.
    pub from: i64,
    /// First offset after it.
    pub to: i64,
    /// Records.
    pub records: u64,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

impl FileEntry {
    /// Where it is, in the archive's directory.
    pub fn path(&self, directory: &Path) -> PathBuf {
        directory
            .join(&self.topic)
            .join(self.partition.to_string())
            .join(format!("{:020}.parquet", self.from))
    }
}

impl Manifest {
    /// Of an empty archive.
    pub fn new(partitions: u32) -> Self {
        Self { format: FORMAT, partitions, files: Vec::new() }
    }

    /// Reads the manifest of a directory; none where there is none.
    pub fn read(directory: &Path) -> Result<Option<Self>, ArchiveError> {
        let path = directory.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ArchiveError::at(&path)(error)),
        };
        let damaged = |reason: String| ArchiveError::Damaged { path: path.clone(), reason };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!(
                "it is of layout {}, and this build reads {FORMAT}",
                manifest.format
            )));
        }
        manifest.check().map_err(damaged)?;
        Ok(Some(manifest))
    }

    /// Refuses what no archive says: it comes from a file, and names are made into paths.
    fn check(&self) -> Result<(), String> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            return Err(format!("no log has {} partitions", self.partitions));
        }
        for file in &self.files {
            let name = format!("{}/{} from {}", file.topic, file.partition, file.from);
            let Some(topic) = Topic::named(&file.topic).filter(|topic| !topic.is_compacted()) else {
                return Err(format!("{name}: no such topic is archived"));
            };
            if file.partition >= topic.partitions(self.partitions) {
                return Err(format!("{name}: the log has no such partition"));
            }
            if file.bytes > ARCHIVE_FILE_BYTES_READ_MAX {
                return Err(format!("{name}: no archive writes files of {} bytes", file.bytes));
            }
            if file.from < 0 || file.to <= file.from {
                return Err(format!("{name}: it covers nothing, up to {}", file.to));
            }
        }
        let follows = |pair: &[FileEntry]| {
            let place = |file: &FileEntry| (file.topic.clone(), file.partition);
            place(&pair[0]) < place(&pair[1])
                || (place(&pair[0]) == place(&pair[1]) && pair[0].to <= pair[1].from)
        };
        match self.files.windows(2).find(|pair| !follows(pair)) {
            Some(pair) => {
                Err(format!("{}/{} from {}: out of order", pair[1].topic, pair[1].partition, pair[1].from))
            }
            None => Ok(()),
        }
    }

    /// The files of a partition, in ascending order of offset.
    pub fn of(&self, topic: Topic, partition: u32) -> impl DoubleEndedIterator<Item = &FileEntry> + Clone {
        self.files.iter().filter(move |file| file.topic == topic.name() && file.partition == partition)
    }

    /// The offset after the last that is archived of a partition; none where nothing is.
    pub fn end(&self, topic: Topic, partition: u32) -> Option<i64> {
        self.of(topic, partition).next_back().map(|file| file.to)
    }

    /// Adds a file that is there.
    pub fn add(&mut self, file: FileEntry) {
        let place = |file: &FileEntry| (file.topic.clone(), file.partition, file.from);
        let at = self.files.partition_point(|known| place(known) < place(&file));
        self.files.insert(at, file);
    }

    /// Replaces the directory's manifest.
    pub fn write(&self, directory: &Path) -> Result<(), ArchiveError> {
        let path = directory.join(NAME);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| ArchiveError::Damaged { path: path.clone(), reason: error.to_string() })?;
        put(&path, &text)
    }
}

/// Writes a file that is there whole or not at all, whenever the machine stops.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        // The name is there only when the directory is.
        fs::File::open(directory)?.sync_all()
    };
    written().map_err(ArchiveError::at(path))
}

/// SHA-256 in hex.
pub(super) fn sha256_of(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

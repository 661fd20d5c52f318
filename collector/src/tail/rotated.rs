//! Where a file has gone that its path does not lead to any more.

use super::position::{FileId, FilePosition, beginning};
use crate::limits::DIRECTORY_ENTRIES_MAX;
use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file that was opened, with what the system says of it.
pub(super) struct Candidate {
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

/// Opens a regular file. Its metadata are those of the open file, so they cannot be another's.
pub(super) fn open(path: &Path) -> std::io::Result<Candidate> {
    // A pipe without a writer would block; a directory gives nothing to read.
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok(Candidate { file, metadata })
}

/// Whether the file begins as the position's did and is long enough.
pub(super) fn continues(candidate: &Candidate, position: &FilePosition) -> bool {
    candidate.metadata.len() >= position.offset
        && beginning(&candidate.file).is_ok_and(|bytes| position.head.begins(&bytes))
}

/// The file of `position` among the neighbours of `path`: the same file under another name, or a copy
/// of it that was made before it was truncated.
pub(super) fn find(path: &Path, position: &FilePosition) -> Option<Candidate> {
    let neighbours = neighbours(path);
    let renamed = neighbours.iter().find(|(_, metadata)| FileId::of(metadata) == position.id);
    if let Some(candidate) = renamed.and_then(|(path, _)| open(path).ok())
        && continues(&candidate, position)
        && Some(position.id) != path_id(path)
    {
        return Some(candidate);
    }
    // An empty head begins every file: nothing of it was read, so there is no copy to finish.
    if position.head.length == 0 {
        return None;
    }
    let current = path_id(path);
    neighbours
        .iter()
        .filter(|(_, metadata)| metadata.len() >= position.offset && Some(FileId::of(metadata)) != current)
        .filter_map(|(path, _)| open(path).ok())
        .find(|candidate| continues(candidate, position))
}

/// The file that was rotated away next after the one with this id and time: it was current, and is
/// not any more, while nobody was reading.
pub(super) fn next_after(path: &Path, finished: FileId, modified: SystemTime) -> Option<Candidate> {
    let current = path_id(path);
    let is_rotated = |name: &Path| {
        let (Some(name), Some(stem)) = (name.file_name(), path.file_name()) else { return false };
        let suffix = name.as_encoded_bytes().strip_prefix(stem.as_encoded_bytes()).unwrap_or_default();
        let [b'.' | b'-', digits @ ..] = suffix else { return false };
        !digits.is_empty() && digits.iter().all(|byte| byte.is_ascii_digit() || b"-_.T:Z".contains(byte))
    };
    let mut later: Vec<(SystemTime, PathBuf)> = neighbours(path)
        .into_iter()
        .filter(|(name, metadata)| {
            let id = FileId::of(metadata);
            is_rotated(name) && id != finished && Some(id) != current
        })
        .filter_map(|(name, metadata)| Some((metadata.modified().ok()?, name)))
        .filter(|(time, _)| *time > modified)
        .collect();
    later.sort();
    later.into_iter().find_map(|(_, name)| open(&name).ok())
}

fn path_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|metadata| FileId::of(&metadata))
}

/// The regular files of the path's directory, in the order of their names.
fn neighbours(path: &Path) -> Vec<(PathBuf, Metadata)> {
    // A symbolic link's target is rotated where it lies.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match real.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .take(DIRECTORY_ENTRIES_MAX)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let metadata = fs::metadata(&path).ok()?;
            metadata.is_file().then_some((path, metadata))
        })
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

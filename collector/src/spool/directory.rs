//! The directory of a spool: its owner's alone, and of one process at a time.

use super::damage::{Damage, DamageKind};
use super::disk::Disk;
use super::error::SpoolError;
use super::segment::{NO_LINK, Segment, SegmentHead};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use weir_topology::lock_file::{self, HoldError};

const LOCK: &str = "lock";

/// What names of segments end with; the rest is their number, in 16 hexadecimal digits.
const ENDING: &str = ".spool";

/// See the module.
pub(super) struct Directory {
    path: PathBuf,
    /// Number of the segment that is made next.
    next: u64,
    /// Held as long as the spool is open.
    _lock: File,
}

impl Directory {
    /// Makes it when it is not there, and takes it. One that others own is left as it is, because who can
    /// write there decides what goes to the log; and so is one that others may enter and that holds something
    /// else.
    pub(super) fn open(path: &Path) -> Result<Self, SpoolError> {
        let unusable = |source| SpoolError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let (metadata, ours) = (fs::metadata(path).map_err(unusable)?, rustix::process::geteuid().as_raw());
        let (directory, mode) = (path.to_owned(), metadata.mode() & 0o777);
        if metadata.uid() != ours {
            return Err(SpoolError::Owner { directory, theirs: metadata.uid(), ours });
        }
        if mode & 0o077 != 0 {
            if holds_others(path).map_err(unusable)? {
                return Err(SpoolError::Shared { directory, mode });
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        let lock = lock(path)?;
        Ok(Self { path: path.to_owned(), next: 1, _lock: lock })
    }

    /// The files of its segments, the oldest first.
    pub(super) fn segments(&mut self) -> Result<Vec<PathBuf>, SpoolError> {
        let unusable = |source| SpoolError::Unusable { path: self.path.clone(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unusable)? {
            let path = entry.map_err(unusable)?.path();
            if let Some(number) = number_of(&path) {
                self.next = self.next.max(number + 1);
                paths.push(path);
            }
        }
        paths.sort_unstable();
        Ok(paths)
    }

    /// Makes a segment behind all others.
    pub(super) fn create(&mut self, head: &SegmentHead, disk: &dyn Disk, syncs: bool) -> io::Result<Segment> {
        let path = self.path.join(format!("{:016x}{ENDING}", self.next));
        self.next += 1;
        let segment = Segment::create(&path, head, disk, syncs)?;
        if syncs && let Err(error) = File::open(&self.path).and_then(|directory| directory.sync_all()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(segment)
    }

    /// Deletes a file that is no segment.
    pub(super) fn discard(&self, path: &Path) -> Result<Damage, SpoolError> {
        let unusable = |source| SpoolError::Unusable { path: path.to_owned(), source };
        let bytes = fs::metadata(path).map_err(unusable)?.len();
        fs::remove_file(path).map_err(unusable)?;
        Ok(Damage { kind: DamageKind::Segment, file: path.to_owned(), from: 0, bytes })
    }
}

/// Whether a directory holds anything that is no spool's.
fn holds_others(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if number_of(&path).is_none() && path.file_name() != Some(LOCK.as_ref()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn number_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
    u64::from_str_radix(digits, 16).ok().filter(|number| digits.len() == 16 && *number < u64::MAX)
}

fn lock(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join(LOCK);
    let unusable = |source| SpoolError::Unusable { path: path.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NO_LINK);
    let file = options.open(&path).map_err(unusable)?;
    lock_file::hold(file).map_err(|error| match error {
        HoldError::Held(holder) => SpoolError::Held { directory: directory.to_owned(), holder },
        HoldError::File(source) => unusable(source),
    })
}

//! What a spool asks of the disk that may fail while it is in use. A test's disk may be full.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// See the module.
pub trait Disk: Send + Sync {
    /// Writes all of it from this byte of the file on.
    ///
    /// # Errors
    /// When it is not all written.
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Returns when what was written to the file outlasts a loss of power.
    ///
    /// # Errors
    /// When that cannot be said.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The machine's.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineDisk;

impl Disk for MachineDisk {
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

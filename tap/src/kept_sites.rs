//! Keeps where the probes of a library are to be placed: to find that out takes a search of all of its code.

use crate::placement::{EntryCause, Placement};
use crate::process::{Bio, Library};
use crate::sites::{Placing, Sites};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Most libraries whose sites are kept.
const LIBRARIES_MAX: usize = 64;

/// A file, and as it is now: whoever writes to it changes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileNow {
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Likewise, of its inode: what was modified can be set by its owner, this cannot.
    changed: (i64, i64),
}

impl FileNow {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What sites follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    library: FileNow,
    /// None where handshakes are not listened to.
    bio: Option<FileNow>,
    placing: Placing,
}

impl Key {
    /// None where a file cannot be found.
    fn of(library: &Library, placing: Placing) -> Option<Self> {
        let bio = match &library.bio {
            Bio::In(bio) => Some(FileNow::of(&bio.path)?),
            Bio::NotNeeded | Bio::Unknown(_) => None,
        };
        Some(Self { library: FileNow::of(&library.path)?, bio, placing })
    }
}

/// The sites of libraries, each looked for once for all processes that have it.
#[derive(Debug, Default)]
pub struct KeptSites(BTreeMap<Key, Sites>);

impl KeptSites {
    /// As [`Sites::of`].
    pub fn of(&mut self, library: &Library, placing: Placing) -> Sites {
        let key = Key::of(library, placing);
        if let Some(sites) = key.and_then(|key| self.0.get(&key)) {
            return sites.clone();
        }
        let sites = Sites::of(library, placing);
        // A file that was replaced meanwhile may not be the one that was searched; one that could not be read
        // may be the next time.
        let is_same = key == Key::of(library, placing);
        let is_read = sites.all().all(|site| site.placement != Placement::Entry(EntryCause::Unreadable));
        if let Some(key) = key.filter(|_| is_same && is_read) {
            if self.0.len() >= LIBRARIES_MAX {
                // Those that are still of use are found again.
                self.0.clear();
            }
            self.0.insert(key, sites.clone());
        }
        sites
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tempfile::TempDir;

    const ENTRIES: Placing = Placing { entry_only: true, may_be_call: false };
    const FREELY: Placing = Placing { entry_only: false, may_be_call: true };

    /// A library of its own, in a file that is this program.
    fn library(directory: &TempDir, name: &str) -> Library {
        let path = directory.path().join(name);
        fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        let symbols = BTreeSet::from(["SSL_free".to_owned()]);
        Library { name: name.to_owned(), path, is_deleted: false, symbols, bio: Bio::NotNeeded }
    }

    #[test]
    fn a_file_is_searched_once_until_it_is_another_or_is_asked_for_otherwise() {
        let directory = TempDir::new().unwrap();
        let mut kept = KeptSites::default();
        let mut first = library(&directory, "libssl.so.3");
        let sites = kept.of(&first, ENTRIES);
        assert_eq!(sites, Sites::of(&first, ENTRIES));
        // Nothing is asked of the file again: what is known of it now would give none.
        first.symbols.clear();
        assert_eq!(kept.of(&first, ENTRIES), sites);
        // By another name it is the same file.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&first.path, &link).unwrap();
        assert_eq!(kept.of(&Library { path: link, ..first.clone() }, ENTRIES), sites);
        assert!(kept.of(&first, Placing { may_be_call: true, ..ENTRIES }).messages.is_empty());
        assert!(kept.of(&library_without_symbols(&directory, "other"), ENTRIES).messages.is_empty());
        // Written to.
        let mut bytes = fs::read(&first.path).unwrap();
        bytes.push(0);
        fs::write(&first.path, bytes).unwrap();
        assert!(kept.of(&first, ENTRIES).messages.is_empty());
    }

    fn library_without_symbols(directory: &TempDir, name: &str) -> Library {
        Library { symbols: BTreeSet::new(), ..library(directory, name) }
    }

    #[test]
    fn what_cannot_be_read_is_not_kept_and_no_more_are_kept_than_the_bound() {
        let directory = TempDir::new().unwrap();
        let mut kept = KeptSites::default();
        let unreadable = library(&directory, "libssl.so.3");
        fs::write(&unreadable.path, "no library").unwrap();
        if cfg!(target_arch = "x86_64") {
            let sites = kept.of(&unreadable, FREELY);
            assert_eq!(sites.messages[0].placement, Placement::Entry(EntryCause::Unreadable));
            assert!(kept.0.is_empty());
        }
        let gone = Library { path: directory.path().join("gone"), ..unreadable.clone() };
        kept.of(&gone, ENTRIES);
        assert!(kept.0.is_empty());
        for number in 0..=LIBRARIES_MAX {
            let path = directory.path().join(number.to_string());
            fs::write(&path, "").unwrap();
            kept.of(&Library { path, ..unreadable.clone() }, ENTRIES);
        }
        assert_eq!(kept.0.len(), 1, "the last one, behind the bound");
    }
}

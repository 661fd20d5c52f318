//! The enforcer's output files on a disk that loses what was not synced, fills up, and on which a
//! process can die in the middle of a write.

use crate::log::Shared;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_enforcer::export::files::Files;

#[derive(Debug, Default, Clone)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

#[derive(Debug, Default)]
struct Content {
    files: BTreeMap<String, File>,
    /// What a file was before it was replaced, until the directory is synced.
    replaced: BTreeMap<String, Option<File>>,
}

/// A disk. It outlives the processes that write to it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Content>>);

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of a file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        self.lock().files.get(name).map(|file| file.bytes.clone()).unwrap_or_default()
    }

    /// The power goes: of what was not synced, only the first `kept_permille` of each file stays.
    pub fn cut_power(&self, kept_permille: u64) {
        let content = &mut *self.lock();
        for (name, before) in std::mem::take(&mut content.replaced) {
            match before {
                Some(before) => drop(content.files.insert(name, before)),
                None => drop(content.files.remove(&name)),
            }
        }
        for file in content.files.values_mut() {
            let unsynced = file.bytes.len().saturating_sub(file.synced);
            file.bytes.truncate(file.synced + unsynced * kept_permille as usize / 1_000);
            file.synced = file.bytes.len();
        }
    }
}

/// One process's way to the disk.
pub struct SimFiles {
    store: Shared,
    process: usize,
    disk: Disk,
}

impl SimFiles {
    /// The way of a process.
    pub fn new(store: &Shared, process: usize, disk: &Disk) -> Self {
        Self { store: store.clone(), process, disk: disk.clone() }
    }

    /// A step that changes something; how much of it is done before it fails, in thousandths.
    fn step(&self) -> Result<(), (io::Error, u64)> {
        let mut store = self.store.lock();
        if store.is_dead(self.process) {
            return Err((io::Error::other("this process is dead"), 0));
        }
        let done = store.draw(1_001);
        let crash = store.faults.crash_in_write;
        if store.draw(1_000) < crash {
            store.kill(self.process, "KILLWRITE");
            return Err((io::Error::other("killed in a write"), done));
        }
        if store.now_us < store.full_until_us {
            store.tell("FULL", || "the files cannot be written".into());
            return Err((io::ErrorKind::StorageFull.into(), done));
        }
        Ok(())
    }

    fn write_part(&self, name: &str, bytes: &[u8], is_anew: bool) -> io::Result<()> {
        let (outcome, part) = match self.step() {
            Ok(()) => (Ok(()), bytes.len()),
            Err((error, done)) => (Err(error), bytes.len() * done as usize / 1_001),
        };
        let mut content = self.disk.lock();
        let file = content.files.entry(name.to_owned()).or_default();
        if is_anew {
            *file = File::default();
        }
        file.bytes.extend_from_slice(&bytes[..part]);
        outcome
    }

    fn change(&self, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        self.step().map_err(|(error, _)| error)?;
        change(&mut self.disk.lock());
        Ok(())
    }
}

impl Files for SimFiles {
    fn length(&mut self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.disk.lock().files.get(name).map(|file| file.bytes.len() as u64))
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.disk.lock().files.get(name).map(|file| file.bytes.clone()))
    }

    fn whole_lines(&mut self, name: &str) -> io::Result<u64> {
        let bytes = self.disk.read(name);
        Ok(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.change(|content| {
            content.files.entry(name.to_owned()).or_default();
        })
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        // The real one syncs, and needs no room.
        if self.store.lock().is_dead(self.process) {
            return Err(io::Error::other("this process is dead"));
        }
        if let Some(file) = self.disk.lock().files.get_mut(name) {
            file.bytes.truncate(length as usize);
            file.synced = file.bytes.len();
        }
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_part(name, bytes, false)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.change(|content| {
            if let Some(file) = content.files.get_mut(name) {
                file.synced = file.bytes.len();
            }
        })
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_part(name, bytes, true)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(|content| {
            let before = content.files.get(to).cloned();
            content.replaced.entry(to.to_owned()).or_insert(before);
            if let Some(file) = content.files.remove(from) {
                content.files.insert(to.to_owned(), file);
            }
        })
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.change(|content| content.replaced.clear())
    }
}

//! Who was held on a tripwire within a day, on disk: a server that starts anew holds nobody on one twice.
//!
//! A file of records of one size, appended to before a hold takes effect: account, until when, and a checksum
//! of both. What is damaged or half written is passed over, and left out with what is over when the file is
//! written anew: when it is opened and has any of it, and when it is full. A full disk keeps nobody from
//! opening it: it is written anew before the next record then.

use crate::whole;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use weir_enforcer::limits::TRIPWIRE_RESTS_MAX;
use weir_schemas::AccountId;

/// The file.
const NAME: &str = "tripwire-rests";

/// What it begins with: what it is, and its version.
const HEAD: [u8; 8] = *b"WEIRRST1";

/// An account, a time in milliseconds, and a CRC-32 of both.
const RECORD_BYTES: usize = 16 + 8 + 4;

/// A file with as many records is written anew: half of them are over at least, because no more accounts rest
/// at once.
const RECORDS_MAX: u64 = 2 * TRIPWIRE_RESTS_MAX as u64;

/// The file.
pub struct Rests {
    directory: PathBuf,
    records_max: u64,
    file: Mutex<Tail>,
}

/// None of a file that must be written anew before anything is appended.
type Tail = Option<Whole>;

struct Whole {
    file: File,
    records: u64,
}

/// What a file said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Who rests, and until when.
    pub rests: Vec<(AccountId, i64)>,
    /// Records that are damaged, and one that is half written.
    pub damaged: u64,
    /// Why it could not be written anew, where it had to be.
    pub unwritten: Option<io::ErrorKind>,
    /// Whether the file has that and nothing else: nothing over, damaged, or said twice.
    is_tidy: bool,
}

impl Rests {
    /// Goes on with the file in this directory, which is made where there is none; and who rests at `now_ms`.
    ///
    /// # Errors
    /// When it cannot be read, or is of another build. That it cannot be written is none.
    pub fn open(directory: &Path, now_ms: i64) -> io::Result<(Self, Found)> {
        Self::open_with(directory, now_ms, RECORDS_MAX)
    }

    fn open_with(directory: &Path, now_ms: i64, records_max: u64) -> io::Result<(Self, Found)> {
        let mut found = read(directory, now_ms)?;
        let opened =
            if found.is_tidy { appended_to(directory, &found) } else { written_anew(directory, &found) };
        let file = Mutex::new(opened.map_err(|error| found.unwritten = Some(error.kind())).ok());
        Ok((Self { directory: directory.to_owned(), records_max, file }, found))
    }

    /// Notes that an account rests until then: the kernel has it when this returns. `now_ms` says who rests
    /// no longer.
    ///
    /// # Errors
    /// When it is not written. The next one is tried with the file written anew.
    pub fn note(&self, account: AccountId, until_ms: i64, now_ms: i64) -> io::Result<()> {
        let mut tail = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Records have one size: half of one would spoil all that follow. So what fails leaves no tail.
        let mut whole = match tail.take() {
            Some(whole) if whole.records < self.records_max => whole,
            _ => written_anew(&self.directory, &read(&self.directory, now_ms)?)?,
        };
        whole.file.write_all(&record(account, until_ms))?;
        whole.records += 1;
        *tail = Some(whole);
        Ok(())
    }
}

/// What the file says; nothing where there is none.
fn read(directory: &Path, now_ms: i64) -> io::Result<Found> {
    match fs::read(directory.join(NAME)) {
        Ok(bytes) => found_in(&bytes, now_ms),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::default()),
        Err(error) => Err(error),
    }
}

/// The file as it is, which has what was found and nothing else.
fn appended_to(directory: &Path, found: &Found) -> io::Result<Whole> {
    let file = OpenOptions::new().append(true).open(directory.join(NAME))?;
    Ok(Whole { file, records: found.rests.len() as u64 })
}

/// A file with these records, which takes the place of the one that was there.
fn written_anew(directory: &Path, found: &Found) -> io::Result<Whole> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut bytes = HEAD.to_vec();
    found.rests.iter().for_each(|(account, until_ms)| bytes.extend(record(*account, *until_ms)));
    whole::write(directory, NAME, &bytes, 0o600)?;
    appended_to(directory, found)
}

fn record(account: AccountId, until_ms: i64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let (said, checksum) = record.split_at_mut(RECORD_BYTES - 4);
    said[..16].copy_from_slice(&account.0);
    said[16..].copy_from_slice(&until_ms.to_be_bytes());
    checksum.copy_from_slice(&crc32fast::hash(said).to_be_bytes());
    record
}

/// What the bytes of a file say. One that is empty, or ends within its head, was never written.
fn found_in(bytes: &[u8], now_ms: i64) -> io::Result<Found> {
    let mut found = Found::default();
    let (head, mut rest) = bytes.split_at(bytes.len().min(HEAD.len()));
    if !HEAD.starts_with(head) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{NAME} is not of this build: move it away, and who was held on a tripwire may be once more"
            ),
        ));
    }
    let mut latest = std::collections::BTreeMap::new();
    let mut record = [0; RECORD_BYTES];
    while !rest.is_empty() {
        if rest.read_exact(&mut record).is_err() {
            found.damaged += 1;
            break;
        }
        let (said, checksum) = record.split_at(RECORD_BYTES - 4);
        let (Some((account, until)), Ok(checksum)) = (said.split_first_chunk(), checksum.try_into()) else {
            break;
        };
        let Ok(until) = until.try_into() else { break };
        if crc32fast::hash(said) != u32::from_be_bytes(checksum) {
            found.damaged += 1;
            continue;
        }
        latest.insert(AccountId(*account), i64::from_be_bytes(until));
    }
    latest.retain(|_, until_ms| now_ms < *until_ms);
    found.rests = latest.into_iter().collect();
    found.is_tidy = bytes.len() == HEAD.len() + found.rests.len() * RECORD_BYTES;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000;

    fn bytes_of(records: u64) -> u64 {
        HEAD.len() as u64 + records * RECORD_BYTES as u64
    }

    fn account(number: u8) -> AccountId {
        AccountId([number; 16])
    }

    fn opened(directory: &Path, now_ms: i64) -> Found {
        Rests::open(directory, now_ms).unwrap().1
    }

    #[test]
    fn who_rests_is_known_when_it_is_opened_again_until_that_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let (rests, found) = Rests::open(directory.path(), NOW_MS).unwrap();
        assert_eq!((found.rests, found.damaged, found.unwritten), (Vec::new(), 0, None));
        for (number, until_ms) in [(1, 5_000), (2, 2_000), (1, 6_000)] {
            rests.note(account(number), until_ms, NOW_MS).unwrap();
        }
        assert_eq!(opened(directory.path(), 1_999).rests, [(account(1), 6_000), (account(2), 2_000)]);
        assert_eq!(opened(directory.path(), 2_000).rests, [(account(1), 6_000)]);
        assert_eq!(
            fs::read(directory.path().join(NAME)).unwrap().len() as u64,
            bytes_of(1),
            "what is over is gone"
        );
    }

    #[test]
    fn wherever_its_end_was_lost_all_records_before_are_known_and_new_ones_follow_them() {
        for lost in 0..bytes_of(3) {
            let directory = tempfile::tempdir().unwrap();
            let (rests, _) = Rests::open(directory.path(), NOW_MS).unwrap();
            (1..=3).for_each(|number| rests.note(account(number), 5_000, NOW_MS).unwrap());
            let path = directory.path().join(NAME);
            let whole = bytes_of(3) - lost;
            OpenOptions::new().write(true).open(&path).unwrap().set_len(whole).unwrap();
            let (rests, found) = Rests::open(directory.path(), NOW_MS).unwrap();
            let kept = whole.saturating_sub(bytes_of(0)) / RECORD_BYTES as u64;
            let is_torn = whole > bytes_of(0) && !(whole - bytes_of(0)).is_multiple_of(RECORD_BYTES as u64);
            assert_eq!((found.rests.len() as u64, found.damaged), (kept, is_torn.into()), "{lost}");
            rests.note(account(9), 5_000, NOW_MS).unwrap();
            let found = opened(directory.path(), NOW_MS);
            assert_eq!((found.rests.len() as u64, found.damaged), (kept + 1, 0), "{lost}");
        }
    }

    #[test]
    fn a_record_with_a_changed_byte_is_passed_over_and_the_others_are_known() {
        for at in 0..RECORD_BYTES as u64 {
            let directory = tempfile::tempdir().unwrap();
            let (rests, _) = Rests::open(directory.path(), NOW_MS).unwrap();
            (1..=3).for_each(|number| rests.note(account(number), 5_000, NOW_MS).unwrap());
            let path = directory.path().join(NAME);
            let mut bytes = fs::read(&path).unwrap();
            bytes[(bytes_of(1) + at) as usize] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            let found = opened(directory.path(), NOW_MS);
            assert_eq!(found.rests, [(account(1), 5_000), (account(3), 5_000)], "byte {at}");
            assert_eq!(found.damaged, 1, "byte {at}");
        }
    }

    #[test]
    fn a_full_disk_keeps_nobody_from_opening_it_and_what_cannot_be_written_anew_is_when_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let (rests, _) = Rests::open(directory.path(), NOW_MS).unwrap();
        rests.note(account(1), 5_000, NOW_MS).unwrap();
        rests.note(account(2), 2_000, NOW_MS).unwrap();
        // Nothing can take this one's place.
        let new = whole::aside(directory.path(), NAME);
        fs::create_dir(&new).unwrap();
        let (rests, found) = Rests::open(directory.path(), NOW_MS).unwrap();
        assert_eq!((found.rests.len(), found.unwritten), (2, None), "it is not written anew");
        rests.note(account(3), 5_000, NOW_MS).unwrap();
        let (rests, found) = Rests::open(directory.path(), 2_000).unwrap();
        assert_eq!(found.rests, [(account(1), 5_000), (account(3), 5_000)]);
        assert_eq!(found.unwritten, Some(io::ErrorKind::AlreadyExists));
        rests.note(account(4), 5_000, 2_000).unwrap_err();
        fs::remove_dir(&new).unwrap();
        rests.note(account(4), 5_000, 2_000).unwrap();
        let known = opened(directory.path(), 2_000).rests;
        assert_eq!(known, [1, 3, 4].map(|number| (account(number), 5_000)));
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_with_what_to_do_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        fs::write(&path, "WEIRRST2 and more").unwrap();
        let refused = Rests::open(directory.path(), NOW_MS).err().unwrap().to_string();
        assert!(refused.contains("move it away"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"WEIRRST2 and more");
    }

    #[test]
    fn it_does_not_grow_for_good_and_forgets_nobody_who_rests_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let (rests, _) = Rests::open_with(directory.path(), NOW_MS, 8).unwrap();
        rests.note(account(1), 1_000_000, NOW_MS).unwrap();
        for number in 2..200 {
            let now_ms = i64::from(number) * 100;
            rests.note(account(number), now_ms + 200, now_ms).unwrap();
            let bytes = fs::metadata(directory.path().join(NAME)).unwrap().len();
            assert!(bytes <= bytes_of(8), "{bytes}");
        }
        let found = opened(directory.path(), 19_999);
        assert_eq!(
            found.rests,
            [account(1), account(198), account(199)].map(|of| (
                of,
                match of.0[0] {
                    1 => 1_000_000,
                    number => i64::from(number) * 100 + 200,
                }
            ))
        );
    }
}

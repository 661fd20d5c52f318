//! Who was held on a tripwire within a day, on disk: a server that starts anew holds nobody on one twice.
//!
//! A file of records of one size, appended to before a hold takes effect: account, until when, and a checksum
//! of both. What is half written is cut off when the file is opened, what is damaged is passed over, and what
//! is over is left out when it is written anew.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use weir_enforcer::limits::TRIPWIRE_RESTS_MAX;
use weir_schemas::AccountId;

/// The file.
const NAME: &str = "tripwire-rests";

/// Where it is written anew.
const NEW: &str = "tripwire-rests.new";

/// What it begins with: what it is, and its version.
const HEAD: [u8; 8] = *b"WEIRRST1";

/// An account, a time in milliseconds, and a CRC-32 of both.
const RECORD_BYTES: usize = 16 + 8 + 4;

/// A file with as many records is written anew: half of them are over at least, because no more accounts rest
/// at once.
const RECORDS_MAX: u64 = 2 * TRIPWIRE_RESTS_MAX as u64;

/// The file, and how many records it has.
pub struct Rests {
    directory: PathBuf,
    records_max: u64,
    file: Mutex<Tail>,
}

struct Tail {
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
}

impl Rests {
    /// Goes on with the file in this directory, which is made where there is none; and who rests at `now_ms`.
    ///
    /// # Errors
    /// When it can neither be read nor written, or is of another build.
    pub fn open(directory: &Path, now_ms: i64) -> io::Result<(Self, Found)> {
        Self::open_with(directory, now_ms, RECORDS_MAX)
    }

    fn open_with(directory: &Path, now_ms: i64, records_max: u64) -> io::Result<(Self, Found)> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let found = match fs::read(directory.join(NAME)) {
            Ok(bytes) => found_in(&bytes, now_ms)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::default(),
            Err(error) => return Err(error),
        };
        let file = Mutex::new(written_anew(directory, &found.rests)?);
        Ok((Self { directory: directory.to_owned(), records_max, file }, found))
    }

    /// Notes that an account rests until then: the kernel has it when this returns. `now_ms` says who rests
    /// no
    /// longer.
    ///
    /// # Errors
    /// When it is not written.
    pub fn note(&self, account: AccountId, until_ms: i64, now_ms: i64) -> io::Result<()> {
        let mut tail = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.records >= self.records_max {
            let found = found_in(&fs::read(self.directory.join(NAME))?, now_ms)?;
            *tail = written_anew(&self.directory, &found.rests)?;
        }
        let Tail { file, records } = &mut *tail;
        if let Err(error) = file.write_all(&record(account, until_ms)) {
            // Records have one size: half of one would spoil all that follow.
            *records = self.records_max;
            return Err(error);
        }
        *records += 1;
        Ok(())
    }
}

/// A file with these records, which takes the place of the one that was there.
fn written_anew(directory: &Path, rests: &[(AccountId, i64)]) -> io::Result<Tail> {
    let mut bytes = HEAD.to_vec();
    rests.iter().for_each(|(account, until_ms)| bytes.extend(record(*account, *until_ms)));
    let new = directory.join(NEW);
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(NAME))?;
    File::open(directory)?.sync_all()?;
    Ok(Tail { file, records: rests.len() as u64 })
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
        assert_eq!(found, Found::default());
        for (number, until_ms) in [(1, 5_000), (2, 2_000), (1, 6_000)] {
            rests.note(account(number), until_ms, NOW_MS).unwrap();
        }
        let of = |rests: &[(AccountId, i64)]| Found { rests: rests.to_vec(), damaged: 0 };
        assert_eq!(opened(directory.path(), 1_999), of(&[(account(1), 6_000), (account(2), 2_000)]));
        assert_eq!(opened(directory.path(), 2_000), of(&[(account(1), 6_000)]));
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
            let expected = Found { rests: vec![(account(1), 5_000), (account(3), 5_000)], damaged: 1 };
            assert_eq!(opened(directory.path(), NOW_MS), expected, "byte {at}");
        }
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

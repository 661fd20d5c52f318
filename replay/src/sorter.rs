//! Sorts events by epoch in bounded memory: sorted runs in temporary files, then a merge.

use crate::limits::SORT_BYTES_MAX;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// An event on its way through the sorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Lockstep epoch: the sort key.
    pub epoch: i64,
    /// Order of arrival: ties are broken by it, so that an account's order is kept.
    pub ordinal: u64,
    /// Timestamp of the record.
    pub timestamp_ms: i64,
    /// Key of the record.
    pub key: Vec<u8>,
    /// Payload of the record.
    pub payload: Vec<u8>,
}

impl Item {
    fn place(&self) -> (i64, u64) {
        (self.epoch, self.ordinal)
    }

    fn bytes_len(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.payload.len()
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.epoch.to_le_bytes())?;
        out.write_all(&self.ordinal.to_le_bytes())?;
        out.write_all(&self.timestamp_ms.to_le_bytes())?;
        for part in [&self.key, &self.payload] {
            out.write_all(&(part.len() as u32).to_le_bytes())?;
            out.write_all(part)?;
        }
        Ok(())
    }

    /// The next item of a run; none at its end.
    pub(crate) fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 24];
        match input.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            i64::from_le_bytes(bytes)
        };
        let mut part = || {
            let mut length = [0; 4];
            input.read_exact(&mut length)?;
            let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
            input.read_exact(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        let (key, payload) = (part()?, part()?);
        Ok(Some(Self { epoch: number(0), ordinal: number(8) as u64, timestamp_ms: number(16), key, payload }))
    }
}

/// Takes items in any order and gives them back by epoch and arrival.
pub struct Sorter {
    held: Vec<Item>,
    held_bytes: usize,
    bytes_max: usize,
    runs: Vec<File>,
}

impl Default for Sorter {
    fn default() -> Self {
        Self::with_bytes_max(SORT_BYTES_MAX)
    }
}

impl Sorter {
    /// A sorter that holds about this many bytes in memory.
    pub fn with_bytes_max(bytes_max: usize) -> Self {
        Self { held: Vec::new(), held_bytes: 0, bytes_max, runs: Vec::new() }
    }

    /// Takes an item.
    pub fn push(&mut self, item: Item) -> io::Result<()> {
        self.held_bytes += item.bytes_len();
        self.held.push(item);
        if self.held_bytes >= self.bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable_by_key(Item::place);
        let mut out = BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
        for item in self.held.drain(..) {
            item.write(&mut out)?;
        }
        self.held_bytes = 0;
        self.runs.push(out.into_inner().map_err(io::IntoInnerError::into_error)?);
        Ok(())
    }

    /// The items in order.
    pub fn finish(mut self) -> io::Result<Sorted> {
        self.held.sort_unstable_by_key(Item::place);
        let mut sources: Vec<Source> = vec![Source::Memory(self.held.into_iter())];
        for mut run in self.runs {
            run.seek(SeekFrom::Start(0))?;
            sources.push(Source::File(BufReader::with_capacity(1 << 18, run)));
        }
        let mut sorted = Sorted { heads: BinaryHeap::new(), items: Vec::new(), sources };
        for source in 0..sorted.sources.len() {
            sorted.items.push(None);
            sorted.advance(source)?;
        }
        Ok(sorted)
    }
}

enum Source {
    Memory(std::vec::IntoIter<Item>),
    File(BufReader<File>),
}

/// Items in order.
pub struct Sorted {
    heads: BinaryHeap<Reverse<((i64, u64), usize)>>,
    items: Vec<Option<Item>>,
    sources: Vec<Source>,
}

impl Sorted {
    fn advance(&mut self, source: usize) -> io::Result<()> {
        let next = match &mut self.sources[source] {
            Source::Memory(items) => items.next(),
            Source::File(file) => Item::read(file)?,
        };
        if let Some(item) = &next {
            self.heads.push(Reverse((item.place(), source)));
        }
        self.items[source] = next;
        Ok(())
    }

    /// Epoch of the next item.
    pub fn next_epoch(&self) -> Option<i64> {
        self.heads.peek().map(|Reverse(((epoch, _), _))| *epoch)
    }

    /// The next item.
    pub fn pop(&mut self) -> io::Result<Option<Item>> {
        let Some(Reverse((_, source))) = self.heads.pop() else { return Ok(None) };
        let item = self.items[source].take();
        self.advance(source)?;
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(epoch: i64, ordinal: u64) -> Item {
        let payload = vec![ordinal as u8; ordinal as usize % 97];
        Item { epoch, ordinal, timestamp_ms: epoch * 10, key: b"k".to_vec(), payload }
    }

    #[test]
    fn items_come_back_by_epoch_and_arrival_however_many_runs_were_spilled() {
        for bytes_max in [1, 500, 10_000, usize::MAX] {
            let mut sorter = Sorter::with_bytes_max(bytes_max);
            let mut expected: Vec<Item> =
                (0..1000).map(|ordinal| item((ordinal as i64 * 7919) % 31, ordinal)).collect();
            expected.iter().for_each(|item| sorter.push(item.clone()).unwrap());
            expected.sort_by_key(Item::place);
            let mut sorted = sorter.finish().unwrap();
            for item in expected {
                assert_eq!(sorted.next_epoch(), Some(item.epoch));
                assert_eq!(sorted.pop().unwrap(), Some(item));
            }
            assert_eq!((sorted.next_epoch(), sorted.pop().unwrap()), (None, None));
        }
    }
}

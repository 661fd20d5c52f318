//! Puts prepared commits into the tables, inside one transaction.

use super::layout::{BOUNDS, CHUNKS, LATEST, POSITIONS, TOMBSTONES, code};
use super::prepare::{Prepared, Run};
use super::store::fault;
use crate::log::LogError;
use crate::topic::Topic;
use redb::{ReadableTable, Table, WriteTransaction};
use std::collections::BTreeMap;

/// First offset that is kept, and offset after the last record, by partition.
pub(super) type Bounds = BTreeMap<(Topic, u32), (i64, i64)>;

/// Writes commits of these writers, in order. Gives the new bounds of what they touched.
pub(super) fn write<'a>(
    transaction: &WriteTransaction,
    commits: impl IntoIterator<Item = (&'a str, &'a Prepared)>,
) -> Result<Bounds, LogError> {
    let mut tables = Tables::open(transaction)?;
    let mut touched = Bounds::new();
    for (writer, commit) in commits {
        for run in &commit.runs {
            let at = (code(run.topic), run.partition);
            let bounds = match touched.get(&(run.topic, run.partition)) {
                Some(bounds) => *bounds,
                None => tables.bounds.get(at).map_err(fault)?.map_or((0, 0), |bounds| bounds.value()),
            };
            let end = tables.append(run, bounds.1)?;
            touched.insert((run.topic, run.partition), (bounds.0, end));
        }
        for position in &commit.positions {
            let at = (writer, code(position.topic), position.partition);
            tables.positions.insert(at, position.next).map_err(fault)?;
        }
    }
    for ((topic, partition), bounds) in &touched {
        tables.bounds.insert((code(*topic), *partition), *bounds).map_err(fault)?;
    }
    Ok(touched)
}

struct Tables<'t> {
    chunks: Table<'t, (u8, u32, i64), &'static [u8]>,
    bounds: Table<'t, (u8, u32), (i64, i64)>,
    latest: Table<'t, (u8, u32, &'static [u8]), i64>,
    tombstones: Table<'t, (u8, u32, i64), ()>,
    positions: Table<'t, (&'static str, u8, u32), i64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, LogError> {
        Ok(Self {
            chunks: transaction.open_table(CHUNKS).map_err(fault)?,
            bounds: transaction.open_table(BOUNDS).map_err(fault)?,
            latest: transaction.open_table(LATEST).map_err(fault)?,
            tombstones: transaction.open_table(TOMBSTONES).map_err(fault)?,
            positions: transaction.open_table(POSITIONS).map_err(fault)?,
        })
    }

    /// Appends a run from offset `next` on and gives the offset after it.
    fn append(&mut self, run: &Run, mut next: i64) -> Result<i64, LogError> {
        let (topic, partition) = (code(run.topic), run.partition);
        for chunk in &run.chunks {
            if let Some((key, is_tombstone)) = &chunk.keyed {
                let before = self.latest.insert((topic, partition, key.as_slice()), next).map_err(fault)?;
                let before = before.map(|offset| offset.value());
                if let Some(offset) = before {
                    self.chunks.remove((topic, partition, offset)).map_err(fault)?;
                    self.tombstones.remove((topic, partition, offset)).map_err(fault)?;
                }
                if *is_tombstone {
                    self.tombstones.insert((topic, partition, next), ()).map_err(fault)?;
                }
            }
            self.chunks.insert((topic, partition, next), chunk.bytes.as_slice()).map_err(fault)?;
            next += i64::from(chunk.count);
        }
        Ok(next)
    }
}

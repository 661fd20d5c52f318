//! Rows from records: the columns that are wanted, one array each.

use crate::column::{Cell, Kind};
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMillisecondBuilder,
};
use std::sync::Arc;
use weir_schemas::wire::{Wire, WireError};
use weir_topology::record::RecordRef;

/// Makes rows of records.
pub(crate) trait Fill: Send {
    /// Takes the rows of a record.
    fn push(&mut self, wire: &Wire, partition: u32, record: RecordRef<'_>) -> Result<(), WireError>;
    /// Rows that wait.
    fn rows(&self) -> usize;
    /// The rows that wait, column by column.
    fn finish(&mut self) -> Vec<ArrayRef>;
}

/// Rows of one kind.
pub(crate) struct Rows<K: Kind> {
    columns: Vec<Filled<K>>,
    rows: usize,
}

/// A column that is wanted, and what is in it so far.
enum Filled<K: Kind> {
    Text(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<std::borrow::Cow<'r, str>>, StringBuilder),
    Texts(for<'r, 'a> fn(&'r K::Row<'a>) -> Vec<std::borrow::Cow<'r, str>>, ListBuilder<StringBuilder>),
    Time(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<i64>, TimestampMillisecondBuilder),
    Int(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<i64>, Int64Builder),
    Real(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<f64>, Float64Builder),
    Flag(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<bool>, BooleanBuilder),
    Partition(Int64Builder),
    Offset(Int64Builder),
}

impl<K: Kind> Rows<K> {
    /// None yet; `wanted` are the columns by their number.
    pub(crate) fn new(wanted: &[usize]) -> Self {
        let all = K::columns();
        let filled = |number: &usize| match all.get(*number).map(|column| &column.cell) {
            Some(Cell::Text(cell)) => Filled::Text(*cell, StringBuilder::new()),
            Some(Cell::Texts(cell)) => Filled::Texts(*cell, ListBuilder::new(StringBuilder::new())),
            Some(Cell::Time(cell)) => {
                Filled::Time(*cell, TimestampMillisecondBuilder::new().with_timezone("UTC"))
            }
            Some(Cell::Int(cell)) => Filled::Int(*cell, Int64Builder::new()),
            Some(Cell::Real(cell)) => Filled::Real(*cell, Float64Builder::new()),
            Some(Cell::Flag(cell)) => Filled::Flag(*cell, BooleanBuilder::new()),
            None if *number == all.len() => Filled::Partition(Int64Builder::new()),
            None => Filled::Offset(Int64Builder::new()),
        };
        Self { columns: wanted.iter().map(filled).collect(), rows: 0 }
    }
}

impl<K: Kind> Fill for Rows<K> {
    fn push(&mut self, wire: &Wire, partition: u32, record: RecordRef<'_>) -> Result<(), WireError> {
        // A tombstone says nothing.
        let Some(payload) = record.payload else { return Ok(()) };
        let Self { columns, rows } = self;
        K::each(wire, record, payload, &mut |row| {
            *rows += 1;
            columns.iter_mut().for_each(|column| column.push(row, partition, record.offset));
        })
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        self.columns.iter_mut().map(Filled::finish).collect()
    }
}

impl<K: Kind> Filled<K> {
    fn push(&mut self, row: &K::Row<'_>, partition: u32, offset: i64) {
        match self {
            Self::Text(cell, into) => into.append_option(cell(row)),
            Self::Texts(cell, into) => into.append_value(cell(row).into_iter().map(Some)),
            Self::Time(cell, into) => into.append_option(cell(row)),
            Self::Int(cell, into) => into.append_option(cell(row)),
            Self::Real(cell, into) => into.append_option(cell(row)),
            Self::Flag(cell, into) => into.append_option(cell(row)),
            Self::Partition(into) => into.append_value(partition.into()),
            Self::Offset(into) => into.append_value(offset),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(_, column) => Arc::new(column.finish()),
            Self::Texts(_, column) => Arc::new(column.finish()),
            Self::Time(_, column) => Arc::new(column.finish()),
            Self::Int(_, column) | Self::Partition(column) | Self::Offset(column) => {
                Arc::new(column.finish())
            }
            Self::Real(_, column) => Arc::new(column.finish()),
            Self::Flag(_, column) => Arc::new(column.finish()),
        }
    }
}

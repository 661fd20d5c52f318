//! A table for people: a heading, and columns as wide as what is in them.

use super::unwritten;
use crate::engine::Sink;
use crate::error::QueryError;
use crate::limits::{CELL_CHARS_MAX, TABLE_ROWS_MAX};
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Gathers rows until it is known how wide they are.
pub(super) struct Table<W> {
    out: W,
    heading: Vec<String>,
    /// Whether a column has numbers, which stand to the right.
    is_number: Vec<bool>,
    rows: Vec<Vec<String>>,
    has_more: bool,
}

impl<W: Write> Table<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, heading: Vec::new(), is_number: Vec::new(), rows: Vec::new(), has_more: false }
    }

    fn line(&mut self, cells: &[String], widths: &[usize]) -> Result<(), QueryError> {
        let mut line = String::new();
        for ((cell, width), is_number) in cells.iter().zip(widths).zip(&self.is_number) {
            line += &match is_number {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:<width$}  "),
            };
        }
        Ok(writeln!(self.out, "{}", line.trim_end())?)
    }
}

impl<W: Write + Send> Sink for Table<W> {
    fn begin(&mut self, schema: SchemaRef) -> Result<(), QueryError> {
        self.heading = schema.fields().iter().map(|field| shown(field.name())).collect();
        self.is_number = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        Ok(())
    }

    fn take(&mut self, rows: &RecordBatch) -> Result<ControlFlow<()>, QueryError> {
        let options = options().with_null("null");
        let cells = formatters(rows, &options)?;
        for row in 0..rows.num_rows() {
            if self.rows.len() == TABLE_ROWS_MAX {
                self.has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            let texts = cells.iter().map(|cell| cell.value(row).try_to_string());
            let texts = texts.collect::<Result<Vec<_>, _>>().map_err(unwritten)?;
            self.rows.push(texts.iter().map(|text| shown(text)).collect());
        }
        Ok(ControlFlow::Continue(()))
    }

    fn end(&mut self) -> Result<(), QueryError> {
        let (heading, rows) = (std::mem::take(&mut self.heading), std::mem::take(&mut self.rows));
        let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
        for row in &rows {
            widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
        }
        self.line(&heading, &widths)?;
        for row in &rows {
            self.line(row, &widths)?;
        }
        if self.has_more {
            writeln!(
                self.out,
                "… and more than these {TABLE_ROWS_MAX} rows: --format csv, json or parquet has them all"
            )?;
        }
        Ok(())
    }
}

/// A cell as a terminal may be given it: what a client sent moves no cursor, and fills no screen.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (number, character) in text.chars().enumerate() {
        if number == CELL_CHARS_MAX {
            shown.push('…');
            break;
        }
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

fn options() -> FormatOptions<'static> {
    FormatOptions::new().with_display_error(false)
}

fn formatters<'a>(
    rows: &'a RecordBatch,
    options: &FormatOptions<'a>,
) -> Result<Vec<ArrayFormatter<'a>>, QueryError> {
    let each = rows.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), options));
    each.collect::<Result<_, _>>().map_err(unwritten)
}

/// The same rows with lists as the text that a table shows of them, for formats that know no lists.
pub(super) fn as_texts(rows: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let options = options();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if !matches!(
            field.data_type(),
            DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..)
        ) {
            columns.push(column.clone());
            fields.push(field.as_ref().clone());
            continue;
        }
        let cells = ArrayFormatter::try_new(column.as_ref(), &options).map_err(unwritten)?;
        let text = |row| match column.is_null(row) {
            true => Ok(None),
            false => cells.value(row).try_to_string().map(Some),
        };
        let texts = (0..rows.num_rows()).map(text).collect::<Result<Vec<_>, _>>().map_err(unwritten)?;
        columns.push(Arc::new(StringArray::from(texts)));
        fields.push(Field::new(field.name(), DataType::Utf8, true));
    }
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(unwritten)
}

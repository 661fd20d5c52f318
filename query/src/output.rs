//! How an answer is written: a table for people, CSV, JSON lines or Parquet.
//!
//! A table has to be whole before its columns have a width, so it has a bound of rows; the others are written
//! as rows come. A file is there whole or not at all.

mod file;
mod outlet;
mod table;

pub use file::AnswerFile;

use crate::engine::Sink;
use crate::error::QueryError;
use crate::limits::GROUP_BYTES_MAX;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::json::writer::{LineDelimited, Writer as JsonWriter, WriterBuilder as JsonBuilder};
use outlet::{Failure, Outlet, Traced};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Write;
use std::ops::ControlFlow;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people to read, at most [`TABLE_ROWS_MAX`](crate::limits::TABLE_ROWS_MAX) rows.
    Table,
    /// CSV with a heading; null is an empty field, lists are as in tables.
    Csv,
    /// A JSON object a line; null is null.
    Json,
    /// Parquet, compressed by Zstandard.
    Parquet,
}

impl Format {
    /// Writes an answer to `out`, which is to be flushed afterwards.
    pub fn sink<'o>(self, out: &'o mut (dyn Write + Send)) -> Box<dyn Sink + 'o> {
        let failure = Failure::default();
        let out = Outlet::new(out, failure.clone());
        let sink: Box<dyn Sink + 'o> = match self {
            Self::Table => Box::new(table::Table::new(out)),
            Self::Csv => Box::new(Csv(csv::WriterBuilder::new().build(out))),
            Self::Json => Box::new(Json(JsonBuilder::new().with_explicit_nulls(true).build(out))),
            Self::Parquet => Box::new(Parquet { out: Some(out), writer: None }),
        };
        Box::new(Traced::new(sink, failure))
    }
}

fn unwritten(error: impl Display) -> QueryError {
    QueryError::Encode(error.to_string())
}

/// Refuses two columns of one name, of which a reader by name would see one.
fn each_has_its_name(schema: &SchemaRef) -> Result<(), QueryError> {
    let mut names = BTreeSet::new();
    match schema.fields().iter().find(|field| !names.insert(field.name())) {
        Some(field) => Err(QueryError::TwoOfOneName(field.name().clone())),
        None => Ok(()),
    }
}

struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write + Send> Sink for Csv<W> {
    fn begin(&mut self, schema: SchemaRef) -> Result<(), QueryError> {
        // The heading, where there are no rows too.
        self.0.write(&table::as_texts(&RecordBatch::new_empty(schema))?).map_err(unwritten)
    }

    fn take(&mut self, rows: &RecordBatch) -> Result<ControlFlow<()>, QueryError> {
        self.0.write(&table::as_texts(rows)?).map_err(unwritten)?;
        Ok(ControlFlow::Continue(()))
    }

    fn end(&mut self) -> Result<(), QueryError> {
        Ok(())
    }
}

struct Json<W: Write>(JsonWriter<W, LineDelimited>);

impl<W: Write + Send> Sink for Json<W> {
    fn begin(&mut self, schema: SchemaRef) -> Result<(), QueryError> {
        each_has_its_name(&schema)
    }

    fn take(&mut self, rows: &RecordBatch) -> Result<ControlFlow<()>, QueryError> {
        self.0.write(rows).map_err(unwritten)?;
        Ok(ControlFlow::Continue(()))
    }

    fn end(&mut self) -> Result<(), QueryError> {
        self.0.finish().map_err(unwritten)
    }
}

struct Parquet<W: Write + Send> {
    out: Option<W>,
    writer: Option<ArrowWriter<W>>,
}

impl<W: Write + Send> Sink for Parquet<W> {
    fn begin(&mut self, schema: SchemaRef) -> Result<(), QueryError> {
        each_has_its_name(&schema)?;
        let level = ZstdLevel::try_new(3).map_err(unwritten)?;
        let properties = WriterProperties::builder()
            .set_created_by("weir".to_owned())
            .set_compression(Compression::ZSTD(level))
            .build();
        if let Some(out) = self.out.take() {
            self.writer = Some(ArrowWriter::try_new(out, schema, Some(properties)).map_err(unwritten)?);
        }
        Ok(())
    }

    fn take(&mut self, rows: &RecordBatch) -> Result<ControlFlow<()>, QueryError> {
        if let Some(writer) = &mut self.writer {
            writer.write(rows).map_err(unwritten)?;
            if writer.in_progress_size() >= GROUP_BYTES_MAX {
                writer.flush().map_err(unwritten)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn end(&mut self) -> Result<(), QueryError> {
        match self.writer.take() {
            Some(writer) => writer.close().map(drop).map_err(unwritten),
            None => Ok(()),
        }
    }
}

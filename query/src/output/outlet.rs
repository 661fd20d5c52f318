//! Where an answer goes, which remembers why it could not be written: some of the libraries that encode it
//! hand on words alone.

use crate::engine::Sink;
use crate::error::QueryError;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The first error of a writer.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<io::Error>>>);

/// A writer that notes its first error.
pub(super) struct Outlet<W> {
    out: W,
    failure: Failure,
}

/// A sink whose errors are those of the writer that it writes to, where that has failed.
pub(super) struct Traced<'o> {
    sink: Box<dyn Sink + 'o>,
    failure: Failure,
}

impl Failure {
    fn lock(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            if error.kind() == ErrorKind::Interrupted {
                return error;
            }
            let told = io::Error::new(error.kind(), error.to_string());
            self.lock().get_or_insert(error);
            told
        })
    }

    fn instead_of(&self, error: QueryError) -> QueryError {
        self.lock().take().map_or(error, QueryError::Write)
    }
}

impl<W> Outlet<W> {
    pub(super) fn new(out: W, failure: Failure) -> Self {
        Self { out, failure }
    }
}

impl<W: Write> Write for Outlet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.failure.note(self.out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.note(self.out.flush())
    }
}

impl<'o> Traced<'o> {
    pub(super) fn new(sink: Box<dyn Sink + 'o>, failure: Failure) -> Self {
        Self { sink, failure }
    }
}

impl Sink for Traced<'_> {
    fn begin(&mut self, schema: SchemaRef) -> Result<(), QueryError> {
        self.sink.begin(schema).map_err(|error| self.failure.instead_of(error))
    }

    fn take(&mut self, rows: &RecordBatch) -> Result<ControlFlow<()>, QueryError> {
        self.sink.take(rows).map_err(|error| self.failure.instead_of(error))
    }

    fn end(&mut self) -> Result<(), QueryError> {
        self.sink.end().map_err(|error| self.failure.instead_of(error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use std::error::Error as _;

    /// Nobody reads it.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(32))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whatever_encodes_an_answer_that_nobody_reads_any_more_its_error_says_so_to_programs() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let rows =
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
            let mut gone = Gone;
            let mut sink = format.sink(&mut gone);
            let outcome = sink.begin(schema.clone());
            let outcome = outcome.and_then(|()| sink.take(&rows)).and_then(|_| sink.end());
            let error = outcome.unwrap_err();
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.map(io::Error::kind), Some(ErrorKind::BrokenPipe), "{format:?}: {error}");
            assert_eq!(source.and_then(io::Error::raw_os_error), Some(32), "{format:?}");
        }
    }
}

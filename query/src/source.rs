//! A table of the log as SQL reads it: its records, partition by partition in the order of their offsets, in
//! batches.
//!
//! One thread reads and decodes while the query works on what it read before; no more than a few batches
//! wait. The order is always the same, so that the same query of the same log has the same answer, without
//! `ORDER BY` too.

use crate::error::QueryError;
use crate::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, BATCHES_WAITING_MAX};
use crate::progress::Progress;
use crate::tables::Table;
use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_topology::history::History;
use weir_topology::log::{Log, LogError};

/// What every table reads from.
pub(crate) struct Source {
    pub log: Arc<dyn Log>,
    pub wire: Arc<Wire>,
    pub progress: Arc<Progress>,
}

/// A table of it.
pub(crate) struct LogTable {
    source: Arc<Source>,
    table: Arc<dyn Table>,
    schema: SchemaRef,
}

impl LogTable {
    /// The table, over what the source holds.
    pub(crate) fn new(source: Arc<Source>, table: Arc<dyn Table>) -> Self {
        let schema = table.schema();
        Self { source, table, schema }
    }
}

impl fmt::Debug for LogTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogTable").field(&self.table.name()).finish()
    }
}

#[async_trait]
impl TableProvider for LogTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&wanted)?);
        let scan =
            Scan { source: self.source.clone(), table: self.table.clone(), wanted, schema: schema.clone() };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(scan)], None, [], false, limit)?))
    }
}

/// One reading of a table: the columns that are wanted, of every record.
#[derive(Clone)]
struct Scan {
    source: Arc<Source>,
    table: Arc<dyn Table>,
    wanted: Vec<usize>,
    schema: SchemaRef,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scan").field(&self.table.name()).field(&self.wanted).finish()
    }
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), BATCHES_WAITING_MAX);
        let (to, scan) = (stream.tx(), self.clone());
        stream.spawn_blocking(move || {
            scan.read(&mut |batch| match to.blocking_send(Ok(batch)) {
                Ok(()) => ControlFlow::Continue(()),
                // Nobody wants more.
                Err(_) => ControlFlow::Break(()),
            })
            .map_err(|error| DataFusionError::External(Box::new(error)))
        });
        stream.build()
    }
}

impl Scan {
    /// Reads what there is now, batch by batch.
    fn read(&self, take: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>) -> Result<(), QueryError> {
        let Source { log, wire, progress } = self.source.as_ref();
        let topic = self.table.topic();
        let bounds = |partition| log.bounds(topic, partition).map(|(first, end)| (partition, first, end));
        let ranges = (0..log.partitions(topic)?).map(bounds).collect::<Result<Vec<_>, LogError>>()?;
        progress.expect(ranges.iter().map(|(_, first, end)| end - first).sum());
        let mut rows = self.table.fill(&self.wanted);
        let mut bytes = 0;
        for (partition, first, end) in ranges {
            let mut history = History::new(log.as_ref(), topic, partition, first, end)?;
            let mut read = first;
            while let Some(records) = history.next()? {
                for record in records.iter() {
                    progress.read(record.offset + 1 - read)?;
                    read = record.offset + 1;
                    if rows.push(wire, partition, record).is_err() {
                        progress.unreadable();
                    }
                    bytes += record.bytes_len();
                    let is_full = rows.rows() >= BATCH_ROWS_MAX || bytes >= BATCH_BYTES_MAX;
                    if is_full && rows.rows() > 0 {
                        bytes = 0;
                        if take(self.batch(rows.as_mut())?).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            progress.read(end - read)?;
        }
        if rows.rows() > 0 {
            let _ = take(self.batch(rows.as_mut())?);
        }
        Ok(())
    }

    fn batch(&self, rows: &mut dyn crate::fill::Fill) -> Result<RecordBatch, QueryError> {
        // A query that only counts wants no column, and the number of rows all the same.
        let options = RecordBatchOptions::new().with_row_count(Some(rows.rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), rows.finish(), &options)
            .map_err(|error| QueryError::Engine(error.to_string()))
    }
}

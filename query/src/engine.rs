//! A query from its text to the batches of its answer.

use crate::error::QueryError;
use crate::limits::{BATCH_ROWS_MAX, MEMORY_BYTES_MAX, MERGE_RESERVE, SPILL_BYTES_MAX, STACK_BYTES};
use crate::progress::Progress;
use crate::source::{LogTable, Source};
use crate::{sql, tables};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures_util::StreamExt as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

/// Takes an answer.
pub trait Sink: Send {
    /// Its columns, before anything else.
    fn begin(&mut self, schema: SchemaRef) -> Result<(), QueryError>;
    /// Its next rows; whoever has enough breaks.
    fn take(&mut self, rows: &RecordBatch) -> Result<ControlFlow<()>, QueryError>;
    /// There are no more.
    fn end(&mut self) -> Result<(), QueryError>;
}

/// Answers queries over a log.
pub struct Engine {
    source: Arc<Source>,
    has_tables_of_now: bool,
    memory_bytes_max: usize,
    spill_directory: Option<PathBuf>,
}

impl Engine {
    /// Over a log, or an archive as one, which has no tables of how things stand now.
    pub fn new(log: Arc<dyn Log>, wire: Arc<Wire>, is_archive: bool, progress: Arc<Progress>) -> Self {
        let source = Arc::new(Source { log, wire, progress });
        Self {
            source,
            has_tables_of_now: !is_archive,
            memory_bytes_max: MEMORY_BYTES_MAX,
            spill_directory: None,
        }
    }

    /// With another bound of memory, in bytes.
    pub fn with_memory(mut self, bytes_max: usize) -> Self {
        self.memory_bytes_max = bytes_max;
        self
    }

    /// With a directory for what does not fit into memory, which is the caller's to remove.
    pub fn with_spill_directory(mut self, directory: &Path) -> Self {
        self.spill_directory = Some(directory.to_owned());
        self
    }

    /// Answers a query. It runs in a thread of its own and is read, a batch at a time, into `sink`.
    ///
    /// # Errors
    /// Says what is wrong with the query, or what failed.
    pub fn answer(&self, sql: &str, sink: &mut dyn Sink) -> Result<(), QueryError> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("query".into()).stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(|error| QueryError::Engine(error.to_string()))?.block_on(self.run(sql, sink))
            });
            let thread = thread.map_err(|error| QueryError::Engine(error.to_string()))?;
            thread
                .join()
                .unwrap_or_else(|_| Err(QueryError::Engine("the engine failed; this is its fault".into())))
        })
    }

    async fn run(&self, sql: &str, sink: &mut dyn Sink) -> Result<(), QueryError> {
        let failed = |error| sql::failed(&error, self.memory_bytes_max);
        let tables = tables::all();
        let names: Vec<&str> = tables.iter().map(|table| table.name()).collect();
        let statement = sql::statement(sql, &names)?;
        let context = self.context().map_err(failed)?;
        let state = context.state();
        let asked = state.resolve_table_references(&statement).map_err(failed)?;
        for table in tables.into_iter().filter(|table| asked.iter().any(|name| name.table() == table.name()))
        {
            if table.topic().is_compacted() && !self.has_tables_of_now {
                return Err(QueryError::NotArchived(table.name()));
            }
            let name = table.name();
            context
                .register_table(name, Arc::new(LogTable::new(self.source.clone(), table)))
                .map_err(failed)?;
        }
        let plan = context.state().statement_to_plan(statement).await.map_err(failed)?;
        // What a SELECT can hide: SELECT INTO, WITH … INSERT.
        let reads_only =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reads_only.verify_plan(&plan).map_err(|_| QueryError::Refused { what: "what writes".into() })?;
        let answer = context.execute_logical_plan(plan).await.map_err(failed)?;
        let mut rows = answer.execute_stream().await.map_err(failed)?;
        sink.begin(rows.schema())?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            self.source.progress.read(0)?;
            if sink.take(&batch)?.is_break() {
                break;
            }
        }
        sink.end()
    }

    /// An engine that has no tables yet, and nowhere to read files from.
    fn context(&self) -> datafusion::common::Result<SessionContext> {
        let config = SessionConfig::new()
            // One order of rows, whatever machine it runs on.
            .with_target_partitions(1)
            .with_batch_size(BATCH_ROWS_MAX)
            .with_information_schema(false)
            .with_sort_spill_reservation_bytes(self.memory_bytes_max / MERGE_RESERVE);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(self.memory_bytes_max, 1.0)
            .with_max_temp_directory_size(SPILL_BYTES_MAX);
        let runtime = match &self.spill_directory {
            Some(directory) => runtime.with_temp_file_path(directory),
            None => runtime,
        };
        Ok(SessionContext::new_with_config_rt(config, runtime.build_arc()?))
    }
}

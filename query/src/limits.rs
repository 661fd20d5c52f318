//! Every bound of a query, in one place.

/// Most bytes that sorting, joining and grouping hold in memory together.
pub const MEMORY_BYTES_MAX: usize = 512 << 20;

/// Most bytes that they put aside in temporary files when memory is used up.
pub const SPILL_BYTES_MAX: u64 = 8 << 30;

/// Of the memory, the part that is kept free for merging what was put aside: one in so many.
pub const MERGE_RESERVE: usize = 8;

/// Most rows that go through the query at once.
pub const BATCH_ROWS_MAX: usize = 4_096;

/// Bytes of records after which rows go on, however few they are.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Batches that may wait between the thread that reads a table and the query.
pub const BATCHES_WAITING_MAX: usize = 2;

/// Longest text of a query, in bytes.
pub const SQL_BYTES_MAX: usize = 64 << 10;

/// Most words and signs of a query. As deep as one that has nothing but operators is what its plan is walked
/// through.
pub const SQL_TOKENS_MAX: usize = 1_000;

/// Stack of the thread that a query runs in, in bytes, of which it takes what it needs: enough for the
/// deepest plan.
pub const STACK_BYTES: usize = 128 << 20;

/// Most rows of an answer that is printed as a table, which has to be whole before the first line is known.
pub const TABLE_ROWS_MAX: usize = 1_000;

/// Most characters of a table's cell.
pub const CELL_CHARS_MAX: usize = 120;

/// Most bytes of rows that a Parquet file has in one group, which is in memory until it is written.
pub const GROUP_BYTES_MAX: usize = 32 << 20;

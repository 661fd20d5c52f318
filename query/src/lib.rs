//! SQL over Weir's history: what a log or an archive holds as tables with typed columns, answered by
//! DataFusion.
//!
//! A table is declared once (`tables`), a line a column. Its rows are made of a topic's records as they are
//! read (`source`), a batch at a time and only the columns that a query asks for, so that memory is bounded
//! by what the query itself gathers (`limits`), which goes to temporary files beyond. An answer is written in
//! one of four formats (`output`).
//!
//! A query can do nothing but read these tables: it names no file, changes nothing, and runs no second
//! statement (`sql`).

mod column;
pub mod engine;
pub mod error;
mod fill;
pub mod limits;
pub mod output;
pub mod progress;
mod source;
mod sql;
pub mod tables;

pub use engine::{Engine, Sink};
pub use error::QueryError;
pub use progress::Progress;

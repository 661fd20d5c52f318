//! `weir query`.

use super::{ConfigFile, Run};
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

takes!(Keys: Common, Embedded, Kafka);

/// Ask the log or an archive by SQL: events, verdicts, signals, campaigns, actions and more as tables
///
/// A query is one SELECT; `--tables` lists the tables with their columns. Rows come in the order of the log
/// where no ORDER BY says otherwise. Exits with 0, or with 4 where records could not be read, which the
/// answer lacks.
#[derive(clap::Args)]
#[cfg_attr(not(feature = "query"), allow(dead_code))] // What is asked, also of a build that cannot answer.
pub struct Arguments {
    /// The query
    #[arg(value_name = "SQL", required_unless_present = "tables")]
    sql: Option<String>,
    /// Print the tables and their columns, as Markdown
    #[arg(long, conflicts_with_all = ["sql", "archive", "output"])]
    tables: bool,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    format: AnswerFormat,
    /// File for the answer, which is there whole or not at all; standard output when not given
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ask an archive that `weir archive` made, instead of the log
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerFormat {
    /// Columns for people, at most 1,000 rows
    Table,
    /// With a heading; null is an empty field
    Csv,
    /// An object a line
    Json,
    /// Compressed by Zstandard
    Parquet,
}

#[cfg(feature = "query")]
impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        use crate::output;
        use crate::roles::query;
        use weir_query::output::Format;
        let Some(sql) = self.sql else {
            output::text(weir_query::tables::listing());
            return Ok(ExitCode::SUCCESS);
        };
        let format = match self.format {
            AnswerFormat::Table => Format::Table,
            AnswerFormat::Csv => Format::Csv,
            AnswerFormat::Json => Format::Json,
            AnswerFormat::Parquet => Format::Parquet,
        };
        let question = query::Question { sql, format, output: self.output, archive: self.archive };
        query::run(&config.context(&self.keys)?, &question)
    }
}

#[cfg(not(feature = "query"))]
impl Run for Arguments {
    fn run(self, _: &ConfigFile) -> Result<ExitCode> {
        anyhow::bail!(
            "this build of Weir cannot answer SQL: build it with `--features query` (`cargo build --release -p weir \
             --features query`)"
        )
    }
}

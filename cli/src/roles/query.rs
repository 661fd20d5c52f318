//! `weir query`: SQL over the log or an archive.

use crate::context::Context;
use crate::output::Answer;
use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use weir_query::output::{AnswerFile, Format};
use weir_query::{Engine, Progress, QueryError};
use weir_replay::archive::ArchiveLog;
use weir_topology::log::Log;

/// Exit code where records could not be read.
const LACKING: u8 = 4;

/// How often the bar moves.
const LOOK: Duration = Duration::from_millis(100);

/// How long a query that is told to end may take to do so.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked, and how the answer is wanted.
pub struct Question {
    /// The query.
    pub sql: String,
    /// How its answer is written.
    pub format: Format,
    /// Where to; standard output where none is given.
    pub output: Option<PathBuf>,
    /// The archive that is asked; the log where none is given.
    pub archive: Option<PathBuf>,
}

/// Writes the answer; ends with 4 where it lacks records.
pub fn run(context: &Context, question: &Question) -> Result<ExitCode> {
    let to_terminal = question.output.is_none() && std::io::stdout().is_terminal();
    ensure!(
        question.format != Format::Parquet || !to_terminal,
        "Parquet is nothing for a terminal: give --output FILE"
    );
    ensure!(
        question.format != Format::Csv || !to_terminal,
        "CSV is written as clients sent it, and may steer a terminal: give --output FILE, or ask for --format table"
    );
    let log: Arc<dyn Log> = match &question.archive {
        Some(directory) => Arc::new(ArchiveLog::open(directory)?),
        None => context.existing_log()?,
    };
    let progress = Arc::new(Progress::new(context.stop.clone()));
    let spill =
        tempfile::Builder::new().prefix("weir-query-").tempdir().context("no place for temporary files")?;
    let engine = Engine::new(log, context.wire()?, question.archive.is_some(), progress.clone())
        .with_spill_directory(spill.path());
    let answer = |out: &mut (dyn Write + Send)| -> Result<(), QueryError> {
        engine.answer(&question.sql, question.format.sink(out).as_mut())?;
        Ok(out.flush()?)
    };
    let mut file = question.output.as_deref().map(AnswerFile::new).transpose()?;
    let aside = file.as_ref().map(|file| file.aside().to_owned());
    end_if_told(context.stop.clone(), spill.path().to_owned(), aside);
    match &mut file {
        Some(file) => watched(&progress, || answer(&mut file.writer()))?,
        // It is whole only when the bar has gone, which would stand between its lines.
        None if question.format == Format::Table => {
            let mut table = Vec::new();
            watched(&progress, || answer(&mut table))?;
            Answer.write_all(&table)?;
        }
        None if to_terminal => answer(&mut Answer)?,
        None => watched(&progress, || answer(&mut BufWriter::new(Answer)))?,
    }
    file.map_or(Ok(()), AnswerFile::put)?;
    match progress.unreadable_records() {
        0 => Ok(ExitCode::SUCCESS),
        count => {
            note!("weir: {count} records could not be read, and are not in the answer");
            Ok(ExitCode::from(LACKING))
        }
    }
}

/// Ends the process, and what it has written so far, when it is told to end and does not: an engine that
/// computes without a row to give looks at nothing.
fn end_if_told(stop: Arc<AtomicBool>, spill: PathBuf, aside: Option<PathBuf>) {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
        std::thread::sleep(PATIENCE);
        // Nobody is left to hear of what cannot be removed.
        let _ = std::fs::remove_dir_all(spill);
        if let Some(aside) = aside {
            let _ = std::fs::remove_file(aside);
        }
        note!("weir: the query was ended");
        std::process::exit(1);
    });
}

/// Shows how far the query has read while it runs, where somebody looks.
fn watched(progress: &Progress, run: impl FnOnce() -> Result<(), QueryError>) -> Result<()> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template(
        "{wide_bar} {human_pos}/{human_len} records, {per_sec}, {eta} left",
    )?);
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = is_done.recv_timeout(LOOK) {
                let (read, of) = progress.so_far();
                bar.set_length(of);
                bar.set_position(read);
            }
            bar.finish_and_clear();
        });
        let answered = run();
        drop(done);
        answered
    })?;
    Ok(())
}

//! `weir import`: read a whole log file, plain or gzip, into a log.

use crate::context::Context;
use crate::keys::{CollectorKeys, Role};
use crate::roles::collect;
use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_collector::{Mode, SourceState};
use weir_topology::log::Log;

/// Imports `file`. An import that was cut short goes on at the exact byte when it is run again.
pub fn run(context: &Context, file: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    // What the operator may have got wrong, before anything is written.
    std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (config, wire) = (collect::config(context, file.to_owned(), Mode::Import)?, context.wire()?);
    let (log, keys): (Arc<dyn Log>, _) = match context.brokers() {
        Some(_) => {
            let keys = CollectorKeys::read(&context.given_keys(Role::Collector)?)?;
            (Arc::new(context.kafka()?), keys)
        }
        None => {
            let keys = CollectorKeys::read(&context.given_or_own_keys(Role::Collector)?)?;
            (context.embedded()?, keys)
        }
    };
    let mut collector = collect::open(context, &keys, log.as_ref(), wire, config)?;
    let bar = bar(collector.read_of())?;
    let (mut events, mut rejected, mut other) = (0, 0, 0);
    while !context.is_stopped() {
        let progress = collector.run_once(Duration::from_millis(200))?;
        events += progress.events;
        rejected += progress.rejected;
        other += progress.other;
        if let Some((read, _)) = collector.read_of() {
            bar.set_position(read);
        }
        bar.set_message(format!("{events} events, {rejected} refused"));
        match progress.state {
            SourceState::AtEnd => {
                bar.finish_and_clear();
                let seconds = started.elapsed().as_secs_f64();
                print_line!("{events} events imported, {rejected} lines refused, in {seconds:.1} s");
                if other > 0 {
                    print_line!("{other} records tell of no request to a model: they are passed over");
                }
                if collector.known_lines() > 0 {
                    print_line!("{} lines were read before, under another name", collector.known_lines());
                }
                ensure!(
                    events + rejected > 0 || other == 0,
                    "nothing of {} tells of a request to a model: have the gateway log its requests",
                    file.display()
                );
                return collect::outcome(file, events, rejected);
            }
            SourceState::Unavailable => {
                bail!("{} cannot be read; the log line above says why", file.display())
            }
            SourceState::Reading | SourceState::Lingering | SourceState::Leaving | SourceState::Held => {}
        }
    }
    bar.abandon();
    print_line!("Stopped after {events} events; run the same command again to go on.");
    Ok(ExitCode::FAILURE)
}

/// How far the file was read, by its bytes as they are stored, and how long the rest will take.
fn bar(read_of: Option<(u64, u64)>) -> Result<ProgressBar> {
    let bar = match read_of {
        Some((_, size)) => ProgressBar::new(size).with_style(ProgressStyle::with_template(
            "{wide_bar} {msg}, {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
        )?),
        None => ProgressBar::no_length()
            .with_style(ProgressStyle::with_template("{spinner} {msg}, {bytes} read, {bytes_per_sec}")?),
    };
    // Draws to standard error, and only where that is a terminal.
    bar.set_draw_target(ProgressDrawTarget::stderr());
    Ok(bar)
}

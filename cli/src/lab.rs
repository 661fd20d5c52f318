//! The laboratory's bench: labelled events from a file, a log or the simulator, judged by policies.

use crate::context::{Context, judging_stages};
use crate::simulated::SimulatedTraffic;
use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_collector::{Collector, CollectorConfig, Mode, Pseudonymizer, Sealer, SourceState};
use weir_enforcer::review::labels::read as read_labels;
use weir_processor::policy::Policy;
use weir_replay::evaluate::intake::{Intake, Labelled};
use weir_replay::evaluate::{Judged, judge};
use weir_replay::lockstep::Layout;
use weir_replay::tune::evidence::{Ears, Heard};
use weir_schemas::wire::Wire;
use weir_topology::telemetry::Silent;
use weir_traffic::write::{Labels, LineFormat, write_line};

/// Partitions that accounts are spread over; the result does not depend on it.
const PARTITIONS: u32 = 8;

/// What a collector of an evaluation hides ids with. Pseudonyms are compared with nothing outside, and
/// nothing is kept.
const EVALUATION_KEY: [u8; 32] = *b"an evaluation needs no secret...";

/// Judges labelled events.
pub struct Bench {
    wire: Arc<Wire>,
    workers: u32,
}

impl Bench {
    /// A bench with so many worker threads.
    pub fn new(workers: u32) -> Self {
        Self { wire: Arc::new(Wire::new()), workers }
    }

    /// Judges by a policy.
    pub fn judge(&self, labelled: &Labelled, policy: &Policy) -> Result<Judged> {
        let bar = bar(Some(labelled.events), "judged")?;
        // A cap would evict by partition, and the result would depend on the layout.
        let stages = judging_stages(self.wire.clone(), Arc::new(policy.clone()), usize::MAX);
        let layout = Layout { partitions: PARTITIONS, workers: self.workers };
        let judged = judge(labelled, &self.wire, &stages, layout, |events| bar.inc(events))?;
        bar.finish_and_clear();
        Ok(judged)
    }

    /// Hears what the detectors say of labelled events, by policies that listen.
    pub fn hear(&self, labelled: &Labelled, ears: &Ears, heard: &mut Heard) -> Result<()> {
        let bar = bar(Some(labelled.events * ears.each.len() as u64), "heard")?;
        let stages =
            |policy: &Policy| judging_stages(self.wire.clone(), Arc::new(policy.clone()), usize::MAX);
        let layout = Layout { partitions: PARTITIONS, workers: self.workers };
        heard.hear(labelled, &self.wire, ears, stages, layout, |events| bar.inc(events))?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Shows how many policies were tried while `search` runs.
    pub fn searching<T>(&self, search: impl FnOnce(&mut dyn FnMut(u64)) -> T) -> Result<T> {
        let style = ProgressStyle::with_template("{spinner} {human_pos} policies tried, {elapsed}")?;
        let bar = ProgressBar::no_length().with_style(style);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let found = search(&mut |tried| bar.inc(tried));
        bar.finish_and_clear();
        Ok(found)
    }

    /// Reads a log file by the collector itself.
    pub fn read(&self, file: &Path) -> Result<Labelled> {
        if file == Path::new("-") {
            let mut copy = tempfile::NamedTempFile::new().context("no temporary file can be made")?;
            std::io::copy(&mut std::io::stdin().lock(), &mut copy)
                .context("standard input cannot be read")?;
            return self.read(copy.path());
        }
        let intake = Intake::new(self.wire.clone())?;
        let mut config = CollectorConfig::new(file, "evaluation");
        config.mode = Mode::Import;
        let keys = weir_collector::Keys {
            pseudonymizer: Pseudonymizer::new(EVALUATION_KEY, 0),
            sealer: Sealer::new(0, &EVALUATION_KEY, EVALUATION_KEY)
                .context("the key of the evaluation can seal nothing")?,
        };
        // The future is no reason to refuse a line here: simulated time may lie there.
        let clock = Arc::new(|| i64::MAX / 2);
        let mut collector =
            Collector::open(&intake, config, keys, self.wire.clone(), Arc::new(Silent), clock)?;
        let bar = bar(collector.read_of().map(|(_, size)| size), "read")?;
        loop {
            let progress = collector.run_once(Duration::from_millis(200))?;
            if let Some((read, _)) = collector.read_of() {
                bar.set_position(read);
            }
            match progress.state {
                SourceState::AtEnd => break,
                SourceState::Unavailable => bail!("{} cannot be read", file.display()),
                SourceState::Held => bail!("the temporary directory has no room for the events"),
                SourceState::Reading | SourceState::Leaving | SourceState::Lingering => {}
            }
        }
        bar.finish_and_clear();
        drop(collector);
        let labelled = intake.finish()?;
        ensure!(labelled.events > 0, "no line of {} could be read as an event", file.display());
        Ok(labelled)
    }

    /// Takes the events of the log.
    pub fn copied(&self, context: &Context) -> Result<Labelled> {
        let intake = Intake::new(self.wire.clone())?;
        intake.copy(context.existing_log()?.as_ref())?;
        let labelled = intake.finish()?;
        ensure!(labelled.events > 0, "the log has no events");
        Ok(labelled)
    }

    /// Takes the events of the log, whose truth is what analysts decided, as `weir review labels` wrote it to
    /// this file.
    pub fn decided(&self, context: &Context, labels: &Path) -> Result<Labelled> {
        let shown = labels.display();
        let text = std::fs::read_to_string(labels).with_context(|| format!("{shown} cannot be read"))?;
        let decisions = read_labels(&text).with_context(|| format!("{shown} cannot be used"))?;
        let mut labelled = self.copied(context)?;
        ensure!(labelled.truth.decide(&decisions) > 0, "no account of {shown} has an event in the log");
        Ok(labelled)
    }

    /// Simulates, and reads what was written like any other file.
    pub fn simulated(&self, traffic: &SimulatedTraffic, seed: u64) -> Result<Labelled> {
        let plan = SimulatedTraffic { seed, ..traffic.clone() }.plan()?;
        let mut stream = weir_traffic::simulate(&plan, traffic.start_ms()?, traffic.texts()?);
        let file = tempfile::Builder::new().suffix(".jsonl").tempfile()?;
        let mut out = BufWriter::with_capacity(1 << 20, file.reopen()?);
        let mut line = String::new();
        while let Some(exchange) = stream.next_exchange() {
            line.clear();
            write_line(exchange, LineFormat::Glasswally, Labels::With, &mut line);
            out.write_all(line.as_bytes()).context("the temporary directory has no room")?;
        }
        out.flush().context("the temporary directory has no room")?;
        self.read(file.path())
    }
}

fn bar(length: Option<u64>, what: &'static str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {percent} % {msg}, {eta} left")?;
    let bar =
        length.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style).with_message(what);
    // Draws to standard error, and only where that is a terminal.
    bar.set_draw_target(ProgressDrawTarget::stderr());
    Ok(bar)
}

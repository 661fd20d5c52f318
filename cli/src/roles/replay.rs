//! `weir replay`: fold history again and say what comes out.

use crate::context::{Context, judging_stages};
use crate::roles::policy;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use weir_replay::lockstep::Layout;
use weir_replay::{Report, lockstep, recorded};
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// How history is folded.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// The epoch records decide.
    AsRecorded,
    /// Epochs are cut by event time.
    Lockstep {
        /// Partitions to spread accounts over.
        partitions: u32,
        /// Worker threads.
        workers: u32,
    },
}

/// Replays and prints the report. A replay as recorded that gives other bytes than the log holds
/// exits with 1.
pub fn run(context: &Context, how: How, json: bool) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let bar = progress(log.as_ref())?;
    let report = match how {
        How::AsRecorded => {
            let stages = context.judging_stages(wire.clone())?;
            recorded::replay(log.as_ref(), &wire, &stages, |events| bar.inc(events))?
        }
        How::Lockstep { partitions, workers } => {
            let policy = match &context.settings.policy {
                Some(path) => policy::read_policy(path)?.0,
                None => (*policy::in_force(context, log.as_ref(), &wire)?).clone(),
            };
            // A cap would evict by partition, and the result would depend on the layout.
            let stages = judging_stages(wire.clone(), Arc::new(policy), usize::MAX);
            let layout = Layout { partitions, workers };
            lockstep::replay(log.as_ref(), &wire, &stages, layout, |events| bar.inc(events))?
        }
    };
    bar.finish_and_clear();
    print(&report, json)?;
    let failed = report.bytes_equal == Some(false) || report.campaigns_equal == Some(false);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A bar over the events of a log, drawn where standard error is a terminal.
pub fn progress(log: &dyn Log) -> Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let mut events = 0;
    for partition in 0..log.partitions(Topic::Events)? {
        let (first, end) = log.bounds(Topic::Events, partition)?;
        events += (end - first) as u64;
    }
    let style =
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left")?;
    Ok(ProgressBar::new(events).with_style(style))
}

fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        print_line!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let Report { events, judged, dlq, verdicts, digest, in_flight, seconds, .. } = report;
    print_line!(
        "events    {events}\njudged    {judged}\ndlq       {dlq}\nverdicts  {verdicts}\ndigest    {digest}"
    );
    if let Some(written) = &report.written_digest {
        print_line!("written   {written}");
    }
    if let Some(equal) = report.bytes_equal {
        print_line!("bytes     {}", if equal { "equal to the log's" } else { "DIFFERENT from the log's" });
    }
    print_line!("campaigns {} records, digest {}", report.campaign_records, report.campaign_digest);
    if let Some(equal) = report.campaigns_equal {
        print_line!("          {}", if equal { "equal to the log's" } else { "DIFFERENT from the log's" });
    }
    if let Some(adopted @ 1..) = report.verdicts_adopted {
        print_line!("adopted   {adopted} (judged by another build or policy; compared with nothing)");
    }
    if let Some(before @ 1..) = report.verdicts_before {
        print_line!(
            "before    {before} verdicts (what led to them is no longer kept: neither folded nor compared)"
        );
    }
    if *in_flight > 0 {
        print_line!("in flight {in_flight} (in the log, not yet in a recorded epoch)");
    }
    print_line!("seconds   {seconds:.2}");
    Ok(())
}

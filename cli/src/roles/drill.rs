//! `weir drill`: sends a labelled campaign to a live system, and says whether it was found in time.

mod listener;
mod protection;

use crate::context::{Context, now_ms};
use crate::output;
use crate::roles::control::is_held;
use anyhow::{Context as _, Result, ensure};
use listener::Listener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_replay::drill::{Follower, Objectives, Outcome, Report, Size};
use weir_topology::log::Log;
use weir_traffic::drill::{Drill, PREFIX, is_drill};

/// How often it is looked what became of the drill.
const LOOK: Duration = Duration::from_millis(200);

/// How long nothing must have been said of the drill any more, once all of it is processed: what clusters say
/// comes back.
const QUIET: Duration = Duration::from_secs(3);

/// Exit code where an objective was not met. An error of the command is 1, and of its arguments 2.
const FAIL: u8 = 3;

/// Exit code where what was processed is not enough to tell.
const INCONCLUSIVE: u8 = 4;

/// What a drill touches beside its own accounts, for whoever runs one.
const TOUCHED: &str = "its accounts are judged among customers': they stand in metrics, in the review queue, in what is exported, \
                       among those who ask alike, and for 90 days in the number of accounts that limits are shares of";

/// Where a drill is sent to, and how long it is waited for.
pub struct Target {
    /// The listener's URL, without a path.
    pub url: String,
    /// File with the listener's token.
    pub token_file: Option<PathBuf>,
    /// How long it may take to be processed.
    pub wait: Duration,
    /// Whether the enforcer is to act on its accounts as on anybody's.
    pub is_acted_on: bool,
}

/// Sends a drill, waits until it is processed, and prints what it came to.
pub fn run(
    context: &Context,
    drill: Drill,
    target: &Target,
    objectives: Objectives,
    json: bool,
) -> Result<ExitCode> {
    let (wire, tenant) = (context.wire()?, drill.tenant());
    let listener = Listener::new(target)?;
    let mut follower = follower(context, &tenant)?;
    ensure!(
        follower.is_none() || context.brokers().is_some(),
        "nothing was sent: no process has the log in {} open, so nobody would judge it; start `weir run` first, or name the log \
         of the system that the listener belongs to",
        context.settings.data_dir.display()
    );
    if !target.is_acted_on {
        let follower = follower.as_mut().map(|followed| (&*followed.0, &mut followed.1));
        protection::put_in_force(context, &tenant, &wire, follower)?;
        note!("weir: {tenant} is protected: nothing is carried out on it");
    }
    note!("weir: {TOUCHED}");
    let end_ms = now_ms();
    let size = Size { lines: drill.lines(end_ms).count() };
    listener
        .send(context, drill.lines(end_ms), size)
        .with_context(|| format!("{tenant} was not sent whole"))?;
    let again = format!("weir drill measure {tenant} --lines {}", size.lines);
    note!("weir: sent all {} lines of {tenant}; `{again}` measures it again", size.lines);
    // A log that another process has is left to it, also while that one starts again.
    let Some((_log, follower)) = &mut follower else {
        let reason = format!("another process has the log: when it has ended, `{again}` says");
        return print(&Report::unread(&tenant, size, objectives, reason), json);
    };
    let until = Instant::now() + target.wait;
    let mut changed = Instant::now();
    while Instant::now() < until && !context.is_stopped() {
        if follower.read_on(&wire, LOOK)? {
            changed = Instant::now();
        }
        // The whole of it is worked out only once nothing is said any more.
        if changed.elapsed() >= QUIET && follower.report(size, objectives).unknown.is_empty() {
            break;
        }
    }
    print(&follower.report(size, objectives), json)
}

/// Prints what a drill has come to by now that was sent before.
pub fn measure(
    context: &Context,
    tenant: &str,
    size: Size,
    objectives: Objectives,
    json: bool,
) -> Result<ExitCode> {
    ensure!(
        is_drill(tenant),
        "{tenant:?} is no drill: `weir drill run` says what to ask for, as {PREFIX}1f2e3d4c5b6a7988"
    );
    let (log, wire) = (context.existing_log()?, context.wire()?);
    print(&weir_replay::drill::measure(log.as_ref(), &wire, tenant, size, objectives)?, json)
}

/// Who follows the log; none while another process has it.
fn follower(context: &Context, tenant: &str) -> Result<Option<(Arc<dyn Log>, Follower)>> {
    match context.existing_log() {
        Ok(log) => {
            let follower = Follower::open(log.as_ref(), tenant)?;
            Ok(Some((log, follower)))
        }
        Err(error) if is_held(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn print(report: &Report, json: bool) -> Result<ExitCode> {
    match json {
        true => print_line!("{}", serde_json::to_string(report)?),
        false => output::text(report),
    }
    Ok(match report.outcome {
        Outcome::Pass => ExitCode::SUCCESS,
        Outcome::Fail => ExitCode::from(FAIL),
        Outcome::Inconclusive => ExitCode::from(INCONCLUSIVE),
    })
}

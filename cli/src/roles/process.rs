//! `weir process`: judge, on the partitions that fall to this process.

use crate::context::Context;
use crate::fast_path::sender;
use crate::keys;
use crate::lag::{LagTeller, Quiescence};
use crate::roles::adopt;
use crate::roles::fleet::Fleet;
use anyhow::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_topology::log::Log;
use weir_topology::task::Surroundings;
use weir_topology::topic::StageName;

/// How long one look at the group waits.
pub const TEND: Duration = Duration::from_millis(50);

/// With `until_idle`: how long nothing must have happened anywhere. Other processes may be about
/// to write feedback that this one has to fold.
pub const IDLE: Duration = Duration::from_secs(3);

/// Runs the account, cluster and campaign stages until the process is told to stop.
pub fn run(context: &Context, until_idle: bool) -> Result<ExitCode> {
    // A processor sees pseudonyms only. Keys that it is given are keys for whoever takes it.
    keys::ensure_none(&context.settings)?;
    let (config, log, wire) = (context.kafka_config()?, context.kafka()?, context.wire()?);
    adopt::configured_policy(context, &log, &wire)?;
    let before_commit = sender::start(context, wire.clone())?;
    let around = Surroundings { before_commit, ..context.surroundings(Arc::new(log.clone()), wire.clone()) };
    let stages = context.judging_stages(wire)?;
    let mut fleets = Vec::new();
    for stage in StageName::JUDGING {
        fleets.push(Fleet::join(stage, &config, &log, &around, stages.clone(), context.settings.standby)?);
    }
    context.health.set_running(true);
    tend(context, &mut fleets, until_idle, |_| Ok(true))?;
    context.health.set_running(false);
    fleets.into_iter().try_for_each(Fleet::leave)?;
    Ok(ExitCode::SUCCESS)
}

/// Tends fleets until the process is told to stop, or nothing has happened for a while. `also` is
/// called at every look and says whether what it does is idle too.
pub fn tend(
    context: &Context,
    fleets: &mut [Fleet],
    until_idle: bool,
    mut also: impl FnMut(&[Fleet]) -> Result<bool>,
) -> Result<()> {
    let log: Arc<dyn Log> = Arc::new(context.kafka()?);
    context.health.watch(&log)?;
    let lag = LagTeller::start(&log, context.metrics.clone())?;
    let mut quiescences: Vec<Quiescence> = fleets.iter().map(|_| Quiescence::default()).collect();
    let mut active = Instant::now();
    while !context.is_stopped() {
        for fleet in fleets.iter_mut() {
            fleet.tend(TEND)?;
        }
        context.health.set_tasks_open(fleets.iter().all(Fleet::is_open));
        lag.look_at(fleets.iter().map(Fleet::worker));
        context.liveness.watch_tasks(fleets.iter().flat_map(|fleet| fleet.worker().statuses()));
        let is_idle = also(fleets)?;
        context.went_round();
        if !until_idle {
            continue;
        }
        let mut all_idle = is_idle;
        for (fleet, quiescence) in fleets.iter().zip(&mut quiescences) {
            all_idle &= (fleet.is_spare() || fleet.worker().statuses().next().is_some())
                && quiescence.look(log.as_ref(), fleet.worker())?;
        }
        if !all_idle {
            active = Instant::now();
        }
        if active.elapsed() >= IDLE {
            return Ok(());
        }
    }
    context.supervisor.stops();
    Ok(())
}

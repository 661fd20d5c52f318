//! `weir enforce`: decide on verdicts, and write the output directory.

use crate::context::Context;
use crate::keys::{EnforcerKeys, Role};
use crate::roles::act::Hands;
use crate::roles::adopt::{self, Whole};
use crate::roles::fleet::Fleet;
use crate::roles::population::Population;
use crate::roles::process::tend;
use crate::roles::renewal::Renewal;
use anyhow::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use weir_enforcer::export::{Executor, Export, ExportError, Progress};
use weir_enforcer::stage::EnforcerStage;
use weir_schemas::wire::Wire;
use weir_topology::clock::MachineClock;
use weir_topology::log::{Log, LogError};
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::telemetry::Telemetry as _;
use weir_topology::topic::{StageName, Topic};

/// Runs the enforcer stage until the process is told to stop. The output directory holds every
/// partition's lines, whoever decides on them.
pub fn run(context: &Context, until_idle: bool) -> Result<ExitCode> {
    let keys = EnforcerKeys::read(&context.given_keys(Role::Enforcer)?)?;
    let (config, log, wire) = (context.kafka_config()?, context.kafka()?, context.wire()?);
    let around = context.surroundings(Arc::new(log.clone()), wire.clone());
    let (stages, standby) = (stages(context, &keys, wire.clone())?, context.settings.standby);
    let fleet = Fleet::join(StageName::Enforcer, &config, &log, &around, stages, standby)?;
    let partitions = log.partitions(Topic::Actions)?;
    left_to_another(adopt::configured_age(context, &log, &wire))?;
    left_to_another(adopt::configured_limit(context, &log, &wire, Whole::default()))?;
    let mut export = export(context, &keys, Arc::new(log.clone()), wire.clone(), (0..partitions).collect())?;
    let hands = Hands::start(context, &keys, Arc::new(log.clone()), wire.clone())?;
    if hands.is_some() {
        export = export.leaving_effects();
    }
    let (mut withheld, mut population, mut renewal) = <(Withheld, Population, Renewal)>::default();
    context.health.set_running(true);
    let mut fleets = [fleet];
    tend(context, &mut fleets, until_idle, |fleets| {
        // Who decides on a partition carries out what it decided there.
        hands.iter().for_each(|hands| hands.own(fleets.iter().flat_map(Fleet::owned)));
        let is_idle = outlast(context, run_export(&mut export), &mut withheld)?;
        population.look(context, &log, &wire, &export)?;
        renewal.look(context, &log, &wire, fleets.iter().flat_map(Fleet::owned));
        Ok(is_idle && hands.as_ref().is_none_or(Hands::is_idle))
    })?;
    drop(hands);
    context.health.set_running(false);
    fleets.into_iter().try_for_each(Fleet::leave)?;
    withheld.note(&run_export(&mut export)?);
    Ok(ExitCode::SUCCESS)
}

/// Of enforcers that start at the same moment and are configured alike, one tells: who is fenced leaves it to
/// that one.
fn left_to_another(told: Result<()>) -> Result<()> {
    adopt::unless(told, |error| matches!(error, LogError::Fenced { .. }))
}

/// Actions that were withheld because what they answer is history: told in one line when no more come.
#[derive(Default)]
pub struct Withheld {
    untold: u64,
    total: u64,
}

impl Withheld {
    /// Notes what a round of the export wrote.
    pub fn note(&mut self, exported: &Progress) {
        self.untold += exported.withheld_as_history;
        self.total += exported.withheld_as_history;
        if exported.caught_up && self.untold > 0 {
            let count = std::mem::take(&mut self.untold);
            tracing::info!("{count} actions withheld: history");
        }
    }

    /// How many there were so far.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// Whether the output directory is caught up. Brokers that are away are told of and waited for: the
/// next call starts from what the directory says of itself.
fn outlast(context: &Context, exported: Result<Progress>, withheld: &mut Withheld) -> Result<bool> {
    match exported {
        Ok(progress) => {
            withheld.note(&progress);
            Ok(progress.caught_up)
        }
        Err(error) => match error.downcast::<ExportError>()? {
            ExportError::Log(error @ LogError::Unavailable { .. }) => {
                context.metrics.output_stalled(&error.to_string());
                Ok(false)
            }
            error => Err(error.into()),
        },
    }
}

/// Makes enforcer stages.
pub fn stages(context: &Context, keys: &EnforcerKeys, wire: Arc<Wire>) -> Result<StageFactory> {
    let (keys, root, trust) = (keys.audit.clone(), keys.root, context.trust()?);
    Ok(Arc::new(move |_| -> Box<dyn Stage> {
        let stage = EnforcerStage::new(keys.clone(), wire.clone()).with_policy_trust(trust.clone());
        Box::new(match root {
            Some(root) => stage.trusting(root),
            None => stage,
        })
    }))
}

/// Opens the output directory.
pub fn export(
    context: &Context,
    keys: &EnforcerKeys,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    partitions: Vec<u32>,
) -> Result<Export> {
    let opener = keys.opener();
    let directory = &context.settings.output_dir;
    let executor = Executor::of(&context.node(), directory, Arc::new(MachineClock::default()));
    let telemetry = context.metrics.clone();
    let export = Export::open(directory, log, partitions, Some(opener), executor, wire, telemetry)?;
    Ok(match context.schemas() {
        Some(schemas) => export.with_schemas(schemas),
        None => export,
    })
}

/// Writes what was committed since the last call, and tells the operator what they should know.
pub fn run_export(export: &mut Export) -> Result<Progress> {
    let progress = export.run_once(Duration::ZERO)?;
    for note in export.take_notes() {
        tracing::warn!(%note, "output directory");
    }
    Ok(progress)
}

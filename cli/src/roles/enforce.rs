//! `weir enforce`: decide on verdicts, and write the output directory.

use crate::context::Context;
use crate::keys::{EnforcerKeys, Role};
use crate::roles::fleet::Fleet;
use crate::roles::process::tend;
use anyhow::Result;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use weir_enforcer::export::{Export, ExportError, Progress};
use weir_enforcer::open::Opener;
use weir_enforcer::stage::EnforcerStage;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::wire::Wire;
use weir_topology::log::{Log, LogError};
use weir_topology::stage::Stage;
use weir_topology::telemetry::Telemetry as _;
use weir_topology::topic::{StageName, Topic};
use weir_topology::worker::MakeStage;

/// Runs the enforcer stage until the process is told to stop. The output directory holds every
/// partition's lines, whoever decides on them.
pub fn run(context: &Context, until_idle: bool) -> Result<ExitCode> {
    let keys = EnforcerKeys::read(context.given_keys(Role::Enforcer)?)?;
    let (config, log, wire) = (context.kafka_config()?, context.kafka()?, context.wire()?);
    let around = context.surroundings(Arc::new(log.clone()), wire.clone());
    let (stages, standby) = (stages(&keys, wire.clone()), context.settings.standby);
    let fleet = Fleet::join(StageName::Enforcer, &config, &log, &around, stages, standby)?;
    let partitions = log.partitions(Topic::Actions)?;
    let mut export = export(context, &keys, Arc::new(log), wire, (0..partitions).collect())?;
    context.health.set_running(true);
    let mut fleets = [fleet];
    tend(context, &mut fleets, until_idle, || outlast(context, run_export(&mut export)))?;
    context.health.set_running(false);
    fleets.into_iter().try_for_each(Fleet::leave)?;
    run_export(&mut export)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the output directory is caught up. Brokers that are away are told of and waited for: the
/// next call starts from what the directory says of itself.
fn outlast(context: &Context, exported: Result<Progress>) -> Result<bool> {
    match exported {
        Ok(progress) => Ok(progress.caught_up),
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
pub fn stages(keys: &EnforcerKeys, wire: Arc<Wire>) -> MakeStage {
    let keys = keys.audit.clone();
    Arc::new(move |_| -> Box<dyn Stage> { Box::new(EnforcerStage::new(keys.clone(), wire.clone())) })
}

/// Opens the output directory.
pub fn export(
    context: &Context,
    keys: &EnforcerKeys,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    partitions: Vec<u32>,
) -> Result<Export> {
    let mut opener = Opener::new();
    for (number, secret) in &keys.seals {
        opener = opener.with_key(*number, secret);
    }
    for (epoch, key) in &keys.pseudonyms {
        opener = opener.with_pseudonyms(PseudonymKey::new(key, *epoch));
    }
    let directory = &context.settings.output_dir;
    let export = Export::open(directory, log, partitions, Some(opener), wire, context.metrics.clone())?;
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

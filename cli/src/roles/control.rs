//! What operators say to all stages: the policy in force, and the enforcer's posture.

use crate::context::{Context, now_ms};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use weir_enforcer::age::{AGE_NAME, AgeMax};
use weir_enforcer::posture::Stance;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind};
use weir_topology::history::History;
use weir_topology::log::{Commit, Log};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Name of the control record that carries the policy.
const POLICY: &str = "policy";

/// Name of the control record that carries the posture.
const POSTURE: &str = "posture";

/// `weir policy show`: the text of the policy in force.
pub fn show_policy(context: &Context) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    match latest(log.as_ref(), &wire, POLICY)? {
        Some(control) => print!("{}", control.body),
        None => print!("{}", Policy::builtin_text()),
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy publish FILE`: checks the file and puts it in force from the next epoch on.
pub fn publish_policy(context: &Context, path: &Path) -> Result<ExitCode> {
    let (policy, text) = read_policy(path)?;
    let (log, wire) = (context.existing_log()?, context.wire()?);
    publish(context, log.as_ref(), &wire, POLICY, ControlKind::Policy, &policy.version, &text)?;
    println!("Policy {} is in force from each task's next epoch.", policy.version);
    Ok(ExitCode::SUCCESS)
}

/// `weir posture …`: how far the enforcer may act.
pub fn set_posture(context: &Context, body: &str) -> Result<ExitCode> {
    Stance::parse(body).map_err(anyhow::Error::msg)?;
    let (log, wire) = (context.log_or_new()?, context.wire()?);
    publish(context, log.as_ref(), &wire, POSTURE, ControlKind::Posture, "", body)?;
    println!("The enforcer's posture is {body} from its next epoch.");
    Ok(ExitCode::SUCCESS)
}

/// Refuses a configured policy file that is none, before anything is written.
pub fn check_configured_policy(context: &Context) -> Result<()> {
    context.settings.policy.as_deref().map_or(Ok(()), |path| read_policy(path).map(drop))
}

/// Publishes the configured policy file if it is not what is in force already.
pub fn adopt_configured_policy(context: &Context, log: &dyn Log, wire: &Wire) -> Result<()> {
    let Some(path) = &context.settings.policy else { return Ok(()) };
    let (policy, text) = read_policy(path)?;
    if latest(log, wire, POLICY)?.is_some_and(|control| control.body == text) {
        return Ok(());
    }
    publish(context, log, wire, POLICY, ControlKind::Policy, &policy.version, &text)
}

/// Publishes the configured age from which on events are history, if it is not what is in force already.
pub fn adopt_configured_age(context: &Context, log: &dyn Log, wire: &Wire) -> Result<()> {
    let configured = AgeMax(i64::try_from(context.settings.act_age_max_ms)?);
    let in_force = match latest(log, wire, AGE_NAME)? {
        Some(control) => AgeMax::parse(&control.body).ok(),
        None => Some(AgeMax::default()),
    };
    if in_force == Some(configured) {
        return Ok(());
    }
    publish(context, log, wire, AGE_NAME, ControlKind::Setting, "", &configured.0.to_string())
}

/// The policy in force: the latest published, or the built-in one.
pub fn policy_in_force(log: &dyn Log, wire: &Wire) -> Result<Policy> {
    match latest(log, wire, POLICY)? {
        Some(control) => Policy::parse(&control.body).context("the published policy cannot be read"),
        None => Ok(Policy::builtin()),
    }
}

/// The posture in force, in words.
pub fn posture_in_force(log: &dyn Log, wire: &Wire) -> Result<String> {
    Ok(match latest(log, wire, POSTURE)? {
        Some(control) => format!("{} (set by {})", control.body, control.author),
        None => "audit: nothing was acted on (`weir posture` changes it)".into(),
    })
}

/// Reads and checks a policy file.
pub fn read_policy(path: &Path) -> Result<(Policy, String)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the policy {}", path.display()))?;
    let policy = Policy::parse(&text).with_context(|| format!("the policy {} is refused", path.display()))?;
    Ok((policy, text))
}

fn latest(log: &dyn Log, wire: &Wire, name: &str) -> Result<Option<Control>> {
    let (first, end) = log.bounds(Topic::Control, 0)?;
    let mut history = History::new(log, Topic::Control, 0, first, end)?;
    let mut latest = None;
    while let Some(records) = history.next()? {
        for record in records.iter().filter(|record| record.key == name.as_bytes()) {
            latest = record.payload.map(|payload| wire.read::<Control>(payload)).transpose()?;
        }
    }
    Ok(latest)
}

fn publish(
    context: &Context,
    log: &dyn Log,
    wire: &Wire,
    name: &str,
    kind: ControlKind,
    version: &str,
    body: &str,
) -> Result<()> {
    let control = Control {
        name: name.into(),
        kind,
        version: version.into(),
        author: context.node(),
        time_ms: now_ms(),
        body: body.into(),
    };
    let record = Output::keyed(Topic::Control, name.into(), wire.to_bytes(&control), control.time_ms);
    let commit = Commit { outputs: vec![record], positions: Vec::new() };
    log.writer(&format!("operator/{name}"))?.commit(&commit)?;
    Ok(())
}

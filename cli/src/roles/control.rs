//! What operators say to all stages, and what of it is in force.

use crate::context::{Context, now_ms};
use crate::roles::in_force::named;
use crate::roles::inbox::Inbox;
use crate::roles::policy;
use crate::settings::Settings;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use weir_enforcer::age::{AGE_NAME, AgeMax};
use weir_enforcer::limiter::{LIMIT_NAME, Limit};
use weir_enforcer::posture::Stance;
use weir_processor::policy::Policy;
use weir_processor::{POLICY_NAME, Refused};
use weir_schemas::bundle::{Bundle, Distrust};
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind};
use weir_topology::embedded::OpenError;
use weir_topology::history::History;
use weir_topology::log::{Commit, Log};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Name of the control record that carries the policy.
pub const POLICY: &str = POLICY_NAME;

/// Name of the control record that carries the posture.
const POSTURE: &str = "posture";

/// `weir posture …`: how far the enforcer may act.
pub fn set_posture(context: &Context, body: &str) -> Result<ExitCode> {
    Stance::parse(body).map_err(anyhow::Error::msg)?;
    say(context, &[Said { kind: ControlKind::Posture, ..Said::setting(POSTURE, body) }])?;
    print_line!("The enforcer's posture is {body} from its next epoch.");
    Ok(ExitCode::SUCCESS)
}

/// Refuses a configured policy file that is none, before anything is written.
pub fn check_configured_policy(context: &Context) -> Result<()> {
    let Some(path) = context.settings.policy.as_deref() else { return Ok(()) };
    let (_, text) = read_policy(path)?;
    if let Some(trust) = context.trust()? {
        match trust.vouched(&text, now_ms()) {
            // What is in force stays: whether it is, the log says.
            Ok(_) | Err(Distrust::Expired { .. }) => {}
            Err(distrust) => return Err(anyhow::Error::new(distrust).context(refused(path))),
        }
    }
    Ok(())
}

fn refused(path: &Path) -> String {
    format!("the policy {} is refused", path.display())
}

/// Publishes the configured policy file if it is not what is in force already.
pub fn adopt_configured_policy(context: &Context, log: &dyn Log, wire: &Wire) -> Result<()> {
    let Some(path) = &context.settings.policy else { return Ok(()) };
    let (policy, text) = read_policy(path)?;
    if latest(log, wire, POLICY)?.is_some_and(|control| control.body == text) {
        return Ok(());
    }
    if context.trust()?.is_some() {
        // What no task would put in force is not published.
        let control = policy::control_of(context, &policy, text.clone());
        let mut in_force = policy::in_force(context, log, wire)?;
        match in_force.put(&control, control.time_ms) {
            Ok(()) => {}
            // It was in force, or one that came after it is.
            Err(Refused::Distrust(Distrust::Expired { expires_s, .. }))
                if Bundle::parse(&text)?.header.counter <= in_force.counter() =>
            {
                tracing::warn!(expires_s, "the configured policy has expired; the one in force stays");
                return Ok(());
            }
            Err(Refused::Distrust(Distrust::RolledBack { found, reached })) => {
                tracing::warn!(
                    found,
                    reached,
                    "the configured policy is older than the one in force, which stays"
                );
                return Ok(());
            }
            Err(error) => return Err(anyhow::Error::new(error).context(refused(path))),
        }
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

/// The posture that operators set, in words.
pub fn posture_set(log: &dyn Log, wire: &Wire) -> Result<String> {
    Ok(match latest(log, wire, POSTURE)? {
        Some(control) => format!("{} (set by {})", control.body, control.author),
        None => "audit: nothing was acted on (`weir posture` changes it)".into(),
    })
}

/// Reads and checks a policy file, which may be a bundle; the text is the file's.
pub fn read_policy(path: &Path) -> Result<(Policy, String)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the policy {}", path.display()))?;
    let policy = Policy::published(&text).with_context(|| refused(path))?;
    Ok((policy, text))
}

/// The policy file that is configured, or the built-in policy where there is none.
pub fn policy_of(settings: &Settings) -> Result<Policy> {
    let path = settings.policy.as_deref();
    path.map_or_else(|| Ok(Policy::builtin()), |path| Ok(read_policy(path)?.0))
}

/// What an operator has to say.
pub struct Said {
    /// Name of the control record.
    pub name: String,
    /// Which part of Weir reads it.
    pub kind: ControlKind,
    /// Version of the body.
    pub version: String,
    /// The body.
    pub body: String,
}

impl Said {
    /// One of the enforcer's settings.
    pub fn setting(name: &str, body: &str) -> Self {
        let (name, body) = (name.to_owned(), body.to_owned());
        Self { name, kind: ControlKind::Setting, version: String::new(), body }
    }
}

/// Says this to all stages: on Kafka, on the embedded log, or by way of the process that has the embedded log open. Gives back what
/// was published; nothing where that process will.
pub fn say(context: &Context, said: &[Said]) -> Result<Vec<Control>> {
    let wire = context.wire()?;
    let controls: Vec<Control> = said
        .iter()
        .map(|said| Control {
            name: said.name.clone(),
            kind: said.kind,
            version: said.version.clone(),
            author: context.node(),
            time_ms: now_ms(),
            body: said.body.clone(),
        })
        .collect();
    match context.log_or_new() {
        Ok(log) => {
            let controls = controls.into_iter().map(|control| named(log.as_ref(), &wire, control));
            let controls = controls.collect::<Result<Vec<Control>>>()?;
            commit(log.as_ref(), &wire, &controls)?;
            Ok(controls)
        }
        Err(error) if is_held(&error) => {
            Inbox::of(&context.settings.data_dir).put(&controls)?;
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Whether another process has the embedded log open.
pub fn is_held(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<OpenError>(), Some(OpenError::Held { .. }))
}

/// Publishes what operators left for the process that has the log open.
pub fn take_inbox(context: &Context, log: &dyn Log, wire: &Wire) -> Result<()> {
    let inbox = Inbox::of(&context.settings.data_dir);
    for (path, control) in inbox.take() {
        match control {
            Ok(control) => {
                tracing::info!(
                    name = control.name,
                    author = control.author,
                    "an operator's word is published"
                );
                commit(log, wire, &[named(log, wire, control)?])?;
            }
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "an operator's word cannot be read")
            }
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn commit(log: &dyn Log, wire: &Wire, controls: &[Control]) -> Result<()> {
    let Some(first) = controls.first() else { return Ok(()) };
    let record = |control: &Control| {
        // By the time of who writes it, not of who said it: brokers do so by their own.
        Output::keyed(Topic::Control, control.name.clone().into(), wire.to_bytes(control), now_ms())
    };
    let commit = Commit { outputs: controls.iter().map(record).collect(), positions: Vec::new() };
    log.writer(&format!("operator/{}", first.name))?.commit(&commit)?;
    Ok(())
}

/// Publishes the configured limit, and how many accounts there are, where that is not what is in force. `accounts` is
/// none where nobody has counted them yet: what was said last stands.
pub fn adopt_configured_limit(
    context: &Context,
    log: &dyn Log,
    wire: &Wire,
    accounts: Option<u64>,
) -> Result<()> {
    let in_force = match latest(log, wire, LIMIT_NAME)? {
        Some(control) => Limit::parse(&control.body).ok(),
        None => Some(Limit::default()),
    };
    let told = in_force.map_or(0, |limit| limit.accounts);
    // A change of less than a tenth changes no cap that anybody would notice.
    let is_news = |accounts: &u64| accounts.abs_diff(told) * 10 > told;
    let configured = Limit {
        floor: context.settings.act_limit_floor,
        share_permille: context.settings.act_limit_share_permille,
        accounts: accounts.filter(is_news).unwrap_or(told),
        partitions: log.partitions(Topic::Verdicts)?.into(),
    };
    if in_force == Some(configured) {
        return Ok(());
    }
    publish(context, log, wire, LIMIT_NAME, ControlKind::Setting, "", &configured.to_string())
}

/// The latest control record of each name that begins with `prefix` and is not deleted, in the order of the names.
pub fn in_force(log: &dyn Log, wire: &Wire, prefix: &str) -> Result<BTreeMap<String, Control>> {
    let mut found = BTreeMap::new();
    for (name, control) in said(log, wire, |name| name.starts_with(prefix))? {
        match control {
            Some(control) => found.insert(name, control),
            None => found.remove(&name),
        };
    }
    Ok(found)
}

/// Offset of the latest control record of this name; none where there is none.
pub fn offset_of(log: &dyn Log, name: &str) -> Result<Option<i64>> {
    let (first, end) = log.bounds(Topic::Control, 0)?;
    let mut history = History::new(log, Topic::Control, 0, first, end)?;
    let mut offset = None;
    while let Some(records) = history.next()? {
        let latest = records.iter().rfind(|record| record.key == name.as_bytes());
        offset = latest.map(|record| record.offset).or(offset);
    }
    Ok(offset)
}

fn latest(log: &dyn Log, wire: &Wire, name: &str) -> Result<Option<Control>> {
    Ok(said(log, wire, |other| other == name)?.pop().and_then(|(_, control)| control))
}

/// Every control record of the names that are meant, the oldest first; none where it was deleted.
fn said(
    log: &dyn Log,
    wire: &Wire,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Option<Control>)>> {
    let (first, end) = log.bounds(Topic::Control, 0)?;
    let mut history = History::new(log, Topic::Control, 0, first, end)?;
    let mut said = Vec::new();
    while let Some(records) = history.next()? {
        for record in records.iter() {
            let name = String::from_utf8_lossy(record.key);
            if is_meant(&name) {
                let control = record.payload.map(|payload| wire.read::<Control>(payload)).transpose()?;
                said.push((name.into_owned(), control));
            }
        }
    }
    Ok(said)
}

/// Every control record of the names that are meant and when the log took it, the oldest first. What cannot be read says
/// nothing.
pub fn words(log: &dyn Log, wire: &Wire, is_meant: impl Fn(&str) -> bool) -> Result<Vec<(Control, i64)>> {
    let (first, end) = log.bounds(Topic::Control, 0)?;
    let mut history = History::new(log, Topic::Control, 0, first, end)?;
    let mut words = Vec::new();
    while let Some(records) = history.next()? {
        for record in records.iter().filter(|record| is_meant(&String::from_utf8_lossy(record.key))) {
            if let Ok(control) = wire.read::<Control>(record.payload.unwrap_or_default())
                // A word under another's key is refused wherever it is folded.
                && control.name.as_bytes() == record.key
            {
                words.push((control, record.timestamp_ms));
            }
        }
    }
    Ok(words)
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
    commit(log, wire, &[control])
}

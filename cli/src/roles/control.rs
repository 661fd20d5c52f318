//! What operators say to all stages, and what of it is in force.

use crate::context::{Context, now_ms};
use crate::roles::in_force::named;
use crate::roles::inbox::Inbox;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::process::ExitCode;
use weir_enforcer::posture::Stance;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind};
use weir_topology::embedded::OpenError;
use weir_topology::history::History;
use weir_topology::log::{Commit, Log};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Name of the control record that carries the posture.
const POSTURE: &str = "posture";

/// `weir posture …`: how far the enforcer may act.
pub fn set_posture(context: &Context, body: &str) -> Result<ExitCode> {
    Stance::parse(body).map_err(anyhow::Error::msg)?;
    say(context, &[Said { kind: ControlKind::Posture, ..Said::setting(POSTURE, body) }])?;
    print_line!("The enforcer's posture is {body} from its next epoch.");
    Ok(ExitCode::SUCCESS)
}

/// The posture that operators set, in words.
pub fn posture_set(log: &dyn Log, wire: &Wire) -> Result<String> {
    Ok(match latest(log, wire, POSTURE)? {
        Some(control) => format!("{} (set by {})", control.body, control.author),
        None => "audit: nothing was acted on (`weir posture` changes it)".into(),
    })
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

/// Says this to all stages: on Kafka, on the embedded log, or by way of the process that has the embedded log
/// open. Gives back what was published; nothing where that process will.
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
            let goes_on = || !context.is_stopped();
            let named = |control| {
                named(log.as_ref(), &wire, control, goes_on)?.context("told to stop: nothing was published")
            };
            let controls = controls.into_iter().map(named).collect::<Result<Vec<Vec<Control>>>>()?.concat();
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

/// Writes these words.
pub fn commit(log: &dyn Log, wire: &Wire, controls: &[Control]) -> Result<()> {
    let Some(first) = controls.first() else { return Ok(()) };
    let record = |control: &Control| {
        // By the time of who writes it, not of who said it: brokers do so by their own.
        Output::keyed(Topic::Control, control.name.clone().into(), wire.to_bytes(control), now_ms())
    };
    let commit = Commit { outputs: controls.iter().map(record).collect(), positions: Vec::new() };
    log.writer(&format!("operator/{}", first.name))?.commit(&commit)?;
    Ok(())
}

/// The latest control record of each name that begins with `prefix` and is not deleted, in the order of the
/// names.
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

/// The latest control record of this name; none where there is none, or it was deleted.
pub fn latest(log: &dyn Log, wire: &Wire, name: &str) -> Result<Option<Control>> {
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

/// Every control record of the names that are meant and when the log took it, the oldest first. What cannot
/// be read says nothing.
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

/// Says this to all stages, by the log that this process has.
pub fn publish(
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

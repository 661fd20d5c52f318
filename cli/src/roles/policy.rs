//! `weir policy`: which policy is in force, which were, and how one takes another's place.

use crate::context::Context;
use crate::roles::control::{POLICY, Said, history as said, read_policy, say};
use crate::times::time_of;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use weir_processor::policy::Policy;
use weir_schemas::{Control, ControlKind};

/// `weir policy show`: the text of the policy in force.
pub fn show(context: &Context) -> Result<ExitCode> {
    match published(context)?.pop() {
        Some(control) => print!("{}", control.body),
        None => print!("{}", Policy::builtin_text()),
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy check FILE`: whether this build can judge by it.
pub fn check(path: &Path) -> Result<ExitCode> {
    let (policy, _) = read_policy(path)?;
    println!("{} is a policy: version {}, digest {}", path.display(), policy.version, policy.digest);
    Ok(ExitCode::SUCCESS)
}

/// `weir policy publish FILE`: checks the file and puts it in force from the next epoch on.
pub fn publish(context: &Context, path: &Path) -> Result<ExitCode> {
    let (policy, text) = read_policy(path)?;
    put_in_force(context, policy, text)
}

/// `weir policy history`: every policy that was published, the latest first.
pub fn history(context: &Context, is_json: bool) -> Result<ExitCode> {
    let mut entries: Vec<Entry> = published(context)?.iter().map(Entry::of).collect();
    if let Some(last) = entries.last_mut() {
        last.in_force = true;
    }
    entries.reverse();
    if is_json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(ExitCode::SUCCESS);
    }
    if entries.is_empty() {
        println!("No policy was ever published: the built-in one is in force.");
    }
    for Entry { version, time, author, digest, in_force } in entries {
        let digest = digest.map_or("refused by this build".into(), |digest| digest[..16].to_owned());
        let mark = if in_force { "  in force" } else { "" };
        println!("{time}  {version:<20}  {digest:<21}  by {author}{mark}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy rollback [VERSION]`: puts an earlier policy in force again.
pub fn roll_back(context: &Context, version: Option<&str>) -> Result<ExitCode> {
    let mut policies = published(context)?;
    let Some(in_force) = policies.pop() else {
        bail!(
            "no policy was ever published: the built-in one is in force, and there is nothing to go back to"
        )
    };
    let is_meant = |control: &&Control| match version {
        Some(version) => control.version == version && control.body != in_force.body,
        None => control.body != in_force.body,
    };
    let text = match policies.iter().rfind(is_meant) {
        Some(control) => control.body.clone(),
        // Before the first one the built-in policy was in force.
        None if version.is_none() => Policy::builtin_text().to_owned(),
        None => bail!(
            "no other policy of version {} was ever published; `weir policy history` lists them",
            version.unwrap_or_default()
        ),
    };
    let policy = Policy::parse(&text)
        .context("this build cannot judge by it any more; publish a policy that it can")?;
    put_in_force(context, policy, text)
}

fn put_in_force(context: &Context, policy: Policy, body: String) -> Result<ExitCode> {
    let (name, version) = (POLICY.to_owned(), policy.version.clone());
    say(context, &[Said { name, kind: ControlKind::Policy, version, body }])?;
    println!("Policy {} is in force from each task's next epoch.", policy.version);
    Ok(ExitCode::SUCCESS)
}

/// The policies that were published, the oldest first.
fn published(context: &Context) -> Result<Vec<Control>> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    Ok(said(log.as_ref(), &wire, POLICY)?.into_iter().flatten().collect())
}

/// A policy as it was published.
#[derive(Serialize)]
struct Entry {
    version: String,
    time: String,
    author: String,
    /// As epoch records and verdicts have it; none where this build cannot judge by it.
    digest: Option<String>,
    in_force: bool,
}

impl Entry {
    fn of(control: &Control) -> Self {
        Self {
            version: control.version.clone(),
            time: time_of(control.time_ms),
            author: control.author.clone(),
            digest: Policy::parse(&control.body).ok().map(|policy| policy.digest.to_string()),
            in_force: false,
        }
    }
}

//! `weir policy`: which policy is in force, which were, and how one takes another's place.

use crate::context::{Context, now_ms};
use crate::output;
use crate::roles::control::{Said, is_held, say, words};
use crate::settings::Settings;
use crate::times::time_of;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use weir_processor::policy::Policy;
use weir_processor::{InForce, POLICY_NAME, Refused};
use weir_replay::document::of_tenant;
use weir_schemas::bundle::Bundle;
use weir_schemas::wire::Wire;
use weir_schemas::{Control, ControlKind};
use weir_topology::log::Log;

/// Name of the control record that carries the policy.
pub const POLICY: &str = POLICY_NAME;

/// `weir policy show [VERSION]`: the text of the policy in force, or of one that was published; of a tenant
/// what that text comes to for it.
pub fn show(context: &Context, version: Option<&str>, tenant: Option<&str>) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let told = Told::read(context, log.as_ref(), &wire, i64::MAX)?;
    let published = |version: &str| {
        let control = told.latest(|control| control.version == version);
        control.map(|control| Bundle::policy_in(&control.body)).transpose()
    };
    let (text, tenant) = match version {
        None => (Some(told.in_force.text.clone()), tenant),
        Some(version) => match (published(version)?, version.rsplit_once('/')) {
            // As a verdict names the rules of its tenant.
            (None, Some((of, named))) if tenant.is_none_or(|tenant| tenant == named) => {
                let text = published(of)?;
                let says = |text: &str| {
                    Policy::parse(text).is_ok_and(|policy| policy.tenants().any(|tenant| tenant == named))
                };
                ensure!(
                    text.as_deref().is_none_or(says),
                    "policy {of} says nothing of tenant {named}, and no verdict is by {version}"
                );
                (text, Some(named))
            }
            (text, _) => (text, tenant),
        },
    };
    let Some(text) = text else {
        let version = version.unwrap_or_default();
        bail!("no policy of version {version} was ever published; `weir policy history` lists them")
    };
    match tenant {
        None => output::text(text),
        Some(tenant) => {
            let policy = Policy::parse(&text)
                .context("this build cannot judge by it any more, and cannot say what it is for a tenant")?;
            output::text(of_tenant(&policy, tenant));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy check FILE`: whether this build can judge by it.
pub fn check(path: &Path) -> Result<ExitCode> {
    let (policy, _) = read_new_policy(path)?;
    print_line!("{} is a policy: version {}, digest {}", path.display(), policy.version, policy.digest);
    if policy.tenants().len() > 0 {
        let tenants: Vec<&str> = policy.tenants().collect();
        print_line!("Tenants with rules of their own: {}", tenants.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy publish FILE`, and `weir policy apply BUNDLE`, which needs a trust store: checks the file and
/// puts it in force from the next epoch on.
pub fn publish(context: &Context, path: &Path, must_be_signed: bool) -> Result<ExitCode> {
    let (policy, text) = read_new_policy(path)?;
    if must_be_signed && context.trust()?.is_none() {
        bail!(
            "policy_trust is not set: without the keys of those who may sign, nobody can tell whether this bundle is good"
        );
    }
    put_in_force(context, policy, text)
}

/// `weir policy history`: every policy that was published, the latest first.
pub fn history(context: &Context, is_json: bool) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let told = Told::read(context, log.as_ref(), &wire, i64::MAX)?;
    let mut entries: Vec<Entry> = told.controls.iter().map(Entry::of).collect();
    if let Some(last) = entries.iter_mut().rfind(|entry| entry.refused.is_none()) {
        last.in_force = true;
    }
    entries.reverse();
    if is_json {
        print_line!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(ExitCode::SUCCESS);
    }
    if entries.is_empty() {
        print_line!("No policy was ever published: the built-in one is in force.");
    }
    for Entry { version, time, author, digest, counter, refused, in_force } in entries {
        let digest = digest.map_or("refused by this build".into(), |digest| digest[..16].to_owned());
        let counter = counter.map_or(String::new(), |counter| format!("  counter {counter}"));
        let mark = match (in_force, refused) {
            (true, _) => "  in force".to_owned(),
            (false, Some(why)) => format!("  REFUSED: {why}"),
            (false, None) => String::new(),
        };
        print_line!("{time}  {version:<20}  {digest:<21}  by {author}{counter}{mark}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy rollback [VERSION]`: puts an earlier policy in force again. Where policies are signed that is
/// a new bundle of the old text, which `sign` makes with a counter above the one that is given.
pub fn roll_back(
    context: &Context,
    version: Option<&str>,
    sign: impl FnOnce(&str, u64) -> Result<String>,
) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let told = Told::read(context, log.as_ref(), &wire, i64::MAX)?;
    if told.accepted().next().is_none() {
        bail!(
            "no policy was ever published: the built-in one is in force, and there is nothing to go back to"
        );
    }
    let in_force = &told.in_force;
    let is_meant = |control: &Control| {
        let is_other =
            Policy::published(&control.body).map_or(true, |policy| policy.digest != in_force.digest);
        is_other && version.is_none_or(|version| control.version == version)
    };
    let text = match told.latest(is_meant) {
        Some(control) => Bundle::policy_in(&control.body)?,
        // Before the first one the built-in policy was in force.
        None if version.is_none() => Policy::builtin_text().to_owned(),
        None => bail!(
            "no other policy of version {} was ever in force; `weir policy history` lists them",
            version.unwrap_or_default()
        ),
    };
    let policy = Policy::parse(&text)
        .context("this build cannot judge by it any more; publish a policy that it can")?;
    let body = if context.trust()?.is_some() { sign(&text, in_force.counter())? } else { text };
    // The log may be held by one process only: this one, until here.
    drop((told, log));
    put_in_force(context, policy, body)
}

/// Reads and checks a policy file, which may be a bundle; the text is the file's.
pub fn read_policy(path: &Path) -> Result<(Policy, String)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read the policy {}", path.display()))?;
    let policy = Policy::published(&text).with_context(|| refused(path))?;
    Ok((policy, text))
}

/// Reads and checks the file of a policy that is to come in force.
pub fn read_new_policy(path: &Path) -> Result<(Policy, String)> {
    let (policy, text) = read_policy(path)?;
    ensure_name(&policy).with_context(|| refused(path))?;
    Ok((policy, text))
}

/// Refuses a version that could be that of a tenant's rules. Policies that came in force under one when
/// builds took it are read on, and go back in force.
pub fn ensure_name(policy: &Policy) -> Result<()> {
    ensure!(
        !policy.version.contains('/'),
        "its version {:?} has a `/`: verdicts name the rules of a tenant VERSION/TENANT, and nobody could tell which of \
         the two is meant; give it a version without",
        policy.version
    );
    Ok(())
}

/// The policy file that is configured, or the built-in policy where there is none.
pub fn policy_of(settings: &Settings) -> Result<Policy> {
    let path = settings.policy.as_deref();
    path.map_or_else(|| Ok(Policy::builtin()), |path| Ok(read_policy(path)?.0))
}

/// That this policy file is refused, for errors that say why.
pub fn refused(path: &Path) -> String {
    format!("the policy {} is refused", path.display())
}

/// The policy in force, as a task that folds weir.control has it.
pub fn in_force(context: &Context, log: &dyn Log, wire: &Wire) -> Result<InForce> {
    in_force_before(context, log, wire, i64::MAX)
}

/// The policy that was in force before a moment of the log's time.
pub fn in_force_before(context: &Context, log: &dyn Log, wire: &Wire, until_ms: i64) -> Result<InForce> {
    Ok(Told::read(context, log, wire, until_ms)?.in_force)
}

/// The control record that puts this in force.
pub fn control_of(context: &Context, policy: &Policy, body: String) -> Control {
    Control {
        name: POLICY.to_owned(),
        kind: ControlKind::Policy,
        version: policy.version.clone(),
        author: context.node(),
        time_ms: now_ms(),
        body,
    }
}

fn put_in_force(context: &Context, policy: Policy, body: String) -> Result<ExitCode> {
    let control = control_of(context, &policy, body);
    if let Some(trust) = context.trust()? {
        // Before a log is made.
        trust.vouched(&control.body, control.time_ms)?;
        match context.log_or_new() {
            Ok(log) => {
                let mut in_force = in_force(context, log.as_ref(), &*context.wire()?)?;
                if in_force.is(&control.body) {
                    print_line!("Policy {} is in force already.", policy.version);
                    return Ok(ExitCode::SUCCESS);
                }
                // As every task will read it.
                in_force.put(&control, control.time_ms)?;
            }
            // Another process has the log open, and knows how far the counter is.
            Err(error) if is_held(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let Control { name, kind, version, body, .. } = control;
    say(context, &[Said { name, kind, version, body }])?;
    print_line!("Policy {} is in force from each task's next epoch.", policy.version);
    Ok(ExitCode::SUCCESS)
}

/// What was published, the oldest first, with why it did not come in force; and what is in force.
struct Told {
    controls: Vec<(Control, Option<Refused>)>,
    in_force: InForce,
}

impl Told {
    /// Up to a moment of the log's time.
    fn read(context: &Context, log: &dyn Log, wire: &Wire, until_ms: i64) -> Result<Self> {
        let mut in_force = InForce::new(Arc::new(Policy::builtin())).trusting(context.trust()?);
        let said = words(log, wire, |name| name == POLICY)?;
        let said = said.into_iter().filter(|(_, published_ms)| *published_ms < until_ms);
        let controls = said.map(|(control, published_ms)| {
            let refused = in_force.put(&control, published_ms).err();
            (control, refused)
        });
        let controls = controls.collect();
        Ok(Self { controls, in_force })
    }

    /// Those that came in force, the oldest first.
    fn accepted(&self) -> impl DoubleEndedIterator<Item = &Control> {
        self.controls.iter().filter(|(_, refused)| refused.is_none()).map(|(control, _)| control)
    }

    /// The latest that came in force and is meant.
    fn latest(&self, is_meant: impl Fn(&Control) -> bool) -> Option<&Control> {
        self.accepted().rfind(|control| is_meant(control))
    }
}

/// A policy as it was published.
#[derive(Serialize)]
struct Entry {
    version: String,
    time: String,
    author: String,
    /// As epoch records and verdicts have it; none where this build cannot judge by it.
    digest: Option<String>,
    /// Of a bundle.
    counter: Option<u64>,
    /// Why it did not come in force.
    refused: Option<String>,
    in_force: bool,
}

impl Entry {
    fn of((control, refused): &(Control, Option<Refused>)) -> Self {
        Self {
            version: control.version.clone(),
            time: time_of(control.time_ms),
            author: control.author.clone(),
            digest: Policy::published(&control.body).ok().map(|policy| policy.digest.to_string()),
            counter: Bundle::parse(&control.body).ok().map(|bundle| bundle.header.counter),
            refused: refused.as_ref().map(ToString::to_string),
            in_force: false,
        }
    }
}

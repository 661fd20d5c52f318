//! What persons say to the kill switch, and what is in force of it.
//!
//! What is shown is folded from `weir.control` as every enforcer folds it, with the deployment's root key;
//! the enforcers' audit chains say which of them have followed.

use crate::context::{Context, now_ms};
use crate::keys::{Role, random, read_person, read_root, read_sign};
use crate::roles::control::{Said, posture_set, say, words};
use crate::roles::records::each_audit;
use crate::times::second_of;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use weir_enforcer::kill_switch::fold::{EXECUTED, Open};
use weir_enforcer::kill_switch::words::PERSONS_NAME;
use weir_enforcer::kill_switch::{
    Approval, KillSwitch, Person, PersonKey, PersonRole, Persons, Request, RequestKind,
};
use weir_schemas::ControlKind;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// The kill switch as the words on `weir.control` come to, for whoever trusts this root key.
pub fn in_force(log: &dyn Log, wire: &Wire, root: [u8; 32]) -> Result<KillSwitch> {
    let mut switch = KillSwitch::new(Some(root));
    let words = words(log, wire, KillSwitch::is_meant)?.into_iter();
    for (control, heard_ms) in words.filter(|(control, _)| control.kind == ControlKind::KillSwitch) {
        // Why one was refused stands in the chains.
        if let Ok(heard) = switch.hear(&control.name, &control.body, heard_ms) {
            switch.follow(heard);
        }
    }
    Ok(switch)
}

/// Who speaks.
#[derive(clap::Args)]
pub struct PersonFlags {
    /// Your name among the persons
    #[arg(long = "as", value_name = "NAME")]
    pub name: String,
    /// The file of your key, which only you can read
    #[arg(long = "key", value_name = "FILE")]
    pub key: PathBuf,
}

/// The posture in force, in words: the one that was set, unless the kill switch is on. `root` is the key of
/// whom it believes.
pub fn posture_in_force(log: &dyn Log, wire: &Wire, root: Option<[u8; 32]>) -> Result<String> {
    let switch = root.map(|root| in_force(log, wire, root)).transpose()?;
    match switch.and_then(|switch| switch.withholds(now_ms())) {
        Some(reason) => Ok(format!("audit: {reason}")),
        None => posture_set(log, wire),
    }
}

/// `weir kill-switch persons publish FILE`.
pub fn publish_persons(context: &Context, file: &Path) -> Result<ExitCode> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let persons: Vec<Person> = lines
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            person_of(line).with_context(|| format!("{}, line {}", file.display(), number + 1))
        })
        .collect::<Result<_>>()?;
    let root = PersonKey::new(&*read_sign(&context.given_or_own_keys(Role::Operator)?)?);
    let persons = Persons::signed(now_ms().unsigned_abs(), persons, &root)?;
    let count = persons.persons.len();
    tell(context, root.public(), PERSONS_NAME, &persons)?;
    print_line!("{count} persons are in force from each enforcer's next epoch, version {}.", persons.version);
    Ok(ExitCode::SUCCESS)
}

fn person_of(line: &str) -> Result<Person> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, roles, public_key] = words[..] else { bail!("a person is NAME ROLE[,ROLE] PUBLIC_KEY") };
    let roles =
        roles.split(',').map(str::parse).collect::<Result<_, String>>().map_err(anyhow::Error::msg)?;
    Ok(Person { name: name.to_owned(), roles, public_key: public_key.to_owned() })
}

/// `weir kill-switch persons show`.
pub fn persons(context: &Context, is_json: bool) -> Result<ExitCode> {
    let (switch, ..) = read(context)?;
    let Some(persons) = switch.persons() else { bail!("nobody has said who the persons are") };
    if is_json {
        print_line!("{}", serde_json::to_string_pretty(persons)?);
        return Ok(ExitCode::SUCCESS);
    }
    for Person { name, roles, public_key } in &persons.persons {
        print_line!("{name:<20}  {:<24}  {public_key}", named(roles));
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir kill-switch request WHAT`.
pub fn request(
    context: &Context,
    what: RequestKind,
    reason: &str,
    person: &PersonFlags,
    out: Option<&Path>,
) -> Result<ExitCode> {
    let (root, key) = (root(context)?, PersonKey::new(&*read_person(&person.key)?));
    let id = random()?;
    let id = [id[0], id[1], id[2], id[3]];
    let request = Request::signed(what, &person.name, reason, now_ms(), id, &key, &root);
    let body = serde_json::to_string(&request)?;
    // Before it is said: what nobody would believe need not be.
    Request::read(&body)?;
    if let Some(path) = out {
        fs::write(path, format!("{body}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tell(context, root, &request.record_name(), &request)?;
    let until = second_of(request.expires_ms);
    print_line!("Request {}: {what}, good until {until}.", request.request_id);
    match what.roles() {
        [role] => print_line!("Who has the role {role} needs nobody else; others need one who has it."),
        roles => print_line!("It takes the approval of {}, each another person.", named(roles)),
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir kill-switch approve ID|FILE`.
pub fn approve(context: &Context, of: &str, role: PersonRole, person: &PersonFlags) -> Result<ExitCode> {
    let (root, key) = (root(context)?, PersonKey::new(&*read_person(&person.key)?));
    let request = if of.starts_with("ks-") && !Path::new(of).exists() {
        let (switch, ..) = read(context)?;
        let open = switch.open().find(|open| open.request.request_id == of);
        open.with_context(|| format!("{of} is not open: `weir kill-switch list`"))?.request.clone()
    } else {
        let text = fs::read_to_string(of).with_context(|| format!("cannot read the request {of}"))?;
        Request::read(text.trim()).with_context(|| format!("{of} is no request"))?
    };
    let Request { request_id, request_type, requester, reason, .. } = &request;
    print_line!("Request {request_id}: {request_type}, asked for by {requester}: {reason}");
    let approval = Approval::signed(&request, role, &person.name, &key, &root);
    tell(context, root, &approval.record_name(), &approval)?;
    print_line!("Approved by {} as {role}.", person.name);
    Ok(ExitCode::SUCCESS)
}

/// `weir kill-switch list`.
pub fn list(context: &Context, is_json: bool) -> Result<ExitCode> {
    let (switch, ..) = read(context)?;
    let now_ms = now_ms();
    let open: Vec<&Open> = switch.open().filter(|open| open.request.expires_ms >= now_ms).collect();
    if is_json {
        print_line!("{}", serde_json::to_string_pretty(&open)?);
        return Ok(ExitCode::SUCCESS);
    }
    if open.is_empty() {
        print_line!("No request waits for an approval.");
    }
    for Open { request, approvals } in open {
        let Request { request_id, request_type, requester, reason, expires_ms, .. } = request;
        let lacking: Vec<PersonRole> =
            request_type.roles().iter().copied().filter(|role| !approvals.contains_key(role)).collect();
        print_line!(
            "{request_id}  {request_type}  by {requester}, until {}, waits for {}: {reason}",
            second_of(*expires_ms),
            named(&lacking)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir kill-switch status`: exits with 1 where it is on.
pub fn status(context: &Context, is_json: bool) -> Result<ExitCode> {
    let (switch, log, wire) = read(context)?;
    let now_ms = now_ms();
    let (switched, glass) = (switch.switched(), switch.glass(now_ms));
    let ids: Vec<&str> =
        [switched.map(|s| &*s.request_id), glass.map(|g| &*g.request_id)].into_iter().flatten().collect();
    let partitions = log.partitions(Topic::Audit)?;
    let mut following = BTreeSet::new();
    for partition in (0..partitions).filter(|_| !ids.is_empty()) {
        let executed = executed(log.as_ref(), &wire, partition)?;
        if ids.iter().all(|id| executed.iter().any(|reason| reason.contains(id))) {
            following.insert(partition);
        }
    }
    if is_json {
        let status = json!({
            "on": switch.is_on(now_ms), "switched": switched, "glass": glass,
            "enforcers": partitions, "following": following,
            "persons_version": switch.persons().map(|persons| persons.version),
        });
        print_line!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        if let Some(switched) = switched {
            let since = second_of(switched.since_ms);
            print_line!("On: {}, request {}, since {since}.", switched.kind, switched.request_id);
        }
        if let Some(glass) = glass {
            print_line!(
                "The glass is broken until {}, request {}.",
                second_of(glass.until_ms),
                glass.request_id
            );
        }
        match ids.is_empty() {
            true => print_line!("Off: enforcers act as their posture has it."),
            false => print_line!("{} of {partitions} enforcers follow.", following.len()),
        }
        if switch.persons().is_none() {
            print_line!("Nobody can switch it: `weir kill-switch persons publish` says who may.");
        }
    }
    Ok(if switch.is_on(now_ms) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reasons of what was carried out, in the chain of a partition's enforcer.
fn executed(log: &dyn Log, wire: &Wire, partition: u32) -> Result<Vec<String>> {
    let mut executed = Vec::new();
    each_audit(log, wire, partition, |audit| {
        if audit.outcome == EXECUTED {
            executed.push(audit.reason);
        }
    })?;
    Ok(executed)
}

fn read(context: &Context) -> Result<(KillSwitch, Arc<dyn Log>, Arc<Wire>)> {
    let root = root(context)?;
    let (log, wire) = (context.existing_log()?, context.wire()?);
    Ok((in_force(log.as_ref(), &wire, root)?, log, wire))
}

/// The deployment's root key, as whoever checks has it.
fn root(context: &Context) -> Result<[u8; 32]> {
    Ok(read_root(&context.given_or_own_keys(Role::Auditor)?, Role::Auditor)?)
}

/// Says a word, unless the enforcers would refuse it. Where the log cannot be read because another process
/// has it, they say.
fn tell(context: &Context, root: [u8; 32], name: &str, word: &impl Serialize) -> Result<()> {
    let body = serde_json::to_string(word)?;
    if let Ok(log) = context.existing_log() {
        let switch = in_force(log.as_ref(), &*context.wire()?, root)?;
        switch.hear(name, &body, now_ms())?;
    }
    say(context, &[Said { kind: ControlKind::KillSwitch, ..Said::setting(name, &body) }])?;
    Ok(())
}

fn named(roles: &[PersonRole]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

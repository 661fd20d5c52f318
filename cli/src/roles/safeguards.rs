//! What operators say to the enforcer's safeguards, and what is in force of it.

use crate::context::{Context, now_ms};
use crate::keys::{CollectorKeys, Role};
use crate::roles::control::{Said, in_force, say};
use crate::roles::records::each_audit;
use anyhow::{Result, bail};
use std::process::ExitCode;
use weir_enforcer::limiter::{LIMIT_NAME, Limit, RESUME_NAME};
use weir_enforcer::reinstate::Reinstated;
use weir_enforcer::rings::{Ring, Rings};
use weir_enforcer::safeguards::REINSTATE_NAME;
use weir_enforcer::stage::{PAUSED, RESUMED};
use weir_enforcer::subject::{ListName, OFF, ON, Subject};
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::wire::Wire;
use weir_schemas::{Action, Audit};
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// Puts subjects on a list or takes them off.
pub fn set_list(context: &Context, list: ListName, subjects: &[String], is_on: bool) -> Result<ExitCode> {
    let subjects: Vec<Subject> = subjects.iter().map(|text| subject(context, text)).collect::<Result<_>>()?;
    let body = if is_on { ON } else { OFF };
    let said: Vec<Said> =
        subjects.iter().map(|subject| Said::setting(&list.record_of(subject), body)).collect();
    say(context, &said)?;
    for subject in subjects {
        let verb = if is_on { "on" } else { "off" };
        print_line!("{subject} is {verb} the list {list} from each enforcer's next epoch.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a list, a subject a line.
pub fn show_list(context: &Context, list: ListName) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    for (name, control) in in_force(log.as_ref(), &wire, list.prefix())? {
        if let Some((_, subject)) = ListName::of_record(&name).filter(|_| control.body.trim() == ON) {
            print_line!("{subject}  since {} by {}", control.time_ms, control.author);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Undoes what is in force on a subject.
pub fn reinstate(context: &Context, text: &str) -> Result<ExitCode> {
    let subject = subject(context, text)?;
    let published = say(context, &[Said::setting(REINSTATE_NAME, &subject.to_string())])?;
    print_line!("What is in force on {subject} is undone from each enforcer's next epoch.");
    if published.is_empty() {
        print_line!(
            "The process that has the log open names what that is, whether or not its enforcer knows of it."
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut knows_of_any = false;
    for control in &published {
        let word = Reinstated::parse(&control.body).map_err(anyhow::Error::msg)?;
        for (_, action) in &word.named {
            knows_of_any = true;
            let Action { kind, account, action_id, verdict_id, state, .. } = action;
            let whose = match subject {
                Subject::Account(_) => String::new(),
                Subject::Tenant(_) => format!(" on account {account}"),
            };
            print_line!(
                "By the log that is {kind} {action_id} ({state}){whose}, which answers verdict {verdict_id}."
            );
        }
    }
    if !knows_of_any {
        print_line!("The log knows of nothing that is in force on it.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how far a ring reaches.
pub fn set_ring(context: &Context, ring: u8, body: &str) -> Result<ExitCode> {
    let said = Ring::parse(body).map_err(anyhow::Error::msg)?;
    say(context, &[Said::setting(&Rings::record_of(ring), &said.to_string())])?;
    print_line!("Ring {ring} is {said} from each enforcer's next epoch.");
    Ok(ExitCode::SUCCESS)
}

/// Approves of every pause that has begun by now.
pub fn approve(context: &Context) -> Result<ExitCode> {
    // Pauses are told in the enforcers' time, which may be ahead of this machine's.
    let mut until_ms = now_ms();
    if let Ok(log) = context.existing_log() {
        let wire = context.wire()?;
        for partition in 0..log.partitions(Topic::Audit)? {
            let pause = pause_of(log.as_ref(), &wire, partition)?;
            until_ms = until_ms.max(pause.map_or(0, |audit| audit.time_ms));
        }
    }
    say(context, &[Said::setting(RESUME_NAME, &until_ms.to_string())])?;
    print_line!("Every pause that has begun by now is over from each enforcer's next epoch.");
    Ok(ExitCode::SUCCESS)
}

/// Prints the limit in force, and which enforcers pause and why. Exits with 1 where one does.
pub fn show_limiter(context: &Context) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let limit = match in_force(log.as_ref(), &wire, LIMIT_NAME)?.remove(LIMIT_NAME) {
        Some(control) => Limit::parse(&control.body).map_err(anyhow::Error::msg)?,
        None => Limit::default(),
    };
    print_line!(
        "Up to {} accounts an hour on each of {} partitions: {limit}.",
        limit.cap(),
        limit.partitions
    );
    let mut is_paused = false;
    for partition in 0..log.partitions(Topic::Audit)? {
        if let Some(audit) = pause_of(log.as_ref(), &wire, partition)? {
            is_paused = true;
            print_line!("enforcer/{partition} pauses since {}: {}", audit.time_ms, audit.reason);
        }
    }
    if is_paused {
        print_line!("`weir limiter approve` lets them go on.");
        return Ok(ExitCode::FAILURE);
    }
    print_line!("No enforcer pauses.");
    Ok(ExitCode::SUCCESS)
}

/// The record of the pause that is in force on a partition.
fn pause_of(log: &dyn Log, wire: &Wire, partition: u32) -> Result<Option<Audit>> {
    let mut pause = None;
    each_audit(log, wire, partition, |audit| match audit.outcome.as_str() {
        PAUSED => pause = Some(audit),
        RESUMED => pause = None,
        _ => {}
    })?;
    Ok(pause)
}

/// `account/HEX`, `tenant/NAME`, or `key/RAW`: the account that the collector makes of this raw id of the configured
/// tenant, for which the collector's keys are needed.
fn subject(context: &Context, text: &str) -> Result<Subject> {
    let Some(raw) = text.strip_prefix("key/") else {
        return Subject::parse(text).map_err(|_| {
            anyhow::anyhow!(
                "{text:?} is nobody: give account/ and 32 lower-case hex digits, tenant/ and a name, or key/ and a raw id"
            )
        });
    };
    let Some(account) = weir_collector::account_of(raw) else { bail!("key/ has no key behind it") };
    let tenants = context.tenants()?;
    let Ok((tenant, _)) = tenants.find(None) else {
        bail!(
            "key/ is of the tenant that `tenant` names, and the registry has nobody of that name: set WEIR_TENANT to one of its ids"
        );
    };
    let keys = CollectorKeys::read(&context.given_or_own_keys(Role::Collector)?)?;
    let (epoch, key) = &keys.pseudonym;
    Ok(Subject::Account(PseudonymKey::new(key, *epoch).account(tenant, &account)))
}

//! What operators say to the enforcer's safeguards, and what is in force of it.

use crate::context::{Context, now_ms};
use crate::keys::{CollectorKeys, Role};
use crate::roles::control::{Said, in_force, say};
use crate::roles::records::each_audit;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use weir_enforcer::limiter::{
    LIMIT_NAME, Limit, RESUME_NAME, record_of, tenant_cap_body, tenant_cap_in, whose,
};
use weir_enforcer::reinstate::Reinstated;
use weir_enforcer::rings::{Ring, Rings};
use weir_enforcer::safeguards::REINSTATE_NAME;
use weir_enforcer::stage::{EVERY_TENANT, PAUSED, RESUMED};
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

/// Gives a tenant a cap of its own in accounts an hour, or takes it away.
pub fn set_tenant_limit(context: &Context, tenant: &str, cap: Option<u64>) -> Result<ExitCode> {
    say(context, &[Said::setting(&record_about(LIMIT_NAME, Some(tenant))?, &tenant_cap_body(cap))])?;
    match cap {
        Some(accounts) => print_line!(
            "Up to {accounts} accounts of tenant {tenant} an hour, over all partitions, from each enforcer's next epoch."
        ),
        None => print_line!("Tenant {tenant} has no cap of its own from each enforcer's next epoch."),
    }
    Ok(ExitCode::SUCCESS)
}

/// Approves of every pause of a tenant, or of those that hold for all tenants, that has begun by now.
pub fn approve(context: &Context, tenant: Option<&str>) -> Result<ExitCode> {
    let name = record_about(RESUME_NAME, tenant)?;
    // Pauses are told in the enforcers' time, which may be ahead of this machine's.
    let mut until_ms = now_ms();
    if let Ok(log) = context.existing_log() {
        let wire = context.wire()?;
        for partition in 0..log.partitions(Topic::Audit)? {
            let mut pauses = pauses_of(log.as_ref(), &wire, partition)?;
            let pause = pauses.remove(tenant.unwrap_or(EVERY_TENANT));
            until_ms = until_ms.max(pause.map_or(0, |audit| audit.time_ms));
        }
    }
    say(context, &[Said::setting(&name, &until_ms.to_string())])?;
    match tenant {
        Some(tenant) => print_line!(
            "Every pause of tenant {tenant} that has begun by now is over from each enforcer's next epoch."
        ),
        None => print_line!(
            "Every pause of all tenants that has begun by now is over from each enforcer's next epoch. One tenant's pause goes on: \
             that is ended with --tenant."
        ),
    }
    print_line!("For an hour no storm pauses them; the cap holds.");
    Ok(ExitCode::SUCCESS)
}

/// Prints the limits in force, and which enforcers pause and why. Exits with 1 where one does.
pub fn show_limiter(context: &Context) -> Result<ExitCode> {
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let mut said = in_force(log.as_ref(), &wire, LIMIT_NAME)?;
    let limit = match said.remove(LIMIT_NAME) {
        Some(control) => Limit::parse(&control.body).map_err(anyhow::Error::msg)?,
        None => Limit::default(),
    };
    print_line!(
        "Up to {} accounts an hour on each of {} partitions: {limit}.",
        limit.cap(),
        limit.partitions
    );
    if let (Some(cap), Some(part)) = (limit.requests_cap(), limit.requests_part()) {
        print_line!(
            "They may have made up to {part} requests of a day there, and each by itself up to {cap}."
        );
    }
    for (name, control) in said {
        if let Some(Ok(Some(tenant))) = whose(LIMIT_NAME, &name)
            && let Ok(Some(cap)) = tenant_cap_in(&control.body)
        {
            let part = limit.tenant_cap(Some(cap)).unwrap_or(cap);
            print_line!("Of tenant {tenant:?} up to {part} on each: {cap} over all.");
        }
    }
    let (mut all_pause, mut tenants) = (false, BTreeSet::new());
    for partition in 0..log.partitions(Topic::Audit)? {
        for (tenant, audit) in pauses_of(log.as_ref(), &wire, partition)? {
            let Audit { time_ms, reason, .. } = audit;
            if tenant == EVERY_TENANT {
                all_pause = true;
                print_line!("enforcer/{partition} pauses since {time_ms}: {reason}");
            } else {
                print_line!("enforcer/{partition} pauses for tenant {tenant:?} since {time_ms}: {reason}");
                tenants.insert(tenant);
            }
        }
    }
    if all_pause {
        print_line!("`weir limiter approve` lets them go on.");
    }
    for tenant in &tenants {
        match in_shell(tenant) {
            Some(word) => print_line!("`weir limiter approve --tenant={word}` lets them go on for it."),
            None => print_line!("`weir limiter approve --tenant NAME` lets them go on for {tenant:?}."),
        }
    }
    if all_pause || !tenants.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    print_line!("No enforcer pauses.");
    Ok(ExitCode::SUCCESS)
}

/// The tenant's name as one word of a shell's command: a client may have chosen it. None where it has
/// characters that no terminal shows, and that nobody should paste.
fn in_shell(tenant: &str) -> Option<String> {
    let is_shown = tenant.chars().all(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ');
    is_shown.then(|| format!("'{}'", tenant.replace('\'', r"'\''")))
}

/// Name of the record about a tenant, or about all of them, if there can be a tenant of that name.
fn record_about(prefix: &str, tenant: Option<&str>) -> Result<String> {
    let name = record_of(prefix, tenant);
    match whose(prefix, &name) {
        Some(Err(refused)) => bail!("{:?} is no tenant: {refused}", tenant.unwrap_or_default()),
        _ => Ok(name),
    }
}

/// The records of the pauses that are in force on a partition, by the tenants that they hold for.
fn pauses_of(log: &dyn Log, wire: &Wire, partition: u32) -> Result<BTreeMap<String, Audit>> {
    let mut pauses = BTreeMap::new();
    each_audit(log, wire, partition, |audit| match audit.outcome.as_str() {
        PAUSED => drop(pauses.insert(audit.tenant.clone(), audit)),
        RESUMED => drop(pauses.remove(&audit.tenant)),
        _ => {}
    })?;
    Ok(pauses)
}

/// `account/HEX`, `tenant/NAME`, or `key/RAW`: the account that the collector makes of this raw id of the
/// configured tenant, for which the collector's keys are needed.
fn subject(context: &Context, text: &str) -> Result<Subject> {
    let Some(raw) = text.strip_prefix("key/") else {
        return Subject::parse(text).map_err(|_| {
            anyhow::anyhow!(
                "{text:?} is nobody: give account/ and 32 lower-case hex digits, tenant/ and a name, or key/ and a raw id"
            )
        });
    };
    let Some(account) = weir_collector::account_of(raw) else { bail!("key/ has no key behind it") };
    let tenants = context.tenants()?.now();
    let Ok((tenant, _)) = tenants.find(None) else {
        bail!(
            "key/ is of the tenant that `tenant` names, and the registry has nobody of that name: set WEIR_TENANT to one of its ids"
        );
    };
    let keys = CollectorKeys::read(&context.given_or_own_keys(Role::Collector)?)?;
    let (epoch, key) = &keys.pseudonym;
    Ok(Subject::Account(PseudonymKey::new(key, *epoch).account(tenant, &account)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_name_is_one_word_of_a_command_and_nothing_of_it_is_run() {
        for name in ["acme", "a b", "$(reboot)", "`reboot`", "it's; reboot", "\\", "\"", "-x"] {
            let word = in_shell(name).unwrap();
            let told =
                std::process::Command::new("sh").arg("-c").arg(format!("printf %s {word}")).output().unwrap();
            assert_eq!(String::from_utf8(told.stdout).unwrap(), name);
        }
        assert_eq!(in_shell("a\nreboot\n"), None);
        assert_eq!(in_shell("\u{1b}[2J"), None);
    }
}

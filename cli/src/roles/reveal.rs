//! `weir reveal`: who stands behind a pseudonym, for a person, after it is written down that they asked.

use crate::context::{Context, now_ms};
use crate::keys::{EnforcerKeys, Role};
use crate::roles::control::{Said, say};
use crate::roles::records::each_audit;
use anyhow::{Result, bail, ensure};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use weir_enforcer::export::identities::Identities;
use weir_enforcer::limits::REASON_BYTES_MAX;
use weir_enforcer::safeguards::REVEAL_NAME;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, AuditKind};
use weir_topology::log::Log;
use weir_topology::topic::Topic;

/// How long an enforcer may take to write it down.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long what was written down holds for the same question, in milliseconds.
const HOLDS_MS: i64 = 3_600_000;

/// Prints tenant and raw id of an account, once the audit chain has who asked and why.
pub fn reveal(context: &Context, account: AccountId, reason: &str) -> Result<ExitCode> {
    let is_line = !reason.trim().is_empty() && !reason.chars().any(char::is_control);
    ensure!(
        is_line && reason.len() <= REASON_BYTES_MAX,
        "a reason is 1 to {REASON_BYTES_MAX} bytes on one line"
    );
    let keys = EnforcerKeys::read(&context.given_or_own_keys(Role::Enforcer)?)?;
    let wire = context.wire()?;
    // Each look opens the log anew: the embedded one is its opener's alone.
    let is_written = || is_written_down(context, context.existing_log()?.as_ref(), &wire, account, reason);
    if !is_written()? {
        say(context, &[Said::setting(REVEAL_NAME, &format!("{account} {reason}"))])?;
        let until = Instant::now() + if context.brokers().is_some() { PATIENCE } else { Duration::ZERO };
        while !is_written()? {
            if Instant::now() >= until {
                bail!(
                    "it is asked for, and no enforcer has written that down yet: ask the same again when one has run"
                );
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
    let log = context.existing_log()?;
    let partitions = (0..log.partitions(Topic::Identities)?).collect();
    let mut identities = Identities::new(log, wire, keys.opener(), partitions);
    if let Some(schemas) = context.schemas() {
        identities.set_schemas(schemas);
    }
    match identities.open(account)? {
        Ok(opened) => print_line!("{}\t{}", opened.tenant().escape_debug(), opened.account().escape_debug()),
        Err(error) => bail!("{account} cannot be told: {error}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether an audit chain has this question, asked lately and from here.
fn is_written_down(
    context: &Context,
    log: &dyn Log,
    wire: &Wire,
    account: AccountId,
    reason: &str,
) -> Result<bool> {
    let (since_ms, node) = (now_ms() - HOLDS_MS, context.node());
    let mut is_there = false;
    for partition in 0..log.partitions(Topic::Audit)? {
        each_audit(log, wire, partition, |audit| {
            let is_asked = audit.kind == AuditKind::Reveal && audit.account == Some(account);
            // The chain keeps the beginning of a long name.
            let is_ours = !audit.actor.is_empty() && node.starts_with(&audit.actor);
            is_there |= is_asked && is_ours && audit.reason == reason && audit.time_ms >= since_ms;
        })?;
    }
    Ok(is_there)
}

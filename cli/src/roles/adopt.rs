//! What the configuration says to all stages: it is published at the start, where it is not in force already.

use crate::context::{Context, now_ms};
use crate::roles::control::{latest, publish};
use crate::roles::policy::{POLICY, control_of, ensure_name, in_force, read_policy, refused};
use anyhow::{Context as _, Result};
use weir_enforcer::age::{AGE_NAME, AgeMax};
use weir_enforcer::limiter::{LIMIT_NAME, Limit};
use weir_processor::Refused;
use weir_schemas::ControlKind;
use weir_schemas::bundle::{Bundle, Distrust};
use weir_schemas::wire::Wire;
use weir_topology::log::{Log, LogError};
use weir_topology::topic::Topic;

/// Refuses a configured policy file that is none, before anything is written.
pub fn check_policy(context: &Context) -> Result<()> {
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

/// Publishes the configured policy file if it is not what is in force already.
pub fn configured_policy(context: &Context, log: &dyn Log, wire: &Wire) -> Result<()> {
    let Some(path) = &context.settings.policy else { return Ok(()) };
    let (policy, text) = read_policy(path)?;
    if latest(log, wire, POLICY)?.is_some_and(|control| control.body == text) {
        return Ok(());
    }
    ensure_name(&policy).with_context(|| refused(path))?;
    if context.trust()?.is_some() {
        // What no task would put in force is not published.
        let control = control_of(context, &policy, text.clone());
        let mut in_force = in_force(context, log, wire)?;
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
pub fn configured_age(context: &Context, log: &dyn Log, wire: &Wire) -> Result<()> {
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

/// What became of telling, or of counting what is told: where the log passes over it, the next time does.
pub fn unless(outcome: Result<()>, passes: impl Fn(&LogError) -> bool) -> Result<()> {
    match outcome {
        Err(error) if error.downcast_ref().is_some_and(passes) => Ok(()),
        outcome => outcome,
    }
}

/// What shares are of, where it was counted: of what is none, what was said last stands.
#[derive(Default)]
pub struct Whole {
    /// Accounts.
    pub accounts: Option<u64>,
    /// Requests.
    pub requests: Option<Measured>,
}

/// Requests in a day, as they were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// How many; never 0, which is what nobody has said.
    pub a_day: u64,
    /// Whether a whole day was seen, and not an hour or more of one: that says something only where nobody
    /// has said anything yet.
    pub of_a_day: bool,
}

/// Publishes the configured limit, and what its shares are of, where that is not what is in force.
pub fn configured_limit(context: &Context, log: &dyn Log, wire: &Wire, whole: Whole) -> Result<()> {
    let in_force = match latest(log, wire, LIMIT_NAME)? {
        Some(control) => Limit::parse(&control.body).ok(),
        None => Some(Limit::default()),
    };
    let told = in_force.unwrap_or_default();
    // A change of less than a tenth changes no cap that anybody would notice.
    let newer = |counted: Option<u64>, told: u64| {
        counted.filter(|counted| counted.abs_diff(told).saturating_mul(10) > told).unwrap_or(told)
    };
    let requests = whole.requests.filter(|measured| measured.of_a_day || told.requests == 0);
    let configured = Limit {
        floor: context.settings.act_limit_floor,
        share_permille: context.settings.act_limit_share_permille,
        accounts: newer(whole.accounts, told.accounts),
        partitions: log.partitions(Topic::Verdicts)?.into(),
        tenant_permille: context.settings.act_limit_tenant_permille,
        storm_floor: context.settings.act_storm_floor,
        storm_times: context.settings.act_storm_times,
        traffic_permille: context.settings.act_limit_traffic_permille,
        requests_floor: context.settings.act_limit_requests,
        requests: newer(requests.map(|measured| measured.a_day), told.requests),
    };
    if in_force == Some(configured) {
        return Ok(());
    }
    publish(context, log, wire, LIMIT_NAME, ControlKind::Setting, "", &configured.to_string())
}

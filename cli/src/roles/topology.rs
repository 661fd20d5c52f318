//! `weir topology`: topics, their keys and their settings on the broker.

use crate::context::Context;
use crate::output;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::ExitCode;
use weir_topology::kafka::admin::Admin;
use weir_topology::plan::access::{READERS, Role};
use weir_topology::plan::{Plan, Target, mermaid, settings};
use weir_topology::topic::{Partitions, Topic};

/// `plan`: what apply would change.
pub fn plan(context: &Context) -> Result<ExitCode> {
    output::text(&planned(context)?.1);
    Ok(ExitCode::SUCCESS)
}

/// `check`: exits with 1 when the broker differs from the plan.
pub fn check(context: &Context) -> Result<ExitCode> {
    let (_, plan) = planned(context)?;
    output::text(&plan);
    Ok(if plan.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `apply`: creates what is missing and brings settings into line.
pub fn apply(context: &Context) -> Result<ExitCode> {
    let (admin, plan) = planned(context)?;
    output::text(&plan);
    if !plan.refusals.is_empty() {
        bail!("nothing was changed: the differences above would lose records or move keys");
    }
    admin.apply(&plan)?;
    Ok(ExitCode::SUCCESS)
}

fn planned(context: &Context) -> Result<(Admin, Plan)> {
    let admin = Admin::connect(context.kafka_config()?)?;
    let replication =
        u16::try_from(context.settings.kafka_replication).context("kafka.replication is too large")?;
    let target = Target { partitions: context.settings.partitions, replication };
    let plan = admin.plan(&target)?;
    Ok((admin, plan))
}

/// `diagram`: topics and stages as a Mermaid diagram.
pub fn diagram() -> Result<ExitCode> {
    output::text(mermaid());
    Ok(ExitCode::SUCCESS)
}

/// Replicas that settings are listed for. With fewer, `min.insync.replicas` is 1.
const REPLICAS: u16 = 3;

/// `list`: topics with their settings, and what each role may do on the brokers, as JSON, for what makes
/// resources of other systems of them. A topic's partitions are `"shared"` where they are the deployment's
/// count, else 1; names are without the deployment's prefix.
pub fn list() -> Result<ExitCode> {
    print_line!("{:#}", json!({ "topics": topics(), "roles": roles() }));
    Ok(ExitCode::SUCCESS)
}

fn topics() -> Vec<Value> {
    let target = Target { partitions: 1, replication: REPLICAS };
    let listed = Topic::ALL.iter().map(|&topic| {
        let partitions = match topic.spec().partitions {
            Partitions::Shared => json!("shared"),
            Partitions::One | Partitions::Sole => json!(1),
        };
        json!({ "name": topic.name(), "partitions": partitions, "settings": settings(topic, &target) })
    });
    listed.collect()
}

fn roles() -> Vec<Value> {
    let names = |topics: BTreeSet<Topic>| -> Vec<&str> { topics.into_iter().map(Topic::name).collect() };
    let listed = Role::ALL.iter().map(|role| {
        let access = role.access();
        json!({
            "name": role.as_str(), "reads": names(access.reads), "writes": names(access.writes),
            "names": access.names, "readers": READERS,
        })
    });
    listed.collect()
}

//! `weir topology`: topics, their keys and their settings on the broker.

use crate::context::Context;
use anyhow::{Context as _, Result, bail};
use std::process::ExitCode;
use weir_topology::kafka::admin::Admin;
use weir_topology::plan::{Plan, Target, mermaid};

/// `plan`: what apply would change.
pub fn plan(context: &Context) -> Result<ExitCode> {
    print!("{}", planned(context)?.1);
    Ok(ExitCode::SUCCESS)
}

/// `check`: exits with 1 when the broker differs from the plan.
pub fn check(context: &Context) -> Result<ExitCode> {
    let (_, plan) = planned(context)?;
    print!("{plan}");
    Ok(if plan.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `apply`: creates what is missing and brings settings into line.
pub fn apply(context: &Context) -> Result<ExitCode> {
    let (admin, plan) = planned(context)?;
    print!("{plan}");
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
    print!("{}", mermaid());
    Ok(ExitCode::SUCCESS)
}

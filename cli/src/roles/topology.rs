//! `weir topology`: topics, their keys and their settings on the broker.

use crate::context::Context;
use anyhow::{Context as _, Result, bail};
use std::process::ExitCode;
use weir_topology::kafka::admin::Admin;
use weir_topology::plan::{Plan, Target, mermaid};

/// `plan`, `apply` or `check`.
pub fn run(verb: &str, context: &Context) -> Result<ExitCode> {
    let admin = Admin::connect(context.kafka_config()?)?;
    let replication =
        u16::try_from(context.settings.kafka_replication).context("kafka.replication is too large")?;
    let target = Target { partitions: context.settings.partitions, replication };
    let plan = admin.plan(&target)?;
    match verb {
        "plan" => {
            print!("{plan}");
            Ok(ExitCode::SUCCESS)
        }
        "check" => {
            print!("{plan}");
            Ok(if plan.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        "apply" => apply(&admin, &plan),
        other => bail!("topology knows no {other}"),
    }
}

fn apply(admin: &Admin, plan: &Plan) -> Result<ExitCode> {
    print!("{plan}");
    if !plan.refusals.is_empty() {
        bail!("nothing was changed: the differences above would lose records or move keys");
    }
    admin.apply(plan)?;
    Ok(ExitCode::SUCCESS)
}

/// `diagram`: topics and stages as a Mermaid diagram.
pub fn diagram() -> Result<ExitCode> {
    print!("{}", mermaid());
    Ok(ExitCode::SUCCESS)
}

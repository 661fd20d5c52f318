//! `weir topology plan | apply | check`, as a library.

use crate::support::deploy;
use weir_topology::kafka::admin::Admin;
use weir_topology::log::Log;
use weir_topology::plan::{Change, Target};
use weir_topology::topic::Topic;

const TARGET: Target = Target { partitions: 3, replication: 1 };

#[test]
fn what_was_applied_needs_no_further_plan() {
    let Some(deployment) = deploy(3) else { return };
    let admin = Admin::connect(deployment.config.clone()).unwrap();
    let plan = admin.plan(&TARGET).unwrap();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(deployment.log.partitions(Topic::Events), Ok(3));
    assert_eq!(deployment.log.partitions(Topic::Control), Ok(1));
}

#[test]
fn drift_is_seen_and_put_right_and_settings_of_others_stay() {
    let Some(deployment) = deploy(3) else { return };
    deployment.set(Topic::Events, "flush.messages", "4321");
    let admin = Admin::connect(deployment.config.clone()).unwrap();
    let plan = admin.plan(&TARGET).unwrap();
    let drifted: Vec<_> = plan
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::Set { name, .. } => Some(name.as_str()),
            Change::Create { .. } => None,
        })
        .collect();
    assert_eq!(drifted, ["max.message.bytes", "message.timestamp.type"], "{plan}");
    admin.apply(&plan).unwrap();
    assert!(admin.plan(&TARGET).unwrap().is_empty());
    let found = admin.found().unwrap();
    let kept = found.get(&Topic::Events).and_then(|found| found.settings.get("flush.messages"));
    assert_eq!(kept.map(String::as_str), Some("4321"));
}

#[test]
fn another_partition_count_is_refused_and_apply_leaves_it() {
    let Some(deployment) = deploy(3) else { return };
    let admin = Admin::connect(deployment.config.clone()).unwrap();
    for partitions in [2, 6] {
        let plan = admin.plan(&Target { partitions, replication: 1 }).unwrap();
        assert!(plan.changes.is_empty() && !plan.refusals.is_empty(), "{plan}");
        admin.apply(&plan).unwrap();
    }
    assert!(admin.plan(&TARGET).unwrap().is_empty());
}

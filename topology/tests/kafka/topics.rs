//! `weir topology plan | apply | check`, as a library.

use crate::support::{Deployment, WAIT, deploy};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::time::Instant;
use weir_topology::kafka::admin::Admin;
use weir_topology::log::Log;
use weir_topology::plan::{Change, Target};
use weir_topology::topic::Topic;

const TARGET: Target = Target { partitions: 3, replication: 1 };

impl Deployment {
    /// Changes one setting behind Weir's back, and drops the others.
    pub fn set(&self, topic: Topic, name: &str, value: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let on_broker = self.config.topic_name(topic);
        let change = AlterConfig::new(ResourceSpecifier::Topic(&on_broker)).set(name, value);
        let options = AdminOptions::new().request_timeout(Some(WAIT));
        let outcome = futures_executor::block_on(admin.alter_configs(&[change], &options)).unwrap();
        assert!(outcome.iter().all(Result::is_ok), "{outcome:?}");
        // The controller answers before the broker has heard of it.
        let admin = Admin::connect(self.config.clone()).unwrap();
        let is_seen = || {
            let found = admin.found().unwrap();
            found.get(&topic).and_then(|found| found.settings.get(name)).is_some_and(|now| now == value)
        };
        let deadline = Instant::now() + WAIT;
        while !is_seen() {
            assert!(Instant::now() < deadline, "{topic} does not show {name} = {value}");
        }
    }
}

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

//! Signed policies that take each other's place, over and over, on the embedded log: no verdict without the
//! right policy.
//!
//! As many cycles as `WEIR_POLICY_CYCLES` says; the last run of 1,000 is told in docs/operations.md.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{PARTITIONS, eager, event, put, wire};
use std::sync::Arc;
use std::time::Duration;
use weir_processor::account::AccountStage;
use weir_processor::campaign::CampaignStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_replay::recorded;
use weir_schemas::bundle::{Bundle, Header, Trust, public_of};
use weir_schemas::{Control, ControlKind, Verdict};
use weir_topology::clock::MachineClock;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::history::read_range;
use weir_topology::log::Log;
use weir_topology::record::Output;
use weir_topology::stage::{Stage, StageFactory};
use weir_topology::task::{Pace, Surroundings, Task};
use weir_topology::telemetry::Silent;
use weir_topology::topic::{StageName, TaskId, Topic};

const ACCOUNTS: usize = 6;

/// Every new account makes a verdict, so that each cycle has some.
fn policy(version: &str) -> Policy {
    let eager = eager();
    let talkative = eager.text.lines().map(|line| match line.split_once(" = ") {
        Some((name @ ("medium_s" | "high_s" | "critical_s"), _)) => format!("{name} = 0"),
        Some(("version", _)) => format!("version = \"{version}\""),
        _ => line.to_owned(),
    });
    Policy::parse(&(talkative.collect::<Vec<_>>().join("\n") + "\n")).unwrap()
}

fn bundle(counter: u64, policy: &Policy, seeds: &[[u8; 32]]) -> String {
    let header = Header { counter, audience: "weir".into(), issued_s: 0, expires_s: 0, enforces: true };
    let mut bundle = Bundle::new(header, policy.text.clone()).unwrap();
    seeds.iter().for_each(|seed| bundle.sign(seed));
    bundle.to_text()
}

fn said(body: String) -> Output {
    let (name, kind) = ("policy".to_owned(), ControlKind::Policy);
    let control = Control { name, kind, time_ms: 1, body, ..Control::default() };
    Output::keyed(Topic::Control, b"policy".to_vec(), wire().to_bytes(&control), 1)
}

fn stages() -> StageFactory {
    let trust = Trust::new("weir", [public_of(&[1; 32]), public_of(&[2; 32])]).unwrap();
    let (wire, policy, trust) = (wire(), Arc::new(policy("first")), Some(Arc::new(trust)));
    Arc::new(move |task| -> Box<dyn Stage> {
        let (wire, policy, trust) = (wire.clone(), policy.clone(), trust.clone());
        match task.stage {
            StageName::Cluster => Box::new(ClusterStage::new(wire, policy).trusting(trust)),
            StageName::Campaign => Box::new(CampaignStage::new(wire, policy).trusting(trust)),
            _ => Box::new(AccountStage::new(wire, policy).trusting(trust)),
        }
    })
}

fn open(log: &Arc<EmbeddedLog>) -> Vec<Task> {
    let around = Surroundings {
        log: log.clone(),
        wire: wire(),
        schemas: None,
        telemetry: Arc::new(Silent),
        clock: Arc::new(MachineClock::default()),
        process: "test".into(),
        // Every other start finds a snapshot that is younger than the last policy, and every other one none.
        pace: Pace {
            epoch_interval: Duration::ZERO,
            epoch_records_max: 25,
            snapshot_interval: Duration::from_millis(50),
            ..Pace::default()
        },
        before_commit: None,
    };
    let make = stages();
    let ids = StageName::JUDGING
        .into_iter()
        .flat_map(|stage| (0..stage.tasks(PARTITIONS)).map(move |partition| TaskId { stage, partition }));
    ids.map(|id| Task::open(id, make(id), around.clone(), Arc::default()).unwrap()).collect()
}

fn run(tasks: &mut [Task]) {
    while tasks.iter_mut().any(|task| task.run_epoch(Duration::ZERO).unwrap()) {}
}

/// What was said since `from`, which moves on.
fn verdicts_since(log: &dyn Log, from: &mut [i64]) -> Vec<Verdict> {
    let mut found = Vec::new();
    for (partition, from) in (0..PARTITIONS).zip(from) {
        let end = log.bounds(Topic::Verdicts, partition).unwrap().1;
        read_range(log, Topic::Verdicts, partition, *from, end, |records| {
            let payloads = records.iter().filter_map(|record| record.payload);
            found.extend(payloads.map(|payload| wire().read::<Verdict>(payload).unwrap()));
            Ok(())
        })
        .unwrap();
        *from = end;
    }
    found
}

#[test]
fn every_verdict_is_by_the_bundle_that_was_applied_last_through_many_applies_and_rollbacks() {
    let cycles: u64 = std::env::var("WEIR_POLICY_CYCLES").map_or(50, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(directory.path(), PARTITIONS).unwrap();
    let policies = [policy("odd"), policy("even")];
    let both = [[1; 32], [2; 32]];
    let mut tasks = open(&log);
    let (mut seen, mut from) = (0, vec![0; PARTITIONS as usize]);
    for cycle in 1..=cycles {
        // One and the other in turn: each after the first two is a way back to an older text.
        let applied = &policies[(cycle % 2) as usize];
        put(log.as_ref(), vec![said(bundle(2 * cycle, applied, &both))]);
        // And what must not come in force: the bundle before, one of a stranger, one that nobody signed
        // twice, a text.
        let other = &policies[(1 - cycle % 2) as usize];
        put(
            log.as_ref(),
            vec![
                said(bundle(2 * cycle - 1, other, &both)),
                said(bundle(2 * cycle + 1, other, &[[1; 32], [3; 32]])),
                said(bundle(2 * cycle + 1, other, &[[1; 32]])),
                said(other.text.clone()),
            ],
        );
        // New ones each time: of whom much is known, nothing need be said.
        let name = |account| format!("account {account} of {cycle}");
        let events = (0..ACCOUNTS).map(|account| event(&name(account), cycle as i64));
        put(log.as_ref(), events.collect());
        run(&mut tasks);
        let verdicts = verdicts_since(log.as_ref(), &mut from);
        for verdict in &verdicts {
            assert_eq!((&verdict.policy_version, verdict.policy_digest), (&applied.version, applied.digest));
        }
        seen += verdicts.len();
        match cycle % 10 {
            // Closed, and as if it were killed.
            3 => tasks.drain(..).for_each(|task| task.close().unwrap()),
            7 => tasks.clear(),
            _ => continue,
        }
        tasks = open(&log);
    }
    tasks.into_iter().for_each(|task| task.close().unwrap());
    assert!(seen >= cycles as usize * ACCOUNTS, "{seen} verdicts in {cycles} cycles");
    let report = recorded::replay(log.as_ref(), &wire(), &stages(), |_| ()).unwrap();
    assert_eq!((report.bytes_equal, report.verdicts), (Some(true), seen as u64));
}

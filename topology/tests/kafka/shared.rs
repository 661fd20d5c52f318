//! Writers of one membership: one producer, rounds of commits, and what fences them.

use crate::support::{Deployment, WAIT, at, deploy, event, text};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use weir_topology::history::read_range;
use weir_topology::kafka::{GroupProtocol, Membership};
use weir_topology::log::{Commit, Log, LogError, Writer};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

const PARTITIONS: u32 = 8;
const ROUNDS: i64 = 20;

fn member(deployment: &Deployment, protocol: GroupProtocol, count: u32) -> Membership {
    let mut config = deployment.config.clone();
    config.group_protocol = protocol;
    let member = Membership::join(&config, "account", Topic::Events).unwrap();
    let deadline = Instant::now() + WAIT;
    while (member.owned().len() as u32) < count && Instant::now() < deadline {
        member.poll(Duration::from_millis(50)).unwrap();
    }
    assert_eq!(member.owned().len() as u32, count);
    member
}

/// What a task commits in a deployment of so many partitions: a record of its epoch among others, and its
/// positions.
fn commit(of: u32, partition: u32, next: i64) -> Commit {
    let mut epoch = event(partition, &format!("epoch {next}"));
    epoch.topic = Topic::Epochs;
    // Every task writes to the partitions of every other, as links do.
    let mut link = event(next as u32 % of, &format!("link {partition} {next}"));
    link.topic = Topic::Links;
    let positions = vec![at(Topic::Control, 0, 1), at(Topic::Events, partition, next)];
    Commit { outputs: vec![epoch, link], positions }
}

/// The last offset that a partition used, markers and all.
fn end(deployment: &Deployment, topic: Topic, partition: u32) -> i64 {
    deployment.log.bounds(topic, partition).unwrap().1
}

#[test]
fn commits_that_come_together_are_one_transaction() {
    let Some(deployment) = deploy(PARTITIONS) else { return };
    let owner = member(&deployment, GroupProtocol::Consumer, PARTITIONS);
    let log = deployment.log.for_member(&owner);
    let barrier = Barrier::new(PARTITIONS as usize);
    std::thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let (log, barrier) = (&log, &barrier);
            scope.spawn(move || {
                let mut writer = log.writer(&format!("account/{partition}")).unwrap();
                for next in 1..=ROUNDS {
                    barrier.wait();
                    writer.commit(&commit(PARTITIONS, partition, next)).unwrap();
                }
            });
        }
    });
    let expected: Vec<String> = (1..=ROUNDS).map(|next| format!("epoch {next}")).collect();
    let (mut links, mut markers) = (0, 0);
    for partition in 0..PARTITIONS {
        assert_eq!(deployment.visible(Topic::Epochs, partition), expected);
        let there = deployment.visible(Topic::Links, partition).len() as i64;
        links += there;
        markers += end(&deployment, Topic::Links, partition) - there;
        let committed = deployment.committed("account", &[(Topic::Events, partition)]);
        assert_eq!(committed, [Some(ROUNDS)]);
    }
    assert_eq!(links, ROUNDS * i64::from(PARTITIONS));
    // All eight write to one partition of the links in each of the twenty: a transaction each would leave 160
    // markers.
    assert!(markers < 3 * ROUNDS, "{markers} markers of {ROUNDS} rounds");
}

#[test]
fn what_one_task_cannot_write_aborts_the_round_and_the_others_go_on() {
    let Some(deployment) = deploy(2) else { return };
    deployment.set(Topic::Clusters, "max.message.bytes", "2000");
    let owner = member(&deployment, GroupProtocol::Consumer, 2);
    let log = deployment.log.for_member(&owner);
    let noise: Vec<u8> = (0..20_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut refused = commit(2, 1, 1);
    refused.outputs.push(Output { topic: Topic::Clusters, payload: Some(noise), ..event(1, "") });
    let barrier = Barrier::new(2);
    let until_done = |mut writer: Box<dyn Writer>, commit: &Commit| {
        barrier.wait();
        let mut outcome = writer.commit(commit);
        for _ in 0..5 {
            if !matches!(outcome, Err(LogError::Aborted { .. })) {
                break;
            }
            outcome = writer.commit(commit);
        }
        outcome
    };
    let (fine, refused) = std::thread::scope(|scope| {
        let fine = scope.spawn(|| until_done(log.writer("account/0").unwrap(), &commit(2, 0, 1)));
        let refused = scope.spawn(|| until_done(log.writer("account/1").unwrap(), &refused));
        (fine.join().unwrap(), refused.join().unwrap())
    });
    // The broker's word on what was too large comes to whoever was in the round with it.
    assert!(matches!(refused, Err(LogError::Aborted { .. })), "{refused:?}");
    if fine.is_err() {
        log.writer("account/0").unwrap().commit(&commit(2, 0, 1)).unwrap();
    }
    assert_eq!(deployment.visible(Topic::Epochs, 0), ["epoch 1"]);
    assert_eq!(deployment.visible(Topic::Epochs, 1), Vec::<String>::new());
}

#[test]
fn a_takeover_ends_what_a_dead_owner_left_open_and_shows_none_of_it() {
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        let Some(deployment) = deploy(1) else { return };
        let first = member(&deployment, protocol, 1);
        deployment.log.for_member(&first).writer("account/0").unwrap().commit(&commit(1, 0, 1)).unwrap();
        // The owner dies in the middle of a transaction, with its epoch record on the broker.
        let dead = deployment.open_transaction_of(first.producer_id(), Topic::Epochs, 0, 3);
        drop(first);
        let second = member(&deployment, protocol, 1);
        let asked = Instant::now();
        let mut writer = deployment.log.for_member(&second).writer("account/0").unwrap();
        // Its time-out is a minute.
        assert!(asked.elapsed() < WAIT, "{protocol:?}: {:?}", asked.elapsed());
        writer.commit(&commit(1, 0, 2)).unwrap();
        assert_eq!(deployment.visible(Topic::Epochs, 0), ["epoch 1", "epoch 2"]);
        drop(dead);
    }
}

#[test]
fn a_writer_that_was_opened_again_fences_the_one_before_it() {
    let Some(deployment) = deploy(1) else { return };
    let owner = member(&deployment, GroupProtocol::Consumer, 1);
    let log = deployment.log.for_member(&owner);
    let mut before = log.writer("account/0").unwrap();
    before.commit(&commit(1, 0, 1)).unwrap();
    let mut now = log.writer("account/0").unwrap();
    assert_eq!(before.commit(&commit(1, 0, 9)), Err(LogError::Fenced { writer: "account/0".into() }));
    now.commit(&commit(1, 0, 2)).unwrap();
    assert_eq!(deployment.visible(Topic::Epochs, 0), ["epoch 1", "epoch 2"]);
}

#[test]
fn what_nothing_would_fence_is_not_committed() {
    let Some(deployment) = deploy(1) else { return };
    let owner = member(&deployment, GroupProtocol::Consumer, 1);
    let mut writer = deployment.log.for_member(&owner).writer("account/0").unwrap();
    let without = Commit { positions: vec![at(Topic::Control, 0, 1)], ..commit(1, 0, 1) };
    assert!(matches!(writer.commit(&without), Err(LogError::Fenced { .. })));
    let mut found = Vec::new();
    read_range(&deployment.log, Topic::Epochs, 0, 0, end(&deployment, Topic::Epochs, 0), |records| {
        found.extend(records.iter().map(|record| text(record.payload)));
        Ok(())
    })
    .unwrap();
    assert_eq!(found, Vec::<String>::new());
}

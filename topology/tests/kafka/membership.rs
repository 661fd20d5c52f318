//! Ownership of partition numbers, under both group protocols.

use crate::support::{Deployment, WAIT, at, deploy, event};
use std::time::{Duration, Instant};
use weir_topology::kafka::{Change, GroupProtocol, KafkaConfig, Membership};
use weir_topology::log::{Commit, Log, LogError};
use weir_topology::topic::Topic;

const BOTH: [GroupProtocol; 2] = [GroupProtocol::Consumer, GroupProtocol::Classic];

fn join(config: &KafkaConfig, protocol: GroupProtocol) -> Membership {
    let mut config = config.clone();
    config.group_protocol = protocol;
    Membership::join(&config, "account", Topic::Events).unwrap()
}

/// Polls until a change of this kind comes, and gives its partitions.
fn await_change(member: &Membership, kind: fn(&Change) -> Option<&Vec<u32>>) -> Vec<u32> {
    let deadline = Instant::now() + WAIT;
    while Instant::now() < deadline {
        let changes = member.poll(Duration::from_millis(100)).unwrap();
        if let Some(partitions) = changes.iter().find_map(kind) {
            return partitions.clone();
        }
    }
    panic!("no such change within {WAIT:?}; this member owns {:?}", member.owned());
}

fn assigned(change: &Change) -> Option<&Vec<u32>> {
    if let Change::Assigned(partitions) = change { Some(partitions) } else { None }
}

fn revoked(change: &Change) -> Option<&Vec<u32>> {
    if let Change::Revoked(partitions) = change { Some(partitions) } else { None }
}

fn lost(change: &Change) -> Option<&Vec<u32>> {
    if let Change::Lost(partitions) = change { Some(partitions) } else { None }
}

fn commit_of(partition: u32, next: i64) -> Commit {
    Commit {
        outputs: vec![event(partition, &next.to_string())],
        positions: vec![at(Topic::Control, 0, 77), at(Topic::Events, partition, next)],
    }
}

fn owns_all(deployment: &Deployment, protocol: GroupProtocol, count: usize) -> Membership {
    let member = join(&deployment.config, protocol);
    assert_eq!(member.protocol(), protocol);
    let deadline = Instant::now() + WAIT;
    while member.owned().len() < count && Instant::now() < deadline {
        member.poll(Duration::from_millis(100)).unwrap();
    }
    assert_eq!(member.owned().len(), count);
    member
}

#[test]
fn a_revocation_waits_until_the_owner_has_drained() {
    for protocol in BOTH {
        let Some(deployment) = deploy(4) else { return };
        let first = owns_all(&deployment, protocol, 4);
        let log = deployment.log.for_member(&first);
        let mut writers: Vec<_> =
            (0..4).map(|partition| log.writer(&format!("account/{partition}")).unwrap()).collect();
        let (config, stop) = (deployment.config.clone(), std::sync::mpsc::channel::<()>());
        let (told, heard) = std::sync::mpsc::channel();
        let newcomer = std::thread::spawn(move || {
            let second = join(&config, protocol);
            while stop.1.try_recv().is_err() {
                for change in second.poll(Duration::from_millis(50)).unwrap() {
                    told.send(change).unwrap();
                }
            }
        });
        let going = await_change(&first, revoked);
        assert!(!going.is_empty() && going.len() < 4, "{going:?}");
        // While it drains it stays a member, owns what it had, and commits for it.
        let drained_until = Instant::now() + Duration::from_millis(1500);
        let mut next = 0;
        while Instant::now() < drained_until {
            assert_eq!(first.poll(Duration::from_millis(50)).unwrap(), []);
            next += 1;
            for &partition in &going {
                writers[partition as usize].commit(&commit_of(partition, next)).unwrap();
            }
        }
        assert!(heard.try_recv().is_err(), "nothing may change hands before it is let go");
        first.release(&going);
        let taken = loop {
            first.poll(Duration::from_millis(50)).unwrap();
            if let Ok(change) = heard.try_recv() {
                break change;
            }
        };
        assert_eq!(taken, Change::Assigned(going.clone()));
        for &partition in &going {
            assert_eq!(deployment.committed("account", &[(Topic::Events, partition)]), [Some(next)]);
            let name = format!("account/{partition}");
            let fenced = Err(LogError::Fenced { writer: name.clone() });
            assert_eq!(writers[partition as usize].commit(&commit_of(partition, 999)), fenced);
            assert_eq!(log.writer(&name).err(), fenced.err());
        }
        stop.0.send(()).unwrap();
        newcomer.join().unwrap();
    }
}

#[test]
fn the_groups_offset_is_the_position_after_the_last_record() {
    for protocol in BOTH {
        let Some(deployment) = deploy(1) else { return };
        let member = owns_all(&deployment, protocol, 1);
        let mut writer = deployment.log.for_member(&member).writer("account/0").unwrap();
        writer.commit(&commit_of(0, 3)).unwrap();
        assert_eq!(deployment.committed("account", &[(Topic::Events, 0)]), [Some(3)]);
        assert_eq!(deployment.committed("account", &[(Topic::Control, 0)]), [None], "it would be anyone's");
        writer.commit(&commit_of(0, 8)).unwrap();
        assert_eq!(deployment.committed("account", &[(Topic::Events, 0)]), [Some(8)]);
    }
}

#[test]
fn an_owner_that_is_fenced_starts_over_instead_of_ending() {
    let Some(deployment) = deploy(1) else { return };
    let member = owns_all(&deployment, GroupProtocol::Consumer, 1);
    let log = deployment.log.for_member(&member);
    let mut writer = log.writer("account/0").unwrap();
    writer.commit(&commit_of(0, 1)).unwrap();
    // What the broker does to a transaction over its time looks just like this.
    let stray = deployment.open_transaction_of(member.producer_id(), Topic::Events, 0, 1);
    let outcome = writer.commit(&commit_of(0, 2));
    assert!(matches!(outcome, Err(LogError::Indefinite { .. })), "{outcome:?}");
    log.writer("account/0").unwrap().commit(&commit_of(0, 2)).unwrap();
    assert_eq!(deployment.visible(Topic::Events, 0), ["1", "2"]);
    drop(stray);
}

#[test]
fn a_member_that_leaves_hands_over_at_once() {
    for protocol in BOTH {
        let Some(deployment) = deploy(2) else { return };
        let first = owns_all(&deployment, protocol, 2);
        let log = deployment.log.for_member(&first);
        let mut writer = log.writer("account/0").unwrap();
        drop(first);
        assert!(matches!(writer.commit(&commit_of(0, 1)), Err(LogError::Fenced { .. })));
        owns_all(&deployment, protocol, 2);
    }
}

#[test]
fn a_member_that_was_cut_off_loses_and_does_not_drain() {
    for protocol in BOTH {
        let Some(mut deployment) = deploy(2) else { return };
        deployment.config.session_timeout = Duration::from_secs(1);
        deployment.config.extra.push(("max.poll.interval.ms".into(), "2000".into()));
        let member = owns_all(&deployment, protocol, 2);
        let log = deployment.log.for_member(&member);
        let mut writer = log.writer("account/0").unwrap();
        writer.commit(&commit_of(0, 1)).unwrap();
        std::thread::sleep(Duration::from_secs(4));
        let outcome = writer.commit(&commit_of(0, 2));
        assert!(outcome.is_err(), "a member that was cut off committed for {protocol:?}");
        assert_eq!(await_change(&member, lost), [0, 1]);
        assert!(member.owned().is_empty());
        // It comes back by itself, and its tasks start over from the log.
        await_change(&member, assigned);
        let mut anew = log.writer("account/0").unwrap();
        anew.commit(&commit_of(0, 5)).unwrap();
    }
}

#[test]
fn a_member_fetches_nothing_of_what_it_owns() {
    for protocol in BOTH {
        let Some(deployment) = deploy(1) else { return };
        let member = owns_all(&deployment, protocol, 1);
        let mut writer = deployment.log.for_member(&member).writer("account/0").unwrap();
        for next in 1..20 {
            writer.commit(&commit_of(0, next)).unwrap();
            member.poll(Duration::from_millis(20)).unwrap();
        }
        assert_eq!(member.fetched(), 0, "{protocol:?}");
    }
}

#[test]
fn the_best_protocol_of_the_broker_is_found() {
    let Some(deployment) = deploy(1) else { return };
    let member = join(&deployment.config, GroupProtocol::Auto);
    assert_eq!(member.protocol(), GroupProtocol::Consumer);
}

#[test]
fn a_second_process_of_the_same_instance_id_is_refused() {
    let Some(mut deployment) = deploy(1) else { return };
    deployment.config.instance_id = Some("worker-1".into());
    let first = owns_all(&deployment, GroupProtocol::Consumer, 1);
    let second = join(&deployment.config, GroupProtocol::Consumer);
    let deadline = Instant::now() + WAIT;
    let refused = loop {
        first.poll(Duration::from_millis(20)).unwrap();
        match second.poll(Duration::from_millis(20)) {
            Ok(changes) => assert!(changes.is_empty() && Instant::now() < deadline, "{changes:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, LogError::Unavailable { reason } if reason.contains("instance")), "{refused}");
    assert_eq!(first.owned(), [0]);
}

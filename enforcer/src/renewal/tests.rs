//! An account that is cut off for good asks no more, so nobody announces it again.

use super::*;
use crate::testing::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_schemas::Identity;
use weir_topology::log::{Position, Reader, Writer};

const DAY_MS: i64 = 24 * 3_600_000;
const LATE_MS: i64 = 30 * DAY_MS + 1;

fn stands(rig: &Rig, number: u32, status: StandingStatus) {
    let standing =
        Standing { tenant: "acme".into(), account: account(number), status, ..Standing::default() };
    let payload = rig.wire.to_bytes(&standing);
    rig.put(vec![Output::keyed(Topic::Standing, account(number).to_key(), payload, 0)]);
}

fn renewed(rig: &Rig, now_ms: i64) -> u64 {
    renew(rig.log.as_ref(), &rig.wire, 0, now_ms).unwrap()
}

/// The accounts' numbers and times of what the log has of identities, and whether it is more than that they
/// were forgotten.
fn announced(rig: &Rig) -> Vec<(u32, i64, bool)> {
    let number = |output: &Output| (0..16).find(|number| account(*number).to_key() == output.key).unwrap();
    let all = rig.log.all(Topic::Identities);
    let seen = all.iter().map(|output| (number(output), output.timestamp_ms, output.payload.is_some()));
    seen.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn the_identity_of_an_account_that_is_cut_off_is_renewed_and_no_other() {
    let rig = Rig::new(1);
    let young = Identity { announced_ms: DAY_MS, ..identity(5) };
    rig.put_identities(&[identity(1), identity(2), identity(3), identity(4), young, identity(7)]);
    stands(&rig, 1, StandingStatus::Suspended);
    stands(&rig, 2, StandingStatus::Good);
    stands(&rig, 3, StandingStatus::Limited);
    stands(&rig, 4, StandingStatus::Suspended);
    rig.put(vec![Output::tombstone(Topic::Standing, account(4).to_key(), 0)]);
    stands(&rig, 5, StandingStatus::Suspended);
    stands(&rig, 6, StandingStatus::Suspended);

    assert_eq!(renewed(&rig, 30 * DAY_MS), 0);
    let at_first = [(1, 0), (2, 0), (3, 0), (4, 0), (5, DAY_MS), (7, 0)];
    assert_eq!(announced(&rig), at_first.map(|(number, at_ms)| (number, at_ms, true)));

    let bytes = |number: u32| {
        let all = rig.log.all(Topic::Identities);
        all.into_iter().find(|output| output.key == account(number).to_key()).unwrap().payload
    };
    let before = bytes(1);
    assert_eq!(renewed(&rig, LATE_MS), 2);
    let kept = [(1, LATE_MS), (2, 0), (3, LATE_MS), (4, 0), (5, DAY_MS), (7, 0)];
    assert_eq!(announced(&rig), kept.map(|(number, at_ms)| (number, at_ms, true)));
    assert_eq!(bytes(1), before, "as it was sealed");
    assert_eq!(renewed(&rig, LATE_MS + 1), 0, "once is enough");

    // Long after the first announcement has passed its retention.
    assert_eq!(renewed(&rig, LATE_MS + 90 * DAY_MS), 3);
}

/// A log on which somebody is forgotten on request while whoever renews is at it.
struct Forgetting {
    log: Arc<dyn Log>,
    forgotten: Vec<u8>,
}

impl Log for Forgetting {
    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }
    fn bounds(&self, topic: Topic, partition: u32) -> Result<(i64, i64), LogError> {
        self.log.bounds(topic, partition)
    }
    fn reader(&self, from: &[Position]) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(from)
    }
    fn writer(&self, name: &str) -> Result<Box<dyn Writer>, LogError> {
        let outputs = vec![Output::tombstone(Topic::Identities, self.forgotten.clone(), 7)];
        self.log.writer("operator/forget")?.commit(&Commit { outputs, positions: Vec::new() })?;
        self.log.writer(name)
    }
}

#[test]
fn whoever_is_forgotten_on_request_stays_forgotten() {
    let rig = Rig::new(1);
    rig.put_identities(&[identity(1), identity(2)]);
    stands(&rig, 1, StandingStatus::Suspended);
    stands(&rig, 2, StandingStatus::Suspended);
    let log = Forgetting { log: rig.log.clone(), forgotten: account(1).to_key() };
    assert_eq!(renew(&log, &rig.wire, 0, LATE_MS).unwrap(), 1, "only the other one");
    assert_eq!(announced(&rig), [(1, 7, false), (2, LATE_MS, true)]);
    assert_eq!(renewed(&rig, 2 * LATE_MS), 1);
}

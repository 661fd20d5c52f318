//! An account that is cut off for good asks no more, so nobody announces it again.

use super::*;
use std::collections::BTreeSet;
use weir_schemas::{Identity, Standing, StandingStatus};
use weir_topology::log::{Commit, Position, Reader, Writer};
use weir_topology::record::Output;

const DAY_MS: i64 = 24 * 3_600_000;

fn stands(rig: &Rig, number: u32, status: StandingStatus) {
    let standing =
        Standing { tenant: "acme".into(), account: account(number), status, ..Standing::default() };
    let payload = rig.wire.to_bytes(&standing);
    rig.put(vec![Output::keyed(Topic::Standing, account(number).to_key(), payload, 0)]);
}

/// The accounts' numbers and times of what the log has of identities, and whether it is more than that they were forgotten.
fn announced(rig: &Rig) -> Vec<(u32, i64, bool)> {
    let number = |output: &Output| (0..16).find(|number| account(*number).to_key() == output.key).unwrap();
    let all = rig.log.all(Topic::Identities);
    let seen = all.iter().map(|output| (number(output), output.timestamp_ms, output.payload.is_some()));
    seen.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn the_identity_of_an_account_that_is_cut_off_is_renewed_and_no_other() {
    let rig = Rig::new(1);
    let rubbish = Identity { sealed: vec![1, 2, 3], ..identity(5) };
    rig.put_identities(&[identity(1), identity(2), identity(3), identity(4), rubbish]);
    stands(&rig, 1, StandingStatus::Suspended);
    stands(&rig, 2, StandingStatus::Good);
    stands(&rig, 3, StandingStatus::Limited);
    stands(&rig, 4, StandingStatus::Suspended);
    rig.put(vec![Output::tombstone(Topic::Standing, account(4).to_key(), 0)]);
    stands(&rig, 5, StandingStatus::Suspended);
    stands(&rig, 6, StandingStatus::Suspended);
    let outputs = Outputs::new();
    let mut export = outputs.open(&rig).unwrap();

    assert_eq!(export.renew_identities(0, 30 * DAY_MS).unwrap(), 0);
    assert_eq!(announced(&rig), [1, 2, 3, 4, 5].map(|number| (number, 0, true)));

    let late_ms = 30 * DAY_MS + 1;
    assert_eq!(export.renew_identities(0, late_ms).unwrap(), 2);
    let kept = [(1, late_ms, true), (2, 0, true), (3, late_ms, true), (4, 0, true), (5, 0, true)];
    assert_eq!(announced(&rig), kept, "compacted: what was renewed has taken the place of what was there");
    assert_eq!(export.renew_identities(0, late_ms + 1).unwrap(), 0, "once is enough");

    // Another enforcer, long after the first announcement has passed its retention.
    let mut next = Outputs::new().open(&rig).unwrap();
    assert_eq!(next.renew_identities(0, late_ms + 31 * DAY_MS).unwrap(), 2);
    let opened = next.identities.as_mut().unwrap().open(account(1)).unwrap().unwrap();
    assert_eq!(opened.account(), "raw-account-1");
}

#[test]
fn without_the_secret_nothing_is_renewed() {
    let rig = Rig::new(1);
    rig.put_identities(&[identity(1)]);
    stands(&rig, 1, StandingStatus::Suspended);
    let mut export = Outputs::new().open_with(&rig, None).unwrap();
    assert_eq!(export.renew_identities(0, 40 * DAY_MS).unwrap(), 0);
    assert_eq!(announced(&rig), [(1, 0, true)]);
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
    let log: Arc<dyn Log> = Arc::new(Forgetting { log: rig.log.clone(), forgotten: account(1).to_key() });
    let outputs = Outputs::new();
    let (opener, wire, told) = (Some(opener()), rig.wire.clone(), outputs.telemetry.clone());
    let path = outputs.directory.path();
    let mut export = Export::open(path, log, 0..1, opener, rig.executor(), wire, told).unwrap();
    assert_eq!(export.renew_identities(0, 40 * DAY_MS).unwrap(), 1, "only the other one");
    assert_eq!(announced(&rig), [(1, 7, false), (2, 40 * DAY_MS, true)]);
}

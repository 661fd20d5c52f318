//! What of the catalogue of exactly-once failures no other test shows, against a real broker. The
//! whole catalogue, with the test of each item, is in `docs/chaos.md`.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "a test says by a panic what went wrong")]

#[path = "kafka/support.rs"]
mod support;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::Producer;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Deployment, WAIT, at, deploy, event, text, write};
use weir_topology::kafka::{GroupProtocol, KafkaConfig, KafkaLog, Membership};
use weir_topology::log::{Commit, Log, LogError};
use weir_topology::record::Records;
use weir_topology::topic::Topic;

const BOTH: [GroupProtocol; 2] = [GroupProtocol::Consumer, GroupProtocol::Classic];

/// A member of the account stage's group that owns `count` partitions.
fn owner_of(deployment: &Deployment, protocol: GroupProtocol, count: usize) -> Membership {
    let mut config = deployment.config.clone();
    config.group_protocol = protocol;
    let member = Membership::join(&config, "account", Topic::Events).unwrap();
    let deadline = Instant::now() + WAIT;
    while member.owned().len() < count {
        assert!(Instant::now() < deadline, "owns {:?}", member.owned());
        member.poll(Duration::from_millis(50)).unwrap();
    }
    member
}

fn commit_of(partition: u32, next: i64) -> Commit {
    let outputs = vec![event(partition, &next.to_string())];
    Commit { outputs, positions: vec![at(Topic::Events, partition, next)] }
}

/// Item 1: an `EndTxn` that is still on its way may end the producer's next transaction, so there is none.
#[test]
fn an_abort_of_unknown_outcome_ends_the_writer() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("weir.events", 1, 1).unwrap();
    let log = KafkaLog::connect(KafkaConfig::new(cluster.bootstrap_servers())).unwrap();
    let mut writer = log.writer("account/0").unwrap();
    write(&mut *writer, vec![event(0, "fine")]).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
    let outcome = write(&mut *writer, vec![event(0, "refused")]);
    assert!(matches!(outcome, Err(LogError::Indefinite { .. })), "{outcome:?}");
    assert_eq!(write(&mut *writer, vec![event(0, "again")]), outcome, "the producer is gone");
}

/// Item 5: nothing is to be rewound after an abort, because no position has moved.
#[test]
fn an_abort_moves_no_position_and_the_very_same_commit_may_follow() {
    for protocol in BOTH {
        let Some(deployment) = deploy(1) else { return };
        let member = owner_of(&deployment, protocol, 1);
        let mut writer = deployment.log.for_member(&member).writer("account/0").unwrap();
        writer.commit(&commit_of(0, 3)).unwrap();
        deployment.set(Topic::Links, "max.message.bytes", "2000");
        let mut large = event(0, "");
        // What cannot be compressed below the limit.
        let noise = (0..20_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
        (large.topic, large.payload) = (Topic::Links, Some(noise.collect()));
        let mut commit = commit_of(0, 8);
        commit.outputs.push(large);
        let refused = writer.commit(&commit);
        assert!(matches!(refused, Err(LogError::Aborted { .. })), "{refused:?}");
        assert_eq!(deployment.committed("account", &[(Topic::Events, 0)]), [Some(3)]);
        assert_eq!(deployment.visible(Topic::Events, 0), ["3"]);
        deployment.set(Topic::Links, "max.message.bytes", "1100000");
        let deadline = Instant::now() + WAIT;
        // The broker takes a moment to follow its own settings.
        while let Err(error) = writer.commit(&commit) {
            assert!(matches!(error, LogError::Aborted { .. }) && Instant::now() < deadline, "{error}");
        }
        assert_eq!(deployment.committed("account", &[(Topic::Events, 0)]), [Some(8)]);
        assert_eq!(deployment.visible(Topic::Events, 0), ["3", "8"]);
    }
}

/// Item 6: metadata of a generation that is over is refused; a partition that stays is committed for
/// with what the member knows by then.
#[test]
fn a_partition_that_stays_is_committed_for_through_a_rebalance() {
    for protocol in BOTH {
        let Some(deployment) = deploy(4) else { return };
        let member = owner_of(&deployment, protocol, 4);
        let log = deployment.log.for_member(&member);
        let mut writers: Vec<_> = (0..4).map(|n| log.writer(&format!("account/{n}")).unwrap()).collect();
        let mut config = deployment.config.clone();
        config.group_protocol = protocol;
        let newcomer = Membership::join(&config, "account", Topic::Events).unwrap();
        let (deadline, mut committed) = (Instant::now() + WAIT, [0_i64; 4]);
        while newcomer.owned().is_empty() {
            assert!(Instant::now() < deadline, "the newcomer got nothing");
            newcomer.poll(Duration::from_millis(5)).unwrap();
            member.poll(Duration::from_millis(5)).unwrap();
            // What leaves is let go at once; what stays goes on.
            member.release(&[0, 1, 2, 3]);
            for partition in member.owned() {
                let at = partition as usize;
                match writers[at].commit(&commit_of(partition, committed[at] + 1)) {
                    Ok(()) => committed[at] += 1,
                    Err(LogError::Aborted { .. } | LogError::Fenced { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let stayed = member.owned();
        assert_eq!(stayed.len(), 2, "{protocol:?}");
        for partition in stayed {
            let at = partition as usize;
            let deadline = Instant::now() + WAIT;
            while let Err(error) = writers[at].commit(&commit_of(partition, committed[at] + 1)) {
                assert!(matches!(error, LogError::Aborted { .. }) && Instant::now() < deadline, "{error}");
                member.poll(Duration::from_millis(20)).unwrap();
            }
            let next = committed[at] + 1;
            assert_eq!(deployment.committed("account", &[(Topic::Events, partition)]), [Some(next)]);
            let expected: Vec<String> = (1..=next).map(|n| n.to_string()).collect();
            assert_eq!(deployment.visible(Topic::Events, partition), expected);
        }
    }
}

/// Item 8: a record that the brokers do not take is given up by the producer while its transaction may still
/// last, so that the broker has no reason to fence it.
#[test]
fn a_record_that_no_broker_takes_is_given_up_before_its_transaction_is() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("weir.events", 1, 1).unwrap();
    let log = KafkaLog::connect(KafkaConfig::new(cluster.bootstrap_servers())).unwrap();
    let mut writer = log.writer("account/0").unwrap();
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 1_000];
    cluster.request_errors(RDKafkaApiKey::Produce, &refusals);
    let outcome = write(&mut *writer, vec![event(0, "given up")]);
    assert!(matches!(outcome, Err(LogError::Aborted { .. })), "{outcome:?}");
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    write(&mut *writer, vec![event(0, "again")]).unwrap();
}

/// Item 8: an owner sleeps in the middle of a commit for longer than its transaction may last. The broker
/// takes the transaction back; the owner wakes to an error, and its successor goes on.
#[test]
fn an_owner_that_sleeps_through_its_transactions_time_out_has_not_written_it() {
    if let Ok(prefix) = std::env::var(SLEEPER) {
        return sleeper(prefix);
    }
    let Some(deployment) = deploy(1) else { return };
    let this = "an_owner_that_sleeps_through_its_transactions_time_out_has_not_written_it";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", this, "--nocapture"]).env(SLEEPER, &deployment.config.prefix);
    let mut owner = Owner(command.stdout(Stdio::piped()).spawn().unwrap());
    let ends = ["read_committed", "read_uncommitted"].map(|isolation| {
        let client: BaseConsumer = deployment.client().set("isolation.level", isolation).create().unwrap();
        let name = deployment.config.topic_name(Topic::Events);
        // A topic that was just made has no leader yet.
        move || Some(client.fetch_watermarks(&name, 0, WAIT).ok()?.1)
    });
    let is_open = || ends[0]().zip(ends[1]()).is_some_and(|(visible, written)| visible < written);
    // A transaction whose end is under way is over in a moment; the one that is looked for stays open.
    let deadline = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < deadline, "the owner is never in the middle of a commit");
        owner.signal("-STOP");
        if is_open() {
            std::thread::sleep(Duration::from_secs(2));
            if is_open() {
                break;
            }
        }
        owner.signal("-CONT");
        std::thread::sleep(Duration::from_millis(7));
    }
    // As soon as the broker has ended the transaction.
    deployment.log.bounds(Topic::Events, 0).unwrap();
    owner.signal("-CONT");
    let mut said = String::new();
    owner.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let outcome =
        said.lines().find_map(|line| line.strip_prefix("committed ")).unwrap_or_else(|| panic!("{said}"));
    let (committed, _) = outcome.split_once(": ").unwrap();
    let mut successor = deployment.log.writer("account/0").unwrap();
    write(&mut *successor, vec![event(0, "successor")]).unwrap();
    let rounds =
        (0..committed.parse::<u32>().unwrap()).flat_map(|round| [round.to_string(), round.to_string()]);
    let expected: Vec<String> = rounds.chain(["successor".into()]).collect();
    assert_eq!(deployment.visible(Topic::Events, 0), expected);
}

/// Names the topics of the test whose owner this process is.
const SLEEPER: &str = "WEIR_TEST_SLEEPER";

/// The owner's process: commits until it cannot, and says how many there were.
fn sleeper(prefix: String) {
    let mut config = KafkaConfig::new(support::brokers().unwrap());
    config.prefix = prefix;
    let mut writer = KafkaLog::connect(config).unwrap().writer("account/0").unwrap();
    let deadline = Instant::now() + 6 * WAIT;
    for round in 0.. {
        assert!(Instant::now() < deadline, "nobody stopped it");
        let event = event(0, &round.to_string());
        if let Err(error) = write(&mut *writer, vec![event.clone(), event.clone()]) {
            if !matches!(error, LogError::Aborted { .. }) {
                assert_eq!(write(&mut *writer, vec![event]), Err(error.clone()), "the producer is gone");
            }
            // A line of its own, after what the test harness has begun.
            println!("\ncommitted {round}: {error:?}");
            return;
        }
    }
}

/// The owner's process, which does not outlive the test.
struct Owner(Child);

impl Owner {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {name}");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Item 9: what older clients lost or showed although it was aborted.
#[test]
fn the_client_is_none_that_is_known_to_lose_records() {
    let (number, name) = rdkafka::util::get_rdkafka_version();
    assert!(number >= 0x020c_0000, "librdkafka {name}");
}

/// Item 10: a transaction that nobody ends is waited for as long as it may rightly last, then named.
#[test]
fn a_hanging_transaction_is_named_to_the_operator() {
    let Some(deployment) = deploy(1) else { return };
    let hanging = deployment.open_transaction("somebody", Topic::Events, 0, 1);
    let outcome = deployment.log.bounds(Topic::Events, 0);
    let Err(LogError::Unavailable { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("weir.events/0") && reason.contains("find-hanging"), "{reason}");
    drop(hanging);
}

/// Item 10: behind a transaction that hangs nothing is read, and nothing is skipped either.
#[test]
fn a_reader_behind_a_hanging_transaction_waits_and_then_misses_nothing() {
    let Some(deployment) = deploy(1) else { return };
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    let hanging = deployment.open_transaction("somebody", Topic::Events, 0, 2);
    let behind = deployment.open_transaction("another", Topic::Events, 0, 1);
    behind.commit_transaction(WAIT).unwrap();
    let mut records = Records::default();
    reader.wait(Duration::from_secs(1)).unwrap();
    reader.take(0, 10, 1 << 20, &mut records).unwrap();
    assert_eq!((records.len(), reader.next(0)), (0, 0), "what is committed behind it is not visible yet");
    // As `kafka-transactions.sh abort` does for the operator.
    hanging.abort_transaction(WAIT).unwrap();
    let deadline = Instant::now() + WAIT;
    while records.is_empty() {
        assert!(Instant::now() < deadline, "nothing is read");
        reader.wait(Duration::from_millis(100)).unwrap();
        reader.take(0, 10, 1 << 20, &mut records).unwrap();
    }
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [2]);
}

/// Item 12: an end that is looked up late skips what was written meanwhile.
#[test]
fn what_is_written_between_asking_for_the_end_and_reading_is_read() {
    let Some(deployment) = deploy(1) else { return };
    let mut writer = deployment.log.writer("account/0").unwrap();
    write(&mut *writer, vec![event(0, "before")]).unwrap();
    let (_, end) = deployment.log.bounds(Topic::Events, 0).unwrap();
    write(&mut *writer, vec![event(0, "meanwhile")]).unwrap();
    let mut reader = deployment.log.reader(&[at(Topic::Events, 0, end)]).unwrap();
    write(&mut *writer, vec![event(0, "after")]).unwrap();
    let (mut records, deadline) = (Records::default(), Instant::now() + WAIT);
    while records.len() < 2 {
        assert!(Instant::now() < deadline, "read {}", records.len());
        reader.wait(Duration::from_millis(100)).unwrap();
        reader.take(0, 10, 1 << 20, &mut records).unwrap();
    }
    let read: Vec<String> = records.iter().map(|record| text(record.payload)).collect();
    assert_eq!(read, ["meanwhile", "after"]);
}

/// Beside item 4: what a broker says that has just started is not that the topics are gone. One that
/// goes on saying so is believed.
#[test]
fn a_topic_that_is_unknown_at_first_is_asked_for_again() {
    let Some(deployment) = deploy(1) else { return };
    let mut config = deployment.config.clone();
    config.prefix = support::unique();
    let late = config.clone();
    let maker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        let admin = weir_topology::kafka::admin::Admin::connect(late).unwrap();
        let plan = admin.plan(&weir_topology::plan::Target { partitions: 3, replication: 1 }).unwrap();
        admin.apply(&plan).unwrap();
    });
    let log = KafkaLog::connect(config.clone()).unwrap();
    assert_eq!(log.partitions(Topic::Events), Ok(3));
    maker.join().unwrap();
    drop(Deployment { config, log });
}

/// A worker starts over as long as it takes; one that never saw the topic tells the operator to make it.
#[test]
fn a_topic_that_was_there_before_is_unavailable_and_not_missing() {
    let Some(deployment) = deploy(1) else { return };
    let (config, log) = (deployment.config.clone(), deployment.log.clone());
    assert_eq!(log.bounds(Topic::Events, 0), Ok((0, 0)));
    drop(deployment);
    let deadline = Instant::now() + WAIT;
    let outcome = loop {
        // The controller answers before the broker has heard that the topic is deleted.
        match log.bounds(Topic::Events, 0) {
            Ok(_) => assert!(Instant::now() < deadline, "the topic is still there"),
            Err(error) => break error,
        }
    };
    assert!(matches!(outcome, LogError::Unavailable { .. }), "{outcome:?}");
    let missing = Err(LogError::Missing { topic: "weir.events", partition: 0 });
    assert_eq!(KafkaLog::connect(config).unwrap().bounds(Topic::Events, 0), missing);
}

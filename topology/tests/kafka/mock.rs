//! Errors that a real broker gives only by accident, given on purpose by librdkafka's mock.

use crate::support::{at, event, write};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use weir_topology::kafka::{KafkaConfig, KafkaLog};
use weir_topology::log::{Log, LogError};
use weir_topology::topic::Topic;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("weir.events", 1, 1).unwrap();
    cluster
}

fn log(cluster: &MockCluster<'static, DefaultProducerContext>) -> KafkaLog {
    KafkaLog::connect(KafkaConfig::new(cluster.bootstrap_servers())).unwrap()
}

#[test]
fn a_commit_whose_connection_broke_is_indefinite_and_ends_the_writer() {
    let cluster = cluster();
    let mut writer = log(&cluster).writer("account/0").unwrap();
    write(&mut *writer, vec![event(0, "fine")]).unwrap();
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
    let outcome = write(&mut *writer, vec![event(0, "unknown")]);
    assert!(matches!(outcome, Err(LogError::Indefinite { .. })), "{outcome:?}");
    assert_eq!(write(&mut *writer, vec![event(0, "again")]), outcome, "the producer is gone");
}

#[test]
fn a_commit_that_the_coordinator_asks_to_repeat_is_repeated() {
    let cluster = cluster();
    let mut writer = log(&cluster).writer("account/0").unwrap();
    cluster.request_errors(
        RDKafkaApiKey::EndTxn,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        ],
    );
    write(&mut *writer, vec![event(0, "fine")]).unwrap();
}

#[test]
fn a_commit_under_a_newer_epoch_is_fenced() {
    let cluster = cluster();
    let mut writer = log(&cluster).writer("account/0").unwrap();
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let fenced = Err(LogError::Fenced { writer: "account/0".into() });
    assert_eq!(write(&mut *writer, vec![event(0, "late")]), fenced);
}

#[test]
fn a_transaction_that_cannot_take_a_partition_is_aborted_and_may_be_tried_again() {
    let cluster = cluster();
    let mut writer = log(&cluster).writer("account/0").unwrap();
    cluster.request_errors(
        RDKafkaApiKey::AddPartitionsToTxn,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    let outcome = write(&mut *writer, vec![event(0, "refused")]);
    assert!(matches!(outcome, Err(LogError::Aborted { .. })), "{outcome:?}");
    write(&mut *writer, vec![event(0, "fine")]).unwrap();
}

#[test]
fn a_reader_outlives_a_broken_connection() {
    let cluster = cluster();
    let log = log(&cluster);
    let mut writer = log.writer("account/0").unwrap();
    let mut reader = log.reader(&[at(Topic::Events, 0, 0)]).unwrap();
    cluster.request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 2]);
    write(&mut *writer, vec![event(0, "fine")]).unwrap();
    assert_eq!(reader.wait(crate::support::WAIT), Ok(true));
}

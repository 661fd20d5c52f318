//! What a producer reports between its calls, and what that means for the end of a transaction.

use crate::kafka::connection::{ConnectionFailure, ConnectionWatch};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// librdkafka is silent about a broken connection when it told of the same less than 30 s ago.
const SILENCE: Duration = Duration::from_secs(31);

/// A request that is sent again waits for at least 80 ms before (`retry.backoff.ms`, less its jitter).
const SENT_ONCE: Duration = Duration::from_millis(70);

/// What the producer reports between its calls.
#[derive(Default)]
pub(in crate::kafka) struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
    /// How often a connection broke with requests in flight, and when it last did.
    disconnects: Mutex<(u64, Option<Instant>)>,
    connections: ConnectionWatch,
}

impl ClientContext for Deliveries {
    /// A broken connection is told by a log line only, as long as another one is there or comes.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.connections.log(level, facility, line);
        if matches!(facility, "FAIL" | "REQTMOUT") {
            self.note_disconnect();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.connections.error(error, reason);
        if matches!(code, Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown))
        {
            self.note_disconnect();
        }
    }
}

impl Deliveries {
    /// The first record that was not delivered since the last call, if there is one.
    pub(super) fn take_failure(&self) -> Option<KafkaError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Why connections fail, as far as it was told lately.
    pub(super) fn last_failure(&self) -> Option<ConnectionFailure> {
        self.connections.last_failure()
    }

    fn note_disconnect(&self) {
        let mut disconnects = self.disconnects.lock().unwrap_or_else(PoisonError::into_inner);
        *disconnects = (disconnects.0 + 1, Some(Instant::now()));
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
        }
    }
}

/// Watches a request that ends a transaction.
pub(super) struct Ending<'a> {
    producer: &'a BaseProducer<Deliveries>,
    began: Instant,
    disconnects: u64,
}

impl<'a> Ending<'a> {
    pub(super) fn begin(producer: &'a BaseProducer<Deliveries>) -> Self {
        let (disconnects, _) = disconnects(producer);
        Self { producer, began: Instant::now(), disconnects }
    }

    /// Whether the request may have been sent twice. The broker acts on the second copy when it comes,
    /// which may be in the middle of the next transaction.
    pub(super) fn may_be_doubled(&self) -> bool {
        let took = self.began.elapsed();
        let (count, last) = disconnects(self.producer);
        let is_silent = last.is_some_and(|last| last.elapsed() < SILENCE + took);
        count != self.disconnects || (is_silent && took > SENT_ONCE)
    }
}

/// How often a connection broke and when, as far as the producer has told by now.
fn disconnects(producer: &BaseProducer<Deliveries>) -> (u64, Option<Instant>) {
    // A poll without a wait serves one event.
    for _ in 0..16 {
        producer.poll(Duration::ZERO);
    }
    *producer.context().disconnects.lock().unwrap_or_else(PoisonError::into_inner)
}

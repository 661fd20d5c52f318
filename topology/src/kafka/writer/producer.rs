//! Makes the one producer of a transactional id.

use super::deliveries::Deliveries;
use crate::kafka::Cluster;
use crate::kafka::connection::ConnectionFailure;
use crate::kafka::errors::{Failure, classify, is_permanent, unanswered};
use crate::limits::{BROKER_WAIT_MAX, REFUSED_WAIT, TRANSACTION_TIMEOUT};
use crate::log::LogError;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use std::time::{Duration, Instant};

/// Pause before a call is made again.
pub(super) const RETRY: Duration = Duration::from_millis(20);

/// How long opening waits before it looks what the broker has said: librdkafka tells that only of a call
/// that timed out.
const OPEN_SLICE: Duration = Duration::from_millis(60);

/// The producer of `id` from now on: every earlier one is fenced, and what it left open is aborted. `writer`
/// is what errors call it.
pub(super) fn open(cluster: &Cluster, writer: &str, id: &str) -> Result<BaseProducer<Deliveries>, LogError> {
    let make = || -> Result<BaseProducer<Deliveries>, LogError> {
        let config = cluster.config.writer(id)?;
        config.create_with_context(Deliveries::default()).map_err(crate::kafka::config::refused)
    };
    let mut producer = make()?;
    let asked = Instant::now();
    let deadline = asked + BROKER_WAIT_MAX + TRANSACTION_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Err(error) = producer.init_transactions(left.min(OPEN_SLICE).max(RETRY)) else {
            return Ok(producer);
        };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::ConcurrentTransactions) && !left.is_zero() {
            // The broker ends what the last owner left open. It has answered, so nothing of this
            // producer is on its way, and a new one asks at once instead of in half a second.
            crate::kafka::end_aside(std::mem::replace(&mut producer, make()?));
            continue;
        }
        producer.poll(Duration::ZERO);
        let failure = producer.context().last_failure();
        let is_over = left.is_zero()
            || error.rdkafka_error_code().is_some_and(is_permanent)
            || (failure.as_ref().is_some_and(ConnectionFailure::is_final) && asked.elapsed() >= REFUSED_WAIT);
        match classify(&error, producer.client().fatal_error()) {
            Failure::Fenced(_) => return Err(LogError::Fenced { writer: writer.to_owned() }),
            // It goes on in the background; the next call waits for it.
            Failure::Retriable(_) if !is_over => std::thread::sleep(RETRY),
            _ => {
                return Err(unanswered(
                    format_args!("opening the writer {writer}"),
                    &error,
                    failure.as_ref(),
                ));
            }
        }
    }
}

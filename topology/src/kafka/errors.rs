//! What librdkafka's errors mean for a log: every error is retriable, abortable or the end of its
//! client, and one that says nothing of itself is the end.

use super::connection::ConnectionFailure;
use crate::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::fmt;

/// What an error leaves to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// A newer producer of the same transactional id exists, or the broker ended the transaction
    /// because it took too long.
    Fenced(String),
    /// The transaction must be aborted; the same may be tried again.
    Abortable(String),
    /// The call may be made again.
    Retriable(String),
    /// The producer is of no more use.
    Fatal(String),
}

/// Sorts the error of a producer's call. `fatal` is what the producer says of its own state.
pub(super) fn classify(error: &KafkaError, fatal: Option<(Code, String)>) -> Failure {
    if let Some((code, reason)) = fatal {
        return ended(code, reason);
    }
    let reason = error.to_string();
    match error {
        KafkaError::Transaction(inner) if is_fence(inner.code()) => Failure::Fenced(reason),
        KafkaError::Transaction(inner) if inner.is_fatal() => Failure::Fatal(reason),
        KafkaError::Transaction(inner) if inner.txn_requires_abort() => Failure::Abortable(reason),
        KafkaError::Transaction(inner) if inner.is_retriable() => Failure::Retriable(reason),
        KafkaError::Flush(Code::OperationTimedOut) => Failure::Retriable(reason),
        KafkaError::MessageProduction(Code::QueueFull) => Failure::Retriable(reason),
        // Whether an epoch that the broker refuses is the work of a newer producer, only the abort shows.
        KafkaError::MessageProduction(_) => Failure::Abortable(reason),
        _ => Failure::Fatal(reason),
    }
}

/// Why a client that calls its own state fatal is over.
pub(super) fn ended(code: Code, reason: String) -> Failure {
    if is_fence(code) { Failure::Fenced(reason) } else { Failure::Fatal(reason) }
}

fn is_fence(code: Code) -> bool {
    matches!(code, Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fenced | Code::FencedInstanceId)
}

/// Whether there is no such topic or partition.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// Whether waiting does not help: somebody has to change the configuration.
pub(super) fn is_permanent(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::UnreleasedInstanceId
            | Code::Fatal
    )
}

/// An error that says what was done when it came, and what to look at.
pub(super) fn unavailable(doing: impl fmt::Display, error: &KafkaError) -> LogError {
    let hint = match error.rdkafka_error_code() {
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
        ) => "; grant this user the rights of its role",
        Some(Code::SaslAuthenticationFailed | Code::Authentication) => {
            "; check kafka.sasl_username, kafka.sasl_password_file and kafka.sasl_mechanism"
        }
        Some(code) if is_away(code) => {
            "; check that the brokers are up and the address and security protocol are right"
        }
        Some(Code::UnreleasedInstanceId) => "; another live process has the same group instance id",
        _ => "",
    };
    LogError::Unavailable { reason: format!("{doing}: {error}{hint}") }
}

/// The same of a client that may know why its connections fail, which says more than a call
/// that got no answer.
pub(super) fn unanswered(
    doing: impl fmt::Display,
    error: &KafkaError,
    failure: Option<&ConnectionFailure>,
) -> LogError {
    match failure {
        Some(failure) if error.rdkafka_error_code().is_none_or(is_away) => {
            LogError::Unavailable { reason: format!("{doing}: {failure}") }
        }
        _ => unavailable(doing, error),
    }
}

/// Whether the error only says that there was no answer, or no connection to ask on.
fn is_away(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::SSL
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fenced_producer_is_fenced_whatever_the_call_said() {
        let said = KafkaError::MessageProduction(Code::QueueFull);
        let state = Some((Code::ProducerFenced, "newer".to_owned()));
        assert_eq!(classify(&said, state), Failure::Fenced("newer".into()));
    }

    #[test]
    fn an_error_that_says_nothing_of_itself_is_fatal() {
        let said = KafkaError::Global(Code::Application);
        assert!(matches!(classify(&said, None), Failure::Fatal(_)));
    }

    #[test]
    fn a_record_that_was_not_delivered_aborts_its_transaction() {
        for code in [Code::MessageTimedOut, Code::InvalidProducerEpoch, Code::MessageSizeTooLarge] {
            assert!(matches!(classify(&KafkaError::MessageProduction(code), None), Failure::Abortable(_)));
        }
        let full = KafkaError::MessageProduction(Code::QueueFull);
        assert!(matches!(classify(&full, None), Failure::Retriable(_)));
    }
}

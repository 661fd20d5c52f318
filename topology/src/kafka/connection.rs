//! Why a client has no connection.
//!
//! A call that waits for a connection only says that none came. Why, librdkafka tells aside, as an
//! error event or a log line, and the same not again for half a minute.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A failure of longer ago is over, or would have been told again.
const CURRENT: Duration = Duration::from_secs(35);

/// What is of no use to an operator: how long it took, how often it was not told, and advice that names
/// librdkafka's settings.
const USELESS: &[&str] =
    &[" (after ", ": broker certificate could not be verified, ", ": client SSL authentication might be "];

/// A port that wants TLS or SASL, and is not told, ends the connection when it gets the first request: sooner
/// than this.
const AT_ONCE: u32 = 2000;

/// The context of a client that remembers why its connections failed.
#[derive(Debug, Default)]
pub(super) struct ConnectionWatch(Mutex<Option<(Instant, ConnectionFailure)>>);

impl ClientContext for ConnectionWatch {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        // A connection that the other side closes is told by a log line only.
        if facility == "FAIL" {
            // It begins with the name of librdkafka's thread.
            let said = line.split_once("]: ").map_or(line, |(_, said)| said);
            self.note(ConnectionFailure::new(Code::BrokerTransportFailure, said));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // It follows on the errors that say why.
            None | Some(Code::AllBrokersDown) => {}
            Some(code) => self.note(ConnectionFailure::new(code, reason)),
        }
    }
}

impl ConsumerContext for ConnectionWatch {}

impl ConnectionWatch {
    /// Why connections fail, as far as it was told lately.
    pub(super) fn last_failure(&self) -> Option<ConnectionFailure> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().filter(|(at, _)| at.elapsed() < CURRENT).map(|(_, failure)| failure.clone())
    }

    /// Remembers it, unless that would put the consequence in the place of the cause.
    fn note(&self, failure: ConnectionFailure) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = |(at, before): &(Instant, ConnectionFailure)| {
            at.elapsed() < CURRENT && before.cause > failure.cause
        };
        if !last.as_ref().is_some_and(is_told) {
            *last = Some((Instant::now(), failure));
        }
    }
}

/// Why a connection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionFailure {
    cause: Cause,
    /// librdkafka's own words, which name the broker.
    said: String,
}

/// Causes, those that say more after those that say less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Nobody listens, or the connection broke.
    Away,
    /// The name of a broker has no address.
    Unnamed,
    /// Plain text to a port that speaks TLS, or one that wants SASL and is not told.
    TooPlain,
    /// TLS to a port that speaks plain text.
    TooSecure,
    /// The broker wants another client certificate, or one at all.
    Unwelcome,
    /// The broker's certificate is not to be trusted.
    Untrusted,
    /// The broker does not have the SASL mechanism, or no SASL on that port.
    Mechanism,
    /// The broker refuses the user.
    Credentials,
}

impl ConnectionFailure {
    fn new(code: Code, said: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let cause = match code {
            Code::Authentication | Code::SaslAuthenticationFailed if has(&["mechanism handshake failed"]) => {
                Cause::Mechanism
            }
            Code::Authentication | Code::SaslAuthenticationFailed => Cause::Credentials,
            _ if has(&[
                "certificate verify failed",
                "verify broker certificate",
                "not provide a certificate",
            ]) =>
            {
                Cause::Untrusted
            }
            _ if has(&["alert", "client SSL authentication"])
                && has(&["certificate", "unknown ca", "handshake failure", "access denied"]) =>
            {
                Cause::Unwelcome
            }
            _ if has(&["PLAINTEXT broker listener", "wrong version number"]) => Cause::TooSecure,
            _ if has(&["closed by peer"]) && was_closed_at_once(said) => Cause::TooPlain,
            _ if has(&["Failed to resolve"]) => Cause::Unnamed,
            _ => Cause::Away,
        };
        let end = USELESS.iter().filter_map(|words| said.find(words)).min().unwrap_or(said.len());
        Self { cause, said: said[..end].trim().to_owned() }
    }

    /// Whether waiting does not help: somebody has to change the configuration. A port that speaks
    /// something else may also be a broker that is just going down.
    pub(super) fn is_final(&self) -> bool {
        self.cause >= Cause::Unwelcome
    }

    fn advice(&self) -> (&'static str, &'static str) {
        match self.cause {
            Cause::Away => (
                "no broker can be reached",
                "check that the brokers are up, and the addresses in `brokers` and kafka.security_protocol",
            ),
            Cause::Unnamed => ("a broker's name has no address", "check `brokers` and the name service"),
            Cause::TooPlain => (
                "the broker closes connections of this protocol",
                "the port wants TLS or SASL: check kafka.security_protocol and the port in `brokers`",
            ),
            Cause::TooSecure => (
                "the broker does not answer in TLS",
                "the port is one for plain text: check kafka.security_protocol and the port in `brokers`",
            ),
            Cause::Unwelcome => (
                "the broker does not take this client's certificate",
                "set kafka.cert_file and kafka.key_file to a certificate that its authority signed and that is in date",
            ),
            Cause::Untrusted => (
                "the broker's certificate cannot be trusted",
                "kafka.ca_file must hold the authority that signed it; the certificate must name the host that `brokers` names, and be in date",
            ),
            Cause::Mechanism => (
                "the broker does not take this SASL mechanism",
                "check kafka.sasl_mechanism, and that the port in `brokers` is one for SASL",
            ),
            Cause::Credentials => (
                "the broker refuses the user or the password",
                "check kafka.sasl_username, kafka.sasl_password_file and kafka.sasl_mechanism",
            ),
        }
    }
}

/// Whether a connection ended with its first requests, going by librdkafka's "(after 3ms in state UP)". One
/// that was in use broke for another reason.
fn was_closed_at_once(said: &str) -> bool {
    let Some((time, state)) =
        said.rsplit_once(" (after ").and_then(|(_, rest)| rest.split_once("ms in state "))
    else {
        return false;
    };
    let state = state.split([',', ')']).next().unwrap_or_default();
    let is_soon = time.parse::<u32>().is_ok_and(|ms| ms < AT_ONCE);
    state == "APIVERSION_QUERY" || (state == "UP" && is_soon)
}

/// The cause, librdkafka's words for it, and what to do.
impl fmt::Display for ConnectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, advice) = self.advice();
        write!(f, "{cause} ({}); {advice}", self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: Code, said: &str) -> Cause {
        ConnectionFailure::new(code, said).cause
    }

    #[test]
    fn a_connection_that_broke_does_not_hide_why_it_did() {
        let watch = ConnectionWatch::default();
        let error = |code, said| watch.error(KafkaError::Global(code), said);
        error(Code::Authentication, "b: SASL authentication error: no (after 2ms in state AUTH_REQ)");
        error(Code::BrokerTransportFailure, "b: Disconnected");
        error(Code::AllBrokersDown, "1/1 brokers are down");
        let failure = watch.last_failure().unwrap();
        assert!(failure.is_final());
        let shown = failure.to_string();
        assert!(shown.contains("(b: SASL authentication error: no); check kafka.sasl_username"), "{shown}");
    }

    #[test]
    fn what_is_of_no_use_to_an_operator_is_left_out() {
        let watch = ConnectionWatch::default();
        let line = "[thrd:ssl://b]: ssl://b: SSL handshake failed: certificate verify failed: broker certificate \
                    could not be verified, verify that ssl.ca.location is right (after 2ms in state SSL_HANDSHAKE)";
        watch.log(RDKafkaLogLevel::Error, "FAIL", line);
        let shown = watch.last_failure().unwrap().to_string();
        assert!(
            shown.contains("(ssl://b: SSL handshake failed: certificate verify failed); kafka.ca_file"),
            "{shown}"
        );
    }

    #[test]
    fn what_librdkafka_says_is_told_apart() {
        use Code::{Authentication, BrokerTransportFailure as Transport, SSL};
        let sorted = [
            (Authentication, "SASL SCRAM-SHA-256 mechanism handshake failed: unsupported", Cause::Mechanism),
            (SSL, "SSL handshake failed: certificate verify failed: broker certificate", Cause::Untrusted),
            (SSL, "Receive failed: tlsv13 alert certificate required", Cause::Unwelcome),
            (
                Transport,
                "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                Cause::TooSecure,
            ),
            (Transport, "closed by peer (after 9ms in state APIVERSION_QUERY)", Cause::TooPlain),
            (Transport, "closed by peer (after 9ms in state UP, 1 identical)", Cause::TooPlain),
            (Transport, "closed by peer (after 60000ms in state UP)", Cause::Away),
            (Transport, "Failed to resolve 'kafka:9092'", Cause::Unnamed),
            (Transport, "Connect to ipv4#127.0.0.1:1 failed: Connection refused", Cause::Away),
        ];
        for (code, said, expected) in sorted {
            assert_eq!(cause(code, said), expected, "{said}");
        }
    }
}

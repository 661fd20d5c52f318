//! What destinations over HTTP have in common: one agent with bounds on time and size, a credential that no
//! text shows, and batches that become smaller where a server finds them too large.

use super::tls::Authorities;
use super::{Delivery, Failure, Fate, RetryCause};
use crate::http::agent;
use crate::limits::{SIEM_ANSWER_BYTES_MAX, SIEM_BATCH_RECORDS_MAX};
use crate::siem::notice::Notice;
use crate::siem::text::{bounded, one_line};
use std::time::Duration;
use ureq::Agent;
use ureq::tls::TlsConfig;
use zeroize::Zeroizing;

/// Where a destination is, and who we are there.
pub struct Endpoint {
    agent: Agent,
    url: String,
    authorization: Option<Zeroizing<String>>,
}

/// What a server answered.
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Endpoint {
    /// The server at `url`, which has to prove who it is by `authorities`, or by those of the Web.
    /// `authorization` is the value of the header. An answer may take as long as `wait`.
    pub fn new(
        url: &str,
        authorization: Option<Zeroizing<String>>,
        authorities: Option<&Authorities>,
        wait: Duration,
    ) -> Self {
        let tls = authorities.map_or_else(|| TlsConfig::builder().build(), Authorities::config);
        Self { agent: agent(url, wait, tls), url: url.trim_end_matches('/').to_owned(), authorization }
    }

    /// Sends a body to a path below the URL.
    pub(super) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.url)).header("Content-Type", content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.as_str());
        }
        let mut answer = request.send(body).map_err(|error| of_error(&error))?;
        let status = answer.status().as_u16();
        let read = answer.body_mut().with_config().limit(SIEM_ANSWER_BYTES_MAX).read_to_vec();
        Ok(Answer { status, body: read.map_err(|error| of_error(&error))? })
    }
}

fn of_error(error: &ureq::Error) -> Failure {
    let cause = match error {
        ureq::Error::Timeout(_) => RetryCause::Silent,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => RetryCause::Misconfigured,
        ureq::Error::BodyExceedsLimit(_) => RetryCause::Failing,
        _ => RetryCause::Unreachable,
    };
    Failure::new(cause, format!("it does not answer: {error}"))
}

impl Answer {
    /// What is wrong, where the status says that nothing of the request was done.
    pub(super) fn failure(&self) -> Failure {
        let cause = match self.status {
            401 | 403 | 407 => RetryCause::Denied,
            408 => RetryCause::Silent,
            425 | 429 | 503 => RetryCause::Busy,
            500..=599 => RetryCause::Failing,
            _ => RetryCause::Misconfigured,
        };
        Failure::new(cause, format!("it answers with {}: {}", self.status, excerpt(&self.body)))
    }
}

/// The beginning of what a server said, for a person.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
    bounded(&one_line(&text)).into_owned()
}

/// Notices that are handed over in one request.
pub(super) struct Chunks {
    /// At most so many; fewer after a server found them too large together.
    most: usize,
}

/// What a server made of a request.
pub(super) enum Outcome {
    /// How each notice of it fared.
    Answered(Delivery),
    /// It is too large.
    TooLarge,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { most: SIEM_BATCH_RECORDS_MAX }
    }

    /// Hands all of them over by `send`, and leaves the rest when that fails.
    pub(super) fn deliver(
        &mut self,
        notices: &[Notice],
        mut send: impl FnMut(&[Notice]) -> Outcome,
    ) -> Delivery {
        let mut delivery = Delivery::taken(0);
        let before = self.most;
        while let Some(rest) = notices.get(delivery.fates.len()..).filter(|rest| !rest.is_empty()) {
            let chunk = &rest[..self.most.min(rest.len())];
            match send(chunk) {
                Outcome::Answered(answered) => {
                    delivery.fates.extend(answered.fates);
                    if answered.failure.is_some() {
                        delivery.failure = answered.failure;
                        break;
                    }
                }
                Outcome::TooLarge if chunk.len() == 1 => {
                    delivery.fates.push(Fate::Refused("it is too large for the destination".into()));
                    // It was this one, and not how many there were.
                    self.most = before;
                }
                Outcome::TooLarge => self.most = chunk.len() / 2,
            }
        }
        delivery.fates.resize(notices.len(), Fate::Left);
        delivery
    }
}

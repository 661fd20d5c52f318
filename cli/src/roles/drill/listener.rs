//! Sends the lines of a drill to a listener, each batch until it is taken.

use super::Target;
use crate::context::Context;
use crate::listen::auth::tokens_in;
use anyhow::{Context as _, Error, Result, anyhow, ensure};
use serde::Deserialize;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::tls::TlsConfig;
use weir_enforcer::http::agent;
use weir_replay::drill::Size;
use weir_traffic::drill::Lines;
use zeroize::Zeroizing;

/// Lines of a request.
const LINES: u64 = 500;

/// Longest time that a listener may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(35);

/// How long a batch is sent again that a listener does not take for now.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Pause before a batch is sent again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a listener says of lines that it took.
#[derive(Deserialize)]
struct Taken {
    events: u64,
    #[serde(default)]
    refused: u64,
    #[serde(default)]
    reason: Option<String>,
    /// The very same request came before, and was committed then.
    #[serde(default)]
    came_before: bool,
}

/// Why a batch was not taken.
enum Failure {
    /// It is not known whether it was taken, or it may be later: what comes again counts once.
    Passing(Error),
    /// It never will be.
    Lasting(Error),
}

/// The listener that lines are sent to.
pub(super) struct Listener {
    url: String,
    token: Option<Zeroizing<String>>,
    agent: Agent,
}

impl Listener {
    /// The listener of this target. Nothing is sent yet.
    pub(super) fn new(target: &Target) -> Result<Self> {
        let tokens = target.token_file.as_deref().map(|file| tokens_in(file, "--token-file")).transpose()?;
        // A listener takes any of them.
        let token = tokens.and_then(|tokens| tokens.into_iter().next());
        let url = format!("{}/v1/lines", target.url.trim_end_matches('/'));
        let agent = agent(&url, ANSWER_MAX, TlsConfig::default());
        Ok(Self { url, token, agent })
    }

    /// Sends all lines of a drill of this size.
    pub(super) fn send(&self, context: &Context, mut lines: Lines, size: Size) -> Result<()> {
        let (mut body, mut waiting, mut sent) = (String::new(), 0, 0);
        loop {
            let is_more = lines.write_next(&mut body);
            waiting += u64::from(is_more);
            if waiting > 0 && (waiting == LINES || !is_more) {
                let so_far = || format!("{sent} of {} lines were taken", size.lines);
                self.post(context, &body, waiting, sent > 0).with_context(so_far)?;
                sent += std::mem::take(&mut waiting);
                body.clear();
            }
            if !is_more {
                return Ok(());
            }
        }
    }

    /// Sends a batch until it is taken. A listener that has answered before may be away for a while.
    fn post(&self, context: &Context, body: &str, lines: u64, has_answered: bool) -> Result<()> {
        let until = Instant::now() + AGAIN_MAX;
        loop {
            ensure!(!context.is_stopped(), "told to stop");
            let outcome = match self.request(body) {
                Ok((status, text)) => self.outcome(status, &text, lines),
                Err(error) => {
                    let error = error.context(format!("the listener does not answer at {}", self.url));
                    Err(if has_answered { Failure::Passing(error) } else { Failure::Lasting(error) })
                }
            };
            match outcome {
                Ok(()) => return Ok(()),
                Err(Failure::Passing(_)) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(Failure::Passing(error) | Failure::Lasting(error)) => return Err(error),
            }
        }
    }

    /// Sends a batch once; status and text of the answer.
    fn request(&self, body: &str) -> Result<(u16, String)> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/x-ndjson");
        // A listener that does not want it says so before it has read it, and would close on what it does not
        // read.
        request = request.header("expect", "100-continue");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.as_str()));
        }
        let mut answer = request.send(body)?;
        let text = answer.body_mut().read_to_string()?;
        Ok((answer.status().as_u16(), text))
    }

    fn outcome(&self, status: u16, text: &str, lines: u64) -> Result<(), Failure> {
        let says = text.trim();
        let lasting = |what: String| Err(Failure::Lasting(anyhow!(what)));
        match status {
            200 => {}
            401 => {
                return lasting(
                    "the listener does not take the token: give --token-file FILE with one of its own".into(),
                );
            }
            503 => return Err(Failure::Passing(anyhow!("the listener takes nothing for now: {says}"))),
            _ => return lasting(format!("the listener answered {status}: {says}")),
        }
        let Ok(taken) = serde_json::from_str::<Taken>(text) else {
            return lasting(format!("{} is no listener of Weir's: it says {says:?}", self.url));
        };
        let Taken { events, refused, came_before, .. } = taken;
        if came_before || (refused == 0 && events == lines) {
            return Ok(());
        }
        let reason = taken.reason.unwrap_or_default();
        lasting(format!("of {lines} lines the listener took {events} and refused {refused}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_once_and_sent_again_only_where_that_may_help() {
        let listener =
            Listener { url: "http://weir/v1/lines".into(), token: None, agent: Agent::new_with_defaults() };
        let told = |status, text: &str| match listener.outcome(status, text, 5) {
            Ok(()) => "taken".to_owned(),
            Err(Failure::Passing(error)) => format!("again: {error}"),
            Err(Failure::Lasting(error)) => format!("never: {error}"),
        };
        let taken = r#"{"events":5,"known":0,"unowned":0,"refused":0,"came_before":false}"#;
        assert_eq!(told(200, taken), "taken");
        // Its first answer was lost.
        let again = r#"{"events":0,"known":0,"unowned":0,"refused":0,"came_before":true}"#;
        assert_eq!(told(200, again), "taken");
        let part = r#"{"events":3,"known":0,"unowned":0,"refused":2,"came_before":false,"reason":"no time"}"#;
        assert_eq!(told(200, part), "never: of 5 lines the listener took 3 and refused 2: no time");
        assert_eq!(
            told(200, "hello"),
            r#"never: http://weir/v1/lines is no listener of Weir's: it says "hello""#
        );
        assert_eq!(told(503, "full\n"), "again: the listener takes nothing for now: full");
        assert_eq!(told(404, "no"), "never: the listener answered 404: no");
        assert!(told(401, "").starts_with("never: the listener does not take the token"));
    }
}

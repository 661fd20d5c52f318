//! Length-prefixed JSON, for programs that speak neither HTTP nor gRPC: a question is the number of its bytes
//! (4 bytes, big-endian) and so many bytes of JSON, and so is its answer. Answers come in the order of the
//! questions.
//!
//! No question has 16 MiB, so its first byte is 0, with which no request of HTTP begins: both share the port.
//! Over TLS a client says [`PROTOCOL`] in ALPN.

use super::answer::Desk;
use super::decisions::check;
use super::door::Door;
use super::grpc::State;
use super::limits::{FRAME_BYTES_MAX, IDLE_TIME_MAX, REQUEST_TIME_MAX};
use super::told::Told;
use crate::telemetry::Transport;
use serde::Deserialize;
use serde_json::{Value, json};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use weir_api::weir::v1::check_request::Who;
use weir_api::weir::v1::{CheckRequest, Credentials};

/// What a client says in ALPN.
pub const PROTOCOL: &[u8] = b"weir-frames/1";

/// A question: an account by its pseudonym, or the keys of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    account: Option<String>,
    keys: Option<Vec<String>>,
    tenant: Option<String>,
    #[serde(default)]
    look: bool,
    token: Option<String>,
}

/// What is read.
enum Read {
    Question(Vec<u8>),
    TooLong,
}

/// Whether a connection without TLS begins as one of questions; none where it says nothing for too long, or
/// the server ends.
pub async fn begins(stream: &TcpStream, states: &mut watch::Receiver<State>) -> Option<bool> {
    let mut first = [0; 1];
    let peeked = timeout(IDLE_TIME_MAX, unless_ending(stream.peek(&mut first), states)).await;
    match peeked {
        Ok(Some(Ok(1))) => Some(first == [0]),
        _ => None,
    }
}

/// Answers questions until the client ends the connection, says nothing for too long, or the server ends.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    desk: Arc<Desk>,
    door: &Door,
    mut states: watch::Receiver<State>,
) {
    loop {
        let read = timeout(IDLE_TIME_MAX, unless_ending(read(&mut stream), &mut states)).await;
        let Ok(Some(Ok(read))) = read else { return };
        let (told, is_last) = match read {
            Read::Question(bytes) => match answer(&bytes, &desk, door).await {
                Ok(told) => (told, false),
                // Whoever guesses has to connect anew for each guess.
                Err(reason) => (refused(reason), true),
            },
            Read::TooLong => (refused(&format!("a question has at most {FRAME_BYTES_MAX} bytes")), true),
        };
        let mut frame = vec![0; 4];
        frame.extend(told.to_string().into_bytes());
        let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let write = timeout(REQUEST_TIME_MAX, async {
            stream.write_all(&frame).await?;
            stream.flush().await
        });
        if !matches!(write.await, Ok(Ok(()))) || is_last {
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Read> {
    let length = stream.read_u32().await? as usize;
    if length > FRAME_BYTES_MAX {
        return Ok(Read::TooLong);
    }
    let mut bytes = vec![0; length];
    timeout(REQUEST_TIME_MAX, stream.read_exact(&mut bytes)).await.map_err(io::Error::from)??;
    Ok(Read::Question(bytes))
}

/// The answer to a question; an error where it is not answered, because it shows no token.
async fn answer(bytes: &[u8], desk: &Arc<Desk>, door: &Door) -> Result<Value, &'static str> {
    let question: Result<Question, serde_json::Error> = serde_json::from_slice(bytes);
    let token = question.as_ref().ok().and_then(|question| question.token.as_deref());
    if let Some(reason) = door.refuses(token, Transport::Frames) {
        return Err(reason);
    }
    Ok(match question {
        Ok(question) => told(question, desk).await,
        Err(error) => refused(&format!("a question is a JSON object: {error}")),
    })
}

async fn told(question: Question, desk: &Arc<Desk>) -> Value {
    let Question { account, keys, tenant, look, .. } = question;
    let who = match (account, keys) {
        (Some(_), Some(_)) => return refused("give an account, or the keys of a request, and not both"),
        (Some(account), None) => Some(Who::Account(account)),
        (None, Some(keys)) => Some(Who::Credentials(Credentials { keys, tenant: None })),
        (None, None) => return refused("give an `account`, or the `keys` of a request"),
    };
    let checked = check(desk, CheckRequest { who, look, tenant }, Transport::Frames);
    match timeout(REQUEST_TIME_MAX, checked).await {
        Ok(Ok(answer)) => Told::of(&answer).json(),
        Ok(Err(status)) => refused(status.message()),
        Err(_) => refused("the question took too long"),
    }
}

fn refused(reason: &str) -> Value {
    json!({ "error": reason })
}

/// What `work` gives; none where the server ends before.
async fn unless_ending<T>(work: impl Future<Output = T>, states: &mut watch::Receiver<State>) -> Option<T> {
    let mut work = pin!(work);
    let mut ending = pin!(async {
        let _ = states.wait_for(|state| *state == State::Ending).await;
    });
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(given) => Poll::Ready(Some(given)),
        Poll::Pending => ending.as_mut().poll(context).map(|()| None),
    })
    .await
}

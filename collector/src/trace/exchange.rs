//! An exchange as it is heard: a request, and what answered it.

use super::head::Head;
use super::http1::Method;
use super::sse::Events;
use crate::event::Hidden;
use crate::format::account_of;
use crate::limits::{
    HEADERS_MAX, TRACE_HEADER_NAME_BYTES_MAX, TRACE_REQUEST_BYTES_MAX, TRACE_RESPONSE_BYTES_MAX,
    TRACE_TARGET_BYTES_MAX, USER_AGENT_BYTES_MAX,
};

/// Headers that carry a credential, the first one that says something counts.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// A request and what answered it, as far as it was heard. It holds text, so it cannot be printed.
pub(crate) struct Exchange {
    /// None where the request has no credential.
    pub(crate) who: Option<Hidden>,
    pub(crate) began_ms: i64,
    pub(crate) target: Vec<u8>,
    pub(crate) user_agent: Vec<u8>,
    pub(crate) headers: Vec<Vec<u8>>,
    /// The client's settings of HTTP/2, in Akamai's notation; empty for HTTP/1.
    pub(crate) h2: String,
    pub(crate) body: Vec<u8>,
    pub(crate) reply: Option<Reply>,
    pub(super) method: Method,
    /// No more of the body is kept: bytes before were not heard, or there is no room.
    is_cut: bool,
    /// The request was heard to its end.
    pub(super) is_asked: bool,
    /// Its response cannot be told from others.
    pub(super) is_alone: bool,
}

/// What answered a request.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// When it ended; none where its end was not heard.
    pub(crate) ended_ms: Option<i64>,
    /// Size of the body.
    pub(crate) bytes: u64,
    pub(crate) body: ReplyBody,
    /// Nothing more of it comes.
    pub(super) is_over: bool,
}

/// The body of a response.
pub(crate) enum ReplyBody {
    /// The beginning of it, and whether that is all that is kept.
    Plain(Vec<u8>, bool),
    Events(Events),
    /// Nothing: it is of a request that becomes no event.
    Unkept,
}

impl Exchange {
    /// Of a request whose head was heard.
    pub(super) fn of(head: &Head<'_>, began_ms: i64, hide: &mut dyn FnMut(&str) -> Hidden) -> Self {
        let cut = |bytes: &[u8], max: usize| bytes[..bytes.len().min(max)].to_vec();
        let names = head.headers.iter().take(HEADERS_MAX);
        Self {
            who: credential(head).map(|account| hide(&account)),
            began_ms,
            target: cut(head.target.as_bytes(), TRACE_TARGET_BYTES_MAX),
            user_agent: cut(head.all("user-agent").next().unwrap_or_default(), USER_AGENT_BYTES_MAX),
            headers: names.map(|header| cut(header.name.as_bytes(), TRACE_HEADER_NAME_BYTES_MAX)).collect(),
            h2: String::new(),
            body: Vec::new(),
            reply: None,
            method: Method::of(head.method),
            is_cut: false,
            is_asked: false,
            is_alone: false,
        }
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        let reply = self.reply.as_ref().map_or(0, |reply| match &reply.body {
            ReplyBody::Plain(body, _) => body.len(),
            ReplyBody::Events(events) => events.held(),
            ReplyBody::Unkept => 0,
        });
        let headers: usize = self.headers.iter().map(|name| name.len() + size_of::<Vec<u8>>()).sum();
        self.body.len() + self.target.len() + self.user_agent.len() + self.h2.len() + headers + reply
    }

    /// Whether it becomes an event: it is somebody's who is not left out.
    fn is_kept(&self) -> bool {
        self.who.as_ref().is_some_and(|hidden| hidden.sampling.is_some())
    }

    /// Takes bytes of the request's body, and says how many it did not keep.
    pub(super) fn ask(&mut self, bytes: &[u8]) -> u64 {
        if !self.is_kept() {
            return 0;
        }
        keep(&mut self.body, &mut self.is_cut, bytes, TRACE_REQUEST_BYTES_MAX)
    }

    /// Bytes of the request's body were not heard. What follows is another text: what was said before it is
    /// all that is known.
    pub(super) fn miss(&mut self) {
        self.is_cut = true;
    }

    /// A response began.
    pub(super) fn answer(&mut self, head: &Head<'_>) {
        let is_stream = head.all("content-type").last().is_some_and(|kind| {
            kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
        }) && head.all("content-encoding").next().is_none();
        self.reply = Some(Reply {
            status: head.status,
            ended_ms: None,
            bytes: 0,
            body: match (self.is_kept(), is_stream) {
                (false, _) => ReplyBody::Unkept,
                (true, true) => ReplyBody::Events(Events::new(TRACE_RESPONSE_BYTES_MAX)),
                (true, false) => ReplyBody::Plain(Vec::new(), false),
            },
            is_over: false,
        });
    }
}

impl Reply {
    /// Takes bytes of the body, and says how many it did not keep.
    pub(super) fn take(&mut self, bytes: &[u8]) -> u64 {
        self.bytes += bytes.len() as u64;
        match &mut self.body {
            ReplyBody::Plain(body, is_cut) => keep(body, is_cut, bytes, TRACE_RESPONSE_BYTES_MAX),
            ReplyBody::Events(events) => {
                events.take(bytes);
                0
            }
            ReplyBody::Unkept => 0,
        }
    }

    /// So many bytes of the body were not heard.
    pub(super) fn miss(&mut self, bytes: u64) {
        self.bytes += bytes;
        match &mut self.body {
            ReplyBody::Plain(_, is_cut) => *is_cut = true,
            ReplyBody::Events(events) => events.missing(),
            ReplyBody::Unkept => {}
        }
    }

    /// Its end was heard.
    pub(super) fn end(&mut self, now_ms: i64) {
        (self.ended_ms, self.is_over) = (Some(now_ms), true);
    }
}

/// Keeps the beginning of a body, and says how many bytes it did not keep.
fn keep(kept: &mut Vec<u8>, is_cut: &mut bool, bytes: &[u8], bytes_max: usize) -> u64 {
    let room = if *is_cut { 0 } else { bytes_max - kept.len() };
    let take = bytes.len().min(room);
    kept.extend_from_slice(&bytes[..take]);
    *is_cut |= take < bytes.len();
    (bytes.len() - take) as u64
}

/// The account of a request.
fn credential(head: &Head<'_>) -> Option<zeroize::Zeroizing<String>> {
    let values = CREDENTIALS.iter().flat_map(|name| head.all(name));
    let account = |value: &[u8]| account_of(std::str::from_utf8(value).ok()?);
    values.map(account).find_map(|account| account).map(zeroize::Zeroizing::new)
}

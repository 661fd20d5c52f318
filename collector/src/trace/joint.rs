//! Requests and their responses on one connection.
//!
//! Responses come in the order of their requests. After bytes were not heard that order is not known: what was whole
//! becomes an event without an outcome, and joining goes on when a request begins on a connection on which nothing is
//! under way: clients wait for a response before they ask again. On a connection whose client was seen not to that is never
//! certain, and nothing is joined any more.

use super::http1::{Framing, Head, Listener, Method, Next, Side, framing_of_request, framing_of_response};
use super::loss::{Loss, Losses};
use super::sse::Events;
use crate::event::Hidden;
use crate::format::account_of;
use crate::limits::{
    HEADERS_MAX, TRACE_HEADER_NAME_BYTES_MAX, TRACE_PIPELINE_MAX, TRACE_REQUEST_BYTES_MAX,
    TRACE_RESPONSE_BYTES_MAX, TRACE_TARGET_BYTES_MAX, USER_AGENT_BYTES_MAX,
};
use std::collections::VecDeque;

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
    pub(crate) body: Vec<u8>,
    pub(crate) reply: Option<Reply>,
    method: Method,
    /// No more of the body is kept: bytes before were not heard, or there is no room.
    is_cut: bool,
    /// The request was heard to its end.
    is_asked: bool,
    /// Its response cannot be told from others.
    is_alone: bool,
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
    is_over: bool,
}

/// The body of a response.
pub(crate) enum ReplyBody {
    /// The beginning of it, and whether that is all that is kept.
    Plain(Vec<u8>, bool),
    Events(Events),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Joint {
    /// Requests that are not events yet, in their order.
    pending: VecDeque<Exchange>,
    /// A request is being heard: the last of those that are pending.
    is_asking: bool,
    /// A response is being heard: that of the first pending one that has a reply.
    is_answering: bool,
    /// Requests were sent before the responses to earlier ones.
    is_pipelined: bool,
    /// Something was lost: which response belongs to which request is not known.
    is_uncertain: bool,
    /// What follows is another protocol.
    pub(crate) is_tunnel: bool,
}

/// Takes what a connection's readers tell.
pub(crate) struct Ear<'e> {
    pub(crate) joint: &'e mut Joint,
    pub(crate) losses: &'e mut Losses,
    /// Hides a credential.
    pub(crate) hide: &'e mut dyn FnMut(&str) -> Hidden,
    /// Takes exchanges that are over.
    pub(crate) done: &'e mut dyn FnMut(Exchange),
    pub(crate) now_ms: i64,
}

impl Joint {
    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        let of = |exchange: &Exchange| {
            let reply = exchange.reply.as_ref().map_or(0, |reply| match &reply.body {
                ReplyBody::Plain(body, _) => body.len(),
                ReplyBody::Events(events) => events.held(),
            });
            let headers: usize = exchange.headers.iter().map(|name| name.len() + size_of::<Vec<u8>>()).sum();
            exchange.body.len() + exchange.target.len() + exchange.user_agent.len() + headers + reply
        };
        self.pending.iter().map(of).sum()
    }
}

impl Ear<'_> {
    /// The connection is over: what was heard to its end becomes events.
    pub(crate) fn close(&mut self) {
        for exchange in &mut self.joint.pending {
            exchange.is_alone |= exchange.reply.is_none();
            if exchange.reply.is_none() && exchange.is_asked {
                self.losses.add(Loss::Unanswered, 1);
            }
        }
        self.settle();
    }

    /// Hands on the exchanges that are over, in the order of their requests.
    fn settle(&mut self) {
        while let Some(first) = self.joint.pending.front() {
            let is_answered = first.is_alone || first.reply.as_ref().is_some_and(|reply| reply.is_over);
            if !first.is_asked || !is_answered {
                return;
            }
            let Some(exchange) = self.joint.pending.pop_front() else { return };
            match exchange.who {
                Some(_) => (self.done)(exchange),
                None => self.losses.add(Loss::Anonymous, 1),
            }
        }
    }

    fn request(&mut self, head: &Head<'_>) -> Next {
        let joint = &mut *self.joint;
        if joint.pending.len() >= TRACE_PIPELINE_MAX {
            return Next::Unframed;
        }
        if joint.is_uncertain && joint.pending.is_empty() && !joint.is_answering && !joint.is_pipelined {
            joint.is_uncertain = false;
        }
        let cut = |bytes: &[u8], max: usize| bytes[..bytes.len().min(max)].to_vec();
        let names = head.headers.iter().take(HEADERS_MAX);
        joint.pending.push_back(Exchange {
            who: credential(head).map(|account| (self.hide)(&account)),
            began_ms: self.now_ms,
            target: cut(head.target.as_bytes(), TRACE_TARGET_BYTES_MAX),
            user_agent: cut(head.all("user-agent").next().unwrap_or_default(), USER_AGENT_BYTES_MAX),
            headers: names.map(|header| cut(header.name.as_bytes(), TRACE_HEADER_NAME_BYTES_MAX)).collect(),
            body: Vec::new(),
            reply: None,
            method: Method::of(head.method),
            is_cut: false,
            is_asked: false,
            is_alone: joint.is_uncertain,
        });
        joint.is_asking = true;
        framing_of_request(head)
    }

    fn response(&mut self, head: &Head<'_>) -> Next {
        let joint = &mut *self.joint;
        if (100..200).contains(&head.status) && head.status != 101 {
            return framing_of_response(head, Method::Other);
        }
        let mut waiting = joint.pending.iter_mut().filter(|exchange| exchange.reply.is_none());
        let Some(exchange) = waiting.next().filter(|exchange| !exchange.is_alone) else {
            self.losses.add(Loss::Orphan, 1);
            return framing_of_response(head, Method::Other);
        };
        // Nothing was lost since, so that another request waits behind this one was the client's doing.
        joint.is_pipelined |= waiting.next().is_some();
        let is_stream = head.all("content-type").last().is_some_and(|kind| {
            kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
        }) && head.all("content-encoding").next().is_none();
        exchange.reply = Some(Reply {
            status: head.status,
            ended_ms: None,
            bytes: 0,
            body: match is_stream {
                true => ReplyBody::Events(Events::new(TRACE_RESPONSE_BYTES_MAX)),
                false => ReplyBody::Plain(Vec::new(), false),
            },
            is_over: false,
        });
        joint.is_answering = true;
        let next = framing_of_response(head, exchange.method);
        joint.is_tunnel |= matches!(next, Next::Body(Framing::Tunnel));
        next
    }

    fn reply(&mut self) -> Option<&mut Reply> {
        if !self.joint.is_answering {
            return None;
        }
        self.joint
            .pending
            .iter_mut()
            .filter_map(|exchange| exchange.reply.as_mut())
            .find(|reply| !reply.is_over)
    }

    fn asked(&mut self) -> Option<&mut Exchange> {
        self.joint.pending.back_mut().filter(|_| self.joint.is_asking)
    }
}

impl Listener for Ear<'_> {
    fn head(&mut self, side: Side, head: &Head<'_>) -> Next {
        match side {
            Side::Request => self.request(head),
            Side::Response => self.response(head),
        }
    }

    fn body(&mut self, side: Side, bytes: &[u8]) {
        let mut dropped = 0;
        match side {
            Side::Request => {
                if let Some(exchange) = self.asked().filter(|exchange| exchange.who.is_some()) {
                    dropped = keep(&mut exchange.body, &mut exchange.is_cut, bytes, TRACE_REQUEST_BYTES_MAX);
                }
            }
            Side::Response => {
                if let Some(reply) = self.reply() {
                    reply.bytes += bytes.len() as u64;
                    match &mut reply.body {
                        ReplyBody::Plain(body, is_cut) => {
                            dropped = keep(body, is_cut, bytes, TRACE_RESPONSE_BYTES_MAX);
                        }
                        ReplyBody::Events(events) => events.take(bytes),
                    }
                }
            }
        }
        self.losses.add(Loss::BodyBytes, dropped);
    }

    fn missing(&mut self, side: Side, bytes: u64) {
        match side {
            Side::Request => {
                if let Some(exchange) = self.asked() {
                    // What follows is another text: what was said before it is all that is known.
                    exchange.is_cut = true;
                }
            }
            Side::Response => {
                if let Some(reply) = self.reply() {
                    reply.bytes += bytes;
                    match &mut reply.body {
                        ReplyBody::Plain(_, is_cut) => *is_cut = true,
                        ReplyBody::Events(events) => events.missing(),
                    }
                }
            }
        }
    }

    fn end(&mut self, side: Side) {
        match side {
            Side::Request => {
                if let Some(exchange) = self.asked() {
                    exchange.is_asked = true;
                }
                self.joint.is_asking = false;
            }
            Side::Response => {
                let now_ms = self.now_ms;
                if let Some(reply) = self.reply() {
                    (reply.ended_ms, reply.is_over) = (Some(now_ms), true);
                }
                self.joint.is_answering = false;
            }
        }
        self.settle();
    }

    fn lost(&mut self, side: Side, is_under_way: bool) {
        match side {
            Side::Request => {
                if std::mem::take(&mut self.joint.is_asking) {
                    self.joint.pending.pop_back();
                }
                self.losses.add(Loss::Request, u64::from(is_under_way));
            }
            Side::Response => {
                self.joint.is_answering = false;
                self.losses.add(Loss::Response, u64::from(is_under_way));
                for exchange in &mut self.joint.pending {
                    match &mut exchange.reply {
                        Some(reply) => reply.is_over = true,
                        None => exchange.is_alone = true,
                    }
                }
            }
        }
        self.joint.is_uncertain = true;
        self.settle();
    }

    fn unsynced(&mut self, _side: Side, bytes: u64) {
        self.losses.add(Loss::UnsyncedBytes, bytes);
    }

    fn other_protocol(&mut self) {
        self.losses.add(Loss::OtherProtocol, 1);
        self.joint.is_tunnel = true;
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

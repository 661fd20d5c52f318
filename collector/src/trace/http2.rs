//! Requests and their responses on a connection of HTTP/2: each stream is one exchange.

use super::exchange::Exchange;
use super::frames::{Fields, Frames, Listener};
use super::head::{Head, Side};
use super::loss::Loss;
use super::settings::ClientSettings;
use super::stream::Piece;
use super::taker::Taker;
use crate::limits::TRACE_STREAMS_MAX;
use httparse::Header;
use std::collections::BTreeMap;

/// A connection.
pub(super) struct Http2 {
    requests: Frames,
    responses: Frames,
    streams: Streams,
}

#[derive(Default)]
struct Streams {
    open: BTreeMap<u32, Exchange>,
    /// The last that the client began.
    last: u32,
    client: ClientSettings,
    /// Responses cannot be read any more: requests are events without an outcome.
    is_unanswered: bool,
}

/// Takes what a connection's frames tell.
struct Ear<'e> {
    streams: &'e mut Streams,
    taker: Taker<'e>,
}

impl Http2 {
    pub(super) fn new() -> Self {
        let (requests, responses) = (Frames::new(Side::Request), Frames::new(Side::Response));
        Self { requests, responses, streams: Streams::default() }
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        let streams: usize = self.streams.open.values().map(Exchange::held).sum();
        self.requests.held() + self.responses.held() + streams
    }

    pub(super) fn take(&mut self, side: Side, piece: Piece<'_>, mut taker: Taker<'_>) {
        let frames = match side {
            Side::Request => &mut self.requests,
            Side::Response => &mut self.responses,
        };
        frames.take(piece, &mut Ear { streams: &mut self.streams, taker: taker.lend() });
    }

    /// The connection ended, or is forgotten.
    pub(super) fn close(&mut self, mut taker: Taker<'_>) {
        Ear { streams: &mut self.streams, taker: taker.lend() }.close();
    }
}

impl Ear<'_> {
    fn lose(&mut self, loss: Loss, count: u64) {
        self.taker.losses.add(loss, count);
    }

    fn close(&mut self) {
        while let Some((stream, _)) = self.streams.open.first_key_value() {
            self.reset(*stream);
        }
    }

    /// Hands on the exchange of a stream if it is over.
    fn settle(&mut self, stream: u32) {
        let is_unanswered = self.streams.is_unanswered;
        let is_over = self.streams.open.get(&stream).is_some_and(|exchange| {
            let is_answered = exchange.reply.as_ref().map_or(is_unanswered, |reply| reply.is_over);
            exchange.is_asked && is_answered
        });
        if is_over && let Some(exchange) = self.streams.open.remove(&stream) {
            self.hand_on(exchange);
        }
    }

    fn hand_on(&mut self, exchange: Exchange) {
        match exchange.who {
            Some(_) => (self.taker.done)(exchange),
            None => self.lose(Loss::Anonymous, 1),
        }
    }

    fn request(&mut self, stream: u32, fields: &Fields) {
        if stream <= self.streams.last {
            // Trailers: a client's numbers only rise.
            return;
        }
        self.streams.last = stream;
        if self.streams.open.len() >= TRACE_STREAMS_MAX {
            return self.lose(Loss::Request, 1);
        }
        let headers = headers(fields);
        let pseudo = |name: &[u8]| {
            let found = fields.iter().find(|(found, _)| *found == name);
            found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
        };
        let (method, target) = (pseudo(b":method"), pseudo(b":path"));
        let head = Head { method, target, status: 0, headers: &headers };
        let mut exchange = Exchange::of(&head, self.taker.now_ms, self.taker.hide);
        let order = fields.iter().filter(|(name, _)| name.first() == Some(&b':'));
        exchange.h2 = self.streams.client.notation(order.map(|(name, _)| name));
        self.streams.open.insert(stream, exchange);
    }

    fn response(&mut self, stream: u32, fields: &Fields) {
        let Some(exchange) = self.streams.open.get_mut(&stream) else {
            return self.lose(Loss::Orphan, 1);
        };
        if exchange.reply.is_some() {
            // Trailers.
            return;
        }
        let status = fields.iter().find(|(name, _)| *name == b":status").map(|(_, value)| value);
        let status = status.and_then(|value| std::str::from_utf8(value).ok()?.parse::<u16>().ok());
        match status {
            // An interim response.
            Some(100..200) => {}
            Some(status) => {
                let headers = headers(fields);
                exchange.answer(&Head { method: "", target: "", status, headers: &headers });
            }
            None => self.lose(Loss::Response, 1),
        }
    }
}

/// The header lines: what is neither a pseudo-header nor text in its name is none.
fn headers(fields: &Fields) -> Vec<Header<'_>> {
    let of = |(name, value)| {
        let name = std::str::from_utf8(name).ok().filter(|name| !name.starts_with(':'))?;
        Some(Header { name, value })
    };
    fields.iter().filter_map(of).collect()
}

impl Listener for Ear<'_> {
    fn fields(&mut self, side: Side, stream: u32, fields: Option<&Fields>) {
        match (side, fields) {
            (Side::Request, Some(fields)) => self.request(stream, fields),
            (Side::Response, Some(fields)) => self.response(stream, fields),
            (Side::Request, None) => self.lose(Loss::Request, 1),
            (Side::Response, None) => self.lose(Loss::Response, 1),
        }
    }

    fn body(&mut self, side: Side, stream: u32, bytes: &[u8]) {
        let exchange = self.streams.open.get_mut(&stream);
        let dropped = exchange.and_then(|exchange| match side {
            Side::Request => Some(exchange.ask(bytes)),
            Side::Response => exchange.reply.as_mut().map(|reply| reply.take(bytes)),
        });
        self.lose(Loss::BodyBytes, dropped.unwrap_or(bytes.len() as u64));
    }

    fn missing(&mut self, side: Side, stream: u32, bytes: u64) {
        let Some(exchange) = self.streams.open.get_mut(&stream) else { return };
        match side {
            Side::Request => exchange.miss(),
            Side::Response => exchange.reply.iter_mut().for_each(|reply| reply.miss(bytes)),
        }
    }

    fn end(&mut self, side: Side, stream: u32) {
        let Some(exchange) = self.streams.open.get_mut(&stream) else { return };
        match side {
            Side::Request => exchange.is_asked = true,
            Side::Response => exchange.reply.iter_mut().for_each(|reply| reply.end(self.taker.now_ms)),
        }
        self.settle(stream);
    }

    fn reset(&mut self, stream: u32) {
        let Some(exchange) = self.streams.open.remove(&stream) else { return };
        let is_answered = exchange.reply.as_ref().map(|reply| reply.is_over);
        match (exchange.is_asked, is_answered) {
            (true, None) => self.lose(Loss::Unanswered, u64::from(exchange.who.is_some())),
            (true, Some(false)) => self.lose(Loss::Response, 1),
            // A server may answer before it has heard all, and say that it needs no more.
            (_, Some(true)) => {}
            (false, Some(false)) => self.lose(Loss::Response, 1),
            (false, None) => return self.lose(Loss::Request, 1),
        }
        self.hand_on(exchange);
    }

    fn settings(&mut self, side: Side, payload: &[u8]) {
        if side == Side::Request {
            self.streams.client.settings(payload);
        }
    }

    fn window(&mut self, side: Side, stream: u32, payload: &[u8]) {
        if side == Side::Request && stream == 0 {
            self.streams.client.window(payload);
        }
    }

    fn priority(&mut self, side: Side, stream: u32, payload: &[u8]) {
        if side == Side::Request {
            self.streams.client.priority(stream, payload);
        }
    }

    fn lost(&mut self, side: Side) {
        match side {
            // Nothing more can be told of any stream.
            Side::Request => {
                self.lose(Loss::Request, 1);
                self.close();
            }
            Side::Response => {
                self.lose(Loss::Response, 1);
                self.streams.is_unanswered = true;
                let open: Vec<u32> = self.streams.open.keys().copied().collect();
                for stream in open {
                    let reply =
                        self.streams.open.get_mut(&stream).and_then(|exchange| exchange.reply.as_mut());
                    reply.into_iter().for_each(|reply| reply.is_over = true);
                    self.settle(stream);
                }
            }
        }
    }

    fn unsynced(&mut self, bytes: u64) {
        self.lose(Loss::UnsyncedBytes, bytes);
    }
}

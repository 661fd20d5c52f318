//! HTTP/2 as it goes over a connection, one direction at a time: frames, and header blocks (RFC 9113, RFC
//! 7541).
//!
//! A direction can be read from its beginning only, because a header block refers to earlier ones. Bytes that
//! were not heard cost a body where they are of one; anywhere else the rest of the direction is lost.

use super::head::{Side, hold};
use super::hpack::Table;
use super::stream::Piece;
use crate::limits::{TRACE_BLOCK_BYTES_MAX, TRACE_HEAD_BYTES_MAX, TRACE_SETTINGS_BYTES_MAX};
use zeroize::Zeroizing;

/// What a client's direction begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes before every frame's payload.
const FRAME_HEAD_BYTES: usize = 9;

/// Kinds of frames.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PRIORITY: u8 = 2;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
mod flag {
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const ACK: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
}

/// Who is told of frames.
pub(super) trait Listener {
    /// A header block is complete. None where its fields are more than a head may have.
    fn fields(&mut self, side: Side, stream: u32, fields: Option<&Fields>);
    /// Bytes of a stream's body.
    fn body(&mut self, side: Side, stream: u32, bytes: &[u8]);
    /// So many bytes of a stream's body were not heard.
    fn missing(&mut self, side: Side, stream: u32, bytes: u64);
    /// Nothing more comes of a stream from this side.
    fn end(&mut self, side: Side, stream: u32);
    /// A stream was given up.
    fn reset(&mut self, stream: u32);
    /// A side's settings, its window for the connection, or a stream's priority, as they stand in their
    /// frames.
    fn settings(&mut self, side: Side, payload: &[u8]);
    fn window(&mut self, side: Side, stream: u32, payload: &[u8]);
    fn priority(&mut self, side: Side, stream: u32, payload: &[u8]);
    /// What follows on this side cannot be read.
    fn lost(&mut self, side: Side);
    /// So many bytes came after that.
    fn unsynced(&mut self, bytes: u64);
}

/// The fields of a header block, in their order. They hold credentials, so they are wiped.
#[derive(Default)]
pub(super) struct Fields {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
}

impl Fields {
    fn push(&mut self, name: &[u8], value: &[u8]) {
        hold(&mut self.bytes, name);
        let name_end = self.bytes.len();
        hold(&mut self.bytes, value);
        self.ends.push((name_end, self.bytes.len()));
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let begin = std::mem::replace(&mut from, *end);
            (&self.bytes[begin..*name_end], &self.bytes[*name_end..*end])
        })
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct FrameHead {
    length: u64,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameHead {
    fn of(bytes: &[u8; FRAME_HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = *bytes;
        let length = u64::from(u32::from_be_bytes([0, a, b, c]));
        Self { length, kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]) }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Preface,
    Head,
    /// The byte that says how much of a body's frame is padding.
    Padding(FrameHead),
    /// A body's bytes, and the padding behind them.
    Body {
        stream: u32,
        left: u64,
        padding: u64,
        ends: bool,
    },
    /// A payload that is read as a whole.
    Whole(FrameHead),
    Skip(u64),
    Lost,
}

/// Reads one direction.
pub(super) struct Frames {
    side: Side,
    state: State,
    /// What was read of the preface, a frame's head, or a payload that is read as a whole.
    held: Zeroizing<Vec<u8>>,
    /// A header block that goes on in the next frame: its stream, whether that ends with it, and whether it
    /// is a promise.
    block: Option<(u32, bool, bool)>,
    block_bytes: Zeroizing<Vec<u8>>,
    table: Table,
}

/// Whether a direction that begins like this is a client's.
pub(super) fn begins_client(bytes: &[u8]) -> bool {
    let length = bytes.len().min(PREFACE.len());
    length >= 3 && bytes[..length] == PREFACE[..length]
}

/// Whether a direction that begins like this is a server's: with its settings.
pub(super) fn begins_server(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk().map(FrameHead::of) else { return false };
    let is_settings = head.kind == kind::SETTINGS && head.flags == 0 && head.stream == 0;
    is_settings && head.length % 6 == 0 && head.length <= TRACE_SETTINGS_BYTES_MAX as u64
}

impl Frames {
    pub(super) fn new(side: Side) -> Self {
        let state = match side {
            Side::Request => State::Preface,
            Side::Response => State::Head,
        };
        let (held, block_bytes) = (Zeroizing::default(), Zeroizing::default());
        Self { side, state, held, block: None, block_bytes, table: Table::default() }
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.held.len() + self.block_bytes.len() + self.table.held()
    }

    pub(super) fn take(&mut self, piece: Piece<'_>, listener: &mut dyn Listener) {
        match piece {
            Piece::Missing(count) => self.missing(count, listener),
            Piece::Bytes(mut bytes, _) => {
                while !bytes.is_empty() {
                    if matches!(self.state, State::Lost) {
                        return listener.unsynced(bytes.len() as u64);
                    }
                    bytes = self.step(bytes, listener);
                }
            }
        }
    }

    fn missing(&mut self, count: u64, listener: &mut dyn Listener) {
        match &mut self.state {
            State::Body { stream, left, padding, .. } if *left + *padding >= count => {
                let of_body = count.min(*left);
                listener.missing(self.side, *stream, of_body);
                *left -= of_body;
                *padding -= count - of_body;
                self.settle(listener);
            }
            State::Skip(left) if *left >= count => {
                *left -= count;
                self.settle(listener);
            }
            State::Lost => {}
            _ => self.lose(listener),
        }
    }

    fn lose(&mut self, listener: &mut dyn Listener) {
        self.state = State::Lost;
        self.held = Zeroizing::default();
        self.block_bytes = Zeroizing::default();
        // It may hold credentials, and is of no more use.
        self.table = Table::default();
        listener.lost(self.side);
    }

    /// Goes on to the next frame where nothing is left of this one.
    fn settle(&mut self, listener: &mut dyn Listener) {
        match self.state {
            State::Body { stream, left: 0, padding: 0, ends } => {
                self.state = State::Head;
                if ends {
                    listener.end(self.side, stream);
                }
            }
            State::Skip(0) => self.state = State::Head,
            _ => {}
        }
    }

    /// Takes what belongs to the state, and gives what is left.
    fn step<'b>(&mut self, bytes: &'b [u8], listener: &mut dyn Listener) -> &'b [u8] {
        let take = |left: u64| bytes.split_at(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        match &mut self.state {
            State::Preface => self.whole(bytes, PREFACE.len(), listener, |frames, held, listener| {
                frames.state = State::Head;
                if held != PREFACE {
                    frames.lose(listener);
                }
            }),
            State::Head => self.whole(bytes, FRAME_HEAD_BYTES, listener, |frames, held, listener| {
                if let Some(head) = held.first_chunk().map(FrameHead::of) {
                    frames.frame(head, listener);
                }
            }),
            State::Padding(head) => {
                let (head, padding) = (*head, u64::from(bytes[0]));
                match (head.length - 1).checked_sub(padding) {
                    Some(left) => self.begin_body(head, left, padding, listener),
                    None => self.lose(listener),
                }
                &bytes[1..]
            }
            State::Body { stream, left, padding, .. } => {
                if *left == 0 {
                    let (own, rest) = take(*padding);
                    *padding -= own.len() as u64;
                    self.settle(listener);
                    return rest;
                }
                let (own, rest) = take(*left);
                *left -= own.len() as u64;
                listener.body(self.side, *stream, own);
                self.settle(listener);
                rest
            }
            State::Whole(head) => {
                let head = *head;
                let length = usize::try_from(head.length).unwrap_or(usize::MAX);
                self.whole(bytes, length, listener, |frames, held, listener| {
                    frames.state = State::Head;
                    frames.payload(head, held, listener);
                })
            }
            State::Skip(left) => {
                let (own, rest) = take(*left);
                *left -= own.len() as u64;
                self.settle(listener);
                rest
            }
            State::Lost => &[],
        }
    }

    /// Holds bytes until there are `length`, which are then handed on.
    fn whole<'b>(
        &mut self,
        bytes: &'b [u8],
        length: usize,
        listener: &mut dyn Listener,
        then: impl FnOnce(&mut Self, &[u8], &mut dyn Listener),
    ) -> &'b [u8] {
        let (own, rest) = bytes.split_at(bytes.len().min(length - self.held.len()));
        hold(&mut self.held, own);
        if self.held.len() == length {
            let held = std::mem::take(&mut self.held);
            then(self, &held, listener);
        }
        rest
    }

    /// A frame's head was read.
    fn frame(&mut self, head: FrameHead, listener: &mut dyn Listener) {
        // Nothing may come between the frames of a header block.
        let goes_on = self.block.map(|(stream, ..)| stream);
        let is_continuation = head.kind == kind::CONTINUATION;
        if is_continuation != goes_on.is_some() || goes_on.is_some_and(|stream| stream != head.stream) {
            return self.lose(listener);
        }
        let length_max = match head.kind {
            kind::DATA if head.has(flag::PADDED) => {
                match head.length {
                    0 => self.lose(listener),
                    _ => self.state = State::Padding(head),
                }
                return;
            }
            kind::DATA => return self.begin_body(head, head.length, 0, listener),
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                if self.block_bytes.len() as u64 + head.length > TRACE_BLOCK_BYTES_MAX as u64 {
                    return self.lose(listener);
                }
                TRACE_BLOCK_BYTES_MAX
            }
            kind::PRIORITY | kind::RST_STREAM | kind::WINDOW_UPDATE => 5,
            kind::SETTINGS if !head.has(flag::ACK) => TRACE_SETTINGS_BYTES_MAX,
            _ => 0,
        };
        self.state = State::Skip(head.length);
        if head.length > 0 && head.length <= length_max as u64 {
            self.state = State::Whole(head);
        } else if head.length == 0 {
            self.state = State::Head;
            self.payload(head, &[], listener);
        }
    }

    fn begin_body(&mut self, head: FrameHead, left: u64, padding: u64, listener: &mut dyn Listener) {
        self.state = State::Body { stream: head.stream, left, padding, ends: head.has(flag::END_STREAM) };
        self.settle(listener);
    }

    /// A payload was read as a whole.
    fn payload(&mut self, head: FrameHead, mut payload: &[u8], listener: &mut dyn Listener) {
        match head.kind {
            kind::HEADERS | kind::PUSH_PROMISE => {
                let is_promise = head.kind == kind::PUSH_PROMISE;
                let mut padding = 0;
                if head.has(flag::PADDED) {
                    let Some((count, rest)) = payload.split_first() else { return self.lose(listener) };
                    (padding, payload) = (usize::from(*count), rest);
                }
                let before = match (is_promise, head.has(flag::PRIORITY)) {
                    (true, _) => 4,
                    (false, true) => 5,
                    (false, false) => 0,
                };
                let end = payload.len().checked_sub(padding);
                let Some(block) = end.and_then(|end| payload.get(before..end)) else {
                    return self.lose(listener);
                };
                let ends = !is_promise && head.has(flag::END_STREAM);
                self.add_to_block((head.stream, ends, is_promise), block, head, listener);
            }
            kind::CONTINUATION => {
                if let Some(block) = self.block {
                    self.add_to_block(block, payload, head, listener);
                }
            }
            kind::RST_STREAM => listener.reset(head.stream),
            kind::SETTINGS => listener.settings(self.side, payload),
            kind::WINDOW_UPDATE => listener.window(self.side, head.stream, payload),
            kind::PRIORITY => listener.priority(self.side, head.stream, payload),
            _ => {}
        }
    }

    fn add_to_block(
        &mut self,
        block: (u32, bool, bool),
        bytes: &[u8],
        head: FrameHead,
        listener: &mut dyn Listener,
    ) {
        hold(&mut self.block_bytes, bytes);
        self.block = Some(block);
        if !head.has(flag::END_HEADERS) {
            return;
        }
        let (stream, ends, is_promise) = block;
        self.block = None;
        let bytes = std::mem::take(&mut self.block_bytes);
        let (mut fields, mut is_too_long) = (Fields::default(), false);
        // A few bytes can stand for many fields: those beyond the limit are passed over, and what later
        // blocks refer to is known all the same.
        let outcome = self.table.read(&bytes, &mut |name, value| {
            is_too_long |= fields.bytes.len() + name.len() + value.len() > TRACE_HEAD_BYTES_MAX;
            if !is_too_long {
                fields.push(name, value);
            }
        });
        if outcome.is_none() {
            return self.lose(listener);
        }
        if is_promise {
            return;
        }
        listener.fields(self.side, stream, Some(&fields).filter(|_| !is_too_long));
        if ends {
            listener.end(self.side, stream);
        }
    }
}

//! HTTP/1 as it goes over a connection, one direction at a time: heads, and bodies by their framing (RFC
//! 9112).
//!
//! The pieces may be split anywhere. Where bytes are missing inside of a body whose framing says how far it
//! reaches, it goes on behind them; anywhere else the message is lost, and reading begins anew with the next
//! chunk that begins like a message.

use super::head::{Head, Side, hold};
use super::stream::Piece;
use crate::limits::TRACE_HEAD_BYTES_MAX;
use httparse::{ParserConfig, Status};

/// How far a body reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(u64),
    Chunked,
    UntilClose,
    /// What follows is another protocol.
    Tunnel,
}

/// What follows a head.
pub(crate) enum Next {
    Body(Framing),
    /// Its framing contradicts itself: nobody can know where the next message begins.
    Unframed,
}

/// Who is told of messages.
pub(crate) trait Listener {
    /// A head is complete; the answer says what follows it.
    fn head(&mut self, side: Side, head: &Head<'_>) -> Next;
    /// Bytes of the body, without its framing.
    fn body(&mut self, side: Side, bytes: &[u8]);
    /// So many bytes of the body were not heard.
    fn missing(&mut self, side: Side, bytes: u64);
    /// The message is complete.
    fn end(&mut self, side: Side);
    /// The message under way is lost, or, where there is none, messages may have been: bytes were not heard,
    /// or are none of HTTP/1.
    fn lost(&mut self, side: Side, is_under_way: bool);
    /// So many bytes are none of a message that was heard from its beginning.
    fn unsynced(&mut self, side: Side, bytes: u64);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Where a message begins is not known; a chunk may begin with one.
    Unsynced,
    /// Before a message, or in its head.
    Head,
    Sized(u64),
    ChunkSize,
    ChunkData(u64),
    /// The line break behind a chunk's data.
    ChunkEnd,
    Trailer,
    UntilClose,
    /// Another protocol.
    Tunnel,
}

/// Reads one direction.
#[derive(Debug)]
pub(crate) struct Reader {
    side: Side,
    state: State,
    /// What was read of a head, or of a line of the framing. Wiped when it was read: it holds credentials.
    held: zeroize::Zeroizing<Vec<u8>>,
}

impl Reader {
    pub(crate) fn new(side: Side) -> Self {
        Self { side, state: State::Unsynced, held: zeroize::Zeroizing::default() }
    }

    /// Whether no message is under way.
    pub(crate) fn is_between(&self) -> bool {
        match self.state {
            State::Unsynced | State::Tunnel => true,
            State::Head => self.held.is_empty(),
            _ => false,
        }
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// What follows is another protocol.
    pub(crate) fn tunnel(&mut self) {
        self.held = zeroize::Zeroizing::default();
        self.state = State::Tunnel;
    }

    /// The connection ended.
    pub(crate) fn close(&mut self, listener: &mut dyn Listener) {
        match self.state {
            State::UntilClose => listener.end(self.side),
            _ if !self.is_between() => listener.lost(self.side, true),
            _ => {}
        }
        self.held = zeroize::Zeroizing::default();
        self.state = State::Unsynced;
    }

    pub(crate) fn take(&mut self, piece: Piece<'_>, listener: &mut dyn Listener) {
        match piece {
            Piece::Missing(count) => self.missing(count, listener),
            Piece::Bytes(bytes, begins) => self.bytes(bytes, begins, listener),
        }
    }

    fn missing(&mut self, count: u64, listener: &mut dyn Listener) {
        match &mut self.state {
            State::Sized(left) | State::ChunkData(left) if *left >= count => {
                *left -= count;
                listener.missing(self.side, count);
                self.settle(listener);
            }
            State::UntilClose => listener.missing(self.side, count),
            State::Tunnel => {}
            State::Unsynced => listener.lost(self.side, false),
            _ => self.lose(listener),
        }
    }

    /// The message under way cannot be read on.
    fn lose(&mut self, listener: &mut dyn Listener) {
        let is_under_way = !self.is_between();
        self.held = zeroize::Zeroizing::default();
        self.state = State::Unsynced;
        listener.lost(self.side, is_under_way);
    }

    /// Ends what has nothing left.
    fn settle(&mut self, listener: &mut dyn Listener) {
        match self.state {
            State::Sized(0) => {
                self.state = State::Head;
                listener.end(self.side);
            }
            State::ChunkData(0) => self.state = State::ChunkEnd,
            _ => {}
        }
    }

    fn bytes(&mut self, mut bytes: &[u8], begins: bool, listener: &mut dyn Listener) {
        if self.state == State::Unsynced {
            let begins_message = begins && may_begin(self.side, bytes);
            if !begins_message {
                return listener.unsynced(self.side, bytes.len() as u64);
            }
            self.state = State::Head;
        }
        while !bytes.is_empty() && self.state != State::Unsynced {
            bytes = self.step(bytes, listener);
        }
        if !bytes.is_empty() {
            listener.unsynced(self.side, bytes.len() as u64);
        }
    }

    /// Takes what belongs to the state, and gives what is left.
    fn step<'b>(&mut self, bytes: &'b [u8], listener: &mut dyn Listener) -> &'b [u8] {
        match self.state {
            State::Head => self.head(bytes, listener),
            State::Sized(left) | State::ChunkData(left) => {
                let take = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (own, rest) = bytes.split_at(take);
                listener.body(self.side, own);
                let left = left - take as u64;
                let is_sized = matches!(self.state, State::Sized(_));
                self.state = if is_sized { State::Sized(left) } else { State::ChunkData(left) };
                self.settle(listener);
                rest
            }
            State::UntilClose => {
                listener.body(self.side, bytes);
                &[]
            }
            State::Tunnel | State::Unsynced => &[],
            State::ChunkSize => self.line(bytes, listener, |reader, line, listener| match chunk_size(line) {
                Some(0) => reader.state = State::Trailer,
                Some(size) => reader.state = State::ChunkData(size),
                None => reader.lose(listener),
            }),
            State::ChunkEnd => self.line(bytes, listener, |reader, line, listener| match line {
                b"" => reader.state = State::ChunkSize,
                _ => reader.lose(listener),
            }),
            State::Trailer => self.line(bytes, listener, |reader, line, listener| {
                if line.is_empty() {
                    reader.state = State::Head;
                    listener.end(reader.side);
                }
            }),
        }
    }

    /// Takes a line of the framing.
    fn line<'b>(
        &mut self,
        bytes: &'b [u8],
        listener: &mut dyn Listener,
        each: impl FnOnce(&mut Self, &[u8], &mut dyn Listener),
    ) -> &'b [u8] {
        let end = memchr::memchr(b'\n', bytes);
        let (own, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        hold(&mut self.held, own);
        if self.held.len() > TRACE_HEAD_BYTES_MAX {
            self.lose(listener);
        } else if end.is_some() {
            let held = std::mem::take(&mut self.held);
            let line = held.strip_suffix(b"\n").unwrap_or(&held);
            each(self, line.strip_suffix(b"\r").unwrap_or(line), listener);
        }
        rest
    }

    fn head<'b>(&mut self, bytes: &'b [u8], listener: &mut dyn Listener) -> &'b [u8] {
        // Line breaks before a request are of the one before it (RFC 9112, 2.2).
        if self.held.is_empty() && matches!(bytes.first(), Some(b'\r' | b'\n')) {
            return &bytes[1..];
        }
        let before = self.held.len();
        let room = TRACE_HEAD_BYTES_MAX - before;
        hold(&mut self.held, &bytes[..bytes.len().min(room)]);
        let Some(end) = end_of_head(&self.held, before.saturating_sub(3)) else {
            if self.held.len() >= TRACE_HEAD_BYTES_MAX {
                self.lose(listener);
                return &bytes[bytes.len().min(room)..];
            }
            return &[];
        };
        let held = std::mem::take(&mut self.held);
        match self.read_head(&held[..end], listener) {
            Some(Next::Body(Framing::Sized(size))) => {
                self.state = State::Sized(size);
                self.settle(listener);
            }
            Some(Next::Body(Framing::Chunked)) => self.state = State::ChunkSize,
            Some(Next::Body(Framing::UntilClose)) => self.state = State::UntilClose,
            Some(Next::Body(Framing::Tunnel)) => {
                listener.end(self.side);
                self.state = State::Tunnel;
            }
            Some(Next::Unframed) | None => {
                self.state = State::Unsynced;
                listener.lost(self.side, true);
            }
        }
        &bytes[end - before..]
    }

    fn read_head(&self, bytes: &[u8], listener: &mut dyn Listener) -> Option<Next> {
        // A line is a header at most. How many there may be, the bytes of a head bound: a client that sends
        // more than somebody thought of is not heard less.
        let mut headers = vec![httparse::EMPTY_HEADER; memchr::memchr_iter(b'\n', bytes).count()];
        let as_read = as_servers_read();
        match self.side {
            Side::Request => {
                let mut request = httparse::Request::new(&mut headers);
                let Ok(Status::Complete(_)) = as_read.parse_request(&mut request, bytes) else { return None };
                let (method, target) = (request.method?, request.path?);
                Some(listener.head(self.side, &Head { method, target, status: 0, headers: request.headers }))
            }
            Side::Response => {
                let mut response = httparse::Response::new(&mut headers);
                let Ok(Status::Complete(_)) = as_read.parse_response(&mut response, bytes) else {
                    return None;
                };
                let status = response.code?;
                let head = Head { method: "", target: "", status, headers: response.headers };
                Some(listener.head(self.side, &head))
            }
        }
    }
}

/// Servers pass over a header that is none, and serve the request; whoever sent one is heard too.
fn as_servers_read() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    config
}

/// Where a head ends: behind its empty line.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// The size that a line before a chunk's data says, without its extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// Whether a chunk may begin with a message: as far as it reaches.
pub(super) fn may_begin(side: Side, bytes: &[u8]) -> bool {
    let begins = |with: &[u8]| {
        let length = bytes.len().min(with.len());
        bytes[..length] == with[..length]
    };
    match side {
        Side::Response => begins(b"HTTP/1."),
        Side::Request => METHODS
            .iter()
            .any(|method| begins(method) && bytes.get(method.len()).is_none_or(|byte| *byte == b' ')),
    }
}

/// How far the body of a request reaches.
pub(crate) fn framing_of_request(head: &Head<'_>) -> Next {
    match sized(head) {
        Sizes::Chunked => Next::Body(Framing::Chunked),
        Sizes::Sized(size) => Next::Body(Framing::Sized(size)),
        Sizes::None => Next::Body(Framing::Sized(0)),
        Sizes::Bad => Next::Unframed,
    }
}

/// How far the body of a response reaches, which answers a request of this method.
pub(crate) fn framing_of_response(head: &Head<'_>, method: Method) -> Next {
    let nothing = Next::Body(Framing::Sized(0));
    match (head.status, method) {
        (101, _) | (200..300, Method::Connect) => return Next::Body(Framing::Tunnel),
        (100..200 | 204 | 304, _) | (_, Method::Head) => return nothing,
        _ => {}
    }
    match sized(head) {
        Sizes::Chunked => Next::Body(Framing::Chunked),
        Sizes::Sized(size) => Next::Body(Framing::Sized(size)),
        Sizes::None => Next::Body(Framing::UntilClose),
        Sizes::Bad => Next::Unframed,
    }
}

/// The methods that change what a response is framed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Method {
    Head,
    Connect,
    #[default]
    Other,
}

impl Method {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

enum Sizes {
    Chunked,
    Sized(u64),
    None,
    Bad,
}

/// `Transfer-Encoding` before `Content-Length` (RFC 9112, 6.3).
fn sized(head: &Head<'_>) -> Sizes {
    if let Some(last) = head.all("transfer-encoding").last() {
        let coding = last.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        return if coding.eq_ignore_ascii_case(b"chunked") { Sizes::Chunked } else { Sizes::Bad };
    }
    let mut known = None;
    for value in head.all("content-length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let value = value.trim_ascii();
        let is_number = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
        let Some(size) =
            std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|size| size.parse().ok())
        else {
            return Sizes::Bad;
        };
        if known.is_some_and(|known| known != size) {
            return Sizes::Bad;
        }
        known = Some(size);
    }
    known.map_or(Sizes::None, Sizes::Sized)
}

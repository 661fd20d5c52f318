//! One connection: two streams of bytes, and who reads them, by the version of HTTP that it speaks.

use super::frames::{PREFACE, begins_client, begins_server};
use super::head::Side;
use super::heard::{Chunk, Way};
use super::http1::{Reader, may_begin};
use super::http2::Http2;
use super::joint::{Ear, Joint};
use super::loss::{Loss, Losses};
use super::record::Surroundings;
use super::stream::{Piece, Stream};
use super::taker::Taker;

#[derive(Default)]
pub(crate) struct Connection {
    received: Stream,
    sent: Stream,
    /// The first bytes of one way, while they may be those of either version: at most two.
    begun: Option<(Way, Vec<u8>)>,
    /// Which way requests go, and how; none until one of the two directions was heard to begin a message.
    known: Option<(Way, Protocol)>,
    pub(crate) surroundings: Surroundings,
    /// That it is without a fingerprint is counted.
    is_hello_missed: bool,
    /// That it is without an address is counted.
    is_address_missed: bool,
}

enum Protocol {
    Http1(Box<Http1>),
    Http2(Box<Http2>),
}

struct Http1 {
    requests: Reader,
    responses: Reader,
    joint: Joint,
}

impl Connection {
    /// Bytes of messages that are held. What is held of its client's hello is bounded by itself.
    pub(crate) fn held(&self) -> usize {
        match &self.known {
            None => 0,
            Some((_, Protocol::Http1(http1))) => {
                http1.joint.held() + http1.requests.held() + http1.responses.held()
            }
            Some((_, Protocol::Http2(http2))) => http2.held(),
        }
    }

    /// Counts, once each, that exchanges of a client are without its fingerprint, and without its address. Of
    /// what the process asks itself there is neither.
    pub(crate) fn miss_client(&mut self, losses: &mut Losses) {
        if !matches!(self.known, Some((Way::Received, _))) {
            return;
        }
        let hello = &self.surroundings.hello;
        if hello.fingerprint().is_none() && !std::mem::replace(&mut self.is_hello_missed, true) {
            losses.add(if hello.is_begun() { Loss::HelloUnread } else { Loss::HelloUnheard }, 1);
        }
        if self.surroundings.peer.is_none() && !std::mem::replace(&mut self.is_address_missed, true) {
            losses.add(if hello.is_begun() { Loss::AddressUntold } else { Loss::AddressUnheard }, 1);
        }
    }

    pub(crate) fn take(&mut self, chunk: &Chunk<'_>, taker: &mut Taker<'_>) {
        let stream = match chunk.way {
            Way::Received => &mut self.received,
            Way::Sent => &mut self.sent,
        };
        let mut pieces: [Option<Piece<'_>>; 3] = [None; 3];
        let mut count = 0;
        stream.take((chunk.offset, chunk.bytes, chunk.length), taker.losses, &mut |piece| {
            // A chunk has at most these: what is missing before it, its bytes, and what was cut.
            if let Some(place) = pieces.get_mut(count) {
                *place = Some(piece);
                count += 1;
            }
        });
        for piece in pieces.into_iter().flatten() {
            let joined = self.joined(chunk.way, piece, taker.losses);
            let piece = joined.as_deref().map_or(piece, |bytes| Piece::Bytes(bytes, true));
            if self.known.is_none() {
                if let Piece::Bytes(bytes, true) = piece
                    && bytes.len() < 3
                    && PREFACE.starts_with(bytes)
                {
                    self.begun = Some((chunk.way, bytes.to_vec()));
                    continue;
                }
                self.known = known(chunk.way, piece);
            }
            let Some((way, protocol)) = &mut self.known else {
                if let Piece::Bytes(bytes, _) = piece {
                    taker.losses.add(Loss::UnsyncedBytes, bytes.len() as u64);
                }
                continue;
            };
            let side = if chunk.way == *way { Side::Request } else { Side::Response };
            match protocol {
                Protocol::Http1(http1) => http1.take(side, piece, taker.lend()),
                Protocol::Http2(http2) => http2.take(side, piece, taker.lend()),
            }
        }
    }

    /// A piece behind what its way has begun with; none where that is nothing.
    fn joined(&mut self, way: Way, piece: Piece<'_>, losses: &mut Losses) -> Option<Vec<u8>> {
        let (_, mut begun) = self.begun.take_if(|(of, _)| *of == way)?;
        match piece {
            Piece::Bytes(bytes, _) => {
                begun.extend_from_slice(bytes);
                Some(begun)
            }
            Piece::Missing(_) => {
                losses.add(Loss::UnsyncedBytes, begun.len() as u64);
                None
            }
        }
    }

    /// The connection ended, or is forgotten.
    pub(crate) fn close(&mut self, taker: Taker<'_>) {
        match &mut self.known {
            None => {}
            Some((_, Protocol::Http1(http1))) => http1.close(taker),
            Some((_, Protocol::Http2(http2))) => http2.close(taker),
        }
    }
}

impl Http1 {
    fn new() -> Self {
        let (requests, responses) = (Reader::new(Side::Request), Reader::new(Side::Response));
        Self { requests, responses, joint: Joint::default() }
    }

    fn take(&mut self, side: Side, piece: Piece<'_>, taker: Taker<'_>) {
        let Self { requests, responses, joint } = self;
        let Taker { losses, hide, done, now_ms } = taker;
        let reader = match side {
            Side::Request => &mut *requests,
            Side::Response => &mut *responses,
        };
        reader.take(piece, &mut Ear { joint, losses, hide, done, now_ms });
        if joint.is_tunnel {
            requests.tunnel();
            responses.tunnel();
        }
    }

    fn close(&mut self, taker: Taker<'_>) {
        let Taker { losses, hide, done, now_ms } = taker;
        let mut ear = Ear { joint: &mut self.joint, losses, hide, done, now_ms };
        self.requests.close(&mut ear);
        self.responses.close(&mut ear);
        ear.close();
    }
}

/// Which way requests go, and how, where a piece tells.
fn known(way: Way, piece: Piece<'_>) -> Option<(Way, Protocol)> {
    let Piece::Bytes(bytes, true) = piece else { return None };
    let other = match way {
        Way::Received => Way::Sent,
        Way::Sent => Way::Received,
    };
    let http1 = || Protocol::Http1(Box::new(Http1::new()));
    let http2 = || Protocol::Http2(Box::new(Http2::new()));
    if begins_client(bytes) {
        Some((way, http2()))
    } else if begins_server(bytes) {
        Some((other, http2()))
    } else if may_begin(Side::Request, bytes) {
        Some((way, http1()))
    } else {
        may_begin(Side::Response, bytes).then(|| (other, http1()))
    }
}

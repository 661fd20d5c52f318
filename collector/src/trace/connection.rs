//! One connection: two streams, a reader for each, and what joins them.

use super::heard::{Chunk, Way};
use super::http1::{Reader, Side, may_begin};
use super::joint::{Ear, Exchange, Joint};
use super::loss::{Loss, Losses};
use super::record::Surroundings;
use super::stream::{Piece, Stream};
use crate::event::Hidden;

pub(crate) struct Connection {
    received: Stream,
    sent: Stream,
    requests: Reader,
    responses: Reader,
    /// Which way requests go; none until one of the two directions was heard to begin a message.
    asks: Option<Way>,
    joint: Joint,
    pub(crate) surroundings: Surroundings,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            received: Stream::default(),
            sent: Stream::default(),
            requests: Reader::new(Side::Request),
            responses: Reader::new(Side::Response),
            asks: None,
            joint: Joint::default(),
            surroundings: Surroundings::default(),
        }
    }
}

/// Who takes what a connection tells.
pub(crate) struct Taker<'t> {
    pub(crate) losses: &'t mut Losses,
    pub(crate) hide: &'t mut dyn FnMut(&str) -> Hidden,
    pub(crate) done: &'t mut dyn FnMut(Exchange),
}

impl Connection {
    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.joint.held() + self.requests.held() + self.responses.held()
    }

    pub(crate) fn take(&mut self, chunk: &Chunk<'_>, taker: &mut Taker<'_>) {
        let Self { received, sent, requests, responses, asks, joint, .. } = self;
        let stream = match chunk.way {
            Way::Received => received,
            Way::Sent => sent,
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
            if asks.is_none() {
                *asks = role(chunk.way, piece);
            }
            let Some(way) = *asks else {
                if let Piece::Bytes(bytes, _) = piece {
                    taker.losses.add(Loss::UnsyncedBytes, bytes.len() as u64);
                }
                continue;
            };
            let reader = if chunk.way == way { &mut *requests } else { &mut *responses };
            let (losses, hide, done) = (&mut *taker.losses, &mut *taker.hide, &mut *taker.done);
            reader.take(piece, &mut Ear { joint, losses, hide, done, now_ms: chunk.time_ms });
            if joint.is_tunnel {
                requests.tunnel();
                responses.tunnel();
            }
        }
    }

    /// The connection ended, or is forgotten.
    pub(crate) fn close(&mut self, now_ms: i64, taker: &mut Taker<'_>) {
        let (losses, hide, done) = (&mut *taker.losses, &mut *taker.hide, &mut *taker.done);
        let mut ear = Ear { joint: &mut self.joint, losses, hide, done, now_ms };
        self.requests.close(&mut ear);
        self.responses.close(&mut ear);
        ear.close();
    }
}

/// Which way requests go, where a piece tells.
fn role(way: Way, piece: Piece<'_>) -> Option<Way> {
    let Piece::Bytes(bytes, true) = piece else { return None };
    let other = match way {
        Way::Received => Way::Sent,
        Way::Sent => Way::Received,
    };
    if may_begin(Side::Request, bytes) {
        return Some(way);
    }
    may_begin(Side::Response, bytes).then_some(other)
}

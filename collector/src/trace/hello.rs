//! The bytes that a client begins a connection of TLS with, until its hello is whole.

use super::client_hello::{ClientHello, body};
use super::fingerprint::Fingerprint;
use crate::limits::TRACE_HELLO_BYTES_MAX;

/// What was heard of a client's hello. It names whom the client meant to reach, so it cannot be printed.
pub struct Hello(State);

enum State {
    /// The stream from its beginning, while more of it is needed.
    Under(Vec<u8>),
    Known(Box<Fingerprint>),
    /// It is none, or is torn, or too long.
    Unread,
}

impl Default for Hello {
    fn default() -> Self {
        Self(State::Under(Vec::new()))
    }
}

impl Hello {
    /// Takes bytes of the client's stream, and where the first of them stands in it. However they are split,
    /// what comes of them is the same.
    pub fn take(&mut self, offset: u64, bytes: &[u8]) {
        let State::Under(held) = &mut self.0 else { return };
        if offset != held.len() as u64 {
            self.0 = State::Unread;
            return;
        }
        let room = TRACE_HELLO_BYTES_MAX - held.len();
        held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let is_full = held.len() == TRACE_HELLO_BYTES_MAX;
        match body(held).and_then(|body| body.map(|body| ClientHello::read(&body)).transpose()) {
            Ok(Some(hello)) => self.0 = State::Known(Box::new(Fingerprint::of(&hello))),
            Ok(None) if !is_full => {}
            _ => self.0 = State::Unread,
        }
    }

    /// The client's fingerprints, once its hello is whole.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        match &self.0 {
            State::Known(fingerprint) => Some(fingerprint),
            _ => None,
        }
    }

    /// Whether anything was heard of it.
    pub fn is_begun(&self) -> bool {
        !matches!(&self.0, State::Under(held) if held.is_empty())
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match &self.0 {
            State::Under(held) => held.len(),
            _ => 0,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;

//! Heads of messages, in whatever version of HTTP they came, and the bytes that are held until one is
//! complete.

use httparse::Header;
use zeroize::Zeroizing;

/// Which messages a direction carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// The head of a message.
pub(crate) struct Head<'h> {
    /// Of a request.
    pub(crate) method: &'h str,
    /// Of a request.
    pub(crate) target: &'h str,
    /// Of a response; 0 of a request.
    pub(crate) status: u16,
    pub(crate) headers: &'h [Header<'h>],
}

impl<'h> Head<'h> {
    /// The values of a header, in their order.
    pub(crate) fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'h [u8]> + use<'h, 'n> {
        let headers = self.headers;
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }
}

/// Adds to what is held. What it was in is wiped, which a vector that grows does not do: a head has the
/// client's key in it.
pub(super) fn hold(held: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    if held.capacity() - held.len() < bytes.len() {
        let room = (held.len() + bytes.len()).next_power_of_two();
        let mut larger = Zeroizing::new(Vec::with_capacity(room));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(bytes);
}

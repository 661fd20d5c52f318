//! A client's hello of TLS (RFC 8446, sections 4.1.2 and 5.1): found in the records of a stream, and read as
//! far as fingerprints need it.

use crate::limits::TRACE_HELLO_BYTES_MAX;

/// The content type of records that carry the handshake.
const HANDSHAKE: u8 = 22;

/// The first byte of a record's version: of SSL 3 and every TLS.
const VERSION_MAJOR: u8 = 3;

/// Longest fragment of a record, in bytes.
const FRAGMENT_BYTES_MAX: usize = 1 << 14;

/// The handshake message that a hello is.
const CLIENT_HELLO: u8 = 1;

/// What begins a stream is no hello, or one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoHello;

/// What is read of a hello. Lists are in the client's order, and have the values in them that stand for
/// nothing (GREASE).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ClientHello {
    /// The version that stands in the hello itself, which since TLS 1.3 says nothing.
    pub(super) version: u16,
    pub(super) ciphers: Vec<u16>,
    /// The types of its extensions.
    pub(super) extensions: Vec<u16>,
    pub(super) groups: Vec<u16>,
    pub(super) point_formats: Vec<u8>,
    pub(super) signature_algorithms: Vec<u16>,
    pub(super) supported_versions: Vec<u16>,
    /// The application protocol that the client would like best; empty where it names none.
    pub(super) alpn: Vec<u8>,
}

/// The body of the hello that begins a stream; none while more bytes are needed. What it says of a beginning
/// of the stream it says of every longer one too, but for none.
pub(super) fn body(stream: &[u8]) -> Result<Option<Vec<u8>>, NoHello> {
    let (mut rest, mut message) = (stream, Vec::new());
    while let Some(([kind, major, _, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE || *major != VERSION_MAJOR || length == 0 || length > FRAGMENT_BYTES_MAX {
            return Err(NoHello);
        }
        let (fragment, next) = behind.split_at(length.min(behind.len()));
        message.extend_from_slice(fragment);
        if let Some(([kind, size @ ..], body)) = message.split_first_chunk::<4>() {
            let length = size.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            if *kind != CLIENT_HELLO || length > TRACE_HELLO_BYTES_MAX {
                return Err(NoHello);
            }
            if let Some(body) = body.get(..length) {
                return Ok(Some(body.to_vec()));
            }
        }
        rest = next;
    }
    Ok(None)
}

impl ClientHello {
    /// Reads the body of a hello. What stands in an extension and is no list is an empty one: its being there
    /// is known.
    pub(super) fn read(body: &[u8]) -> Result<Self, NoHello> {
        let mut rest = Bytes(body);
        let mut hello = Self { version: rest.u16()?, ..Self::default() };
        let _random = rest.take(32)?;
        let _session = rest.behind_u8()?;
        let ciphers = rest.behind_u16()?;
        if ciphers.0.len() % 2 == 1 {
            return Err(NoHello);
        }
        hello.ciphers = ciphers.pairs();
        let _compression = rest.behind_u8()?;
        if rest.0.is_empty() {
            return Ok(hello);
        }
        let mut extensions = rest.behind_u16()?;
        if !rest.0.is_empty() {
            return Err(NoHello);
        }
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            hello.extensions.push(kind);
            hello.extension(kind, extensions.behind_u16()?);
        }
        Ok(hello)
    }

    /// Of an extension that is there twice, which no server takes, the last counts.
    fn extension(&mut self, kind: u16, mut content: Bytes<'_>) {
        match kind {
            10 => self.groups = content.behind_u16().map_or_else(|_| Vec::new(), Bytes::pairs),
            11 => {
                self.point_formats = content.behind_u8().map_or_else(|_| Vec::new(), |list| list.0.to_vec())
            }
            13 => self.signature_algorithms = content.behind_u16().map_or_else(|_| Vec::new(), Bytes::pairs),
            16 => {
                let first = content.behind_u16().and_then(|mut list| list.behind_u8());
                self.alpn = first.map_or_else(|_| Vec::new(), |first| first.0.to_vec());
            }
            43 => self.supported_versions = content.behind_u8().map_or_else(|_| Vec::new(), Bytes::pairs),
            _ => {}
        }
    }
}

/// Bytes that are read from their beginning.
#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Result<Self, NoHello> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NoHello)?;
        self.0 = rest;
        Ok(Self(taken))
    }

    fn u16(&mut self) -> Result<u16, NoHello> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(NoHello)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// What stands behind its length in one byte.
    fn behind_u8(&mut self) -> Result<Self, NoHello> {
        let length = self.take(1)?.0.first().copied().map_or(0, usize::from);
        self.take(length)
    }

    /// What stands behind its length in two bytes.
    fn behind_u16(&mut self) -> Result<Self, NoHello> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    fn pairs(self) -> Vec<u16> {
        self.0.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
    }
}

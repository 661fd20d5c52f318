//! A request's body: what it says it is, and its bytes, unpacked within a bound.

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// What a request says it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// Records as JSON: lines, or a list.
    Lines,
    /// OpenTelemetry's log records.
    Logs,
    /// OpenTelemetry's spans.
    Traces,
}

impl Content {
    /// Every content.
    pub const ALL: &'static [Self] = &[Self::Lines, Self::Logs, Self::Traces];

    /// Where it is sent to.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Lines => "/v1/lines",
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
        }
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// As JSON.
    Json,
    /// As protobuf: OpenTelemetry's.
    Protobuf,
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// gzip, of any number of members.
    Gzip,
    /// zlib.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// The packing that a `Content-Encoding` names.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }
}

/// A request, as it came.
#[derive(Clone)]
pub struct Delivery {
    /// What it brings.
    pub content: Content,
    /// How its body is written.
    pub notation: Notation,
    /// How its body is packed.
    pub packing: Packing,
    /// The body.
    pub body: Vec<u8>,
}

/// Why nothing of a request is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be read.
    Malformed(String),
    /// It is larger than allowed.
    TooLarge(String),
}

impl Fault {
    pub(super) fn too_large(bytes_max: usize) -> Self {
        Self::TooLarge(format!(
            "the body is over the limit of {bytes_max} bytes, unpacked: send smaller batches, or raise \
             listener.body_bytes_max"
        ))
    }
}

impl Delivery {
    /// The body, unpacked: at most `bytes_max` bytes, and no more than that is ever held.
    pub(super) fn unpacked(&self, bytes_max: usize) -> Result<Cow<'_, [u8]>, Fault> {
        unpacked(&self.body, self.packing, bytes_max)
    }
}

/// What says of itself how it is packed, unpacked.
pub(super) fn unpacked_by_its_head(bytes: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, Fault> {
    let packing = match bytes {
        [0x1f, 0x8b, 8, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        // Of a plain one its sender decided the size.
        _ => return Ok(Cow::Borrowed(bytes)),
    };
    unpacked(bytes, packing, bytes_max)
}

fn unpacked(body: &[u8], packing: Packing, bytes_max: usize) -> Result<Cow<'_, [u8]>, Fault> {
    match packing {
        Packing::Plain if body.len() > bytes_max => Err(Fault::too_large(bytes_max)),
        Packing::Plain => Ok(Cow::Borrowed(body)),
        Packing::Gzip => read(MultiGzDecoder::new(body), bytes_max).map(Cow::Owned),
        Packing::Deflate => read(ZlibDecoder::new(body), bytes_max).map(Cow::Owned),
        Packing::Zstd => match zstd::stream::read::Decoder::with_buffer(body) {
            Ok(decoder) => read(decoder, bytes_max).map(Cow::Owned),
            Err(error) => Err(torn(&error)),
        },
    }
}

fn read(packed: impl Read, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    packed.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| torn(&error))?;
    if bytes.len() > bytes_max { Err(Fault::too_large(bytes_max)) } else { Ok(bytes) }
}

fn torn(error: &std::io::Error) -> Fault {
    Fault::Malformed(format!("the body cannot be unpacked as its Content-Encoding says: {error}"))
}

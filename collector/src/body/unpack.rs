//! Bodies as logs keep them: compressed as they came, in base64, cut off.

use super::close::close;
use crate::json::{Json, Value};
use crate::limits::BODY_BYTES_MAX;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// It says nothing.
    Nothing,
    /// It is JSON as it stands.
    Plain,
    /// It is JSON, and stands in the buffer.
    Replaced,
    /// It is JSON that was cut off; closed again it stands in the buffer.
    Closed,
    /// It is text of another kind.
    Text,
    /// It is compressed in a way that is not known, or damaged, or no text at all.
    Unreadable,
}

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// Most layers: a compressed body in base64 has two.
const LAYERS_MAX: usize = 3;

/// Makes JSON of `body`, in `buffer` where it does not stand there plainly.
pub(crate) fn unpack(body: &[u8], buffer: &mut Vec<u8>) -> Unpacked {
    buffer.clear();
    let mut layer = match opened(body) {
        Opened::Same => return judge(body, buffer),
        Opened::Broken => return Unpacked::Unreadable,
        Opened::Inside(inside) => inside,
    };
    for _ in 1..LAYERS_MAX {
        match opened(&layer) {
            Opened::Same => break,
            Opened::Broken => return Unpacked::Unreadable,
            Opened::Inside(inside) => layer = inside,
        }
    }
    match judge(&layer, buffer) {
        Unpacked::Plain => {
            *buffer = layer;
            Unpacked::Replaced
        }
        Unpacked::Text => Unpacked::Unreadable,
        other => other,
    }
}

/// What the bytes are as they stand; a body that was cut is closed in `buffer`.
fn judge(body: &[u8], buffer: &mut Vec<u8>) -> Unpacked {
    let inside = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    match (inside.first(), inside.last()) {
        (None, _) => Unpacked::Nothing,
        (Some(b'-'), _) if inside.len() == 1 => Unpacked::Nothing,
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => Unpacked::Plain,
        (Some(b'{' | b'['), _) => {
            buffer.clear();
            buffer.extend_from_slice(inside);
            close(buffer);
            Unpacked::Closed
        }
        // A form is a body, but none that asks a model in words.
        _ if inside.starts_with(b"--") || is_binary(inside) => Unpacked::Unreadable,
        _ => Unpacked::Text,
    }
}

fn is_binary(body: &[u8]) -> bool {
    let head = &body[..body.len().min(512)];
    let odd = |byte: &&u8| matches!(byte, 0..=8 | 14..=31 | 127);
    // Text has hardly any of these; what was compressed has them everywhere.
    head.iter().filter(odd).count() * 20 > head.len()
        || (std::str::from_utf8(head).is_err_and(|error| error.valid_up_to() < head.len().saturating_sub(3))
            && head.iter().filter(|byte| !byte.is_ascii()).count() * 4 > head.len())
}

enum Opened {
    /// It is not packed.
    Same,
    Inside(Vec<u8>),
    Broken,
}

/// The body one layer further in.
fn opened(body: &[u8]) -> Opened {
    if is_json(body) {
        return Opened::Same;
    }
    if body.starts_with(GZIP) {
        return read_all(MultiGzDecoder::new(body));
    }
    if body.starts_with(ZSTD) {
        return match zstd::stream::read::Decoder::new(body) {
            Ok(decoder) => read_all(decoder),
            Err(_) => Opened::Broken,
        };
    }
    // Bytes that someone took for Latin-1 and wrote as UTF-8.
    if body.starts_with(b"\x1f\xc2\x8b") || body.starts_with(b"\x28\xc2\xb5\x2f\xc3\xbd") {
        let text = String::from_utf8_lossy(body);
        let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect();
        return bytes.map_or(Opened::Broken, Opened::Inside);
    }
    match from_deflate(body).or_else(|| from_base64(body)) {
        Some(inside) => Opened::Inside(inside),
        None => Opened::Same,
    }
}

/// What `Content-Encoding: deflate` holds, where that is JSON: zlib as it should be, or without its head as
/// some clients send it. Neither says of itself what it is.
fn from_deflate(body: &[u8]) -> Option<Vec<u8>> {
    // Text is what it says, whatever it would be as something else.
    if std::str::from_utf8(body).is_ok() {
        return None;
    }
    let is_zlib = matches!(body, [head, check, ..] if head & 0x8f == 8 && (u16::from(*head) << 8 | u16::from(*check)) % 31 == 0);
    let mut inside = Vec::new();
    let limit = BODY_BYTES_MAX as u64;
    let read = if is_zlib {
        ZlibDecoder::new(body).take(limit).read_to_end(&mut inside)
    } else {
        DeflateDecoder::new(body).take(limit).read_to_end(&mut inside)
    };
    // A part of one may be anything.
    (read.is_ok() && is_whole_json(&inside)).then_some(inside)
}

/// Whether a text is one value of JSON that holds something.
fn is_whole_json(text: &[u8]) -> bool {
    let mut json = Json::new(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    let holds = matches!(json.value(), Ok(Value::Object(raw) | Value::Array(raw)) if raw.len() > 2);
    holds && json.peek().is_none()
}

/// Whether a text begins as JSON that holds something does.
fn is_json(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    matches!(text.first(), Some(b'{' | b'['))
}

/// All that a decoder gives, up to the limit; what was cut off ends where it ends.
fn read_all(decoder: impl Read) -> Opened {
    let mut inside = Vec::new();
    let read = decoder.take(BODY_BYTES_MAX as u64).read_to_end(&mut inside);
    match read {
        Ok(_) => Opened::Inside(inside),
        // The log kept the first part only.
        Err(_) if !inside.is_empty() => Opened::Inside(inside),
        Err(_) => Opened::Broken,
    }
}

/// What a text in base64 holds, where that is JSON or compressed.
fn from_base64(body: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text = body.trim_ascii();
    // JSON, gzip, zstd and zlib begin with these in base64; with blanks before it, JSON with one of the
    // letters.
    let heads = [&b"ey"[..], b"ew", b"W3", b"Wy", b"H4sI", b"KLUv", b"77u/", b"eJ", b"eN", b"eAE", b"eF4"];
    let is_of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=\r\n".contains(byte);
    let is_promising = heads.iter().any(|head| text.starts_with(head))
        || matches!(text.first(), Some(b'I' | b'C' | b'D')) && text.iter().take(64).all(is_of_base64);
    if !is_promising || text.len() > BODY_BYTES_MAX {
        return None;
    }
    // Cut off anywhere, whole groups of four are left.
    let whole = if text.ends_with(b"=") { text } else { &text[..text.len() - (text.len() % 4) % 2] };
    for alphabet in [base64::alphabet::STANDARD, base64::alphabet::URL_SAFE] {
        let inside = GeneralPurpose::new(&alphabet, LENIENT).decode(whole).unwrap_or_default();
        let is_json = match text.first() {
            // A word may begin so too.
            Some(b'I' | b'C' | b'D') => is_whole_json(&inside) && std::str::from_utf8(&inside).is_ok(),
            _ => is_json(&inside),
        };
        let opens = is_json
            || [GZIP, ZSTD].iter().any(|head| inside.starts_with(head))
            || from_deflate(&inside).is_some();
        if opens {
            return Some(inside);
        }
    }
    None
}

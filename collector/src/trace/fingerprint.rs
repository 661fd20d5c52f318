//! What a client's hello tells of its program: JA3, and JA4 of TLS over TCP.
//!
//! JA3 as Salesforce published it (2017); JA4 as FoxIO's technical details have it, whose part for clients is
//! under the BSD licence. Nothing else of JA4+ is here, which is under another.

use super::client_hello::ClientHello;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::fmt::{LowerHex, Write as _};
use weir_schemas::hex::hex;

/// Extensions that JA4 tells in its first part.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What JA4 has for a list that is empty.
const NOTHING: &str = "000000000000";

/// Most that JA4 counts to.
const COUNT_MAX: usize = 99;

/// Both fingerprints of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// JA3: 32 hex digits.
    pub ja3: String,
    /// JA4.
    pub ja4: String,
}

impl Fingerprint {
    pub(super) fn of(hello: &ClientHello) -> Self {
        Self { ja3: hex(&Md5::digest(ja3_text(hello))), ja4: ja4(hello) }
    }
}

/// What JA3 is the hash of.
fn ja3_text(hello: &ClientHello) -> String {
    let list = |values: &[u16]| joined(said(values).map(|value| value.to_string()), "-");
    let formats = joined(hello.point_formats.iter().map(u8::to_string), "-");
    let (ciphers, extensions, groups) = (list(&hello.ciphers), list(&hello.extensions), list(&hello.groups));
    format!("{},{ciphers},{extensions},{groups},{formats}", hello.version)
}

fn ja4(hello: &ClientHello) -> String {
    let mut ciphers: Vec<u16> = said(&hello.ciphers).collect();
    let mut extensions: Vec<u16> = said(&hello.extensions).collect();
    let version = said(&hello.supported_versions).max().unwrap_or(hello.version);
    let to = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    let counts = [&ciphers, &extensions].map(|list| list.len().min(COUNT_MAX));
    let [first, last] = ends(&hello.alpn);
    let mut text = format!("t{}{to}{:02}{:02}{first}{last}_", version_name(version), counts[0], counts[1]);
    ciphers.sort_unstable();
    text.push_str(&digits(&of_list(&ciphers)));
    text.push('_');
    extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
    extensions.sort_unstable();
    let mut list = of_list(&extensions);
    let algorithms: Vec<u16> = said(&hello.signature_algorithms).collect();
    if !algorithms.is_empty() {
        list.push('_');
        list.push_str(&of_list(&algorithms));
    }
    text.push_str(&digits(if extensions.is_empty() { "" } else { &list }));
    text
}

fn version_name(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// The first and the last character of a protocol's name; of its hex digits where one of its two ends is
/// neither letter nor digit.
fn ends(name: &[u8]) -> [char; 2] {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return ['0', '0'] };
    if [first, last].iter().all(|byte| byte.is_ascii_alphanumeric()) {
        return [first, last].map(|byte| char::from(*byte));
    }
    let digit = |value: u8| char::from_digit(u32::from(value & 15), 16).unwrap_or('0');
    [digit(first >> 4), digit(*last)]
}

/// The values of a list but for those by which clients find servers that do not pass over what they do not
/// know (GREASE, RFC 8701).
fn said(values: &[u16]) -> impl Iterator<Item = u16> + '_ {
    values.iter().copied().filter(|value| value & 0x0f0f != 0x0a0a || value >> 8 != value & 0xff)
}

fn of_list(values: &[u16]) -> String {
    joined(values.iter().map(|value| four(*value)), ",")
}

fn four(value: impl LowerHex) -> String {
    format!("{value:04x}")
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    let mut text = String::new();
    for (index, part) in parts.enumerate() {
        // Writing to memory cannot fail.
        let _ = write!(text, "{}{part}", if index > 0 { between } else { "" });
    }
    text
}

/// The first digits of a text's hash; of no text, noughts.
fn digits(text: &str) -> String {
    match text {
        "" => NOTHING.to_owned(),
        _ => hex(&Sha256::digest(text)[..NOTHING.len() / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(ciphers: &[u16], extensions: &[u16], algorithms: &[u16]) -> ClientHello {
        ClientHello {
            version: 0x0303,
            ciphers: ciphers.to_vec(),
            extensions: extensions.to_vec(),
            signature_algorithms: algorithms.to_vec(),
            supported_versions: if extensions.contains(&0x2b) { vec![0x0304, 0x0303] } else { Vec::new() },
            alpn: if extensions.contains(&ALPN) { b"h2".to_vec() } else { Vec::new() },
            ..ClientHello::default()
        }
    }

    /// A list as FoxIO writes it.
    fn list(text: &str) -> Vec<u16> {
        text.split(',').map(|value| u16::from_str_radix(value, 16).unwrap()).collect()
    }

    /// A hello by its original lists, as FoxIO's raw output has them.
    fn ja4_of(ciphers: &str, extensions: &str, algorithms: &str) -> String {
        ja4(&hello(&list(ciphers), &list(extensions), &list(algorithms)))
    }

    #[test]
    fn ja3_is_that_of_its_publication() {
        let mut old = ClientHello {
            version: 769,
            ciphers: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: vec![0, 10, 11],
            groups: vec![23, 24, 25],
            point_formats: vec![0],
            ..ClientHello::default()
        };
        let text = "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0";
        assert_eq!(ja3_text(&old), text);
        assert_eq!(Fingerprint::of(&old).ja3, "ada70206e40642a3e4461f35503241d5");
        for list in [&mut old.ciphers, &mut old.extensions, &mut old.groups] {
            list.insert(1, 0x3a3a);
        }
        assert_eq!(ja3_text(&old), text, "what stands for nothing is passed over");
        let bare = ClientHello {
            version: 769,
            ciphers: vec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99],
            ..ClientHello::default()
        };
        assert_eq!(ja3_text(&bare), "769,4-5-10-9-100-98-3-6-19-18-99,,,");
        assert_eq!(Fingerprint::of(&bare).ja3, "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn ja4_is_that_of_the_technical_details_and_of_the_captures_beside_them() {
        let ciphers = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035";
        let extensions = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015";
        let algorithms = "0403,0804,0401,0503,0805,0501,0806,0601";
        assert_eq!(ja4_of(ciphers, extensions, algorithms), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        let (ciphers, extensions) = (list(ciphers), list(extensions));
        assert_eq!(ja4(&hello(&ciphers, &extensions, &[])), "t13d1516h2_8daaf6152771_6d807ffa2a79");
        // A capture whose client has values that stand for nothing among its algorithms too.
        assert_eq!(
            ja4_of(
                "3a3a,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
                "8a8a,fe0d,0010,0017,0033,44cd,ff01,000a,000d,0023,002b,000b,ca34,002d,0000,0005,001b,0012,dada",
                "5a5a,0904,0905,0906,0403,0804,0401,0503,0805,0501,0806,0601",
            ),
            "t13d1517h2_8daaf6152771_cb7bf5808d99"
        );
        assert_eq!(
            ja4_of(
                "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035,000a",
                "0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,0015",
                "0403,0804,0401,0503,0805,0501,0806,0601,0201",
            ),
            "t13d1615h2_46e7e9700bed_45f260be83e2"
        );
    }

    #[test]
    fn what_a_hello_does_not_have_is_noughts_and_counts_end_at_99() {
        assert_eq!(ja4(&hello(&[], &[], &[])), "t12i000000_000000000000_000000000000");
        assert_eq!(ja4(&hello(&[0x0a0a], &[0, 16], &[])), "t12d0002h2_000000000000_000000000000");
        let many: Vec<u16> = (100..300).collect();
        assert!(ja4(&hello(&many, &many, &[])).starts_with("t12i999900_"));
    }

    #[test]
    fn the_version_is_the_highest_that_is_supported_and_else_that_of_the_hello() {
        let of = |version: u16, supported: &[u16]| {
            let supported_versions = supported.to_vec();
            ja4(&ClientHello { version, supported_versions, ..ClientHello::default() })[1..3].to_owned()
        };
        let names = [0x0304, 0x0303, 0x0302, 0x0301, 0x0300, 0x0002, 0xfeff, 0xfefd, 0xfefc, 0x0305]
            .map(|version| of(version, &[]));
        assert_eq!(names, ["13", "12", "11", "10", "s3", "s2", "d1", "d2", "d3", "00"]);
        assert_eq!(of(0x0303, &[0xfafa, 0x0303, 0x0304, 0x0302]), "13");
        assert_eq!(of(0x0303, &[0x0302, 0x0301]), "11");
    }

    #[test]
    fn the_ends_of_a_protocol_are_characters_or_hex_digits_as_the_technical_details_have_them() {
        let of = |name: &[u8]| ends(name).iter().collect::<String>();
        let told: [(&[u8], &str); 11] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"", "00"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
            (b"h-", "6d"),
            (b"-", "2d"),
        ];
        for (name, expected) in told {
            assert_eq!(of(name), expected, "{name:x?}");
        }
    }
}

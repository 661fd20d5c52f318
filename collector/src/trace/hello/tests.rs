use super::*;
use crate::trace::client_hello::NoHello;
use proptest::prelude::*;

/// What stands behind its length, in so many bytes.
fn behind_length(size: usize, content: &[u8]) -> Vec<u8> {
    [&content.len().to_be_bytes()[8 - size..], content].concat()
}

fn pairs(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// A hello as a message of the handshake.
fn message(hello: &ClientHello, is_named: bool) -> Vec<u8> {
    let mut extensions = Vec::new();
    for kind in &hello.extensions {
        let content = match kind {
            0 if is_named => behind_length(2, &[&[0][..], &behind_length(2, b"api.example")].concat()),
            10 => behind_length(2, &pairs(&hello.groups)),
            11 => behind_length(1, &hello.point_formats),
            13 => behind_length(2, &pairs(&hello.signature_algorithms)),
            16 => behind_length(2, &[behind_length(1, &hello.alpn), behind_length(1, b"http/1.0")].concat()),
            43 => behind_length(1, &pairs(&hello.supported_versions)),
            _ => b"whatever it is".to_vec(),
        };
        extensions.extend_from_slice(&pairs(&[*kind]));
        extensions.extend_from_slice(&behind_length(2, &content));
    }
    let mut body = pairs(&[hello.version]);
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&behind_length(1, &[9; 32]));
    body.extend_from_slice(&behind_length(2, &pairs(&hello.ciphers)));
    body.extend_from_slice(&behind_length(1, &[0]));
    if !extensions.is_empty() {
        body.extend_from_slice(&behind_length(2, &extensions));
    }
    [&[1][..], &behind_length(3, &body)].concat()
}

/// A message in records of at most so many bytes.
fn records(message: &[u8], bytes_max: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| [&[22, 3, 1][..], &behind_length(2, fragment)].concat();
    message.chunks(bytes_max).flat_map(record).collect()
}

/// The hello of a browser, by the lists of JA4's technical details.
fn browser() -> ClientHello {
    ClientHello {
        version: 0x0303,
        ciphers: vec![
            0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ],
        extensions: vec![
            0x0a0a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
            0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
        ],
        groups: vec![0x1a1a, 29, 23, 24],
        point_formats: vec![0],
        signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        supported_versions: vec![0x4a4a, 0x0304, 0x0303],
        alpn: b"h2".to_vec(),
    }
}

/// Its bytes.
pub(in crate::trace) fn a_hello() -> Vec<u8> {
    records(&message(&browser(), true), 1 << 14)
}

fn heard(stream: &[u8], cuts: &[usize]) -> Hello {
    let (mut hello, mut at) = (Hello::default(), 0);
    for size in cuts.iter().copied().chain([stream.len()]) {
        let bytes = &stream[at..(at + size).min(stream.len())];
        hello.take(at as u64, bytes);
        at += bytes.len();
    }
    hello
}

fn outcome(hello: &Hello) -> (Option<Fingerprint>, bool) {
    (hello.fingerprint().cloned(), matches!(hello.0, State::Unread))
}

#[test]
fn a_browsers_hello_is_read_back_and_has_the_published_fingerprint() {
    let message = message(&browser(), true);
    let stream = records(&message, 1 << 14);
    let body = body(&stream).unwrap().unwrap();
    assert_eq!(ClientHello::read(&body), Ok(browser()));
    let fingerprint = heard(&stream, &[]).fingerprint().cloned().unwrap();
    assert_eq!(fingerprint.ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
    // What comes behind it is the server's business.
    let followed = [&stream[..], b"anything"].concat();
    assert_eq!(heard(&followed, &[]).fingerprint(), Some(&fingerprint));
}

#[test]
fn a_hello_without_extensions_is_one() {
    let bare = ClientHello { version: 0x0301, ciphers: vec![47, 53], ..ClientHello::default() };
    let stream = records(&message(&bare, false), 1 << 14);
    assert!(heard(&stream, &[]).fingerprint().unwrap().ja4.starts_with("t10i020000_"));
}

#[test]
fn what_is_no_hello_is_none_and_nothing_is_made_up_behind_a_gap() {
    for stream in [
        &b"GET / HTTP/1.1\r\n"[..],
        &[22, 2, 0, 0, 5, 1],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0x40, 1],
        &[22, 3, 1, 0, 4, 2, 0, 0, 0],
        &[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        &[23, 3, 3, 0, 4, 1, 0, 0, 0],
    ] {
        assert_eq!(body(stream), Err(NoHello), "{stream:x?}");
        assert_eq!(outcome(&heard(stream, &[])), (None, true));
    }
    let stream = a_hello();
    let mut torn = Hello::default();
    assert!(!torn.is_begun());
    torn.take(0, &stream[..50]);
    assert_eq!((torn.held(), torn.is_begun()), (50, true));
    torn.take(51, &stream[51..]);
    assert_eq!((outcome(&torn), torn.is_begun()), ((None, true), true));
    let mut late = Hello::default();
    late.take(5, &stream[5..]);
    assert_eq!(outcome(&late), (None, true));
}

#[test]
fn a_hello_that_is_too_long_is_not_held_on_to() {
    let long = ClientHello { extensions: vec![1_000; TRACE_HELLO_BYTES_MAX / 18 + 1], ..browser() };
    for fragment in [64, 1 << 14] {
        let stream = records(&message(&long, true), fragment);
        let hello = heard(&stream, &[]);
        assert_eq!((outcome(&hello), hello.held()), ((None, true), 0));
    }
}

fn u16s(count: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..count)
}

fn any_hello() -> impl Strategy<Value = ClientHello> {
    let kinds = prop::collection::btree_set(
        prop_oneof![Just(0), Just(10), Just(11), Just(13), Just(16), Just(43), any::<u16>()],
        0..20,
    );
    let bytes = || prop::collection::vec(any::<u8>(), 0..8);
    (any::<u16>(), u16s(40), kinds, u16s(12), bytes(), u16s(12), u16s(6), bytes()).prop_map(
        |(version, ciphers, kinds, groups, point_formats, algorithms, versions, alpn)| {
            let has = |kind: u16| kinds.contains(&kind);
            ClientHello {
                version,
                ciphers,
                groups: if has(10) { groups } else { Vec::new() },
                point_formats: if has(11) { point_formats } else { Vec::new() },
                signature_algorithms: if has(13) { algorithms } else { Vec::new() },
                alpn: if has(16) { alpn } else { Vec::new() },
                supported_versions: if has(43) { versions } else { Vec::new() },
                extensions: kinds.into_iter().collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn a_hello_is_read_as_it_was_written_however_it_is_split(
        hello in any_hello(), fragment in 1usize..600, cuts in prop::collection::vec(0usize..90, 0..60),
    ) {
        let stream = records(&message(&hello, true), fragment);
        let whole = heard(&stream, &[]);
        let split = heard(&stream, &cuts);
        prop_assert_eq!(outcome(&split), outcome(&whole));
        if stream.len() <= TRACE_HELLO_BYTES_MAX {
            let fingerprint = Fingerprint::of(&hello);
            prop_assert_eq!(whole.fingerprint(), Some(&fingerprint));
            prop_assert!(fingerprint.ja4.len() == 36 && fingerprint.ja3.len() == 32);
            prop_assert!(fingerprint.ja4.is_ascii());
        } else {
            prop_assert_eq!(whole.held(), 0);
        }
    }

    #[test]
    fn whatever_a_client_sends_is_bounded_and_the_same_however_it_is_split(
        noise in prop::collection::vec(any::<u8>(), 0..300), hello in any_hello(), fragment in 1usize..600,
        at in 0usize..700, with in any::<u8>(), cut in 0usize..700, cuts in prop::collection::vec(0usize..90, 0..40),
    ) {
        let mut stream = records(&message(&hello, true), fragment);
        let length = stream.len();
        stream[at % length] = with;
        stream.truncate(cut);
        for stream in [&stream, &noise] {
            let (whole, split) = (heard(stream, &[]), heard(stream, &cuts));
            prop_assert_eq!(outcome(&split), outcome(&whole));
            prop_assert!(split.held() == whole.held() && split.held() <= TRACE_HELLO_BYTES_MAX);
        }
    }
}

//! What a client begins a connection of TLS with, split as the input says: it comes to the same as in one
//! piece, and no more of it is held than is allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_collector::trace::Hello;

fuzz_target!(|input: &[u8]| {
    // How many pieces there are, their sizes, and what is split.
    let Some((count, rest)) = input.split_first() else { return };
    let (sizes, stream) = rest.split_at(usize::from(count & 31).min(rest.len()));
    let mut whole = Hello::default();
    whole.take(0, stream);
    let (mut split, mut at) = (Hello::default(), 0);
    for size in sizes.iter().map(|size| usize::from(*size)).chain([stream.len()]) {
        let piece = &stream[at..(at + size).min(stream.len())];
        split.take(at as u64, piece);
        at += piece.len();
    }
    assert_eq!(split.fingerprint(), whole.fingerprint());
    if let Some(fingerprint) = whole.fingerprint() {
        assert!(fingerprint.ja3.len() == 32 && fingerprint.ja4.len() == 36 && fingerprint.ja4.is_ascii());
    }
});

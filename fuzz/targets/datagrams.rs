//! Datagrams as anybody may send them, and files of keys: none that is not signed is believed, and what was
//! believed once is not again. The payload of one that is signed may be anything, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use weir_fastpath::packet::Header;
use weir_fastpath::{Keys, Receiver};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let _ = Keys::parse(&text);
    let key = format!(
        "[[key]]\nid = 7\nsecret = \"{}\"\nnot_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2027-01-01T00:00:00Z\"\n\
         senders = [\"judge-1\"]\n",
        "0b".repeat(32)
    );
    let keys = Keys::parse(&key).expect("it is a key");
    let Ok(header) = Header::read(input) else { return };
    // What a sender says who has a key.
    let _ = header.alert();
    let mut receiver = Receiver::default();
    if receiver.take(input, HERE, &keys, header.sent_ms).is_ok() {
        assert!(keys.get(header.key_id).is_some_and(|key| header.is_signed_by(key)));
        assert!(receiver.take(input, HERE, &keys, header.sent_ms).is_err());
    } else {
        assert!(receiver.len().1 <= 1);
    }
});

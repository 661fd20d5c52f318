//! Datagrams as anybody may send them, and files of keys: none that is not signed is believed, and what was
//! believed once is not again. The payload of one that is signed may be anything, too, and says what a key of
//! its type's role may say: a tripwire has no score.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use weir_fastpath::packet::Header;
use weir_fastpath::{Keys, Receiver, Role};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let _ = Keys::parse(&text);
    let key = |id: u8, role: Role| {
        format!(
            "[[key]]\nid = {id}\nsecret = \"{}\"\nnot_before = \"2026-01-01T00:00:00Z\"\n\
             not_after = \"2027-01-01T00:00:00Z\"\nsenders = [\"judge-1\"]\nrole = \"{}\"\n",
            "0b".repeat(32),
            role.as_str()
        )
    };
    let keys = key(7, Role::Judge) + &key(8, Role::Collector);
    let keys = Keys::parse(&keys).expect("they are keys");
    let Ok(header) = Header::read(input) else { return };
    // What a sender says who has a key.
    if let Some(alert) = header.alert() {
        assert_eq!(alert.word.role(), header.role);
    }
    let mut receiver = Receiver::default();
    if receiver.take(input, HERE, &keys, header.sent_ms).is_ok() {
        let key = keys.get(header.key_id);
        assert!(key.is_some_and(|key| header.is_signed_by(key) && key.role() == header.role));
        assert!(receiver.take(input, HERE, &keys, header.sent_ms).is_err());
    } else {
        assert!(receiver.len().1 <= 1);
    }
});

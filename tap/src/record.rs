//! Records of the ring buffer, as the collector hears them.

use crate::layout::{HEADER_BYTES, HELLO_BYTES_MAX, at, kind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_collector::limits::TRACE_HELLO_BYTES_MAX;
use weir_collector::trace::{Chunk, ConnectionId, Heard, Way};

// What is listened for is what is kept.
const _: () = assert!(HELLO_BYTES_MAX as usize == TRACE_HELLO_BYTES_MAX);

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// What a record says; none where it is none of ours. `zero_ms` is when the kernel's clock was at zero, in
/// milliseconds since the Unix epoch.
pub(crate) fn read(record: &[u8], zero_ms: i64) -> Option<Heard<'_>> {
    let number = |at: usize| Some(u64::from_ne_bytes(record.get(at..at + 8)?.try_into().ok()?));
    let connection = ConnectionId(number(at::CONNECTION)?);
    let copied = u32::from_ne_bytes(record.get(at::COPIED..at::COPIED + 4)?.try_into().ok()?);
    let bytes = record.get(HEADER_BYTES..)?.get(..usize::try_from(copied).ok()?)?;
    let way = match *record.get(at::KIND)? {
        kind::RECEIVED => Way::Received,
        kind::SENT => Way::Sent,
        kind::CLOSED => return Some(Heard::Closed(connection)),
        kind::HELLO => return Some(Heard::Hello(connection, number(at::OFFSET)?, bytes)),
        kind::PEER => return Some(Heard::Peer(connection, address(bytes)?)),
        _ => return None,
    };
    let since_zero_ms = i64::try_from(number(at::TIME)? / 1_000_000).ok()?;
    Some(Heard::Chunk(Chunk {
        connection,
        way,
        offset: number(at::OFFSET)?,
        bytes,
        length: number(at::LENGTH)?,
        time_ms: zero_ms + since_zero_ms,
    }))
}

/// The address of a `sockaddr`; none of a socket that is local.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    match family {
        AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?).into()),
        AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, bytes: &[u8], copied: u32) -> Vec<u8> {
        let mut record = vec![0; HEADER_BYTES];
        record[at::KIND] = kind;
        record[at::CONNECTION..][..8].copy_from_slice(&7u64.to_ne_bytes());
        record[at::OFFSET..][..8].copy_from_slice(&100u64.to_ne_bytes());
        record[at::LENGTH..][..8].copy_from_slice(&50u64.to_ne_bytes());
        record[at::TIME..][..8].copy_from_slice(&3_999_999u64.to_ne_bytes());
        record[at::COPIED..][..4].copy_from_slice(&copied.to_ne_bytes());
        [record, bytes.to_vec()].concat()
    }

    #[test]
    fn a_message_is_what_was_copied_and_not_the_room_behind_it() {
        let record = record(kind::SENT, b"abc\0\0", 3);
        let Some(Heard::Chunk(chunk)) = read(&record, 1_000) else { panic!("it is a chunk") };
        assert_eq!((chunk.connection, chunk.way, chunk.bytes), (ConnectionId(7), Way::Sent, &b"abc"[..]));
        assert_eq!((chunk.offset, chunk.length, chunk.time_ms), (100, 50, 1_003));
    }

    #[test]
    fn addresses_are_those_of_both_families_and_of_no_other() {
        let of = |bytes: &[u8]| match read(&record(kind::PEER, bytes, bytes.len() as u32), 0) {
            Some(Heard::Peer(_, address)) => Some(address.to_string()),
            _ => None,
        };
        let mut v4 = [0; 28];
        v4[..8].copy_from_slice(&[2, 0, 1, 187, 203, 0, 113, 9]);
        assert_eq!(of(&v4).as_deref(), Some("203.0.113.9"));
        let mut v6 = [0; 28];
        v6[0] = 10;
        v6[8..12].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        assert_eq!(of(&v6).as_deref(), Some("2001:db8::"));
        assert_eq!(of(&[1; 28]), None);
    }

    #[test]
    fn pieces_of_a_hello_are_told_with_where_they_stand() {
        let record = record(kind::HELLO, b"abc\0", 3);
        let Some(Heard::Hello(connection, offset, bytes)) = read(&record, 0) else {
            panic!("it is of a hello")
        };
        assert_eq!((connection, offset, bytes), (ConnectionId(7), 100, &b"abc"[..]));
    }

    #[test]
    fn what_is_torn_is_no_record() {
        let whole = record(kind::RECEIVED, b"abc", 3);
        for length in 0..whole.len() {
            assert!(read(&whole[..length], 0).is_none(), "{length}");
        }
        assert!(read(&record(kind::RECEIVED, b"abc", u32::MAX), 0).is_none());
        assert!(read(&record(9, b"abc", 3), 0).is_none());
    }
}

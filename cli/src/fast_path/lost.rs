//! How many datagrams the kernel threw away because whoever listens was busy: it counts them for each socket,
//! and tells nobody but in `/proc/net`.

use super::limits::{LOOK_EVERY, LOST_LOOK_EVERY};
use crate::telemetry::Metrics;
use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where the kernel tells of sockets, those of IPv4 and of IPv6.
const TABLES: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// Columns of a line that say which socket it is, and how many datagrams of it were thrown away.
const INODE_COLUMN: usize = 9;
const DROPS_COLUMN: usize = 12;

/// Counts them until it is over, in a thread of its own: the one that listens may stand still.
pub fn count(socket: &UdpSocket, metrics: &Arc<Metrics>, is_over: &AtomicBool) {
    let mut known = 0;
    let mut looked: Option<Instant> = None;
    let mut is_told = false;
    let Ok(inode) = rustix::fs::fstat(socket).map(|stat| stat.st_ino) else { return };
    while !is_over.load(Ordering::Relaxed) {
        if looked.is_none_or(|at| at.elapsed() >= LOST_LOOK_EVERY) {
            looked = Some(Instant::now());
            match drops_of(inode) {
                Some(drops) => {
                    metrics.datagrams_lost(drops.saturating_sub(known));
                    known = drops;
                }
                None if !std::mem::replace(&mut is_told, true) => {
                    tracing::warn!(
                        "/proc/net cannot be read: datagrams that the kernel throws away are not counted"
                    );
                }
                None => {}
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn drops_of(inode: u64) -> Option<u64> {
    TABLES.iter().find_map(|table| drops_in(&fs::read_to_string(table).ok()?, inode))
}

fn drops_in(table: &str, inode: u64) -> Option<u64> {
    let inode = inode.to_string();
    let of = |line: &&str| line.split_ascii_whitespace().nth(INODE_COLUMN) == Some(inode.as_str());
    let line = table.lines().skip(1).find(of)?;
    line.split_ascii_whitespace().nth(DROPS_COLUMN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_socket_has_no_room_for_is_counted_as_its_own_and_not_as_anothers() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let [deaf, other] = [host; 2].map(|host| UdpSocket::bind(host).unwrap());
            let inode_of = |socket: &UdpSocket| rustix::fs::fstat(socket).unwrap().st_ino;
            assert_eq!(drops_of(inode_of(&deaf)), Some(0), "{host}");
            let room = rustix::net::sockopt::socket_recv_buffer_size(&deaf).unwrap();
            let sent = room / 1_000 + 10;
            for _ in 0..sent {
                other.send_to(&[0; 1_000], deaf.local_addr().unwrap()).unwrap();
            }
            deaf.set_nonblocking(true).unwrap();
            let read = std::iter::from_fn(|| deaf.recv(&mut [0; 1_000]).ok()).count();
            assert_eq!(drops_of(inode_of(&deaf)), Some((sent - read) as u64), "{host}");
            assert!(read < sent, "{host}");
            assert_eq!(drops_of(inode_of(&other)), Some(0), "{host}");
        }
        assert_eq!(drops_of(0), None);
    }
}

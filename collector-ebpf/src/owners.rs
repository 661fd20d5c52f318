//! Which `SSL` an accepted socket is of.
//!
//! `SSL_set_fd` says it. A process that reads sockets itself, and gives what it read to OpenSSL from memory,
//! does not: there the client's hello says it. OpenSSL writes the hello that an `SSL` took to the transcript
//! of its handshake, by `BIO_write`; the accepted socket whose bytes began with the same random of the client
//! is its connection. Neither threads nor the order of calls count, so that however connections interleave,
//! none is taken for another one. A random that two sockets had is neither's.

use crate::connections::{connection, ends};
use crate::hellos::{MESSAGE_BYTES, RANDOM_AT, RECORD_BYTES};
use crate::layout::count;
use crate::records::closed;
use crate::sockets::{forget, named};
use crate::state::{
    ACCEPTED, CONNECTIONS, Connection, GREETINGS, Greeting, HANDSHAKES, HELLOS, Hello, NO_EXIST,
    RANDOM_BYTES, READS, Random, counted, key, thread,
};
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

/// `SSL_set_fd(ssl, int fd)`: the connection's file descriptor, of which it is known who is at the other end.
#[uprobe]
pub fn ssl_set_fd(context: ProbeContext) -> u32 {
    let ssl = context.arg::<u64>(0).unwrap_or(0);
    let descriptor = context.arg::<i32>(1).unwrap_or(-1);
    let place = thread() >> 32 << 32 | u64::from(descriptor as u32);
    let address = unsafe { ACCEPTED.get(place) }.map(|accepted| accepted.address);
    // A hello was listened for, and its connection's end was not told: the `SSL` is used again for another
    // client. That the same descriptor is named twice is known by its address, which is used up.
    let is_used_again = unsafe { CONNECTIONS.get(key(ssl)) }
        .is_some_and(|known| known.socket_at != 0 && (address.is_some() || known.socket_at != place));
    if is_used_again {
        ends(ssl, true);
    }
    let Some(address) = address else { return 0 };
    forget(place);
    let Some(connection) = connection(&key(ssl)) else { return 0 };
    let id = unsafe { (*connection).id };
    if HELLOS.insert(place, Hello::of(id), 0).is_ok() {
        unsafe { (*connection).socket_at = place };
    }
    named(place, id, &address);
    0
}

/// `SSL_do_handshake(ssl)`, by which programs begin a handshake that give OpenSSL bytes from memory; others
/// read at once.
#[uprobe]
pub fn ssl_do_handshake(context: ProbeContext) -> u32 {
    let _ = HANDSHAKES.insert(thread(), context.arg::<u64>(0).unwrap_or(0), 0);
    0
}

/// Its end.
#[uretprobe]
pub fn ssl_do_handshake_return(_context: RetProbeContext) -> u32 {
    let _ = HANDSHAKES.remove(thread());
    0
}

/// `BIO_write(bio, bytes, int length)` within a handshake: a client's hello is written to the transcript as
/// it was taken, in one piece and without records around it.
#[uprobe]
pub fn bio_write(context: ProbeContext) -> u32 {
    let thread = thread();
    let ssl = match (unsafe { HANDSHAKES.get(thread) }, unsafe { READS.get(thread) }) {
        (Some(ssl), None) => *ssl,
        (None, Some(read)) => read.ssl,
        // It has to do with no handshake, or with one within another one: then it is not known with which.
        _ => return 0,
    };
    let (source, length) = (context.arg::<u64>(1).unwrap_or(0), context.arg::<i32>(2).unwrap_or(0));
    if length < MESSAGE_BYTES as i32 {
        return 0;
    }
    let Ok(head) = (unsafe { bpf_probe_read_user(source as *const [u8; MESSAGE_BYTES]) }) else { return 0 };
    let message = u64::from(head[1]) << 16 | u64::from(head[2]) << 8 | u64::from(head[3]);
    if head[0] != 1 || head[4] != 3 || message + 4 != length as u64 {
        return 0;
    }
    let mut random = Random { process: thread >> 32, bytes: [0; RANDOM_BYTES] };
    random.bytes.copy_from_slice(&head[RANDOM_AT..]);
    greeted(ssl, &random, length as u64);
    0
}

/// An `SSL` has taken a client's hello of so many bytes: the accepted socket that brought all of it, and no
/// other one, is its connection.
#[inline(always)]
fn greeted(ssl: u64, random: &Random, length: u64) {
    // It has its socket, or has begun: this hello is of a retry or of a renegotiation, or copied from another
    // client's.
    let is_begun = |known: &Connection| known.socket_at != 0 || known.received != 0 || known.sent != 0;
    if unsafe { CONNECTIONS.get(key(ssl)) }.is_some_and(is_begun) {
        return;
    }
    let Some(greeting) = GREETINGS.get_ptr_mut(random) else { return };
    let Greeting { place, id } = unsafe { *greeting };
    if id == 0 {
        return;
    }
    unsafe { (*greeting).id = 0 };
    // A socket that has not brought all of it is not where the `SSL` has it from: another client copied what
    // was there.
    let is_short = |hello: &Hello| hello.connection == id && hello.received < RECORD_BYTES + length;
    if unsafe { HELLOS.get(place) }.is_some_and(is_short) {
        counted(count::HELLO_TWICE);
        return;
    }
    let Some(accepted) = (unsafe { ACCEPTED.get(place) }) else { return };
    if accepted.id != id {
        return;
    }
    let address = accepted.address;
    // Of two that took it at once one has it.
    if ACCEPTED.remove(place).is_err() {
        return;
    }
    // What is known of it has not begun, so it is another one's that ended unheard.
    ends(ssl, true);
    counted(count::CONNECTIONS);
    let new = Connection { id, received: 0, sent: 0, written: 0, socket_at: place, is_greeted: 1 };
    if CONNECTIONS.insert(key(ssl), new, NO_EXIST).is_ok() {
        named(place, id, &address);
    } else {
        closed(id);
    }
}

//! The first bytes that a process reads of an accepted socket: its client's hello, as far as it is wanted.

use crate::layout::{HELLO_BYTES_MAX, count, kind};
use crate::records::{Header, piece};
use crate::state::{
    ACCEPTED, Accepted, GREETINGS, Greeting, HEAD_ROOM, HELLOS, Hello, NO_EXIST, PROCESSES, RANDOM_BYTES,
    RECEIVES, Random, Receive, counted, thread,
};
use aya_ebpf::helpers::generated;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

/// Bytes of the headers of a record and of a message of the handshake.
const FRAME_BYTES: u64 = 9;

/// Bytes of a record's header.
pub(crate) const RECORD_BYTES: u64 = 5;

/// Where it stands in the message of the handshake: behind its header and a version.
pub(crate) const RANDOM_AT: usize = 6;

/// Bytes of the message up to the end of the random.
pub(crate) const MESSAGE_BYTES: usize = RANDOM_AT + RANDOM_BYTES;

/// Bytes of a connection up to the end of the random, where one record holds it.
const HEAD_BYTES: u64 = RECORD_BYTES + MESSAGE_BYTES as u64;

/// `MSG_PEEK` and `MSG_TRUNC`: what is read comes again, or is not where it was asked for.
const NOT_TAKEN: u64 = 0x2 | 0x20;

#[inline(always)]
fn socket_begins(context: &TracePointContext) {
    let thread = thread();
    if unsafe { PROCESSES.get((thread >> 32) as u32) }.is_none() {
        return;
    }
    let descriptor = unsafe { context.read_at::<u64>(16) }.unwrap_or(u64::MAX) as u32;
    let place = thread >> 32 << 32 | u64::from(descriptor);
    let Some(hello) = (unsafe { HELLOS.get(place) }) else { return };
    let connection = hello.connection;
    let buffer = unsafe { context.read_at::<u64>(24) }.unwrap_or(0);
    if RECEIVES.insert(thread, Receive { place, buffer, connection }, 0).is_err() {
        // Without this piece the others are nothing.
        counted(count::HELLO_FULL);
        let _ = HELLOS.remove(place);
    }
}

/// `read(fd, buffer, length)`: where it is of a connection whose client's hello is not whole, its end is of
/// interest.
#[tracepoint]
pub fn socket_read_begins(context: TracePointContext) -> u32 {
    socket_begins(&context);
    0
}

/// `recvfrom(fd, buffer, length, flags, ...)`: likewise.
#[tracepoint]
pub fn socket_receive_begins(context: TracePointContext) -> u32 {
    if unsafe { context.read_at::<u64>(40) }.unwrap_or(NOT_TAKEN) & NOT_TAKEN == 0 {
        socket_begins(&context);
    }
    0
}

/// Whether what a connection begins with may be a hello of TLS, as far as it was heard; and how many bytes
/// are wanted of it, once that is known.
#[inline(always)]
pub(crate) fn wanted(hello: &Hello, known: u64) -> Option<u64> {
    let head = &hello.head;
    if head[0] != 0x16 || known > 1 && head[1] != 3 || known > 5 && head[5] != 1 {
        return None;
    }
    let record = u64::from(head[3]) << 8 | u64::from(head[4]);
    let message = u64::from(head[6]) << 16 | u64::from(head[7]) << 8 | u64::from(head[8]);
    // One that goes on in another record is not followed by its length.
    if known >= FRAME_BYTES && message + 4 <= record && message + FRAME_BYTES < HELLO_BYTES_MAX {
        return Some(message + FRAME_BYTES);
    }
    Some(HELLO_BYTES_MAX)
}

/// The end of either: what was read goes on the hello, as far as it is wanted.
#[tracepoint]
pub fn socket_read_ends(context: TracePointContext) -> u32 {
    let thread = thread();
    let Some(receive) = (unsafe { RECEIVES.get(thread) }) else { return 0 };
    let receive = *receive;
    let _ = RECEIVES.remove(thread);
    let length = unsafe { context.read_at::<i64>(16) }.unwrap_or(-1);
    if length <= 0 {
        return 0;
    }
    let Some(hello) = HELLOS.get_ptr_mut(receive.place) else { return 0 };
    // One thread at a time reads a connection: OpenSSL asks that of its users.
    let hello = unsafe { &mut *hello };
    if hello.connection != receive.connection {
        return 0;
    }
    let received = hello.received;
    let length = if length > HELLO_BYTES_MAX as i64 { HELLO_BYTES_MAX } else { length as u64 };
    let mut known = received;
    if received < HEAD_BYTES {
        let missing = HEAD_BYTES - received;
        let more = (if length < missing { length } else { missing }) & (HEAD_ROOM as u64 - 1);
        let place = (received & (HEAD_ROOM as u64 - 1)) as usize;
        let at = unsafe { hello.head.as_mut_ptr().add(place) };
        if unsafe { generated::bpf_probe_read_user(at.cast(), more as u32, receive.buffer as *const _) } != 0
        {
            counted(count::HELLO_UNREADABLE);
            let _ = HELLOS.remove(receive.place);
            return 0;
        }
        known += more;
    }
    let id = hello.connection;
    let accepted = ACCEPTED.get_ptr_mut(receive.place).filter(|accepted| unsafe { (**accepted).id } == id);
    let Some(wanted) = wanted(hello, known) else {
        // Of a socket that no `SSL` is known to have it says nothing: it may speak without TLS.
        if accepted.is_none() {
            counted(count::HELLO_OTHER);
        }
        let _ = HELLOS.remove(receive.place);
        return 0;
    };
    hello.wanted = if received < HEAD_BYTES { wanted } else { hello.wanted };
    if let Some(accepted) = accepted {
        let accepted = unsafe { &mut *accepted };
        accepted.is_greeted = 1;
        if received < HEAD_BYTES && known >= HEAD_BYTES {
            greets(receive.place, hello, accepted);
        }
    }
    let missing = hello.wanted.saturating_sub(received);
    let copy = if length < missing { length } else { missing };
    let header = Header { kind: kind::HELLO, connection: hello.connection, offset: received, length: copy };
    hello.received = received + copy;
    let is_over = hello.received >= hello.wanted;
    if !piece(&header, receive.buffer, copy) {
        counted(count::HELLO_FULL);
    }
    if is_over {
        let _ = HELLOS.remove(receive.place);
    }
    0
}

/// A client's hello is known by its random, where that stands in the first record.
#[inline(always)]
fn greets(place: u64, hello: &Hello, accepted: &mut Accepted) {
    let record = u64::from(hello.head[3]) << 8 | u64::from(hello.head[4]);
    if record < MESSAGE_BYTES as u64 {
        return;
    }
    let from = RECORD_BYTES as usize + RANDOM_AT;
    accepted.random.copy_from_slice(&hello.head[from..from + RANDOM_BYTES]);
    let random = Random { process: place >> 32, bytes: accepted.random };
    if GREETINGS.insert(random, Greeting { place, id: accepted.id }, NO_EXIST).is_err() {
        if let Some(greeting) = GREETINGS.get_ptr_mut(random) {
            counted(count::HELLO_TWICE);
            unsafe { (*greeting).id = 0 };
        } else {
            counted(count::HELLO_FULL);
        }
    }
}

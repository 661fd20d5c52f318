//! The kernel side of Weir's collector: what the TLS library of a traced process reads and writes, in plain text.
//!
//! Probes of OpenSSL's functions hand messages on through a ring buffer: a header, and the first bytes of the message. Where
//! in its stream a message stands is counted here, for every message, so that user space knows to the byte what was not
//! handed on, whatever the reason. Nobody is ever waited for, and nobody is woken: user space looks by itself.
//!
//! A connection is a process and the address of its `SSL`, from its first message to `SSL_free` or `SSL_clear`.
//! A write is taken at its entry. Where it was not accepted, OpenSSL's users ask `SSL_get_error` and must send the same bytes
//! again: then the stream is set back, and user space drops what it has already. A read is taken at its return, because
//! only then the buffer is filled.
//!
//! Whose socket a connection has is said by `SSL_set_fd`. A process that reads sockets itself, and gives what it read to OpenSSL from
//! memory, does not say it: there the client's hello does. OpenSSL writes the hello that an `SSL` took to the transcript of its handshake,
//! by `BIO_write`; the accepted socket whose bytes began with the same random of the client is its connection. Neither threads nor
//! the order of calls count, so that however connections interleave, none is taken for another one. A random that two sockets
//! had is neither's.
//!
//! Every `unsafe` here is a helper of the kernel's, or a value of a map: the verifier has proved each access before the
//! program runs.
#![no_std]
#![no_main]

mod layout;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_probe_read_user, generated,
};
use aya_ebpf::macros::{map, tracepoint, uprobe, uretprobe};
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::programs::{ProbeContext, RetProbeContext, TracePointContext};
use layout::{
    CLASSES, CONNECTIONS_MAX, HEADER_BYTES, HELLO_BYTES_MAX, HELLO_CLASSES, PROCESSES_MAX, READS_MAX, at, count, kind,
};

/// `BPF_RB_NO_WAKEUP`: user space looks by itself.
const NO_WAKEUP: u64 = 1;

/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;

/// Bytes of the headers of a record and of a message of the handshake.
const FRAME_BYTES: u64 = 9;

/// Bytes of a client's random.
const RANDOM_BYTES: usize = 32;

/// Where it stands in the message of the handshake: behind its header and a version.
const RANDOM_AT: usize = 6;

/// Bytes of the message up to the end of the random.
const MESSAGE_BYTES: usize = RANDOM_AT + RANDOM_BYTES;

/// Bytes of a connection up to the end of the random, where one record holds it.
const HEAD_BYTES: u64 = RECORD_BYTES + MESSAGE_BYTES as u64;

/// Bytes of a record's header.
const RECORD_BYTES: u64 = 5;

/// The next power of two.
const HEAD_ROOM: usize = 64;

/// `MSG_PEEK` and `MSG_TRUNC`: what is read comes again, or is not where it was asked for.
const NOT_TAKEN: u64 = 0x2 | 0x20;

/// Bytes of the longest `sockaddr` that is handed on: `sockaddr_in6`.
const SOCKADDR_BYTES: usize = 28;

/// Whose an `SSL` is.
#[repr(C)]
#[derive(Clone, Copy)]
struct Key {
    process: u64,
    ssl: u64,
}

/// A connection.
#[repr(C)]
#[derive(Clone, Copy)]
struct Connection {
    id: u64,
    /// Bytes of each direction so far.
    received: u64,
    sent: u64,
    /// Length of the write that was begun last, if nothing was asked of the connection since.
    written: u64,
    /// Process and file descriptor of its socket; 0 where that is not known.
    hello_at: u64,
}

/// A client's hello that is not whole yet.
#[repr(C)]
#[derive(Clone, Copy)]
struct Hello {
    connection: u64,
    /// Bytes so far.
    received: u64,
    /// Bytes that are wanted in all.
    wanted: u64,
    /// The first of them: the header of a record, and of the handshake's message what there is up to the random. The rest is room
    /// for the verifier.
    head: [u8; 2 * HEAD_ROOM],
}

/// An accepted socket that no `SSL` is known to have.
#[repr(C)]
#[derive(Clone, Copy)]
struct Accepted {
    /// What was handed on of its client's hello is of this connection.
    id: u64,
    /// Noughts where it is not known.
    address: SockAddr,
    /// 1 where something was handed on.
    is_greeted: u32,
    /// That of its client; noughts while it is not known.
    random: [u8; RANDOM_BYTES],
}

/// What a client's hello is known by in a process.
#[repr(C)]
#[derive(Clone, Copy)]
struct Random {
    process: u64,
    bytes: [u8; RANDOM_BYTES],
}

/// The accepted socket that brought a hello.
#[repr(C)]
#[derive(Clone, Copy)]
struct Greeting {
    place: u64,
    /// Its connection; 0 where the random is not to be taken for anybody's any more: an `SSL` has taken the hello, or the socket was
    /// closed, or another one brought the same.
    id: u64,
}

/// A read from a socket that has not returned.
#[repr(C)]
#[derive(Clone, Copy)]
struct Receive {
    place: u64,
    buffer: u64,
}

/// A read that has not returned.
#[repr(C)]
#[derive(Clone, Copy)]
struct Read {
    ssl: u64,
    buffer: u64,
    /// Where `SSL_read_ex` will say how much it read; 0 for `SSL_read`.
    length_at: u64,
}

/// An address with a port, as the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct SockAddr {
    bytes: [u8; SOCKADDR_BYTES],
}

/// Records for user space, which says how large it is.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
static CONNECTIONS: HashMap<Key, Connection> = HashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// By thread.
#[map]
static READS: HashMap<u64, Read> = HashMap::with_max_entries(READS_MAX, 0);

/// Where a thread that accepts a connection will find the other end's address.
#[map]
static ACCEPTS: HashMap<u64, u64> = HashMap::with_max_entries(READS_MAX, 0);

/// Accepted sockets, by process and file descriptor, until it is known which `SSL` has it.
#[map]
static ACCEPTED: LruHashMap<u64, Accepted> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// Which socket brought a hello. What is used up stays as long as there is room, so that who sends it again is nobody.
#[map]
static GREETINGS: LruHashMap<Random, Greeting> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// By thread: the `SSL` whose handshake it is at.
#[map]
static HANDSHAKES: HashMap<u64, u64> = HashMap::with_max_entries(READS_MAX, 0);

/// Connections whose address was not asked for when they were accepted, by process and file descriptor.
#[map]
static NAMELESS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// Threads that ask for it, and where they will find it.
#[map]
static ASKS: HashMap<u64, Receive> = HashMap::with_max_entries(READS_MAX, 0);

/// Hellos that are listened for, by process and file descriptor.
#[map]
static HELLOS: LruHashMap<u64, Hello> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// Reads of such a file descriptor, by thread.
#[map]
static RECEIVES: HashMap<u64, Receive> = HashMap::with_max_entries(READS_MAX, 0);

/// Processes that are traced: system calls are everybody's.
#[map]
static PROCESSES: HashMap<u32, u8> = HashMap::with_max_entries(PROCESSES_MAX, 0);

#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::ALL, 0);

/// Most bytes that are copied of a message; set by the loader.
#[unsafe(no_mangle)]
static COPY_BYTES_MAX: u64 = 16_384;

#[inline(always)]
fn counted(which: u32) -> u64 {
    let Some(counter) = COUNTS.get_ptr_mut(which) else { return 0 };
    // The value is this processor's own.
    unsafe {
        *counter += 1;
        *counter
    }
}

#[inline(always)]
fn thread() -> u64 {
    bpf_get_current_pid_tgid()
}

#[inline(always)]
fn key(ssl: u64) -> Key {
    Key { process: thread() >> 32, ssl }
}

/// The connection of an `SSL`, which begins here where it is new.
#[inline(always)]
fn connection(key: &Key) -> Option<*mut Connection> {
    if let Some(known) = CONNECTIONS.get_ptr_mut(key) {
        return Some(known);
    }
    counted(count::CONNECTIONS);
    let new = Connection { id: number(), received: 0, sent: 0, written: 0, hello_at: 0 };
    CONNECTIONS.insert(key, &new, NO_EXIST).ok()?;
    CONNECTIONS.get_ptr_mut(key)
}

/// A number that no other connection has.
#[inline(always)]
fn number() -> u64 {
    let processor = u64::from(unsafe { bpf_get_smp_processor_id() });
    // A count could be read twice where a program is interrupted by another; a processor's time is not.
    unsafe { bpf_ktime_get_ns() << 12 | processor & 0xfff }
}

/// What a header says.
struct Header {
    kind: u8,
    connection: u64,
    offset: u64,
    length: u64,
}

/// Writes a record of the class, with at most so many bytes from `source`; false where there is no room.
#[inline(always)]
fn put<const ROOM: usize>(header: &Header, source: u64, copy: u64) -> bool {
    let Some(mut record) = RECORDS.reserve_bytes(HEADER_BYTES + ROOM, 0) else { return false };
    let bytes = record.as_mut_ptr();
    let mut copied = copy;
    if copied > ROOM as u64 {
        copied = ROOM as u64;
    }
    unsafe {
        if copied > 0
            && generated::bpf_probe_read_user(bytes.add(HEADER_BYTES).cast(), copied as u32, source as *const _) != 0
        {
            counted(if header.kind == kind::HELLO { count::HELLO_UNREADABLE } else { count::UNREADABLE });
            copied = 0;
        }
        bytes.add(at::KIND).cast::<u32>().write(u32::from(header.kind));
        bytes.add(at::PROCESS).cast::<u32>().write((thread() >> 32) as u32);
        bytes.add(at::CONNECTION).cast::<u64>().write(header.connection);
        bytes.add(at::OFFSET).cast::<u64>().write(header.offset);
        bytes.add(at::LENGTH).cast::<u64>().write(header.length);
        bytes.add(at::TIME).cast::<u64>().write(bpf_ktime_get_ns());
        bytes.add(at::COPIED).cast::<u32>().write(copied as u32);
    }
    record.submit(NO_WAKEUP);
    true
}

/// Hands a message on.
#[inline(always)]
fn message(header: &Header, source: u64) {
    counted(count::MESSAGES);
    // The loader writes it before the program runs.
    let most = unsafe { core::ptr::read_volatile(&raw const COPY_BYTES_MAX) };
    let copy = if header.length < most { header.length } else { most };
    let is_handed_on = if copy <= CLASSES[0] as u64 {
        put::<{ CLASSES[0] }>(header, source, copy)
    } else if copy <= CLASSES[1] as u64 {
        put::<{ CLASSES[1] }>(header, source, copy)
    } else if copy <= CLASSES[2] as u64 {
        put::<{ CLASSES[2] }>(header, source, copy)
    } else {
        put::<{ CLASSES[3] }>(header, source, copy)
    };
    counted(if is_handed_on { count::HANDED_ON } else { count::FULL });
}

/// `SSL_write(ssl, buffer, int length)` and `SSL_write_ex(ssl, buffer, size_t length, size_t *written)`.
#[inline(always)]
fn written(ssl: u64, buffer: u64, length: u64) {
    if length == 0 {
        return;
    }
    let Some(connection) = connection(&key(ssl)) else {
        counted(count::MESSAGES);
        counted(count::NO_CONNECTION);
        return;
    };
    // One thread at a time uses an SSL: OpenSSL asks that of its users.
    let header = unsafe {
        let connection = &mut *connection;
        let offset = connection.sent;
        connection.sent = offset + length;
        connection.written = length;
        Header { kind: kind::SENT, connection: connection.id, offset, length }
    };
    message(&header, buffer);
}

/// See [`written`].
#[uprobe]
pub fn ssl_write(context: ProbeContext) -> u32 {
    let (ssl, buffer) = (context.arg::<u64>(0).unwrap_or(0), context.arg::<u64>(1).unwrap_or(0));
    let length = context.arg::<i32>(2).unwrap_or(0);
    if length > 0 {
        written(ssl, buffer, length as u64);
    }
    0
}

/// See [`written`].
#[uprobe]
pub fn ssl_write_ex(context: ProbeContext) -> u32 {
    let (ssl, buffer) = (context.arg::<u64>(0).unwrap_or(0), context.arg::<u64>(1).unwrap_or(0));
    written(ssl, buffer, context.arg::<u64>(2).unwrap_or(0));
    0
}

/// `SSL_get_error(ssl, int result)`: the write before it was not accepted, and comes again.
#[uprobe]
pub fn ssl_get_error(context: ProbeContext) -> u32 {
    if context.arg::<i32>(1).unwrap_or(1) > 0 {
        return 0;
    }
    if let Some(connection) = CONNECTIONS.get_ptr_mut(key(context.arg::<u64>(0).unwrap_or(0))) {
        unsafe {
            let connection = &mut *connection;
            connection.sent -= connection.written;
            connection.written = 0;
        }
    }
    0
}

#[inline(always)]
fn read_begins(context: &ProbeContext, length_at: u64) {
    let (ssl, buffer) = (context.arg::<u64>(0).unwrap_or(0), context.arg::<u64>(1).unwrap_or(0));
    if let Some(connection) = CONNECTIONS.get_ptr_mut(key(ssl)) {
        // What is asked from now on is asked of the read.
        unsafe { (*connection).written = 0 };
    }
    if READS.insert(thread(), Read { ssl, buffer, length_at }, 0).is_err() {
        counted(count::NO_READ);
    }
}

#[inline(always)]
fn read_ends(result: i32) {
    let thread = thread();
    let Some(read) = (unsafe { READS.get(thread) }) else { return };
    let read = *read;
    let _ = READS.remove(thread);
    if result <= 0 {
        return;
    }
    let length = if read.length_at == 0 {
        result as u64
    } else {
        match unsafe { bpf_probe_read_user(read.length_at as *const u64) } {
            Ok(length) => length,
            Err(_) => {
                counted(count::UNREADABLE);
                return;
            }
        }
    };
    if length == 0 {
        return;
    }
    let Some(connection) = connection(&key(read.ssl)) else {
        counted(count::MESSAGES);
        counted(count::NO_CONNECTION);
        return;
    };
    let header = unsafe {
        let connection = &mut *connection;
        let offset = connection.received;
        connection.received = offset + length;
        Header { kind: kind::RECEIVED, connection: connection.id, offset, length }
    };
    message(&header, read.buffer);
}

/// `SSL_read(ssl, buffer, int length)`.
#[uprobe]
pub fn ssl_read(context: ProbeContext) -> u32 {
    read_begins(&context, 0);
    0
}

/// `SSL_read_ex(ssl, buffer, size_t length, size_t *read)`.
#[uprobe]
pub fn ssl_read_ex(context: ProbeContext) -> u32 {
    read_begins(&context, context.arg::<u64>(3).unwrap_or(0));
    0
}

/// The end of either.
#[uretprobe]
pub fn ssl_read_return(context: RetProbeContext) -> u32 {
    read_ends(context.ret::<i32>());
    0
}

#[inline(always)]
fn ends(ssl: u64, is_free: bool) {
    let key = key(ssl);
    let Some(connection) = (unsafe { CONNECTIONS.get(key) }) else { return };
    // OpenSSL itself clears what is to begin.
    if !is_free && connection.received == 0 && connection.sent == 0 {
        return;
    }
    let (id, place) = (connection.id, connection.hello_at);
    closed(id);
    // By now another connection may be listened for there.
    if place != 0 && unsafe { HELLOS.get(place) }.is_some_and(|hello| hello.connection == id) {
        let _ = HELLOS.remove(place);
    }
    if place != 0 && unsafe { NAMELESS.get(place) }.is_some_and(|nameless| *nameless == id) {
        let _ = NAMELESS.remove(place);
    }
    let _ = CONNECTIONS.remove(key);
}

/// Tells that a connection is over.
#[inline(always)]
fn closed(id: u64) {
    let header = Header { kind: kind::CLOSED, connection: id, offset: 0, length: 0 };
    if !put::<0>(&header, 0, 0) {
        counted(count::NOTICES_LOST);
    }
}

/// Tells who is at the other end of a connection.
#[inline(always)]
fn peer(id: u64, address: &SockAddr) {
    let Some(mut record) = RECORDS.reserve_bytes(HEADER_BYTES + SOCKADDR_BYTES + 4, 0) else {
        counted(count::NOTICES_LOST);
        return;
    };
    let bytes = record.as_mut_ptr();
    unsafe {
        bytes.add(at::KIND).cast::<u32>().write(u32::from(kind::PEER));
        bytes.add(at::PROCESS).cast::<u32>().write((thread() >> 32) as u32);
        bytes.add(at::CONNECTION).cast::<u64>().write(id);
        bytes.add(at::OFFSET).cast::<u64>().write(0);
        bytes.add(at::LENGTH).cast::<u64>().write(SOCKADDR_BYTES as u64);
        bytes.add(at::TIME).cast::<u64>().write(bpf_ktime_get_ns());
        bytes.add(at::COPIED).cast::<u32>().write(SOCKADDR_BYTES as u32);
        bytes.add(HEADER_BYTES).cast::<SockAddr>().write_unaligned(*address);
    }
    record.submit(NO_WAKEUP);
}

/// An accepted socket is none any more, or it is known whose it is: its hello is nobody's from now on.
#[inline(always)]
fn forget(place: u64) {
    let Some(accepted) = (unsafe { ACCEPTED.get(place) }) else { return };
    if accepted.is_greeted != 0 {
        let random = Random { process: place >> 32, bytes: accepted.random };
        if let Some(greeting) = GREETINGS.get_ptr_mut(random) {
            unsafe { (*greeting).id = 0 };
        }
        closed(accepted.id);
    }
    let _ = ACCEPTED.remove(place);
}

/// `SSL_free(ssl)`: the connection is over.
#[uprobe]
pub fn ssl_free(context: ProbeContext) -> u32 {
    ends(context.arg::<u64>(0).unwrap_or(0), true);
    0
}

/// `SSL_clear(ssl)`: the connection is over, and its `SSL` is for another one.
#[uprobe]
pub fn ssl_clear(context: ProbeContext) -> u32 {
    ends(context.arg::<u64>(0).unwrap_or(0), false);
    0
}

/// `SSL_set_fd(ssl, int fd)`: the connection's file descriptor, of which it is known who is at the other end.
#[uprobe]
pub fn ssl_set_fd(context: ProbeContext) -> u32 {
    let ssl = context.arg::<u64>(0).unwrap_or(0);
    let descriptor = context.arg::<i32>(1).unwrap_or(-1);
    let place = thread() >> 32 << 32 | u64::from(descriptor as u32);
    let address = unsafe { ACCEPTED.get(place) }.map(|accepted| accepted.address);
    // A hello was listened for, and its connection's end was not told: the `SSL` is used again for another client. That the same
    // descriptor is named twice is known by its address, which is used up.
    let is_used_again = unsafe { CONNECTIONS.get(key(ssl)) }
        .is_some_and(|known| known.hello_at != 0 && (address.is_some() || known.hello_at != place));
    if is_used_again {
        ends(ssl, true);
    }
    let Some(address) = address else { return 0 };
    forget(place);
    let Some(connection) = connection(&key(ssl)) else { return 0 };
    let id = unsafe { (*connection).id };
    let hello = Hello { connection: id, received: 0, wanted: HELLO_BYTES_MAX, head: [0; 2 * HEAD_ROOM] };
    if HELLOS.insert(place, hello, 0).is_ok() {
        unsafe { (*connection).hello_at = place };
    }
    named(place, id, &address);
    0
}

/// Tells a connection's address, or waits until its process asks for it.
#[inline(always)]
fn named(place: u64, id: u64, address: &SockAddr) {
    if is_known(address) {
        peer(id, address);
    } else {
        let _ = NAMELESS.insert(place, id, 0);
    }
}

/// Whether an address has a family.
#[inline(always)]
fn is_known(address: &SockAddr) -> bool {
    address.bytes[0] != 0 || address.bytes[1] != 0
}

/// `SSL_do_handshake(ssl)`, by which programs begin a handshake that give OpenSSL bytes from memory; others read at once.
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

/// `BIO_write(bio, bytes, int length)` within a handshake: a client's hello is written to the transcript as it was taken, in one piece
/// and without records around it.
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
    greeted(ssl, &random);
    0
}

/// An `SSL` has taken a client's hello: the accepted socket that brought it, and no other one, is its connection.
#[inline(always)]
fn greeted(ssl: u64, random: &Random) {
    let Some(greeting) = GREETINGS.get_ptr_mut(random) else { return };
    let Greeting { place, id } = unsafe { *greeting };
    if id == 0 {
        return;
    }
    unsafe { (*greeting).id = 0 };
    let Some(accepted) = (unsafe { ACCEPTED.get(place) }) else { return };
    if accepted.id != id {
        return;
    }
    let address = accepted.address;
    let _ = ACCEPTED.remove(place);
    // A connection begins with a hello: if this one has begun, its end was not told.
    ends(ssl, true);
    counted(count::CONNECTIONS);
    let new = Connection { id, received: 0, sent: 0, written: 0, hello_at: place };
    if CONNECTIONS.insert(key(ssl), new, NO_EXIST).is_ok() {
        named(place, id, &address);
    }
}

/// `accept` and `accept4` begin: their second argument is where the address will stand.
#[tracepoint]
pub fn accept_begins(context: TracePointContext) -> u32 {
    let thread = thread();
    if unsafe { PROCESSES.get((thread >> 32) as u32) }.is_none() {
        return 0;
    }
    let address = unsafe { context.read_at::<u64>(24) }.unwrap_or(0);
    let _ = ACCEPTS.insert(thread, address, 0);
    0
}

/// `accept` and `accept4` end with a file descriptor.
#[tracepoint]
pub fn accept_ends(context: TracePointContext) -> u32 {
    let thread = thread();
    let Some(address) = (unsafe { ACCEPTS.get(thread) }) else { return 0 };
    let address = *address;
    let _ = ACCEPTS.remove(thread);
    let descriptor = unsafe { context.read_at::<i64>(16) }.unwrap_or(-1);
    if descriptor < 0 {
        return 0;
    }
    let place = thread >> 32 << 32 | descriptor as u64;
    let unknown = SockAddr { bytes: [0; SOCKADDR_BYTES] };
    let address = unsafe { bpf_probe_read_user(address as *const SockAddr) }.unwrap_or(unknown);
    // What was there is over, also where its end was not heard.
    over(place);
    let id = number();
    let accepted = Accepted { id, address, is_greeted: 0, random: [0; RANDOM_BYTES] };
    let _ = ACCEPTED.insert(place, accepted, 0);
    let hello = Hello { connection: id, received: 0, wanted: HELLO_BYTES_MAX, head: [0; 2 * HEAD_ROOM] };
    let _ = HELLOS.insert(place, hello, 0);
    0
}

/// A file descriptor is no accepted connection's any more.
#[inline(always)]
fn over(place: u64) {
    forget(place);
    let _ = HELLOS.remove(place);
    let _ = NAMELESS.remove(place);
}

/// `getpeername(fd, address, ...)`: how programs ask that did not when they accepted the connection.
#[tracepoint]
pub fn name_begins(context: TracePointContext) -> u32 {
    let thread = thread();
    if unsafe { PROCESSES.get((thread >> 32) as u32) }.is_none() {
        return 0;
    }
    let descriptor = unsafe { context.read_at::<u64>(16) }.unwrap_or(u64::MAX) as u32;
    let place = thread >> 32 << 32 | u64::from(descriptor);
    let is_asked_for = unsafe { NAMELESS.get(place) }.is_some()
        || unsafe { ACCEPTED.get(place) }.is_some_and(|accepted| !is_known(&accepted.address));
    if is_asked_for {
        let buffer = unsafe { context.read_at::<u64>(24) }.unwrap_or(0);
        let _ = ASKS.insert(thread, Receive { place, buffer }, 0);
    }
    0
}

/// Its end.
#[tracepoint]
pub fn name_ends(context: TracePointContext) -> u32 {
    let thread = thread();
    let Some(ask) = (unsafe { ASKS.get(thread) }) else { return 0 };
    let Receive { place, buffer } = *ask;
    let _ = ASKS.remove(thread);
    if unsafe { context.read_at::<i64>(16) }.unwrap_or(-1) != 0 {
        return 0;
    }
    let Ok(address) = (unsafe { bpf_probe_read_user(buffer as *const SockAddr) }) else { return 0 };
    if let Some(id) = unsafe { NAMELESS.get(place) } {
        peer(*id, &address);
        let _ = NAMELESS.remove(place);
    } else if let Some(accepted) = ACCEPTED.get_ptr_mut(place) {
        unsafe { (*accepted).address = address };
    }
    0
}

#[inline(always)]
fn socket_begins(context: &TracePointContext) {
    let thread = thread();
    if unsafe { PROCESSES.get((thread >> 32) as u32) }.is_none() {
        return;
    }
    let descriptor = unsafe { context.read_at::<u64>(16) }.unwrap_or(u64::MAX) as u32;
    let place = thread >> 32 << 32 | u64::from(descriptor);
    if unsafe { HELLOS.get(place) }.is_none() {
        return;
    }
    let buffer = unsafe { context.read_at::<u64>(24) }.unwrap_or(0);
    if RECEIVES.insert(thread, Receive { place, buffer }, 0).is_err() {
        // Without this piece the others are nothing.
        counted(count::HELLO_FULL);
        let _ = HELLOS.remove(place);
    }
}

/// `read(fd, buffer, length)`: where it is of a connection whose client's hello is not whole, its end is of interest.
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

/// Whether what a connection begins with may be a hello of TLS, as far as it was heard; and how many bytes are wanted of it,
/// once that is known.
#[inline(always)]
fn wanted(hello: &Hello, known: u64) -> Option<u64> {
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
    let received = hello.received;
    let length = if length > HELLO_BYTES_MAX as i64 { HELLO_BYTES_MAX } else { length as u64 };
    let mut known = received;
    if received < HEAD_BYTES {
        let missing = HEAD_BYTES - received;
        let more = (if length < missing { length } else { missing }) & (HEAD_ROOM as u64 - 1);
        let place = (received & (HEAD_ROOM as u64 - 1)) as usize;
        let at = unsafe { hello.head.as_mut_ptr().add(place) };
        if unsafe { generated::bpf_probe_read_user(at.cast(), more as u32, receive.buffer as *const _) } != 0 {
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
    let header = Header {
        kind: kind::HELLO,
        connection: hello.connection,
        offset: received,
        length: copy,
    };
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
        counted(count::HELLO_TWICE);
        if let Some(greeting) = GREETINGS.get_ptr_mut(random) {
            unsafe { (*greeting).id = 0 };
        }
    }
}

/// Hands a piece of a hello on.
#[inline(always)]
fn piece(header: &Header, source: u64, copy: u64) -> bool {
    if copy <= HELLO_CLASSES[0] as u64 {
        put::<{ HELLO_CLASSES[0] }>(header, source, copy)
    } else if copy <= HELLO_CLASSES[1] as u64 {
        put::<{ HELLO_CLASSES[1] }>(header, source, copy)
    } else if copy <= HELLO_CLASSES[2] as u64 {
        put::<{ HELLO_CLASSES[2] }>(header, source, copy)
    } else {
        put::<{ HELLO_CLASSES[3] }>(header, source, copy)
    }
}

/// `close(fd)` and `connect(fd, ...)`: the file descriptor is no accepted connection's any more. What is read from it later must not be
/// taken for a hello, nor handed on.
#[tracepoint]
pub fn descriptor_is_over(context: TracePointContext) -> u32 {
    let thread = thread();
    if unsafe { PROCESSES.get((thread >> 32) as u32) }.is_none() {
        return 0;
    }
    let descriptor = unsafe { context.read_at::<u64>(16) }.unwrap_or(u64::MAX) as u32;
    let place = thread >> 32 << 32 | u64::from(descriptor);
    over(place);
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No panic is left when this is compiled: the verifier refuses a loop without end.
    loop {}
}

/// What the kernel asks of programs that use some of its helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

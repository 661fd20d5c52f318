//! What is kept between programs, and by what.

use crate::layout::{CONNECTIONS_MAX, HELLO_BYTES_MAX, PROCESSES_MAX, READS_MAX, count, kind};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuHashMap};

/// `BPF_NOEXIST`.
pub(crate) const NO_EXIST: u64 = 1;

/// `BPF_F_NO_PREALLOC`: room for a process is taken when there is one.
const NO_PREALLOC: u32 = 1;

/// Bytes of a client's random.
pub(crate) const RANDOM_BYTES: usize = 32;

/// The next power of two.
pub(crate) const HEAD_ROOM: usize = 64;

/// Bytes of the longest `sockaddr` that is handed on: `sockaddr_in6`.
pub(crate) const SOCKADDR_BYTES: usize = 28;

/// Whose an `SSL` is.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) process: u64,
    pub(crate) ssl: u64,
}

/// A connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    /// Bytes of each direction so far.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Length of the write that was begun last, if nothing was asked of the connection since.
    pub(crate) written: u64,
    /// Process and file descriptor of its socket; 0 where that is not known.
    pub(crate) socket_at: u64,
    /// 1 where its client's hello said which socket that is.
    pub(crate) is_greeted: u64,
}

/// A client's hello that is not whole yet.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Hello {
    pub(crate) connection: u64,
    /// Bytes so far.
    pub(crate) received: u64,
    /// Bytes that are wanted in all.
    pub(crate) wanted: u64,
    /// Since when it is listened for, in nanoseconds since boot: user space waits for it no longer than it is
    /// told.
    pub(crate) since: u64,
    /// The first of them: the header of a record, and of the handshake's message what there is up to the
    /// random. The rest is room for the verifier.
    pub(crate) head: [u8; 2 * HEAD_ROOM],
}

/// An accepted socket that no `SSL` is known to have.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    /// What was handed on of its client's hello is of this connection.
    pub(crate) id: u64,
    /// Noughts where it is not known.
    pub(crate) address: SockAddr,
    /// 1 where something was handed on.
    pub(crate) is_greeted: u32,
    /// That of its client; noughts while it is not known.
    pub(crate) random: [u8; RANDOM_BYTES],
}

/// What a client's hello is known by in a process.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Random {
    pub(crate) process: u64,
    pub(crate) bytes: [u8; RANDOM_BYTES],
}

/// The accepted socket that brought a hello.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Greeting {
    pub(crate) place: u64,
    /// Its connection; 0 where the random is not to be taken for anybody's any more: an `SSL` has taken the
    /// hello, or the socket was closed, or another one brought the same.
    pub(crate) id: u64,
}

/// A read from a socket that has not returned, or a question who is at its other end.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Receive {
    pub(crate) place: u64,
    pub(crate) buffer: u64,
    /// Whose the socket was when it began: by its end another thread may have closed it, and another one may
    /// have its descriptor.
    pub(crate) connection: u64,
}

/// A read that has not returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub(crate) ssl: u64,
    pub(crate) buffer: u64,
    /// Where `SSL_read_ex` will say how much it read; 0 for `SSL_read`.
    pub(crate) length_at: u64,
}

/// An address with a port, as the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SockAddr {
    pub(crate) bytes: [u8; SOCKADDR_BYTES],
}

#[map]
pub(crate) static CONNECTIONS: HashMap<Key, Connection> = HashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// By thread.
#[map]
pub(crate) static READS: HashMap<u64, Read> = HashMap::with_max_entries(READS_MAX, 0);

/// Where a thread that accepts a connection will find the other end's address.
#[map]
pub(crate) static ACCEPTS: HashMap<u64, u64> = HashMap::with_max_entries(READS_MAX, 0);

/// Accepted sockets, by process and file descriptor, until it is known which `SSL` has it.
#[map]
pub(crate) static ACCEPTED: LruHashMap<u64, Accepted> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// Which socket brought a hello. What is used up stays as long as there is room, so that who sends it again
/// is nobody.
#[map]
pub(crate) static GREETINGS: LruHashMap<Random, Greeting> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// By thread: the `SSL` whose handshake it is at.
#[map]
pub(crate) static HANDSHAKES: HashMap<u64, u64> = HashMap::with_max_entries(READS_MAX, 0);

/// Connections whose address was not asked for when they were accepted, by process and file descriptor.
#[map]
pub(crate) static NAMELESS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

/// Threads that ask for it, and where they will find it.
#[map]
pub(crate) static ASKS: HashMap<u64, Receive> = HashMap::with_max_entries(READS_MAX, 0);

/// Hellos that are listened for, by process and file descriptor.
#[map]
pub(crate) static HELLOS: LruHashMap<u64, Hello> = LruHashMap::with_max_entries(CONNECTIONS_MAX, 0);

impl Hello {
    /// That of a connection of which nothing was heard yet.
    #[inline(always)]
    pub(crate) fn of(connection: u64) -> Self {
        let since = unsafe { bpf_ktime_get_ns() };
        Self { connection, received: 0, wanted: HELLO_BYTES_MAX, since, head: [0; 2 * HEAD_ROOM] }
    }
}

/// Reads of such a file descriptor, by thread.
#[map]
pub(crate) static RECEIVES: HashMap<u64, Receive> = HashMap::with_max_entries(READS_MAX, 0);

/// Processes that are traced: system calls are everybody's.
#[map]
pub(crate) static PROCESSES: HashMap<u32, u8> = HashMap::with_max_entries(PROCESSES_MAX, 0);

/// What is counted of each process that is traced.
#[map]
static COUNTS: PerCpuHashMap<u32, [u64; count::ALL]> =
    PerCpuHashMap::with_max_entries(PROCESSES_MAX, NO_PREALLOC);

#[inline(always)]
pub(crate) fn counted(which: usize) {
    let Some(counts) = COUNTS.get_ptr_mut((thread() >> 32) as u32) else { return };
    // The value is this processor's own.
    unsafe { (*counts)[which] += 1 };
}

/// Counts a message of this process's.
#[inline(always)]
pub(crate) fn heard(kind: u8, length: u64) {
    let Some(counts) = COUNTS.get_ptr_mut((thread() >> 32) as u32) else { return };
    let counts = unsafe { &mut *counts };
    if kind == kind::RECEIVED {
        counts[count::RECEIVED] += 1;
        counts[count::RECEIVED_BYTES] += length;
    } else {
        counts[count::SENT] += 1;
        counts[count::SENT_BYTES] += length;
    }
}

#[inline(always)]
pub(crate) fn thread() -> u64 {
    bpf_get_current_pid_tgid()
}

#[inline(always)]
pub(crate) fn key(ssl: u64) -> Key {
    Key { process: thread() >> 32, ssl }
}

/// A number that no other connection has.
#[inline(always)]
pub(crate) fn number() -> u64 {
    let processor = u64::from(unsafe { bpf_get_smp_processor_id() });
    // A count could be read twice where a program is interrupted by another; a processor's time is not.
    unsafe { bpf_ktime_get_ns() << 12 | processor & 0xfff }
}

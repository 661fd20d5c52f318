//! Accepted sockets, by file descriptor: who is at the other end, and when they are over.

use crate::records::{closed, peer};
use crate::state::{
    ACCEPTED, ACCEPTS, ASKS, Accepted, GREETINGS, HELLOS, Hello, NAMELESS, PROCESSES,
    RANDOM_BYTES, Random, Receive, SOCKADDR_BYTES, SockAddr, number, thread,
};
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

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
    let _ = HELLOS.insert(place, Hello::of(id), 0);
    0
}

/// A file descriptor is no accepted connection's any more.
#[inline(always)]
fn over(place: u64) {
    forget(place);
    let _ = HELLOS.remove(place);
    let _ = NAMELESS.remove(place);
}

/// An accepted socket is none any more, or it is known whose it is: its hello is nobody's from now on.
#[inline(always)]
pub(crate) fn forget(place: u64) {
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

/// `close(fd)` and `connect(fd, ...)`: the file descriptor is no accepted connection's any more. What is read
/// from it later must not be taken for a hello, nor handed on.
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

/// Tells a connection's address, or waits until its process asks for it.
#[inline(always)]
pub(crate) fn named(place: u64, id: u64, address: &SockAddr) {
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

/// `getpeername(fd, address, ...)`: how programs ask that did not when they accepted the connection.
#[tracepoint]
pub fn name_begins(context: TracePointContext) -> u32 {
    let thread = thread();
    if unsafe { PROCESSES.get((thread >> 32) as u32) }.is_none() {
        return 0;
    }
    let descriptor = unsafe { context.read_at::<u64>(16) }.unwrap_or(u64::MAX) as u32;
    let place = thread >> 32 << 32 | u64::from(descriptor);
    let connection = match (unsafe { NAMELESS.get(place) }, unsafe { ACCEPTED.get(place) }) {
        (Some(id), _) => *id,
        (None, Some(accepted)) if !is_known(&accepted.address) => accepted.id,
        _ => return 0,
    };
    let buffer = unsafe { context.read_at::<u64>(24) }.unwrap_or(0);
    let _ = ASKS.insert(thread, Receive { place, buffer, connection }, 0);
    0
}

/// Its end.
#[tracepoint]
pub fn name_ends(context: TracePointContext) -> u32 {
    let thread = thread();
    let Some(ask) = (unsafe { ASKS.get(thread) }) else { return 0 };
    let Receive { place, buffer, connection } = *ask;
    let _ = ASKS.remove(thread);
    if unsafe { context.read_at::<i64>(16) }.unwrap_or(-1) != 0 {
        return 0;
    }
    let Ok(address) = (unsafe { bpf_probe_read_user(buffer as *const SockAddr) }) else { return 0 };
    if unsafe { NAMELESS.get(place) }.is_some_and(|id| *id == connection) {
        peer(connection, &address);
        let _ = NAMELESS.remove(place);
    } else if let Some(accepted) =
        ACCEPTED.get_ptr_mut(place).filter(|own| unsafe { (**own).id } == connection)
    {
        unsafe { (*accepted).address = address };
    }
    0
}

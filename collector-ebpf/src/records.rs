//! Records for user space.

use crate::layout::{CLASSES, HEADER_BYTES, HELLO_CLASSES, at, count, kind};
use crate::state::{SOCKADDR_BYTES, SockAddr, counted, heard, thread};
use aya_ebpf::helpers::{bpf_ktime_get_ns, generated};
use aya_ebpf::macros::map;
use aya_ebpf::maps::RingBuf;

/// `BPF_RB_NO_WAKEUP`: user space looks by itself.
const NO_WAKEUP: u64 = 1;

/// Records for user space, which says how large it is.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Most bytes that are copied of a message; set by the loader.
#[unsafe(no_mangle)]
static COPY_BYTES_MAX: u64 = 16_384;

/// What a header says.
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) connection: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
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
            && generated::bpf_probe_read_user(
                bytes.add(HEADER_BYTES).cast(),
                copied as u32,
                source as *const _,
            ) != 0
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
pub(crate) fn message(header: &Header, source: u64) {
    heard(header.kind, header.length);
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

/// Hands a piece of a hello on.
#[inline(always)]
pub(crate) fn piece(header: &Header, source: u64, copy: u64) -> bool {
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

/// Tells that a connection is over.
#[inline(always)]
pub(crate) fn closed(id: u64) {
    let header = Header { kind: kind::CLOSED, connection: id, offset: 0, length: 0 };
    if !put::<0>(&header, 0, 0) {
        counted(count::NOTICES_LOST);
    }
}

/// Tells who is at the other end of a connection.
#[inline(always)]
pub(crate) fn peer(id: u64, address: &SockAddr) {
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

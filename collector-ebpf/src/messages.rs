//! What goes over a connection in plain text.
//!
//! A write is taken at its entry. Where it was not accepted, OpenSSL's users ask `SSL_get_error` and must
//! send the same bytes again: then the stream is set back, and user space drops what it has already. A read
//! is taken at its return, because only then the buffer is filled.

use crate::connections::connection;
use crate::layout::{count, kind};
use crate::records::{Header, message};
use crate::state::{CONNECTIONS, READS, Read, counted, heard, key, thread};
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

/// `SSL_write(ssl, buffer, int length)` and `SSL_write_ex(ssl, buffer, size_t length, size_t *written)`.
#[inline(always)]
pub(crate) fn written(ssl: u64, buffer: u64, length: u64) {
    if length == 0 {
        return;
    }
    let Some(connection) = connection(&key(ssl)) else {
        heard(kind::SENT, length);
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
        heard(kind::RECEIVED, length);
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

//! Connections: a process and the address of its `SSL`, from its first message to `SSL_free` or `SSL_clear`.

use crate::layout::count;
use crate::records::closed;
use crate::state::{CONNECTIONS, Connection, HELLOS, Key, NAMELESS, NO_EXIST, counted, key, number};
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;

/// The connection of an `SSL`, which begins here where it is new.
#[inline(always)]
pub(crate) fn connection(key: &Key) -> Option<*mut Connection> {
    if let Some(known) = CONNECTIONS.get_ptr_mut(key) {
        return Some(known);
    }
    counted(count::CONNECTIONS);
    let new = Connection { id: number(), received: 0, sent: 0, written: 0, socket_at: 0, is_greeted: 0 };
    CONNECTIONS.insert(key, &new, NO_EXIST).ok()?;
    CONNECTIONS.get_ptr_mut(key)
}

#[inline(always)]
pub(crate) fn ends(ssl: u64, is_free: bool) {
    let key = key(ssl);
    let Some(connection) = (unsafe { CONNECTIONS.get(key) }) else { return };
    // OpenSSL itself clears what is to begin, but nothing whose hello it has taken.
    if !is_free && connection.is_greeted == 0 && connection.received == 0 && connection.sent == 0 {
        return;
    }
    let (id, place) = (connection.id, connection.socket_at);
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

//! The programs of the kernel side, and what each is attached to.

// A build that cannot trace knows their names only.
#![cfg_attr(not(feature = "ebpf"), allow(dead_code))]

/// The programs by their names, in the order in which they are told of.
pub const PROBE_NAMES: [&str; 20] = [
    "ssl_read",
    "ssl_read_ex",
    "ssl_read_return",
    "ssl_write",
    "ssl_write_ex",
    "ssl_get_error",
    "ssl_set_fd",
    "ssl_clear",
    "ssl_free",
    "ssl_do_handshake",
    "ssl_do_handshake_return",
    "bio_write",
    "socket_read_begins",
    "socket_receive_begins",
    "socket_read_ends",
    "descriptor_is_over",
    "accept_begins",
    "accept_ends",
    "name_begins",
    "name_ends",
];

/// Programs and the functions that they are attached to, in this order: an end that is not heard would make
/// one connection of two, because an `SSL`'s address is used again; and an answer is heard before what it
/// answers.
pub(crate) const PROBES: [(&str, &str); 10] = [
    ("ssl_free", "SSL_free"),
    ("ssl_clear", "SSL_clear"),
    ("ssl_set_fd", "SSL_set_fd"),
    ("ssl_get_error", "SSL_get_error"),
    ("ssl_write", "SSL_write"),
    ("ssl_write_ex", "SSL_write_ex"),
    ("ssl_read_return", "SSL_read"),
    ("ssl_read_return", "SSL_read_ex"),
    ("ssl_read", "SSL_read"),
    ("ssl_read_ex", "SSL_read_ex"),
];

/// Likewise, where a process may hand OpenSSL bytes from memory: by these it is known which accepted
/// connection an `SSL` has.
pub(crate) const HANDSHAKE_PROBES: [(&str, &str); 2] =
    [("ssl_do_handshake_return", "SSL_do_handshake"), ("ssl_do_handshake", "SSL_do_handshake")];
pub(crate) const BIO_PROBE: (&str, &str) = ("bio_write", "BIO_write");

/// Ends before beginnings here too: a beginning that is not followed to its end would be taken for that of
/// the next.
pub(crate) const TRACE_POINTS: [(&str, &str); 12] = [
    ("socket_read_ends", "sys_exit_read"),
    ("socket_read_ends", "sys_exit_recvfrom"),
    ("socket_read_begins", "sys_enter_read"),
    ("socket_receive_begins", "sys_enter_recvfrom"),
    ("descriptor_is_over", "sys_enter_close"),
    ("descriptor_is_over", "sys_enter_connect"),
    ("accept_begins", "sys_enter_accept"),
    ("accept_begins", "sys_enter_accept4"),
    ("accept_ends", "sys_exit_accept"),
    ("accept_ends", "sys_exit_accept4"),
    ("name_ends", "sys_exit_getpeername"),
    ("name_begins", "sys_enter_getpeername"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_program_that_is_attached_is_told_of() {
        let lists = [&PROBES[..], &HANDSHAKE_PROBES, &[BIO_PROBE], &TRACE_POINTS];
        let attached: BTreeSet<&str> = lists.into_iter().flatten().map(|(program, _)| *program).collect();
        assert_eq!(attached, PROBE_NAMES.into_iter().collect());
    }
}

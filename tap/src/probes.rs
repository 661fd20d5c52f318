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

/// Those of them that are attached to functions, and not to system calls.
pub const PLACED_PROBES: &[&str] = PROBE_NAMES.split_at(12).0;

/// A program, and what it listens to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProbeOf {
    pub(crate) program: &'static str,
    pub(crate) function: &'static str,
    /// It runs when the function returns, and not when it is called.
    pub(crate) at_return: bool,
    /// How many of the function's arguments, from the first on, have to be there when it runs.
    pub(crate) arguments: usize,
}

const fn call(program: &'static str, function: &'static str, arguments: usize) -> ProbeOf {
    ProbeOf { program, function, at_return: false, arguments }
}

const fn end(program: &'static str, function: &'static str) -> ProbeOf {
    ProbeOf { program, function, at_return: true, arguments: 0 }
}

/// What is attached, in this order: an end that is not heard would make one connection of two, because an
/// `SSL`'s address is used again; and an answer is heard before what it answers.
pub(crate) const PROBES: [ProbeOf; 10] = [
    call("ssl_free", "SSL_free", 1),
    call("ssl_clear", "SSL_clear", 1),
    call("ssl_set_fd", "SSL_set_fd", 2),
    call("ssl_get_error", "SSL_get_error", 2),
    call("ssl_write", "SSL_write", 3),
    call("ssl_write_ex", "SSL_write_ex", 3),
    end("ssl_read_return", "SSL_read"),
    end("ssl_read_return", "SSL_read_ex"),
    call("ssl_read", "SSL_read", 2),
    call("ssl_read_ex", "SSL_read_ex", 4),
];

/// Likewise, where a process may hand OpenSSL bytes from memory: by these it is known which accepted
/// connection an `SSL` has.
pub(crate) const HANDSHAKE_PROBES: [ProbeOf; 2] =
    [end("ssl_do_handshake_return", "SSL_do_handshake"), call("ssl_do_handshake", "SSL_do_handshake", 1)];
pub(crate) const BIO_PROBE: ProbeOf = call("bio_write", "BIO_write", 3);

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
        let of_functions: BTreeSet<&str> = PLACED_PROBES.iter().copied().collect();
        let placed = PROBES.iter().chain(&HANDSHAKE_PROBES).chain([&BIO_PROBE]).map(|probe| probe.program);
        assert_eq!(placed.clone().collect::<BTreeSet<_>>(), of_functions);
        let attached: BTreeSet<&str> =
            placed.chain(TRACE_POINTS.iter().map(|(program, _)| *program)).collect();
        assert_eq!(attached, PROBE_NAMES.into_iter().collect());
    }
}

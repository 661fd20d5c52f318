//! The kernel side of Weir's collector: what the TLS library of a traced process reads and writes, in plain
//! text.
//!
//! Probes of OpenSSL's functions hand messages on through a ring buffer: a header, and the first bytes of the
//! message. Where in its stream a message stands is counted here, for every message, so that user space knows
//! to the byte what was not handed on, whatever the reason. Nobody is ever waited for, and nobody is woken:
//! user space looks by itself.
//!
//! `messages` are what goes over a connection, and `connections` begin and end; `sockets` are accepted, and
//! `hellos` are what clients begin them with; `owners` tells which connection has which socket. They keep
//! what is in `state`, and write `records`, which `layout` tells user space too.
//!
//! Every `unsafe` here is a helper of the kernel's, or a value of a map: the verifier has proved each access
//! before the program runs.
#![no_std]
#![no_main]

mod connections;
mod hellos;
mod layout;
mod messages;
mod owners;
mod records;
mod sockets;
mod state;

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

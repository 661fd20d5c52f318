//! The early word: a verdict of a high score, or a tripwire that a request met, is told in one authenticated
//! datagram before it is in the log, so that whoever answers gateways may slow its account down a little
//! sooner. It is never the record: what holds is what the log says.
//!
//! [`packet`] is the bytes, [`keys`] who may say anything and until when, [`receive`] what is believed of
//! what comes, in which order, with [`window`] against what was heard before and [`bucket`] against too much
//! of it. [`limits`] bounds all of it. Nothing here reads a clock or a socket: both are handed in.

pub mod bucket;
pub mod keys;
pub mod limits;
pub mod packet;
pub mod receive;
pub mod window;

pub use keys::{Key, Keys, KeysError, Role};
pub use packet::{Alert, Judged, PacketError, Tripwire, Word, source_of};
pub use receive::{Believed, Cause, Receiver};

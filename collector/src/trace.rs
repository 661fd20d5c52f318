//! What a process says and hears, as a source: a tap hands on the plaintext of its connections, and requests
//! and their responses become events.
//!
//! A connection begins with its client's hello, which `hello` keeps until it is whole, `client_hello` reads,
//! and of which `fingerprint` tells the client's program.
//!
//! A chunk's way: `stream` knows what is missing before it; `http1` finds messages in it, or `frames` finds
//! those of HTTP/2; `joint` or `http2` joins requests and responses; an `exchange` has its credential hidden
//! as soon as a head is complete, and no more kept of it where its account is left out, as `budget` asks for;
//! `record` writes an exchange as the reader of formats reads them all; [`TraceSource`] makes batches of
//! them, which are `waiting`, on the disk where there is a spool; [`Handover`] commits. What the tap is does
//! not matter here. Every loss is counted by its cause, and nothing is made up for what was not heard.

mod batch;
mod budget;
mod client_hello;
mod connection;
mod exchange;
mod fingerprint;
mod frames;
mod handover;
mod head;
mod heard;
mod hello;
mod hpack;
mod http1;
mod http2;
mod joint;
mod loss;
mod packed;
mod record;
mod settings;
mod source;
mod sse;
mod stored;
mod stream;
mod table;
mod taker;
mod waiting;

pub use budget::{Budget, Window};
pub use fingerprint::Fingerprint;
pub use handover::{Handover, TraceProgress};
pub use heard::{Chunk, ConnectionId, Heard, Way};
pub use hello::Hello;
pub use loss::{Loss, Losses};
pub use source::{TraceConfig, TraceSource};
pub use waiting::Waits;

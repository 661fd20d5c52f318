//! What a process says and hears, as a source: a tap hands on the plaintext of its connections, and requests and their
//! responses become events.
//!
//! A chunk's way: `stream` knows what is missing before it; `http1` finds messages in it, or `frames` finds those of HTTP/2;
//! `joint` or `http2` joins requests and responses; an `exchange` has its credential hidden as soon as a head is complete; `record` writes an exchange as the reader of formats
//! reads them all; [`TraceSource`] commits. What the tap is does not matter here. Every loss is counted by its cause, and
//! nothing is made up for what was not heard.

mod connection;
mod exchange;
mod frames;
mod head;
mod heard;
mod hpack;
mod http1;
mod http2;
mod joint;
mod loss;
mod record;
mod settings;
mod source;
mod sse;
mod stored;
mod stream;
mod table;
mod taker;

pub use heard::{Chunk, ConnectionId, Heard, Way};
pub use loss::{Loss, Losses};
pub use source::{TraceConfig, TraceProgress, TraceSource};

//! Every bound of the listener, in one place. What a request may hold is the collector's business.

use std::time::Duration;

/// Most connections; further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 256;

/// Most requests that are read or wait for their commit; further ones are told to come again.
pub const REQUESTS_MAX: usize = 128;

/// Most bytes of bodies that are held, in sizes of the largest body that is allowed.
pub const HELD_BODIES_MAX: usize = 2;

/// Most bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Most headers of a request.
pub const HEADERS_MAX: usize = 64;

/// How long a client may take for a request's head, and may keep a connection without one.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(15);

/// How long a client may take for a request's body.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a request waits for its commit. Exporters wait for 10 s, mostly.
pub const COMMIT_TIME_MAX: Duration = Duration::from_secs(30);

/// How long requests that are under way have when the process is told to stop.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Most bytes of bodies that one commit takes, as they came; the last may exceed it.
pub const COMMIT_BYTES_MAX: usize = 8 << 20;

/// How often somebody who waits looks whether to stop.
pub const LOOK: Duration = Duration::from_millis(50);

/// When a client should come again, in seconds.
pub const RETRY_AFTER_S: u32 = 1;

/// Most certificates of a chain, or of authorities that clients' certificates are checked against.
pub const CLIENT_CERTIFICATES_MAX: usize = 64;

/// Largest file of tokens, in bytes.
pub const TOKEN_FILE_BYTES_MAX: u64 = 16 << 10;

/// Shortest token, in bytes: what can be guessed is none.
pub const TOKEN_BYTES_MIN: usize = 16;

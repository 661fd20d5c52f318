//! Every bound of the decision server, in one place.

use std::time::Duration;

/// Most connections; further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Most requests at once on a connection of HTTP/2.
pub const STREAMS_MAX: u32 = 256;

/// Most bytes of a request's head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Most headers of a request.
pub const HEADERS_MAX: usize = 100;

/// Most bytes of a gRPC message. Envoy sends all headers, and a body where it is told to; none is needed.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a question in length-prefixed JSON.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// Most bytes of a message to health or reflection, which name a service or a file.
pub const PROBE_BYTES_MAX: usize = 4 << 10;

/// Most keys that a request is asked for; one with more is refused, because nobody would know whose it is.
pub const KEYS_MAX: usize = 64;

/// Descriptors of a question to the rate-limit service.
pub const DESCRIPTORS_MAX: usize = 64;

/// As how many requests one may count that Envoy asks about; what says more counts as so many.
pub const HITS_MAX: u32 = 1_000_000;

/// How old a connection of HTTP/2 may grow. Then its peer is told to ask on another, so that servers that
/// were added get their share, and none is held for good.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);

/// How long a connection may be without its first request, and one of HTTP/1.1 without its next: longer than
/// nginx keeps one that is idle, so that no request meets a connection that is being closed.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(75);

/// How long a gateway may take to make its connection secret.
pub const TLS_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a request may take, from its head to the head of its answer. An answer takes microseconds, or
/// what Redis takes.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);

/// How often a peer of HTTP/2 that says nothing is asked whether it is there, and how long it may take to say
/// so.
pub const PING_EVERY: Duration = Duration::from_secs(30);
/// See [`PING_EVERY`].
pub const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// How long requests that are under way have when their connection is to end: it is too old, or the process
/// is told to stop.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Most requests that wait for Redis at once; further ones are counted by this server alone.
pub const REDIS_WAITERS_MAX: usize = 64;

/// For how long Redis is left alone after it did not answer.
pub const REDIS_REST: Duration = Duration::from_secs(1);

//! The Kafka log against a real broker, named by `WEIR_BROKERS` (`cargo xtask kafka up` starts one).
//!
//! Without a broker these tests say so and pass, except in CI, where they fail. What a real broker
//! cannot be made to do on purpose runs on librdkafka's mock, which proves nothing about transactions
//! but shows errors faithfully.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "a test says by a panic what went wrong")]

mod fencing;
mod membership;
mod mock;
mod reading;
mod shared;
mod support;
mod topics;

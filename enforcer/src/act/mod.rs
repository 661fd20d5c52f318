//! Carries actions out in the world: in Redis, which gateways share, at a key-management server, and at
//! LiteLLM's proxy.
//!
//! An effect is a **hold**: it is put on an account under its action's id, and let go under the same id. An
//! account is suspended while any hold on it says so. So effects of several actions need no order among them,
//! and doing one twice is doing it once. Letting go wins over putting on, whichever comes first: an executor
//! that was held up for long cannot bring back what another one ended. That is the fencing, and it is where
//! the effect is.
//!
//! [`executor`] reads `weir.actions` and answers on `weir.outcomes`; [`actuator`] is what it drives.

pub mod actuator;
mod breaker;
pub mod executor;
pub mod litellm;
pub mod redis;
#[cfg(test)]
mod tests;
pub mod webhook;

//! The services of the stack, and how they are spoken to.

use std::time::Duration;

use anyhow::Result;

use super::engine::Engine;
use crate::sandbox::wait_within;
use crate::shell::output;

/// Longest wait for something that must happen, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Services that make what is missing, and end.
pub const MAKERS: [&str; 2] = ["keys", "topics"];
/// Weir's roles: each has a health check.
pub const ROLES: [&str; 4] = ["collector", "processor", "enforcer", "decide"];
/// What they stand on, and what watches them.
pub const SURROUNDINGS: [&str; 5] = ["kafka", "redis", "gateway", "prometheus", "alertmanager"];

/// One of an operator's commands, as the compose file's header says it; what it printed.
///
/// # Errors
/// When it does not end well.
pub fn operator(engine: &Engine, words: &[&str]) -> Result<String> {
    let arguments = [&["run", "--rm", "-T", "operator"], words].concat();
    let said = output(engine.compose(&arguments), &format!("weir {}", words.join(" ")))?;
    Ok(String::from_utf8(said)?)
}

/// What podman says of a service's container: its status, and with which code it ended last.
///
/// # Errors
/// When there is no such container.
pub fn state(engine: &Engine, service: &str) -> Result<String> {
    let container = engine.container(service)?;
    engine.ask(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &container])
}

/// Whether the service's own health check says so, run as an engine runs it.
///
/// # Errors
/// When there is no such container.
pub fn is_healthy(engine: &Engine, service: &str) -> Result<bool> {
    let container = engine.container(service)?;
    Ok(output(engine.podman(["healthcheck", "run", &container]), "unhealthy").is_ok())
}

/// Waits until something that must happen has.
///
/// # Errors
/// When it has not for five minutes, or looking fails.
pub fn until(what: &str, done: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_within(PATIENCE, Duration::from_millis(250), what, done)
}

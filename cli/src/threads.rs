//! Threads that work for a while beside another, and what they come to.

use anyhow::{Context as _, Result};
use std::thread::{Scope, ScopedJoinHandle};

/// A thread with this name, of which the kernel keeps 15 bytes.
pub fn named<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    run: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    match std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run) {
        Ok(thread) => thread,
        // As `Scope::spawn` does.
        Err(error) => panic!("no thread for the {name}: {error}"),
    }
}

/// What a thread came to.
pub fn joined(outcome: std::thread::Result<Result<()>>, what: &str) -> Result<()> {
    outcome
        .map_err(|_| anyhow::anyhow!("{what}'s thread panicked; please report it"))?
        .with_context(|| format!("{what} ended"))
}

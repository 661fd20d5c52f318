//! The `weir` binary: every role, and the operator's commands.

mod commands;
mod context;
mod health;
mod keys;
mod lab;
mod lag;
mod listen;
mod roles;
mod security;
mod serve;
mod settings;
mod simulated;
mod status;
mod supervise;
mod telemetry;
mod times;
mod trace;
mod trust;
mod view;

use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::CommandLine::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // The whole chain of causes: the last one is usually the one to act on.
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

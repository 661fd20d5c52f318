//! The `weir` binary: every role, and the operator's commands.

// What is said goes through `output`, which knows what to do when nobody reads it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

mod commands;
mod context;
mod cpu;
mod fast_path;
mod follow;
mod health;
mod keys;
mod lab;
mod lag;
mod listen;
mod liveness;
mod pages;
mod roles;
mod security;
mod serve;
mod settings;
mod simulated;
mod status;
mod supervise;
mod telemetry;
mod tenants;
mod threads;
mod times;
mod top;
mod trace;
mod trust;
mod view;
mod whole;

use clap::Parser as _;
use output::Undelivered;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = commands::CommandLine::parse().run();
    match (outcome, output::delivered()) {
        (outcome, Err(Undelivered::ReaderGone)) => {
            // What it was to do may have failed as well; that its answer was not read nobody has to be told.
            if let Err(error) = outcome
                && !output::is_broken_pipe(&error)
            {
                note!("weir: {error:#}");
            }
            output::end_by_sigpipe();
            ExitCode::FAILURE
        }
        (Err(error), _) => {
            // The whole chain of causes: the last one is usually the one to act on.
            note!("weir: {error:#}");
            ExitCode::FAILURE
        }
        (Ok(_), Err(unwritable)) => {
            note!("weir: {unwritable}");
            output::failure()
        }
        (Ok(code), Ok(())) => code,
    }
}

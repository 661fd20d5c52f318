//! In pages of which size this process's memory comes.
//!
//! The allocator asks the system for large pages (2 MiB), which make the state of millions of accounts
//! faster. A process that needs little would hold several times what it uses: every kind of object takes a
//! few KiB of a large page.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What the allocator reads from the environment before `main` is entered.
const SWITCH: &str = "MIMALLOC_ALLOW_THP";

/// Name of this program's file.
const PROGRAM: &str = env!("CARGO_BIN_NAME");

/// Starts this program anew in small pages, as the same process, unless its environment says already which it
/// wants.
///
/// Returns where there is nothing to do, and where the program cannot be started anew: memory comes as it
/// does by default.
pub fn take_small() {
    if std::env::var_os(SWITCH).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    // Where the loader was called by its name, that is the program, and would not know what to load.
    let Some(program) = std::env::current_exe().ok().filter(|program| program.ends_with(PROGRAM)) else {
        return;
    };
    let mut anew = Command::new(program);
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    let _failed = anew.args(arguments).env(SWITCH, "0").exec();
}

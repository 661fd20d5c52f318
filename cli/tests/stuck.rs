//! A loop that is stuck, with the rest of its process well: `/health/live` says which, until it goes round
//! again.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, eventually, get, serving, traffic};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// How long loops may take, in microseconds.
const WATCHDOG_US: &str = "1000000";

/// A thread that stands still, until this is dropped.
struct Frozen(Child);

impl Frozen {
    fn new(thread: u32) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stuck/freeze.py");
        let mut command = Command::new("python3");
        command.args([script, &thread.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "frozen\n", "python3 could not stop the thread {thread}");
        Self(child)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// The threads of a process with this name.
fn threads_of(process: u32, name: &str) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let threads = threads.map(|thread| thread.unwrap().path());
    let named = |thread: &PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let id = |thread: PathBuf| thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
    threads.filter(named).map(id).collect()
}

#[test]
fn a_loop_that_is_stuck_makes_its_process_not_live_by_name_until_it_goes_round_again() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(4, 5)).unwrap();
    let mut command = place.run();
    command.args(["--listen", "127.0.0.1:0", "--decide-addr", "127.0.0.1:0", "--export-files-dir"]);
    command.arg(place.directory.path().join("export"));
    command.env("WATCHDOG_USEC", WATCHDOG_US);
    let (running, address) = serving(command);
    let process = running.0.id();
    eventually("ready", || get(&address, "/health/ready").starts_with("HTTP/1.1 200"));
    let is_live = || get(&address, "/health/live").ends_with("\r\n\r\nlive\n");
    let loops = [
        ("weir", "the main loop"),
        ("collector", "the collector"),
        ("listener", "the listener"),
        ("account/0", "the task account/0"),
        ("cluster/0", "the task cluster/0"),
        ("campaign/0", "the task campaign/0"),
        ("enforcer/0", "the task enforcer/0"),
        ("standings", "the reader of how accounts stand"),
        ("operators", "the reader of operators' words"),
        ("export", "the exporter to files"),
    ];
    for (thread, name) in loops {
        eventually(&format!("live before {name} is stuck"), is_live);
        let threads = threads_of(process, thread);
        let thread = match thread {
            // Its unnamed threads are called after it.
            "weir" => process,
            _ => {
                assert_eq!(threads.len(), 1, "threads with the name {thread}");
                threads[0]
            }
        };
        let frozen = Frozen::new(thread);
        eventually(&format!("{name} is told to be stuck"), || {
            let answer = get(&address, "/health/live");
            answer.starts_with("HTTP/1.1 503 ")
                && answer.contains(&format!("\r\n\r\nstuck: {name} does not go round (for "))
        });
        drop(frozen);
    }
    eventually("live again", is_live);
    assert!(running.stop().status.success());
}

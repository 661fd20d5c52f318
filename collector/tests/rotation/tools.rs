//! The same by the tools that people use: logrotate in its usual ways, svlogd and multilog. They are Debian's
//! own binaries; without them the tests are skipped, or fail where `CI` is true.

use super::{Round, rounds};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use weir_collector::Collector;

/// How long a tool may take to write what it was given.
const TOOL_TIME_MAX: Duration = Duration::from_secs(20);

/// The tool of this name; none where it is not installed.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.map(|place| place.join(name)).find(|file| file.is_file());
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(found.is_some() || !is_ci, "{name} is not installed");
    if found.is_none() {
        println!("skipped: {name} is not installed");
    }
    found
}

/// How logrotate is configured, for one round.
struct Logrotate {
    binary: PathBuf,
    config: PathBuf,
    state: PathBuf,
    /// The writer may still have the renamed file open, and it is not compressed or cut under its hands.
    may_be_late: bool,
    copies: bool,
}

impl Logrotate {
    fn new(binary: &Path, round: &mut Round) -> Self {
        let directory = fs::canonicalize(round.place.path()).unwrap();
        let copies = round.random.below(4) == 0;
        let mut text = vec!["rotate 1000".to_owned(), "missingok".into(), "ifempty".into()];
        text.push(if copies { "copytruncate" } else { ["create", "nocreate"][round.below(2)] }.into());
        let packing = round.below(3);
        text.extend(
            [&[][..], &["compress"], &["compress", "delaycompress"]][packing].iter().map(|s| (*s).into()),
        );
        match round.below(3) {
            0 => {}
            1 => text.push("extension .jsonl".into()),
            // Two rotations in one second have one name, and logrotate leaves the second one be.
            _ => text.extend(["dateext".into(), "dateformat -%Y%m%d-%s".into()]),
        }
        if round.below(4) == 0 {
            let old = directory.join("old");
            fs::create_dir(&old).unwrap();
            text.push(format!("olddir {}", old.display()));
            round.config.rotated_dir = Some(old);
        }
        let (config, state) = (directory.join("logrotate.conf"), directory.join("logrotate.state"));
        let log = round.path();
        fs::write(&config, format!("{} {{\n  {}\n}}\n", log.display(), text.join("\n  "))).unwrap();
        round.step(text.join("; "));
        Self { binary: binary.to_owned(), config, state, may_be_late: !copies && packing != 1, copies }
    }

    fn rotate(&self, round: &mut Round) {
        let late = round.path().exists().then(|| OpenOptions::new().append(true).open(round.path()).unwrap());
        Round::tick();
        let mut command = Command::new(&self.binary);
        let outcome =
            command.arg("--force").arg("--state").arg(&self.state).arg(&self.config).output().unwrap();
        let said = String::from_utf8_lossy(&outcome.stderr);
        // The second rotation in one second is left out.
        assert!(outcome.status.success() || said.contains("already exists, skipping"), "{said}");
        round.step("logrotate".to_owned());
        if let Some(mut late) = late.filter(|_| self.may_be_late && round.below(3) == 0) {
            round.write_to(&mut late, &round.path(), 1);
        }
        Round::tick();
    }
}

fn by_logrotate(binary: &Path, seed: u64) {
    let mut round = Round::plain(seed);
    let log = round.log.clone();
    let logrotate = Logrotate::new(binary, &mut round);
    let mut collector = Some(round.open(&log));
    round.write();
    round.read_all(&mut collector);
    for _ in 0..30 {
        match round.below(10) {
            0..=4 => round.write(),
            5 | 6 => round.read(&mut collector),
            7 => round.kill(&mut collector),
            8 => collector = Some(round.open(&log)),
            _ => {
                if logrotate.copies {
                    // Between its copy and its cut nobody writes here: nothing is lost.
                    round.read_all(&mut collector);
                }
                logrotate.rotate(&mut round);
            }
        }
    }
    round.write();
    collector = Some(round.open(&log));
    round.read_all(&mut collector);
    round.check();
}

/// A tool that reads lines from a pipe and keeps a directory of files.
struct Piped {
    child: Child,
}

impl Piped {
    fn svlogd(binary: &Path, round: &mut Round, directory: &Path) -> Self {
        // What is compressed gives its inode free for the next file.
        let packs = round.below(3) == 0;
        // It leaves room for a line of 1,000 bytes.
        let bytes = 2_000 + round.below(3_000);
        // All are kept.
        let processor = if packs { "!gzip -1\n" } else { "" };
        fs::write(directory.join("config"), format!("s{bytes}\nn0\n{processor}")).unwrap();
        round.step(format!("svlogd, {bytes} bytes a file, packs {packs}"));
        Self::start(Command::new(binary).arg(directory))
    }

    fn multilog(binary: &Path, round: &mut Round, directory: &Path) -> Self {
        let packs = round.below(3) == 0;
        round.step(format!("multilog, packs {packs}"));
        let mut command = Command::new(binary);
        command.args(["s4096", "n1000"]);
        if packs {
            command.arg("!gzip -1");
        }
        Self::start(command.arg(directory))
    }

    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: child.unwrap() }
    }

    /// Writes some lines to its pipe.
    fn write(&mut self, round: &mut Round, count: usize) {
        let lines = round.next_lines(count);
        let pipe = self.child.stdin.as_mut().unwrap();
        for line in &lines {
            writeln!(pipe, "{line}").unwrap();
        }
        pipe.flush().unwrap();
    }

    /// Closes the pipe: what is in it is written, and then the tool ends.
    fn finish(mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + TOOL_TIME_MAX;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the tool does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn by_pipe(seed: u64, start: impl Fn(&mut Round, &Path) -> Piped) {
    let mut round = Round::plain(seed);
    let log = round.log.clone();
    let directory = fs::canonicalize(round.place.path()).unwrap().join("kept");
    fs::create_dir(&directory).unwrap();
    round.config.path = directory.join("current");
    // The tool renames at any moment, also between two looks of the collector.
    round.config.rotation_grace = Duration::from_millis(20);
    let mut piped = start(&mut round, &directory);
    let mut collector: Option<Collector<'_>> = None;
    // One line only: before anything was read, nobody knows what the log's older files are.
    piped.write(&mut round, 1);
    let deadline = Instant::now() + TOOL_TIME_MAX;
    while !File::open(round.path()).is_ok_and(|file| file.metadata().unwrap().len() > 0) {
        assert!(Instant::now() < deadline, "the tool writes nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
    collector.replace(round.open(&log));
    round.read_all(&mut collector);
    for _ in 0..40 {
        match round.below(10) {
            0..=5 => {
                let count = 1 + round.below(13);
                piped.write(&mut round, count);
            }
            6 | 7 => round.read(&mut collector),
            8 => round.kill(&mut collector),
            _ => collector = Some(round.open(&log)),
        }
    }
    piped.finish();
    collector = Some(round.open(&log));
    round.read_all(&mut collector);
    // Every file is kept: nothing is lost, and no loss is feared.
    let feared = std::mem::take(&mut *round.told.0.lock().unwrap());
    assert!(feared.is_empty(), "{}", round.told.1.lock().unwrap().join("\n"));
    round.check();
}

#[test]
fn logrotate_in_every_usual_way_loses_and_doubles_nothing() {
    if let Some(binary) = tool("logrotate") {
        rounds(|seed| by_logrotate(&binary, seed));
    }
}

#[test]
fn svlogd_loses_and_doubles_nothing() {
    if let Some(binary) = tool("svlogd") {
        rounds(|seed| by_pipe(seed, |round, directory| Piped::svlogd(&binary, round, directory)));
    }
}

#[test]
fn multilog_loses_and_doubles_nothing() {
    if let Some(binary) = tool("multilog") {
        rounds(|seed| by_pipe(seed, |round, directory| Piped::multilog(&binary, round, directory)));
    }
}

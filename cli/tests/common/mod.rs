//! What the tests of the binary share: a directory of its own for each test, the binary run in it,
//! and log lines to feed it.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its part of it.

pub mod authority;
pub mod early;
pub mod fleet;
pub mod gateway;
#[cfg(feature = "ebpf")]
pub mod tracing;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A directory with keys, a log to tail, and the binary's data and output.
pub struct Place {
    pub directory: TempDir,
    pub data: PathBuf,
    pub output: PathBuf,
    pub keys: PathBuf,
    pub feed: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let place = Self {
            data: at("data"),
            output: at("output"),
            keys: at("keys"),
            feed: at("access.jsonl"),
            directory,
        };
        success(weir(&["keys", "make", place.keys.to_str().unwrap()]));
        place
    }

    /// Feeds the recorded traffic as if its last request had been made now.
    pub fn feed_recorded_now(&self) {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/access.jsonl");
        let lines: Vec<serde_json::Value> = json_lines(&recorded);
        let last = lines.iter().map(|line| line["time"].as_f64().unwrap()).fold(0.0, f64::max);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let mut feed = String::new();
        for mut line in lines {
            line["time"] = (((line["time"].as_f64().unwrap() + now - last) * 1e3).round() / 1e3).into();
            feed += &format!("{line}\n");
        }
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.feed);
        file.unwrap().write_all(feed.as_bytes()).unwrap();
    }

    /// The keys of one role.
    pub fn keys_of(&self, role: &str) -> PathBuf {
        self.keys.join(role)
    }

    /// The same feed and keys with fresh data and output: what an undisturbed run would have made.
    pub fn beside(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("data-2"), self.directory.path().join("output-2"))
    }

    pub fn run(&self) -> Command {
        self.run_in(&self.data, &self.output)
    }

    pub fn run_in(&self, data: &Path, output: &Path) -> Command {
        let mut command = weir(&["run", "--node", "test", "--tail"]);
        command.arg(&self.feed).arg("--data-dir").arg(data).arg("--output-dir").arg(output);
        command.arg("--keys-dir").arg(&self.keys);
        command
    }

    pub fn run_until_idle(&self) -> String {
        text(&success(self.run_to_idle()).stdout)
    }

    pub fn run_to_idle(&self) -> Command {
        let mut command = self.run();
        command.arg("--until-idle");
        command
    }

    pub fn set_posture(&self, posture: &str) {
        let mut command = weir(&["posture"]);
        command.args(posture.split(' ')).arg("--data-dir").arg(&self.data);
        success(command);
    }

    pub fn replay(&self, how: &[&str]) -> Report {
        replay_in(&self.data, how)
    }

    pub fn lines_of(&self, file: &str) -> Vec<serde_json::Value> {
        json_lines(&self.output.join(file))
    }
}

pub fn replay_in(data: &Path, how: &[&str]) -> Report {
    let mut command = weir(&["replay", "--format", "json", "--data-dir"]);
    command.arg(data).args(how);
    report(command)
}

pub fn report(command: Command) -> Report {
    let output = success(command);
    Report(serde_json::from_slice(&output.stdout).unwrap())
}

/// What a replay said.
#[derive(Debug, Clone, PartialEq)]
pub struct Report(pub serde_json::Value);

impl Report {
    pub fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} in {:?}", self.0))
    }

    pub fn digest(&self) -> &str {
        self.0["digest"].as_str().unwrap()
    }

    /// Nothing was lost: what went in was judged or dead-lettered, with the bytes of the log.
    pub fn balances(&self) -> &Self {
        assert_eq!(self.number("events"), self.number("judged") + self.number("dlq"), "{:?}", self.0);
        assert_eq!(self.number("in_flight"), 0, "{:?}", self.0);
        self
    }
}

pub fn json_lines(path: &Path) -> Vec<serde_json::Value> {
    let content = std::fs::read_to_string(path).unwrap_or_default();
    assert!(content.is_empty() || content.ends_with('\n'), "{} ends in half a line", path.display());
    content.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn weir(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    // What the surroundings set is for the tests, not for the binary under test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

pub fn success(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let shown = || format!("{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}", shown());
    assert!(!text(&output.stderr).contains("panicked"), "{}", shown());
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A binary that runs on until the test ends it, or ends itself.
pub struct Running(pub Child);

impl Running {
    pub fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, then what it printed.
    pub fn stop(mut self) -> Output {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.output()
    }

    /// What it printed until it ended by itself, which must not take for ever.
    pub fn ended(mut self, what: &str) -> Output {
        eventually(&format!("{what} ends"), || self.0.try_wait().unwrap().is_some());
        self.output()
    }

    fn output(&mut self) -> Output {
        let child = std::mem::replace(&mut self.0, Command::new("true").spawn().unwrap());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command that serves its metrics; gives back their address too.
pub fn serving(mut command: Command) -> (Running, String) {
    command.args(["--metrics-addr", "127.0.0.1:0"]);
    let mut running = Running::start(command);
    // The address that was bound is in the log. The rest of the log is read on, so that the pipe
    // never fills.
    let mut stderr = std::io::BufReader::new(running.0.stderr.take().unwrap());
    let mut shown = String::new();
    let address = loop {
        assert!(std::io::BufRead::read_line(&mut stderr, &mut shown).unwrap() > 0, "{shown}");
        if let Some(at) = shown.find("address=") {
            break shown[at + 8..].split_whitespace().next().unwrap().to_owned();
        }
    };
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (running, address)
}

/// Starts a command that takes records by HTTP and serves its metrics; gives back the addresses of its
/// metrics and of its listener.
pub fn listening(mut command: Command) -> (Running, String, String) {
    command.args(["--metrics-addr", "127.0.0.1:0"]);
    let mut running = Running::start(command);
    let mut stderr = std::io::BufReader::new(running.0.stderr.take().unwrap());
    let mut shown = String::new();
    let after = |name: &str, shown: &str| {
        let at = shown.find(name)? + name.len();
        Some(shown[at..].split_whitespace().next()?.to_owned())
    };
    let (metrics, address) = loop {
        assert!(std::io::BufRead::read_line(&mut stderr, &mut shown).unwrap() > 0, "{shown}");
        if let (Some(metrics), Some(address)) = (after("address=", &shown), after("listening=", &shown)) {
            break (metrics, address);
        }
    };
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (running, metrics, address)
}

/// One HTTP answer, head and body.
pub fn get(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a series without labels or with the labels given in its name.
pub fn metric(address: &str, series: &str) -> u64 {
    let metrics = get(address, "/metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not in\n{metrics}"))
}

/// Waits until `done`, at most a minute: the machine may be slow, but not for ever.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Event time of the first line: 2026-11-01T00:00:00Z.
pub const START_MS: u64 = 1_793_491_200_000;

/// One line in Weir's own format.
pub fn line(id: &str, time_ms: u64, account: &str, prompt: &str) -> String {
    format!(
        r#"{{"id":"{id}","time":{time_ms},"account":"{account}","model":"m-1","prompt":"{prompt}","max_tokens":256}}"#
    ) + "\n"
}

/// A log with a campaign: `accounts` customers who behave and twelve accounts that do not, in order
/// of time.
pub fn traffic(accounts: u64, rounds: u64) -> String {
    let mut log = String::new();
    for round in 0..rounds {
        let time_ms = START_MS + round * 5_000;
        for account in 0..12u64 {
            let _ = writeln!(
                log,
                r#"{{"id":"c{round}-{account}","time":{},"account":"campaign-{account}","ip":"10.9.8.{account}","user_agent":"OpenAI/Python 3.52.0","model":"m-{}","system_prompt":"You are an expert tutor.","prompt":"Think step by step and show all of your reasoning. Problem {round}{account}: add the numbers.","max_tokens":4096,"payment":"stolen-card"}}"#,
                time_ms + account,
                1 + round / 40,
            );
        }
        for account in 0..accounts {
            if (round + account) % 9 == 0 {
                let _ = write!(
                    log,
                    "{}",
                    line(
                        &format!("b{round}-{account}"),
                        time_ms + 100 + account,
                        &format!("customer-{account}"),
                        &format!("What is a good name for boat {round}?")
                    )
                );
            }
        }
    }
    log
}

/// The same, of which every other account of the campaign is a customer of the one tenant, and the rest of
/// the
/// other.
pub fn traffic_of_two_tenants(tenants: [&str; 2]) -> String {
    let (mark, traffic) = ("\"account\":\"campaign-", traffic(3, 60));
    let named = traffic.lines().map(|line| match line.split_once(mark) {
        None => format!("{line}\n"),
        Some((before, rest)) => {
            let account: usize = rest.split('"').next().unwrap().parse().unwrap();
            format!("{before}\"tenant\":\"{}\",{mark}{rest}\n", tenants[account % 2])
        }
    });
    named.collect()
}

/// Numbers that look random and are the same in every run, unless the test is told otherwise.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

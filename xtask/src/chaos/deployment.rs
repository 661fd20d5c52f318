//! One deployment of Weir on one broker: its commands.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell::succeed;

/// How long a silent worker keeps its partitions.
const SESSION_TIMEOUT_MS: &str = "2000";

/// Short, so that checkpoints are cut off by whatever is done to the processors.
const CHECKPOINT_INTERVAL_MS: &str = "1000";

/// A prefix, keys, and the binary as it was when the run began.
pub struct Deployment {
    /// Where everything of the run lies.
    pub home: PathBuf,
    /// Where clients connect.
    pub brokers: String,
    /// What the names of topics, groups and writers begin with.
    pub prefix: String,
    /// `classic`, or `consumer` for KIP-848.
    pub protocol: &'static str,
    weir: PathBuf,
    /// Another build, which every second process that starts is of.
    older: Option<PathBuf>,
    started: Cell<usize>,
}

impl Deployment {
    /// Makes keys and topics. `weir` and `older` are copied, so that a build during the run changes nothing.
    pub fn make(
        home: &Path,
        weir: &Path,
        older: Option<&Path>,
        brokers: &str,
        protocol: &'static str,
        partitions: u32,
    ) -> Result<Self> {
        let copied = |from: &Path, name: &str| {
            let copy = home.join(name);
            fs::copy(from, &copy).with_context(|| format!("cannot copy {}", from.display()))?;
            anyhow::Ok(copy)
        };
        let deployment = Self {
            home: home.to_path_buf(),
            brokers: brokers.to_owned(),
            prefix: "chaos-".into(),
            protocol,
            weir: copied(weir, "weir")?,
            older: older.map(|older| copied(older, "weir-older")).transpose()?,
            started: Cell::new(0),
        };
        let mut keys = deployment.weir(&["keys", "make"]);
        keys.arg(deployment.keys());
        succeed(keys, "weir keys make")?;
        let partitions = partitions.to_string();
        let topics = ["topology", "apply", "--partitions", &partitions, "--kafka-replication", "1"];
        quiet(deployment.on_brokers(&topics))?;
        // Withheld actions have no effects that could be doubled.
        quiet(deployment.on_brokers(&["posture", "enforce"]))?;
        Ok(deployment)
    }

    /// The file that is followed.
    pub fn feed(&self) -> PathBuf {
        self.home.join("feed.jsonl")
    }

    /// Where the enforcer of this name writes.
    pub fn output(&self, name: &str) -> PathBuf {
        self.home.join(format!("output-{name}"))
    }

    /// Name of a topic on the broker.
    pub fn topic(&self, name: &str) -> String {
        format!("{}weir.{name}", self.prefix)
    }

    /// Transactional id of a writer.
    pub fn writer(&self, name: &str) -> String {
        format!("{}weir-{name}", self.prefix)
    }

    /// Whether its processes are of two builds.
    pub fn is_mixed(&self) -> bool {
        self.older.is_some()
    }

    /// `weir process`; with `standby` it holds the state of what the others run.
    pub fn process(&self, standby: bool) -> Command {
        let mut command = self.member(&["process"]);
        command.args(["--standby", &standby.to_string(), "--checkpoint-interval-ms", CHECKPOINT_INTERVAL_MS]);
        command
    }

    /// `weir enforce`, writing the output directory of `name`.
    pub fn enforce(&self, name: &str) -> Command {
        let mut command = self.member(&["enforce"]);
        command
            .arg("--output-dir")
            .arg(self.output(name))
            .arg("--keys-dir")
            .arg(self.keys().join("enforcer"));
        command
    }

    /// `weir collect`, following the feed.
    pub fn collect(&self) -> Command {
        let mut command = self.member_of(&["collect", "--node", "chaos", "--source", "feed"]);
        command.arg("--tail").arg(self.feed()).arg("--keys-dir").arg(self.keys().join("collector"));
        command
    }

    /// `weir replay` of what went live.
    pub fn replay(&self, how: &str) -> Result<Value> {
        report(self.on_brokers(&["replay", "--format", "json", how]))
    }

    /// The statement of coverage of everything that was read.
    pub fn coverage(&self) -> Result<Value> {
        let mut coverage = self.on_brokers(&["coverage", "--format", "json"]);
        coverage.arg("--keys-dir").arg(self.keys().join("operator"));
        report(coverage)
    }

    /// The proof of every verdict that is in the log, and that none is missing from it.
    pub fn proofs(&self) -> Result<Value> {
        report(self.on_brokers(&["verify", "--all", "--format", "json"]))
    }

    /// The proof of one verdict, which is folded from the nearest checkpoint before it.
    pub fn proof(&self, verdict: &str) -> Result<Value> {
        report(self.on_brokers(&["verify", verdict, "--format", "json"]))
    }

    /// The lockstep replay of the same feed, followed too, on an embedded log, which nobody disturbed.
    pub fn undisturbed(&self) -> Result<Value> {
        let data = self.home.join("undisturbed");
        let mut run = self.weir(&["run", "--until-idle", "--node", "chaos", "--source", "feed"]);
        run.arg("--tail")
            .arg(self.feed())
            .arg("--data-dir")
            .arg(&data)
            .arg("--output-dir")
            .arg(self.home.join("output-undisturbed"))
            .arg("--keys-dir")
            .arg(self.keys());
        quiet(run)?;
        let mut replay = self.weir(&["replay", "--format", "json", "--lockstep"]);
        replay.arg("--data-dir").arg(&data);
        report(replay)
    }

    fn member(&self, arguments: &[&str]) -> Command {
        let mut command = self.member_of(arguments);
        command.args(["--kafka-group-protocol", self.protocol]);
        command.args(["--kafka-session-timeout-ms", SESSION_TIMEOUT_MS]);
        command
    }

    /// A process that stays: of the one build or of the other, by turns.
    fn member_of(&self, arguments: &[&str]) -> Command {
        let number = self.started.replace(self.started.get() + 1);
        let build = self.older.as_ref().filter(|_| number.is_multiple_of(2)).unwrap_or(&self.weir);
        self.connected(build, arguments)
    }

    fn on_brokers(&self, arguments: &[&str]) -> Command {
        self.connected(&self.weir, arguments)
    }

    fn connected(&self, build: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(build, arguments);
        command.args(["--brokers", &self.brokers, "--kafka-prefix", &self.prefix]);
        command
    }

    fn weir(&self, arguments: &[&str]) -> Command {
        self.command(&self.weir, arguments)
    }

    fn command(&self, build: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(build);
        // What the surroundings configure is for other runs.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            command.env_remove(name);
        }
        command.args(arguments);
        command
    }

    fn keys(&self) -> PathBuf {
        self.home.join("keys")
    }
}

/// Runs a command to its end; what it prints shows only when it fails.
fn quiet(mut command: Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    Ok(output.stdout)
}

/// The report of a replay or a proof, also of one that found what should not be.
fn report(mut command: Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })
}

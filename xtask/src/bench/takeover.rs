//! From the end of the processor that holds a million accounts, by SIGKILL, to the next judgement by
//! another one: with a warm standby, and with none.
//!
//! All accounts lie in one partition, so that all of them have to be taken over at once.

use super::account::batch;
use super::kafka::{BareReader, Deployment};
use super::meter::ratio;
use super::restore::{ACCOUNTS, TASK, write_state};
use crate::kafka;
use crate::shell::Owned;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_schemas::Epoch;
use weir_schemas::wire::Wire;
use weir_topology::log::{Commit, Log, Writer};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// After what silence the broker gives the partitions of a processor away.
const SESSION_TIMEOUT_MS: u64 = 800;

/// Takeovers of each kind.
const ROUNDS: usize = 5;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(180);

/// How far a standby of the accounts is behind.
const BEHIND: &str = "weir_standby_behind_records{stage=\"account\",partition=\"0\"}";

/// Time in which a processor without partitions, which says nothing of itself, joins its groups.
const JOINING: Duration = Duration::from_secs(4);

pub fn run(accounts: Option<usize>) -> Result<()> {
    let (broker, accounts) = (kafka::up()?, accounts.unwrap_or(ACCOUNTS));
    let deployment = Deployment::new(&broker.brokers, "takeover", 1)?;
    let log = deployment.log()?;
    write_state(&log, accounts)?;
    let mut probe = Probe {
        wire: Wire::new(),
        writer: log.writer("bench")?,
        epochs: deployment.reader(Topic::Epochs)?,
        accounts,
        sent: 0,
    };
    let cold = measure(&deployment, &mut probe, false)?;
    let warm = measure(&deployment, &mut probe, true)?;
    for (name, times) in [("takeover_cold", &cold), ("takeover_warm", &warm)] {
        let (least, median, most) = spread(times.iter().map(|time| time.judged_s));
        let (_, open, _) = spread(times.iter().map(|time| time.open_s));
        let mut line = json!({
            "bench": name,
            "accounts": accounts,
            "partitions": 1,
            "rounds": ROUNDS,
            "session_timeout_ms": SESSION_TIMEOUT_MS,
            "judged_after_s": median,
            "judged_after_s_least": least,
            "judged_after_s_most": most,
            "of_which_open_s": open,
        });
        if name == "takeover_warm" {
            let (_, without, _) = spread(cold.iter().map(|time| time.judged_s));
            line["of_cold"] = ratio(median, without).into();
            line["goal_s_max"] = 2.0.into();
            line["ideal_s_max"] = 1.0.into();
        }
        println!("{line}");
    }
    Ok(())
}

/// One takeover.
struct Time {
    /// From the kill to the broker's time of the epoch that judged the next event.
    judged_s: f64,
    /// Of that, the survivor's opening of the task.
    open_s: f64,
}

fn measure(deployment: &Deployment, probe: &mut Probe, standby: bool) -> Result<Vec<Time>> {
    let mut crew = Vec::new();
    for _ in 0..2 {
        crew.push(Processor::start(deployment, standby, probe.accounts)?);
    }
    let mut times = Vec::new();
    while times.len() < ROUNDS {
        probe.send()?;
        let (owner, _) = probe.judged()?;
        let at = crew.iter().position(|processor| processor.child.0.id() == owner);
        let at = at.with_context(|| format!("the task is run by {owner}, which is none of ours"))?;
        let survivor = &crew[1 - at];
        survivor.wait_until_ready(standby)?;
        let start = if standby { "warm" } else { "cold" };
        let opened_before = survivor.opened_s(start)?;

        let killed = now_ms()?;
        crew[at].kill()?;
        probe.send()?;
        let (heir, judged) = probe.judged()?;
        let survivor = &crew[1 - at];
        ensure!(heir == survivor.child.0.id(), "{heir} judged, which is none of ours");
        let open_s = survivor.opened_s(start)? - opened_before;
        ensure!(open_s > 0.0, "the takeover was not {start}");
        times.push(Time { judged_s: (judged - killed) as f64 / 1e3, open_s });
        crew[at] = Processor::start(deployment, standby, probe.accounts)?;
    }
    Ok(times)
}

/// Least, median and most, in milliseconds' precision.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.map(|value| (value * 1e3).round() / 1e3).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (values[0], values[last / 2], values[last])
}

fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}

/// Writes single events, and sees who judged them.
struct Probe {
    wire: Wire,
    writer: Box<dyn Writer>,
    epochs: BareReader,
    accounts: usize,
    sent: usize,
}

impl Probe {
    /// One event of the next account.
    fn send(&mut self) -> Result<()> {
        let account = self.sent * 7919 % self.accounts;
        let batch = batch(&self.wire, account..account + 1, 2 + self.sent);
        self.sent += 1;
        let record = batch.inputs[0].records.get(0).context("there is no event")?;
        let payload = record.payload.unwrap_or_default().to_vec();
        let output = Output::keyed(Topic::Events, record.key.to_vec(), payload, record.timestamp_ms);
        self.writer.commit(&Commit { outputs: vec![output], positions: Vec::new() })?;
        Ok(())
    }

    /// Process id of whoever judged the event, and the broker's time of the epoch that says so.
    fn judged(&self) -> Result<(u32, i64)> {
        let mut found = None;
        self.epochs.read(PATIENCE, |payload, at_ms| {
            let epoch: Epoch = self.wire.read(payload)?;
            let has_event =
                |range: &weir_schemas::InputRange| range.topic == Topic::Events.name() && range.records > 0;
            if epoch.stage == TASK.stage.as_str() && epoch.inputs.iter().any(has_event) {
                let pid = epoch.writer.rsplit_once(':').and_then(|(_, pid)| pid.parse().ok());
                found = Some((pid.context("the epoch's writer has no process id")?, at_ms));
            }
            Ok(found.is_some())
        })?;
        found.context("the event was not judged in time")
    }
}

/// One `weir process`.
struct Processor {
    child: Owned,
    metrics: SocketAddr,
    started: Instant,
}

impl Processor {
    fn start(deployment: &Deployment, standby: bool, accounts: usize) -> Result<Self> {
        // Free now; nobody else on this machine is in a hurry to take it.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = deployment.weir(&["process", "--log-level", "error"])?;
        command.args(["--kafka-group-protocol", "classic", "--standby", &standby.to_string()]);
        command.args(["--kafka-session-timeout-ms", &SESSION_TIMEOUT_MS.to_string()]);
        command.args(["--state-accounts-max", &(accounts + 1).to_string()]);
        command.args(["--metrics-addr", &metrics.to_string()]).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child: Owned(child), metrics, started: Instant::now() })
    }

    fn kill(&mut self) -> Result<()> {
        self.child.0.kill()?;
        self.child.0.wait()?;
        Ok(())
    }

    /// Waits until it is a member of its groups, and with `standby` until it holds all accounts.
    fn wait_until_ready(&self, standby: bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let is_warm = !standby || self.metric(BEHIND).is_ok_and(|behind| behind == Some(0.0));
            if is_warm && self.started.elapsed() >= JOINING {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "a processor does not get ready");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Seconds that openings of the account task took here so far.
    fn opened_s(&self, start: &str) -> Result<f64> {
        let series = format!("weir_restore_seconds_sum{{stage=\"account\",start=\"{start}\"}}");
        self.metric(&series)?.with_context(|| format!("{series} is not served"))
    }

    fn metric(&self, series: &str) -> Result<Option<f64>> {
        let mut stream = TcpStream::connect(self.metrics)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()))
    }
}

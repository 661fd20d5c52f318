//! Real clients over the listener: OpenTelemetry's SDK, and LiteLLM's proxy with a model behind it that knows
//! nothing. What was sent is what is judged: the same requests as lines of a file come to the same.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::debian::ensure_debian_packages;
use crate::example::LlmStub;
use crate::shell::{mortal, output, succeed};
use crate::{dirs, venv};

const REQUIREMENTS: &str = include_str!("../clients/requirements.txt");

/// What clients send with every request.
const TOKEN: &str = "a-token-of-the-tests-and-of-nothing-else";

/// Requests of the plan that go through LiteLLM.
const LITELLM_REQUESTS: usize = 160;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the tests find the interpreter that has LiteLLM.
pub const PYTHON_VAR: &str = "WEIR_TEST_LITELLM_PYTHON";

/// The interpreter that has them, made once under the cache directory.
///
/// # Errors
/// When a package cannot be had.
pub fn python() -> Result<PathBuf> {
    ensure_debian_packages(&["python3-venv"])?;
    venv::python("clients-venv", REQUIREMENTS)
}

/// Runs all of them against the binary.
///
/// # Errors
/// Says what was lost or counted twice, or what could not be run.
pub fn run(weir: &Path) -> Result<()> {
    let python = python()?;
    let place = tempfile::tempdir()?;
    let bench = Bench { weir, python: &python, place: place.path() };
    bench.make_keys()?;
    let plan = bench.plan()?;
    let of_file = bench.judge_file("plan", &plan)?;
    ensure!(of_file.critical.len() == 6, "the recording has six CRITICAL accounts: {of_file:?}");
    for kind in ["spans", "logs"] {
        let judged = bench.opentelemetry(kind, &plan)?;
        ensure!(judged == of_file, "OpenTelemetry's {kind} come to {judged:?}, and the file to {of_file:?}");
        println!("OpenTelemetry's {kind}: {} requests, judged as those of the file", judged.events);
    }
    bench.litellm(&plan)
}

struct Bench<'b> {
    weir: &'b Path,
    python: &'b Path,
    place: &'b Path,
}

/// What requests came to.
#[derive(Debug, PartialEq)]
struct Judged {
    events: u64,
    refused: u64,
    verdicts: u64,
    campaign_records: u64,
    critical: BTreeSet<String>,
}

impl Bench<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn make_keys(&self) -> Result<()> {
        std::fs::write(self.at("token"), TOKEN)?;
        std::fs::set_permissions(self.at("token"), std::fs::Permissions::from_mode(0o600))?;
        let mut make = Command::new(self.weir);
        make.args(["keys", "make"]).arg(self.at("keys"));
        succeed(make, "weir keys make")
    }

    /// What the recording's clients asked, a line each in Weir's own format.
    fn plan(&self) -> Result<PathBuf> {
        let mut check = Command::new(self.weir);
        check.args(["check-log", "--json", "--text", "--sample", "0"]);
        check.arg(dirs::workspace().join("examples/access.jsonl"));
        let said: Value = serde_json::from_slice(&output(check, "weir check-log")?)?;
        let asked = said["sample"].as_array().context("weir check-log gives no sample")?;
        let told = |asked: &Value| asked["prompt"].is_string() && asked["model"].is_string();
        let lines = asked.iter().filter(|asked| told(asked)).map(|asked| {
            let or = |key: &str, other: Value| if asked[key].is_null() { other } else { asked[key].clone() };
            json!({
                "account": asked["account"], "time": asked["time_ms"], "latency_ms": 40,
                "model": asked["model"], "prompt": asked["prompt"],
                "system_prompt": or("system_prompt", "You are a helpful assistant.".into()),
                "max_tokens": or("max_tokens", 1_024.into()),
                "ip": asked["ip"], "user_agent": asked["user_agent"], "endpoint": "/v1/chat/completions",
                "status": or("status", 200.into()), "turns": 1, "tools_called": 0,
            })
            .to_string()
                + "\n"
        });
        let path = self.at("plan.jsonl");
        std::fs::write(&path, lines.collect::<String>())?;
        Ok(path)
    }

    /// `weir run`, in a directory of its own.
    fn weir(&self, name: &str) -> Command {
        let mut run = Command::new(self.weir);
        run.args(["run", "--node", "clients", "--keys-dir"]).arg(self.at("keys"));
        run.arg("--data-dir").arg(self.at(name).join("data"));
        run.arg("--output-dir").arg(self.at(name).join("output"));
        run
    }

    fn judge_file(&self, name: &str, file: &Path) -> Result<Judged> {
        let mut run = self.weir(name);
        run.args(["--log-level", "warn", "--until-idle", "--tail"]).arg(file).stdout(Stdio::null());
        succeed(run, "weir run --until-idle")?;
        self.judged(name)
    }

    fn judged(&self, name: &str) -> Result<Judged> {
        let mut replay = Command::new(self.weir);
        replay
            .args(["replay", "--lockstep", "--format", "json", "--data-dir"])
            .arg(self.at(name).join("data"));
        let report: Value = serde_json::from_slice(&output(replay, "weir replay")?)?;
        let number = |key: &str| report[key].as_u64().with_context(|| format!("no {key} in {report}"));
        let actions = std::fs::read_to_string(self.at(name).join("output/enforcement_actions.jsonl"))?;
        let mut critical = BTreeSet::new();
        for line in actions.lines() {
            let action: Value = serde_json::from_str(line)?;
            if action["tier"] == "CRITICAL" {
                critical.insert(action["account"].as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(Judged {
            events: number("events")?,
            refused: number("dlq")?,
            verdicts: number("verdicts")?,
            campaign_records: number("campaign_records")?,
            critical,
        })
    }

    fn opentelemetry(&self, kind: &str, plan: &Path) -> Result<Judged> {
        let listening = Listening::start(self.weir(kind), &self.at("token"))?;
        let mut send = Command::new(self.python);
        send.arg(dirs::workspace().join("xtask/clients/otel.py"));
        send.args([kind, &listening.url, TOKEN]).arg(plan);
        succeed(send, "OpenTelemetry's SDK")?;
        listening.stop()?;
        self.settle(kind)
    }

    /// Lets what was taken be judged to its end, and says what it came to.
    fn settle(&self, name: &str) -> Result<Judged> {
        let nothing = self.at("nothing.jsonl");
        std::fs::write(&nothing, "")?;
        self.judge_file(name, &nothing)
    }

    fn litellm(&self, plan: &Path) -> Result<()> {
        let asked = std::fs::read_to_string(plan)?;
        let asked: Vec<&str> = asked.lines().take(LITELLM_REQUESTS).collect();
        let (plan, log) = (self.at("litellm-plan.jsonl"), self.at("litellm.jsonl"));
        std::fs::write(&plan, asked.join("\n"))?;
        let stub = LlmStub::start(Default::default())?;
        let listening = Listening::start(self.weir("litellm"), &self.at("token"))?;
        let proxy = Proxy::start(self, stub.address, &listening.url, &log)?;
        let mut ask = Command::new(self.python);
        ask.arg(dirs::workspace().join("xtask/clients/ask.py")).arg(&proxy.url).arg(&plan);
        succeed(ask, "the clients of LiteLLM's proxy")?;
        let deadline = Instant::now() + PATIENCE;
        let lines = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
        while lines() < asked.len() || listening.events()? < asked.len() as u64 {
            ensure!(
                Instant::now() < deadline,
                "of {} requests {} are in LiteLLM's log and {} came over the listener",
                asked.len(),
                lines(),
                listening.events()?
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(proxy);
        listening.stop()?;
        self.check_log(&asked, &log)?;
        let (pushed, read) = (self.settle("litellm")?, self.judge_file("litellm-log", &log)?);
        ensure!(pushed.events == asked.len() as u64 && pushed.refused == 0, "{pushed:?}");
        ensure!(pushed == read, "LiteLLM's callback comes to {pushed:?}, and its log to {read:?}");
        let Judged { events, verdicts, .. } = pushed;
        println!("LiteLLM: {events} requests, {verdicts} verdicts, by its callback as by its log");
        Ok(())
    }

    /// What the proxy's clients asked stands in its log, as Weir reads it.
    fn check_log(&self, asked: &[&str], log: &Path) -> Result<()> {
        let mut check = Command::new(self.weir);
        check.args(["check-log", "--json", "--text", "--sample", "0"]).arg(log);
        let said: Value = serde_json::from_slice(&output(check, "weir check-log")?)?;
        ensure!(said["format"] == "litellm", "LiteLLM's log is taken for {}", said["format"]);
        let keys = ["prompt", "system_prompt", "max_tokens", "user_agent"];
        let of = |request: &Value| keys.map(|key| request[key].to_string());
        let read = said["sample"].as_array().context("weir check-log gives no sample")?;
        let mut read: Vec<_> = read.iter().map(of).collect();
        let mut sent = Vec::new();
        for line in asked {
            sent.push(of(&serde_json::from_str(line)?));
        }
        read.sort();
        sent.sort();
        ensure!(read == sent, "what LiteLLM's clients sent is not what Weir reads in its log");
        Ok(())
    }
}

/// A `weir run` that listens.
struct Listening {
    child: Child,
    url: String,
    metrics: String,
}

impl Listening {
    fn start(mut run: Command, token: &Path) -> Result<Self> {
        run.args(["--listen", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--listener-token-file"])
            .arg(token);
        let mut child =
            run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run weir")?;
        let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut shown = String::new();
        let after = |name: &str, shown: &str| {
            let (_, rest) = shown.split_once(name)?;
            Some(rest.split_whitespace().next()?.to_owned())
        };
        loop {
            ensure!(stderr.read_line(&mut shown)? > 0, "weir ended: {shown}");
            if let (Some(metrics), Some(address)) = (after(" address=", &shown), after("listening=", &shown))
            {
                std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::stderr()));
                return Ok(Self { child, url: format!("http://{address}"), metrics });
            }
        }
    }

    /// Events that were committed.
    fn events(&self) -> Result<u64> {
        let mut get = Command::new("curl");
        get.args(["--silent", "--show-error", "--fail", &format!("http://{}/metrics", self.metrics)]);
        let metrics = String::from_utf8(output(get, "curl")?)?;
        let series = "weir_collector_events_published_total ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)).context("no such metric")?;
        Ok(value.trim().parse()?)
    }

    fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "weir run ended with {status} on SIGTERM");
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// LiteLLM's proxy.
struct Proxy {
    child: Child,
    url: String,
}

impl Proxy {
    fn start(bench: &Bench<'_>, model: SocketAddr, listener: &str, log: &Path) -> Result<Self> {
        let here = dirs::workspace().join("xtask/clients");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let said = std::fs::File::create(bench.at("litellm.out"))?;
        let mut run = Command::new(bench.python.with_file_name("litellm"));
        run.current_dir(&here).args(["--host", "127.0.0.1", "--port", &port.to_string(), "--config"]);
        run.arg(here.join("litellm.yaml"));
        let surroundings = [
            ("STUB_BASE", format!("http://{model}/v1")),
            ("GENERIC_LOGGER_ENDPOINT", format!("{listener}/v1/lines")),
            ("GENERIC_LOGGER_HEADERS", format!("Authorization=Bearer {TOKEN}")),
            ("LITELLM_LOG_FILE", log.display().to_string()),
            ("DEFAULT_FLUSH_INTERVAL_SECONDS", "1".into()),
            // It asks nobody outside for prices, and has no key of its own: the test's hook knows all.
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True".into()),
            ("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true".into()),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ];
        run.envs(surroundings);
        let mut run = mortal(&run);
        let child = run.stdout(said.try_clone()?).stderr(said).spawn().context("cannot run litellm")?;
        let mut proxy = Self { child, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline || proxy.child.try_wait()?.is_some() {
                bail!(
                    "LiteLLM's proxy does not start: {}",
                    std::fs::read_to_string(bench.at("litellm.out"))?
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

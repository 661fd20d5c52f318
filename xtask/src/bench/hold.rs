//! From a datagram to the hold that a gateway is told of, over loopback: an alert is sent and the decision
//! server asked about its account until it says so. What the question costs is in the figure.

use super::decide::answer;
use super::meter::{Meter, Who, line};
use crate::dirs;
use crate::shell::{mortal, succeed};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::io::{BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_fastpath::{Alert, Judged, Keys, Word};
use weir_schemas::{AccountId, EventId, VerdictId};

/// Alerts that are measured, and those before, which warm up.
const ALERTS: u32 = 2_000;
const WARM_UP: u32 = 200;

/// Senders that take turns, so that none says more than it may.
const SENDERS: u32 = 20;

/// Time between two alerts.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a hold is waited for. Before the server has read the log, it holds nobody.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run() -> Result<()> {
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    let weir = dirs::built("weir")?;
    std::fs::write(at("access.jsonl"), "")?;
    let mut make = Command::new(&weir);
    make.args(["keys", "fastpath"]).arg(at("keys.toml")).stdout(Stdio::null());
    for sender in 0..SENDERS {
        make.args(["--sender", &name_of(sender)]);
    }
    succeed(make, "weir keys fastpath")?;
    let mut posture = Command::new(&weir);
    posture.args(["posture", "enforce", "--data-dir"]).arg(at("data")).stdout(Stdio::null());
    succeed(posture, "weir posture")?;
    let keys = Keys::parse(&std::fs::read_to_string(at("keys.toml"))?)?;
    let free = UdpSocket::bind("[::1]:0")?.local_addr()?;
    let mut run = Command::new(&weir);
    run.args(["run", "--log-level", "info", "--decide-addr", "127.0.0.1:0", "--fastpath-holds", "hold"]);
    run.args(["--fastpath-holds-max", "100000", "--fastpath-listen", &free.to_string(), "--tail"]);
    run.arg(at("access.jsonl")).arg("--fastpath-keys-file").arg(at("keys.toml"));
    run.arg("--data-dir").arg(at("data")).arg("--output-dir").arg(at("output"));
    let mut run =
        mortal(&run).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run weir")?;
    let outcome = measure(&mut run, &keys, free);
    run.kill()?;
    run.wait()?;
    outcome
}

fn name_of(sender: u32) -> String {
    format!("judge-{sender}")
}

fn measure(run: &mut Child, keys: &Keys, to: std::net::SocketAddr) -> Result<()> {
    let address = super::decide::address(run)?;
    let socket = UdpSocket::bind("[::1]:0")?;
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
    let mut held_after = |number: u32| -> Result<u64> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let account = AccountId(u128::from(number).to_be_bytes());
        let alert = Alert {
            node: name_of(number % SENDERS),
            event_ms: now_ms,
            sequence: number,
            boot_epoch: 1,
            event: EventId(account.0),
            account,
            tenant: "default".into(),
            word: Word::Verdict(Judged {
                verdict: VerdictId(account.0),
                score: 0.95,
                witnesses: 2,
                families: vec!["coverage".into(), "volume".into()],
                policy: Some("bench".into()),
            }),
        };
        let key = keys.get(1).context("the file has key 1")?;
        let packet = alert.encode(key, now_ms, number)?;
        let began = Instant::now();
        socket.send_to(&packet, to)?;
        while began.elapsed() < PATIENCE {
            write!(writer, "GET /v1/accounts/{account} HTTP/1.1\r\nhost: weir\r\n\r\n")?;
            if answer(&mut reader)?.contains("rate_limited") {
                return Ok(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        bail!("no hold after {PATIENCE:?}")
    };
    // Until the server has read what operators said it holds nobody, and an alert is heard once.
    std::thread::sleep(Duration::from_secs(1));
    for number in 1..=WARM_UP {
        held_after(number)?;
        std::thread::sleep(PAUSE);
    }
    let meter = Meter::start(Who::Process(run.id()))?;
    let mut waited_ns = Vec::new();
    for number in WARM_UP + 1..=WARM_UP + ALERTS {
        waited_ns.push(held_after(number)?);
        std::thread::sleep(PAUSE);
    }
    let taken = meter.stop()?;
    waited_ns.sort_unstable();
    let us_at = |permille: usize| waited_ns[(waited_ns.len() - 1) * permille / 1_000] / 1_000;
    let more = json!({ "p50_us": us_at(500), "p99_us": us_at(990), "goal_p99_us": 1_000 });
    line("fastpath_hold", ALERTS.into(), taken, more);
    Ok(())
}

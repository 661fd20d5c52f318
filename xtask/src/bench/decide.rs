//! A server of gateways over loopback: how long a gateway waits, and what a check costs the server, by HTTP
//! and by gRPC.
//!
//! Each way has the same number of requests under way at any time. The CPU time is the server's alone.

use super::meter::{Meter, Who, line};
use crate::dirs;
use crate::shell::mortal;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tonic::transport::{Channel, Endpoint};
use weir_api::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use weir_api::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use weir_api::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use weir_api::weir::v1::check_request::Who as OfWhom;
use weir_api::weir::v1::decisions_client::DecisionsClient;
use weir_api::weir::v1::{CheckRequest as Asked, Credentials};

/// Requests under way at a time.
const AT_ONCE: u64 = 4;

/// Requests of each measure, and those before, which warm up.
const REQUESTS: u64 = 100_000;
const WARM_UP: u64 = 5_000;

pub fn run() -> Result<()> {
    let place = tempfile::tempdir()?;
    let log = place.path().join("access.jsonl");
    std::fs::write(&log, "")?;
    let mut weir = Command::new(dirs::built("weir")?);
    weir.args(["run", "--log-level", "info", "--decide-addr", "127.0.0.1:0", "--tail"]).arg(&log);
    weir.arg("--data-dir")
        .arg(place.path().join("data"))
        .arg("--output-dir")
        .arg(place.path().join("output"));
    let mut weir = mortal(&weir);
    let mut weir = weir.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run weir")?;
    let outcome = measure(&mut weir);
    weir.kill()?;
    weir.wait()?;
    outcome
}

fn measure(weir: &mut Child) -> Result<()> {
    let address = address(weir)?;
    let server = weir.id();
    told("decide_http", server, &|keys| over_http(&address, keys))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let channel = runtime.block_on(Endpoint::from_shared(format!("http://{address}"))?.connect())?;
    told("decide_ext_authz", server, &|keys| runtime.block_on(over_grpc(&channel, keys, ext_authz)))?;
    told("decide_grpc", server, &|keys| runtime.block_on(over_grpc(&channel, keys, decisions)))
}

/// Where it answers, and the rest of what it says is read on, so that the pipe never fills.
pub fn address(weir: &mut Child) -> Result<String> {
    let mut stderr = BufReader::new(weir.stderr.take().context("weir has no stderr")?);
    let mut said = String::new();
    loop {
        let mut text = String::new();
        if stderr.read_line(&mut text)? == 0 {
            bail!("weir ended: {said}");
        }
        if let Some((_, address)) = text.split_once("answering gateways address=") {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            return Ok(address.trim().to_owned());
        }
        said += &text;
    }
}

/// Runs one way to ask, and prints its line.
fn told(bench: &str, server: u32, ask: &dyn Fn(u64) -> Result<Vec<u64>>) -> Result<()> {
    ask(WARM_UP)?;
    let meter = Meter::start(Who::Process(server))?;
    let mut waited_ns = ask(REQUESTS)?;
    let taken = meter.stop()?;
    ensure!(waited_ns.len() as u64 == REQUESTS, "{bench}: {} answers", waited_ns.len());
    waited_ns.sort_unstable();
    let us_at = |permille: usize| waited_ns[(waited_ns.len() - 1) * permille / 1_000] / 1_000;
    let more = json!({
        "at_once": AT_ONCE,
        "p50_us": us_at(500),
        "p99_us": us_at(990),
        "goal_p99_us": 1_000,
        "goal_events_per_cpu_s": 20_000,
    });
    line(bench, REQUESTS, taken, more);
    Ok(())
}

fn key(number: u64) -> String {
    format!("Bearer sk-bench-{}", number % 10_000)
}

/// As nginx asks: connections that stay, one request after the other on each.
fn over_http(address: &str, requests: u64) -> Result<Vec<u64>> {
    let one = |from: u64| -> Result<Vec<u64>> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
        let mut waited = Vec::new();
        for number in (from..requests).step_by(AT_ONCE as usize) {
            let began = Instant::now();
            let request =
                format!("GET /auth HTTP/1.1\r\nhost: weir\r\nauthorization: {}\r\n\r\n", key(number));
            writer.write_all(request.as_bytes())?;
            answer(&mut reader)?;
            waited.push(nanos(began));
        }
        Ok(waited)
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..AT_ONCE).map(|from| scope.spawn(move || one(from))).collect();
        let mut all = Vec::new();
        for asking in asking {
            all.extend(asking.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok(all)
    })
}

/// Reads one answer, which must be 200: its body.
pub fn answer(reader: &mut BufReader<TcpStream>) -> Result<String> {
    let (mut line, mut length, mut is_first) = (String::new(), 0, true);
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the server hung up");
        ensure!(!is_first || line.starts_with("HTTP/1.1 200"), "{line}");
        is_first = false;
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.trim().parse()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

/// As Envoy asks: one connection, several requests at a time.
async fn over_grpc<F>(channel: &Channel, requests: u64, ask: fn(Channel, u64) -> F) -> Result<Vec<u64>>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let asking: Vec<_> = (0..AT_ONCE)
        .map(|from| {
            let channel = channel.clone();
            tokio::spawn(async move {
                let mut waited = Vec::new();
                for number in (from..requests).step_by(AT_ONCE as usize) {
                    let began = Instant::now();
                    ask(channel.clone(), number).await?;
                    waited.push(nanos(began));
                }
                anyhow::Ok(waited)
            })
        })
        .collect();
    let mut all = Vec::new();
    for asking in asking {
        all.extend(asking.await??);
    }
    Ok(all)
}

async fn ext_authz(channel: Channel, number: u64) -> Result<()> {
    let headers = [
        (":method", "POST".to_owned()),
        (":path", "/v1/chat/completions".to_owned()),
        ("user-agent", "OpenAI/Python 3.52.0".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("authorization", key(number)),
    ];
    let headers: HashMap<String, String> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let http = HttpRequest { method: "POST".into(), headers, ..HttpRequest::default() };
    let request = Request { http: Some(http), ..Request::default() };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    let answer =
        AuthorizationClient::new(channel).check(CheckRequest { attributes: Some(attributes) }).await?;
    ensure!(answer.into_inner().status.is_some_and(|status| status.code == 0), "it may not pass");
    Ok(())
}

async fn decisions(channel: Channel, number: u64) -> Result<()> {
    let credentials = Credentials { keys: vec![key(number)], tenant: None };
    let asked = Asked { who: Some(OfWhom::Credentials(credentials)), look: false, tenant: None };
    let answer = DecisionsClient::new(channel).check(asked).await?;
    ensure!(answer.into_inner().passes, "it may not pass");
    Ok(())
}

fn nanos(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

//! Servers that gateways ask, and what they are told.

use super::{Place, Running, eventually};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use weir_schemas::pseudonym::PseudonymKey;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Digest, Standing, StandingStatus};
use weir_topology::embedded::EmbeddedLog;
use weir_topology::log::{Commit, Log as _};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// A run that answers gateways; and where.
pub fn answering(mut run: Command, arguments: &[&str]) -> (Running, String) {
    run.args(arguments);
    let (run, address, _) = watched(run, false);
    (run, address)
}

/// The same, and where its metrics are.
pub fn answering_with_metrics(run: Command) -> (Running, String, String) {
    watched(run, true)
}

/// The same of a server that lets two requests at once pass of an account that is slowed down.
pub fn answering_two_at_once(mut run: Command, arguments: &[&str]) -> (Running, String, String) {
    run.args(["--metrics-addr", "127.0.0.1:0"]);
    run.args(["--decide-limit-per-minute", "2", "--decide-limit-burst", "2"]);
    run.args(arguments);
    answering_with_metrics(run)
}

fn watched(mut run: Command, has_metrics: bool) -> (Running, String, String) {
    run.args(["--decide-addr", "127.0.0.1:0"]);
    let mut run = Running::start(run);
    let mut stderr = BufReader::new(run.0.stderr.take().unwrap());
    let mut shown = String::new();
    let mut address_after = |mark: &str| loop {
        if let Some(address) = shown.split(mark).nth(1).and_then(|rest| rest.split_once('\n')) {
            break address.0.trim().to_owned();
        }
        assert!(stderr.read_line(&mut shown).unwrap() > 0, "{shown}");
    };
    let metrics =
        if has_metrics { address_after("serving /metrics and /health address=") } else { String::new() };
    let address = address_after("answering gateways address=");
    let mut stdout = run.0.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (run, address, metrics)
}

/// Status, and the whole answer.
pub fn ask(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: weir\r\n{headers}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer:?}")), answer)
}

pub fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let lines = answer.lines().take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
}

/// Says on the log how the account of a key stands, as the enforcer would.
pub fn stands(place: &Place, keys: &Path, key: &str, status: StandingStatus) {
    stands_as(place, keys, key, &Standing { status, ..Standing::default() });
}

/// The same with all that is said, but for the account; its pseudonym. It is of the tenant that is said, or
/// of `default`.
pub fn stands_as(place: &Place, keys: &Path, key: &str, standing: &Standing) -> AccountId {
    place.set_posture("audit");
    let secret = std::fs::read_to_string(keys.join("pseudonym-0.key")).unwrap();
    let secret: Digest = secret.trim().parse().unwrap();
    let tenant = Some(standing.tenant.as_str()).filter(|tenant| !tenant.is_empty()).unwrap_or("default");
    let account = PseudonymKey::new(&secret.0, 0).account(tenant, key);
    let log = EmbeddedLog::open(&place.data.join("log"), 4).unwrap();
    let standing = Standing { account, tenant: tenant.into(), ..standing.clone() };
    let payload = Wire::new().to_bytes(&standing);
    let outputs = vec![Output::keyed(Topic::Standing, account.to_key(), payload, 0)];
    log.writer("test").unwrap().commit(&Commit { outputs, positions: Vec::new() }).unwrap();
    account
}

/// A Redis on a port of its own; none where there is none, which with CI set is a failure.
pub fn redis(place: &Place) -> Option<(Running, String)> {
    if !Path::new("/usr/bin/redis-server").exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "redis-server is not installed, and with CI set that is a failure"
        );
        eprintln!("skipped: redis-server is not installed");
        return None;
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    Some((redis_at(place, &address), address))
}

/// A Redis at this address, which remembers nothing.
pub fn redis_at(place: &Place, address: &str) -> Running {
    let (_, port) = address.split_once(':').unwrap();
    let mut command = Command::new("/usr/bin/redis-server");
    command.args(["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(place.directory.path());
    let redis = Running::start(command);
    eventually("Redis listens", || TcpStream::connect(address).is_ok());
    redis
}

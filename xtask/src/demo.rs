//! `cargo xtask demo`: Weir acts, in a sandbox of its own: a real nginx asks it about every request, a real
//! Redis and the key server carry out what it decides, and the recorded traffic is written to a log that it
//! follows, as if it were made now.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::sandbox::{Sandboxed, free, wait_for};
use crate::shell::succeed;
use crate::{debian, dirs};

/// A key of the campaign in the recorded traffic, and one of a customer who behaves.
const CAMPAIGN: &str = "sk-example-mirror-01";
const CUSTOMER: &str = "sk-example-harbor-chat";

/// How long a suspension lasts here, in milliseconds.
const LASTS_MS: &str = "15000";

/// Builds the binary and runs the demonstration with it.
///
/// # Errors
/// Says which step did not come out as it must.
pub fn run() -> Result<()> {
    with(&dirs::build_weir()?)
}

/// Runs the demonstration with this binary.
///
/// # Errors
/// Says which step did not come out as it must.
pub fn with(weir: &Path) -> Result<()> {
    debian::ensure_command("redis-server", "redis-server")?;
    if !Path::new("/usr/sbin/nginx").exists() {
        debian::ensure_debian_packages(&["nginx"])?;
    }
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    say("1. A sandbox: Redis, the key server, and Weir in enforce posture, where a suspension lasts 15 s.");
    let redis_address = free()?;
    let (_, redis_port) = redis_address.split_once(':').context("an address has a port")?;
    let mut redis = Command::new("redis-server");
    redis.args(["--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(place.path());
    let _redis = Sandboxed::start(redis, "redis-server")?;
    wait_for("Redis", || Ok(TcpStream::connect(&redis_address).is_ok()))?;

    fs::write(at("secret"), "the secret of a sandbox\n")?;
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o600))?;
    let mut keys = Command::new(weir);
    keys.arg("key-server").arg("--secret-file").arg(at("secret")).arg("--journal").arg(at("journal.jsonl"));
    let mut keys = Sandboxed::piped(keys, "weir key-server")?;
    let told = keys.first_line(|line| line.contains("listens on"))?;
    let webhook = told.split_whitespace().last().context("the key server names its address")?.to_owned();

    let ours = |arguments: &[&str]| {
        let mut command = Command::new(weir);
        command.args(arguments).arg("--data-dir").arg(at("data"));
        command
    };
    succeed(ours(&["posture", "enforce"]), "weir posture enforce")?;
    succeed(ours(&["ring", "3", LASTS_MS, "auto"]), "weir ring 3")?;
    succeed(ours(&["protect", "add", &format!("key/{CUSTOMER}")]), "weir protect add")?;
    let mut run = ours(&["run", "--decide-addr", "127.0.0.1:0", "--act-redis", &redis_address]);
    run.args(["--act-webhook-url", &webhook, "--act-webhook-secret-file"]).arg(at("secret"));
    run.arg("--tail").arg(at("access.jsonl")).arg("--output-dir").arg(at("output"));
    let mut run = Sandboxed::piped_errors(run, "weir run")?;
    let told = run.first_line(|line| line.contains("answering gateways"))?;
    let decide = told.trim().rsplit_once("address=").context("the run names its address")?.1.to_owned();

    say("2. nginx, which asks Weir about every request before the model answers it.");
    let gateway = free()?;
    let _nginx = Sandboxed::start(nginx(&at("nginx"), &gateway, &decide)?, "nginx")?;
    wait_for("nginx", || Ok(TcpStream::connect(&gateway).is_ok()))?;
    for key in [CAMPAIGN, CUSTOMER] {
        expect(&gateway, key, 200)?;
    }

    say("3. The recorded traffic, re-timed to now, is appended to the gateway's log, which Weir follows.");
    let lines = replay_into(&at("access.jsonl"))?;
    println!("   {lines} requests of eight customers and of a campaign of six keys");

    say("4. The campaign's next request is refused at the gateway.");
    wait_for("the campaign to be refused", || Ok(ask(&gateway, CAMPAIGN)?.0 == 403))?;
    let refused = Instant::now();
    let (_, answer) = expect(&gateway, CAMPAIGN, 403)?;
    let retry_after = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("retry-after:"));
    println!("   {}", retry_after.context("a refusal says when to try again")?);
    expect(&gateway, CUSTOMER, 200)?;
    let journal = fs::read_to_string(at("journal.jsonl"))?;
    let is_suspended = |line: &str| line.contains(CAMPAIGN) && line.contains("\"apply\"");
    ensure!(journal.lines().any(is_suspended), "the key server was not told: {journal}");
    println!("   The key server has suspended it, and Redis says so to whoever asks there.");

    say("5. When its time is over it is let through again.");
    wait_for("the campaign to pass again", || Ok(ask(&gateway, CAMPAIGN)?.0 == 200))?;
    println!("   after {:.0} s", refused.elapsed().as_secs_f64());
    wait_for("the key server to be told", || {
        let journal = fs::read_to_string(at("journal.jsonl"))?;
        let of_campaign = |line: &&str| line.contains(CAMPAIGN);
        Ok(journal.lines().rfind(of_campaign).is_some_and(|line| line.contains("\"release\"")))
    })?;

    say("6. All of it is in the audit chain, each decision before its effect.");
    run.terminate()?;
    let mut verify = ours(&["audit", "verify"]);
    verify.stdout(Stdio::inherit());
    succeed(verify, "weir audit verify")?;
    println!("\nA campaign was refused at the gateway and let through again; nobody else noticed.");
    Ok(())
}

fn say(step: &str) {
    println!("\n{step}");
}

/// nginx in `dir` with the shipped snippet, before a model that answers everybody.
fn nginx(dir: &Path, address: &str, decide: &str) -> Result<Command> {
    fs::create_dir(dir)?;
    let snippet = dirs::workspace().join("deploy/nginx/weir-decide.conf");
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (shown, snippet) = (dir.display(), snippet.display());
    let conf = format!(
        "{user} daemon off; worker_processes 1; pid {shown}/nginx.pid; error_log {shown}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off;\n\
         client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy; fastcgi_temp_path {shown}/fastcgi;\n\
         uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi;\n\
         upstream weir_decide {{ server {decide}; keepalive 8; }}\n\
         server {{ listen {address}; include {snippet};\n\
         location / {{ auth_request /weir-decide;\n\
         auth_request_set $weir_status $upstream_http_x_weir_status;\n\
         auth_request_set $weir_retry_after $upstream_http_retry_after;\n\
         error_page 403 = @weir_refused; try_files /none @model; }}\n\
         location @model {{ return 200 'an answer\\n'; }} }} }}\n"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, conf)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&file).arg("-e").arg(dir.join("error.log"));
    Ok(command)
}

/// Appends the recorded traffic to a log as if its last request were made now; how many lines.
pub fn replay_into(log: &Path) -> Result<usize> {
    let recorded = fs::read_to_string(dirs::workspace().join("examples/access.jsonl"))?;
    let mut lines = recorded.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let time = |line: &Value| line["time"].as_f64().context("a line has a time");
    let mut last = f64::MIN;
    for line in &lines {
        last = last.max(time(line)?);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let mut file = OpenOptions::new().append(true).create(true).open(log)?;
    for line in &mut lines {
        line["time"] = (((time(line)? + now - last) * 1e3).round() / 1e3).into();
        writeln!(file, "{line}")?;
    }
    Ok(lines.len())
}

/// A request with this key: the gateway's status, and all of its answer.
pub fn ask(gateway: &str, key: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(gateway)?;
    write!(
        stream,
        "GET /v1/models HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.with_context(|| format!("that is no answer: {answer:?}"))?, answer))
}

/// A request with this key must have this status.
fn expect(gateway: &str, key: &str, status: u16) -> Result<(u16, String)> {
    let (found, answer) = ask(gateway, key)?;
    println!("   {key}: {found}");
    ensure!(found == status, "{key} was answered with {found}, not {status}: {answer}");
    Ok((found, answer))
}

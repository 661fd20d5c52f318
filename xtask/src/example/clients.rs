//! Starts the client programs with their part of the plan and collects what failed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use serde_json::json;

use super::accounts::Client;
use super::plan::{Call, Group};
use crate::dirs;

#[derive(Deserialize, Default)]
struct Outcome {
    answered: usize,
    failed: Vec<String>,
}

/// Runs all groups side by side until every call of the plan is answered.
///
/// # Errors
/// When a client cannot run, or any of its requests was not answered with success.
pub fn send(groups: &[Group], base_url: &str, python: &Path) -> anyhow::Result<()> {
    let outcomes: Vec<anyhow::Result<Outcome>> = thread::scope(|scope| {
        let running: Vec<_> = groups
            .iter()
            .map(|group| {
                scope.spawn(move || match group.client {
                    Client::Curl => Ok(curl(&group.calls, base_url)),
                    Client::Node => {
                        script(Command::new("node").arg(file("fetch_client.mjs")), base_url, &group.calls)
                    }
                    Client::OpenaiPython => {
                        script(Command::new(python).arg(file("openai_client.py")), base_url, &group.calls)
                    }
                })
            })
            .collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.map(|outcome| outcome.unwrap_or_else(|_| Err(anyhow!("a client thread panicked")))).collect()
    });
    for (group, outcome) in groups.iter().zip(outcomes) {
        let outcome = outcome?;
        if outcome.answered != group.calls.len() || !outcome.failed.is_empty() {
            let few: Vec<&String> = outcome.failed.iter().take(3).collect();
            bail!(
                "{:?}: {} of {} requests answered; {few:?}",
                group.client,
                outcome.answered,
                group.calls.len()
            );
        }
    }
    Ok(())
}

fn file(name: &str) -> PathBuf {
    dirs::workspace().join("xtask/example").join(name)
}

/// A client script reads its calls from stdin and prints its outcome.
fn script(command: &mut Command, base_url: &str, calls: &[Call]) -> anyhow::Result<Outcome> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // Loopback never goes through a proxy that the environment names.
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let plan = json!({"base_url": base_url, "calls": calls}).to_string();
    let mut stdin = child.stdin.take().context("the client has no stdin")?;
    stdin.write_all(plan.as_bytes()).context("the client does not read its plan")?;
    drop(stdin);
    let output = child.wait_with_output().context("the client did not end")?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{command:?} ended with {} and no outcome", output.status))
}

/// curl has no loop of its own: one process a request, in the order of the plan.
fn curl(calls: &[Call], base_url: &str) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome::default();
    for call in calls {
        thread::sleep(Duration::from_millis(call.at_ms).saturating_sub(start.elapsed()));
        match curl_once(call, base_url) {
            Ok(status) if status == "200" => outcome.answered += 1,
            Ok(status) => outcome.failed.push(format!("{}: status {status}", call.key)),
            Err(error) => outcome.failed.push(format!("{}: {error:#}", call.key)),
        }
    }
    outcome
}

fn curl_once(call: &Call, base_url: &str) -> anyhow::Result<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "127.0.0.1"]);
    command.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
    command.arg("--header").arg(format!("Authorization: Bearer {}", call.key));
    for (name, value) in &call.headers {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    if let Some(body) = &call.body {
        command.args(["--header", "Content-Type: application/json", "--data-binary"]);
        command.arg(body.to_string());
    }
    let output = command.arg(format!("{base_url}{}", call.path)).output().context("cannot run curl")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

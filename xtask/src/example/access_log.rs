//! Reads what nginx wrote and holds it against what the clients sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::plan::Driven;

const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the files have so many lines together, and returns their text.
///
/// nginx logs a request after the client has its answer, so the last lines come a moment late.
///
/// # Errors
/// When a file cannot be read, or there are more or fewer lines when the patience ends.
pub fn wait_for_lines(paths: &[&Path], lines: usize) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut text = String::new();
        for path in paths {
            text += &std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        }
        let found = text.matches('\n').count();
        if found == lines && text.ends_with('\n') {
            return Ok(text);
        }
        if found > lines || Instant::now() > deadline {
            bail!("{lines} requests were answered, but {paths:?} have {found} lines");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The fields that every line of a recording must have.
#[derive(Deserialize)]
struct RichLine {
    request_id: String,
    time: f64,
    account: String,
    org: String,
    payment: String,
    method: String,
    status: String,
    request_body: String,
    header_order: String,
    campaign_label: String,
}

/// Checks a log in the rich format: whole JSON lines, ids of their own, the accounts' counts as sent.
///
/// # Errors
/// Quotes the number of the first line that is wrong and says what is.
pub fn check_rich(log: &str, driven: &Driven) -> anyhow::Result<()> {
    let mut by_key = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (number, text) in (1..).zip(log.lines()) {
        check_rich_line(text, &mut ids, &mut by_key).with_context(|| format!("log line {number}"))?;
    }
    ensure!(by_key == driven.by_key, "sent {:?}, but logged {by_key:?}", driven.by_key);
    Ok(())
}

fn check_rich_line(
    text: &str,
    ids: &mut BTreeSet<String>,
    by_key: &mut BTreeMap<String, usize>,
) -> anyhow::Result<()> {
    let line: RichLine = serde_json::from_str(text)?;
    ensure!(line.time > 0.0, "no time");
    ensure!(line.status == "200", "status {}", line.status);
    for (name, value) in [("org", &line.org), ("payment", &line.payment)] {
        ensure!(!value.is_empty(), "the auth service's {name} is not logged");
    }
    ensure!(!line.campaign_label.is_empty(), "no label");
    ensure!(line.header_order.contains("authorization"), "no header order");
    ensure!(!line.header_order.contains("label"), "the header order gives the label away");
    if line.method == "POST" {
        let body: Value = serde_json::from_str(&line.request_body).context("request_body")?;
        ensure!(body["messages"].is_array(), "the body is not a chat");
    }
    ensure!(ids.insert(line.request_id), "a request id is there twice");
    *by_key.entry(line.account).or_default() += 1;
    Ok(())
}

/// Checks that every line is a JSON object.
///
/// # Errors
/// Says which line is not.
pub fn check_json(log: &str) -> anyhow::Result<()> {
    for (number, text) in (1..).zip(log.lines()) {
        serde_json::from_str::<serde_json::Map<String, Value>>(text)
            .with_context(|| format!("log line {number}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::accounts::Accounts;
    use crate::example::plan::{Profile, driven, plan};

    const RECORDING: &str = include_str!("../../../examples/access.jsonl");

    fn sent() -> Driven {
        driven(&plan(&Accounts::load().unwrap(), &Profile::RECORDING))
    }

    #[test]
    fn the_committed_recording_is_what_the_plan_sends() {
        check_rich(RECORDING, &sent()).unwrap();
    }

    #[test]
    fn a_recording_that_lost_a_line_is_refused() {
        let (_, rest) = RECORDING.split_once('\n').unwrap();
        assert!(check_rich(rest, &sent()).unwrap_err().to_string().starts_with("sent "));
    }

    #[test]
    fn a_recording_with_a_line_twice_is_refused() {
        let (first, _) = RECORDING.split_once('\n').unwrap();
        let error = check_rich(&format!("{first}\n{RECORDING}"), &sent()).unwrap_err();
        assert_eq!(format!("{error:#}"), "log line 2: a request id is there twice");
    }

    #[test]
    fn a_torn_line_is_refused_with_its_number() {
        let error = check_json("{}\n{\"request_id\":").unwrap_err();
        assert_eq!(error.to_string(), "log line 2");
    }

    #[test]
    fn every_field_of_the_nginx_formats_is_explained_in_the_docs() {
        let formats = include_str!("../../../deploy/nginx/weir-log-formats.conf");
        let docs = include_str!("../../../docs/formats.md");
        // In the conf a field is a quoted name and a colon: '"request_id":"$request_id",'
        for (name, _) in
            formats.split('"').zip(formats.split('"').skip(1)).filter(|(_, after)| after.starts_with(':'))
        {
            assert!(docs.contains(&format!("`{name}`")), "docs/formats.md does not explain `{name}`");
        }
    }
}

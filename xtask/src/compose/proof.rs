//! After all that: the log against what the gateway wrote, and who watches.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::engine::Engine;
use super::stack::{ROLES, operator, until};

/// Every line that the gateway wrote is one event, judged once; every verdict and the audit chain can be
/// proved.
///
/// # Errors
/// Says what does not hold.
pub fn nothing_was_lost(engine: &Engine) -> Result<()> {
    let gateway = engine.container("gateway")?;
    let lines = engine.ask(&["exec", &gateway, "cat", "/var/log/gateway/weir.jsonl"])?.lines().count();
    let wanted = format!("BALANCED: {lines} events read, {lines} judged, 0 dead-lettered, 0 in flight");
    let mut said = String::new();
    until("every request to be judged", || {
        // What is in flight makes it end with 2.
        said = operator(engine, &["coverage"]).unwrap_or_else(|error| format!("{error:#}"));
        Ok(said.lines().any(|line| line == wanted))
    })
    .with_context(|| format!("the gateway wrote {lines} lines; weir coverage:\n{said}"))?;
    println!("   {lines} requests in the gateway's log; weir coverage: {wanted}");
    for (words, proof) in [
        (&["verify", "--all"][..], "0 different, 0 not to be told"),
        (&["audit", "verify", "--keys-dir", "/keys/auditor"], "SOUND: signed: "),
        (&["replay", "--as-recorded"], "bytes     equal to the log's"),
    ] {
        let command = words.join(" ");
        let (mut said, mut line) = (String::new(), None);
        until(&format!("weir {command} to say {proof:?}"), || {
            // What cannot be told yet makes it end with 2.
            said = operator(engine, words).unwrap_or_else(|error| format!("{error:#}"));
            line = said.lines().find(|line| line.contains(proof)).map(str::to_owned);
            Ok(line.is_some())
        })
        .with_context(|| format!("weir {command} said last: {said}"))?;
        println!("   weir {command}: {}", line.unwrap_or_default());
    }
    Ok(())
}

/// Prometheus scrapes every role, knows the rules, and has an Alertmanager to tell.
///
/// # Errors
/// Says what does not come about.
pub fn is_watched(engine: &Engine) -> Result<()> {
    let prometheus = engine.container("prometheus")?;
    let fetch = |path: &str| -> Result<Value> {
        let script = format!(
            "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9090/api/v1/{path}', timeout=10).read().decode())"
        );
        Ok(serde_json::from_str(&engine.ask(&["exec", &prometheus, "python3", "-c", &script])?)?)
    };
    until("every role to be scraped", || {
        let told = fetch("query?query=sum(up{job=%22weir%22})")?;
        let up = told.pointer("/data/result/0/value/1").and_then(Value::as_str);
        Ok(up == Some(&ROLES.len().to_string()))
    })?;
    let told = fetch("rules")?;
    let groups =
        told.pointer("/data/groups").and_then(Value::as_array).context("Prometheus lists its rules")?;
    let rules: usize = groups.iter().filter_map(|group| group["rules"].as_array()).map(Vec::len).sum();
    ensure!(rules > 0, "Prometheus has read no rule");
    until("Prometheus to know its Alertmanager", || {
        let told = fetch("alertmanagers")?;
        Ok(told.pointer("/data/activeAlertmanagers/0").is_some())
    })?;
    println!("   Prometheus scrapes {} roles by {rules} rules, and tells Alertmanager", ROLES.len());
    Ok(())
}

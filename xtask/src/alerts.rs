//! `cargo xtask alerts`: what is shipped for Prometheus and Grafana, held against Prometheus itself.
//!
//! Each alert fires in one case of `deploy/prometheus/tests` and is silent in another. Then a real Prometheus
//! scrapes a real `weir run`: every series that a rule or a dashboard names must be there, no alert fires on
//! it, and one comes up when it is gone. Every alert has a runbook, and every runbook an alert.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::sandbox::{Sandboxed, free, wait_for};
use crate::shell::succeed;
use crate::{debian, demo, dirs};

/// Builds the binary and runs the checks with it.
///
/// # Errors
/// Says what does not hold.
pub fn run() -> Result<()> {
    with(&dirs::build_weir()?)
}

/// Runs the checks with this binary.
///
/// # Errors
/// Says what does not hold.
pub fn with(weir: &Path) -> Result<()> {
    debian::ensure_command("promtool", "prometheus")?;
    let shipped = dirs::workspace().join("deploy/prometheus");
    let promtool = |arguments: &[&str]| {
        let mut command = Command::new("promtool");
        command.current_dir(&shipped).args(arguments);
        succeed(command, &format!("promtool {}", arguments.join(" ")))
    };
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["test", "rules", "tests/weir-alerts.test.yml"])?;

    let declared = declared(weir)?;
    let place = tempfile::tempdir()?;
    let at = |name: &str| place.path().join(name);
    let mut run = Command::new(weir);
    run.args(["run", "--metrics-addr", "127.0.0.1:0", "--decide-addr", "127.0.0.1:0", "--tail"]);
    fs::write(at("access.jsonl"), "")?;
    run.arg(at("access.jsonl"));
    run.arg("--data-dir").arg(at("data")).arg("--output-dir").arg(at("output"));
    let mut run = Sandboxed::piped_errors(run, "weir run")?;
    let told = run.first_line(|line| line.contains("serving /metrics"))?;
    let metrics = told.rsplit_once("address=").context("the run names its address")?.1.to_owned();

    let address = free()?;
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [{}]\n\
         scrape_configs: [{{ job_name: weir, static_configs: [{{ targets: [\"{metrics}\"] }}] }}]\n",
        shipped.join("weir-alerts.yml").display()
    );
    fs::write(at("prometheus.yml"), config)?;
    let mut prometheus = Command::new("prometheus");
    prometheus.arg("--config.file").arg(at("prometheus.yml")).arg("--storage.tsdb.path").arg(at("tsdb"));
    prometheus.arg(format!("--web.listen-address={address}"));
    let _prometheus = Sandboxed::start(prometheus, "prometheus")?;
    let prometheus = Prometheus { address };
    wait_for("Prometheus", || Ok(TcpStream::connect(&prometheus.address).is_ok()))?;
    // What was there at the first scrape is in no rate.
    wait_for("the first scrape", || Ok(!prometheus.query("weir_build_info").unwrap_or_default().is_empty()))?;
    demo::replay_into(&at("access.jsonl"))?;
    wait_for("verdicts in Prometheus", || {
        Ok(!prometheus
            .query("sum(weir_verdicts_total{kind=\"CRITICAL\"}) > 0")
            .unwrap_or_default()
            .is_empty())
    })?;
    wait_for("rules over them", || {
        let rates = prometheus.query("weir:verdicts_slow:ratio6h > 0").unwrap_or_default();
        let times = prometheus.query("weir_event_to_verdict_seconds_count > 0").unwrap_or_default();
        let scrapes = prometheus.query("count_over_time(weir_build_info[10m]) > 5").unwrap_or_default();
        Ok(!rates.is_empty() && !times.is_empty() && !scrapes.is_empty())
    })?;

    let rules = prometheus.rules()?;
    check_rules(&rules)?;
    check_runbooks(&rules)?;
    let mut queries: Vec<(String, String)> =
        rules.iter().map(|rule| (rule.name.clone(), rule.query.clone())).collect();
    let panels = panels()?;
    queries.extend(panels.iter().cloned());
    let named = check_names(&queries, &declared)?;
    let series = check_selectors(&queries, &declared, &prometheus)?;
    for (panel, query) in &panels {
        let answer = prometheus.query(query).with_context(|| panel.clone())?;
        ensure!(!answer.is_empty(), "{panel} has no data: {query}");
    }
    // The recorded requests are minutes old, and the verdicts on them so much too late: that alert may, if
    // this takes two minutes.
    let is_well = |rule: &&Rule| !rule.name.starts_with("WeirVerdictsSlow");
    let firing = rules.iter().filter(|rule| rule.state.as_deref() == Some("firing")).filter(is_well);
    let firing = firing.collect::<Vec<_>>();
    ensure!(firing.is_empty(), "alerts fire on a deployment that is well: {firing:?}");
    check_objectives(weir, &prometheus)?;

    run.terminate()?;
    wait_for("WeirDown to come up when the process is gone", || {
        let rules = prometheus.rules()?;
        let down = rules.iter().find(|rule| rule.name == "WeirDown").context("there is no WeirDown")?;
        Ok(down.state.as_deref() != Some("inactive"))
    })?;
    let alerts = rules.iter().filter(|rule| rule.state.is_some()).count();
    println!(
        "{alerts} alerts, each with its runbook and its cases; {} panels with data; {named} metrics and {series} selections are \
         there",
        panels.len()
    );
    Ok(())
}

/// `weir slo` finds the budget that the old requests burn, and knows nothing of what was not measured.
fn check_objectives(weir: &Path, prometheus: &Prometheus) -> Result<()> {
    let url = format!("http://{}", prometheus.address);
    let output = Command::new(weir).args(["slo", "--prometheus", &url, "--format", "json"]).output()?;
    ensure!(output.status.code() == Some(3), "weir slo: {output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).context("weir slo")?;
    let [verdicts, effects] = [0, 1].map(|objective| &told["objectives"][objective]);
    ensure!(
        verdicts["name"] == "verdicts"
            && ["bad_5m", "bad_6h"].iter().all(|bad| verdicts[bad].as_f64() > Some(0.5))
            && verdicts["budget_left"].as_f64() < Some(0.0)
            && verdicts["burns"] == "fast"
            && effects["bad_5m"].is_null(),
        "weir slo does not know how verdicts stand: {told}"
    );
    Ok(())
}

/// A metric as `weir metrics --list` has it.
#[derive(Deserialize)]
struct Declared {
    series: String,
    #[serde(rename = "type")]
    kind: String,
    labels: BTreeSet<String>,
}

/// Series by the names under which queries find them.
fn declared(weir: &Path) -> Result<BTreeMap<String, Declared>> {
    let output = Command::new(weir).args(["metrics", "--list", "--format", "json"]).output()?;
    let listed: Vec<Declared> = serde_json::from_slice(&output.stdout).context("weir metrics --list")?;
    let mut by_name = BTreeMap::new();
    for metric in listed {
        if metric.kind != "histogram" {
            by_name.insert(metric.series.clone(), metric);
            continue;
        }
        for ending in ["_bucket", "_sum", "_count"] {
            let mut labels = metric.labels.clone();
            labels.extend((ending == "_bucket").then(|| "le".to_owned()));
            let series = format!("{}{ending}", metric.series);
            by_name.insert(series.clone(), Declared { series, kind: metric.kind.clone(), labels });
        }
    }
    Ok(by_name)
}

/// A rule as Prometheus has loaded it.
#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    query: String,
    health: String,
    /// Of an alert only.
    state: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

struct Prometheus {
    address: String,
}

impl Prometheus {
    fn get(&self, path: &str, query: &str) -> Result<Value> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--get", "--data-urlencode"])
            .arg(format!("query={query}"))
            .arg(format!("http://{}/api/v1/{path}", self.address))
            .output()
            .context("cannot run curl")?;
        let answer: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("no answer: {}", String::from_utf8_lossy(&output.stderr)))?;
        ensure!(answer["status"] == "success", "{query}: {}", answer["error"]);
        Ok(answer["data"].clone())
    }

    /// What a query gives now.
    fn query(&self, query: &str) -> Result<Vec<Value>> {
        let data = self.get("query", query)?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    fn rules(&self) -> Result<Vec<Rule>> {
        let data = self.get("rules", "")?;
        let groups = data["groups"].as_array().context("no groups of rules")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        rules.map(|rule| Ok(Rule::deserialize(rule)?)).collect()
    }
}

/// Every rule can be evaluated; every alert says how grave it is, and has both its cases.
fn check_rules(rules: &[Rule]) -> Result<()> {
    let cases = fs::read_to_string(dirs::workspace().join("deploy/prometheus/tests/weir-alerts.test.yml"))?;
    for rule in rules {
        ensure!(rule.health == "ok", "{} cannot be evaluated", rule.name);
        if rule.state.is_none() {
            continue;
        }
        let severity = rule.labels.get("severity").map(String::as_str);
        ensure!(matches!(severity, Some("P0" | "P1" | "P2")), "{} has no severity", rule.name);
        for case in ["fires", "is silent"] {
            let name = format!("- name: {} {case}\n", rule.name);
            ensure!(cases.contains(&name), "there is no case in which {} {case}", rule.name);
        }
    }
    Ok(())
}

/// Every alert points at its runbook, and every runbook is of an alert.
fn check_runbooks(rules: &[Rule]) -> Result<()> {
    let page = fs::read_to_string(dirs::workspace().join("docs/runbooks.md"))?;
    let sections: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = rules.iter().filter(|rule| rule.state.is_some());
    for alert in alerts.clone() {
        let expected = format!("docs/runbooks.md#{}", alert.name.to_ascii_lowercase());
        ensure!(alert.annotations.get("runbook_url") == Some(&expected), "{} points nowhere", alert.name);
        ensure!(alert.annotations.contains_key("summary"), "{} says nothing", alert.name);
    }
    let names: BTreeSet<&str> = alerts.map(|alert| alert.name.as_str()).collect();
    ensure!(
        names == sections,
        "without a runbook: {:?}; without an alert: {:?}",
        names.difference(&sections).collect::<Vec<_>>(),
        sections.difference(&names).collect::<Vec<_>>()
    );
    Ok(())
}

/// Every query of every dashboard, with the panel that it is of.
fn panels() -> Result<Vec<(String, String)>> {
    let mut panels = Vec::new();
    for entry in fs::read_dir(dirs::workspace().join("deploy/grafana"))? {
        let path = entry?.path();
        let board: Value = serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        let title = board["title"].as_str().context("a dashboard has a title")?;
        for panel in board["panels"].as_array().context("a dashboard has panels")? {
            let targets = panel["targets"].as_array().context("a panel has queries")?;
            ensure!(!targets.is_empty(), "{title} has a panel without a query");
            for target in targets {
                let query = target["expr"].as_str().context("a query has an expression")?;
                panels.push((format!("{title}: {}", panel["title"]), query.to_owned()));
            }
        }
    }
    ensure!(!panels.is_empty(), "there are no dashboards");
    Ok(panels)
}

/// A metric of Weir's in a query, and what it selects of it: `kind="ready"`, or nothing.
fn selections(query: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |length| start + length);
        let (name, behind) = (&rest[start..end], &rest[end..]);
        let inner = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
        if name.starts_with("weir_") {
            found.push((name, inner.map_or("", |(inner, _)| inner)));
        }
        rest = behind;
    }
    found
}

/// Every metric and every label is one that there is; how many metrics are named.
fn check_names(queries: &[(String, String)], declared: &BTreeMap<String, Declared>) -> Result<usize> {
    let mut named = BTreeSet::new();
    for (whose, query) in queries {
        for (name, inner) in selections(query) {
            let Some(metric) = declared.get(name) else { bail!("{whose} names {name}, which Weir has not") };
            named.insert(&metric.series);
            for matcher in inner.split(',').filter(|matcher| !matcher.is_empty()) {
                let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
                ensure!(metric.labels.contains(label), "{whose} selects {name} by {label}, which it has not");
            }
        }
    }
    Ok(named.len())
}

/// Every selection finds something in what a live process serves; how many there are. Series of a partition
/// are there only where a process has one.
fn check_selectors(
    queries: &[(String, String)],
    declared: &BTreeMap<String, Declared>,
    prometheus: &Prometheus,
) -> Result<usize> {
    let mut seen = BTreeSet::new();
    for (whose, query) in queries {
        for (name, inner) in selections(query) {
            let is_of_partitions =
                declared.get(name).is_some_and(|metric| metric.labels.contains("partition"));
            let selection = format!("{name}{{{inner}}}");
            if is_of_partitions || !seen.insert(selection.clone()) {
                continue;
            }
            ensure!(!prometheus.query(&selection)?.is_empty(), "{whose}: nothing is {selection}");
        }
    }
    Ok(seen.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_in_a_query_with_what_is_selected_of_them() {
        let query = "sum by (kind) (rate(weir_a_total{kind=\"x\"}[5m])) / weir:ratio5m > scalar(weir_b_ms) or up{job=\"weir\"}";
        assert_eq!(selections(query), [("weir_a_total", "kind=\"x\""), ("weir_b_ms", "")]);
    }
}

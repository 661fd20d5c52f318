//! A SIEM that dies, fails and takes half: an exporter killed after the SIEM has taken what it was told and
//! before that could be written down.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{Place, Running, eventually, json_lines, success, text, traffic, weir};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

const TOKEN: &str = "a-token-of-this-test";

/// What the collector does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    /// Takes it, kills whoever sent it, and says nothing.
    TakeAndKill,
    /// Takes it, and breaks off without a word.
    TakeAndBreakOff,
    /// Does not take it.
    Fail,
    /// Takes it and says so.
    Take,
}

#[derive(Default)]
struct Held {
    /// How often each id was taken.
    taken: BTreeMap<String, usize>,
    acts: VecDeque<Act>,
    /// Whom to kill.
    sender: Option<u32>,
    killed: usize,
}

/// Splunk's HTTP Event Collector as a stub that keeps the ids of what it took.
struct Collector {
    url: String,
    held: Arc<Mutex<Held>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::<Mutex<Held>>::default();
        let all = held.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let held = all.clone();
                std::thread::spawn(move || serve(&mut BufReader::new(stream.unwrap()), &held));
            }
        });
        Self { url, held }
    }

    fn act(&self, acts: impl IntoIterator<Item = Act>) {
        self.held.lock().unwrap().acts.extend(acts);
    }

    fn kills(&self, sender: u32) {
        let mut held = self.held.lock().unwrap();
        held.sender = Some(sender);
        held.acts.push_back(Act::TakeAndKill);
    }

    fn killed(&self) -> usize {
        self.held.lock().unwrap().killed
    }

    fn taken(&self) -> BTreeMap<String, usize> {
        self.held.lock().unwrap().taken.clone()
    }
}

/// Answers the requests of one connection.
fn serve(stream: &mut BufReader<TcpStream>, held: &Mutex<Held>) -> Option<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let head = head.to_lowercase();
        assert!(head.contains(&format!("authorization: splunk {TOKEN}")), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let mut held = held.lock().unwrap();
        let act = held.acts.pop_front().unwrap_or(Act::Take);
        if act != Act::Fail {
            for event in text(&body).lines() {
                let event: serde_json::Value = serde_json::from_str(event).unwrap();
                let id = event["event"]["event_id"].as_str().unwrap().to_owned();
                *held.taken.entry(id).or_default() += 1;
            }
        }
        let (status, said) = match act {
            Act::TakeAndBreakOff => return None,
            Act::TakeAndKill => {
                let sender = held.sender.take().unwrap().to_string();
                assert!(Command::new("kill").args(["-KILL", &sender]).status().unwrap().success());
                held.killed += 1;
                return None;
            }
            Act::Fail => (503, r#"{"text":"Server is busy","code":9}"#),
            Act::Take => (200, r#"{"text":"Success","code":0}"#),
        };
        let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n{said}", said.len());
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}

fn token(place: &Place) -> PathBuf {
    let path = place.directory.path().join("hec.token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn with_collector(mut command: Command, collector: &Collector, token: &Path) -> Command {
    command.args(["--export-hec-url", &collector.url, "--export-hec-token-file"]).arg(token);
    command
}

/// Ids of what the enforcer's own files say was judged, decided and assembled.
fn expected(output: &Path) -> BTreeSet<String> {
    let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    let mut ids = BTreeSet::new();
    for line in json_lines(&output.join("enforcement_actions.jsonl")) {
        let state = text(&line, "state").to_lowercase();
        ids.insert(format!("verdict/{}", text(&line, "verdict_id")));
        ids.insert(format!("action/{}/{state}/{}", text(&line, "action_id"), line["taken_ms"]));
    }
    for line in json_lines(&output.join("campaigns.jsonl")) {
        ids.insert(format!("campaign/{}/{}", text(&line, "campaign_id"), line["sequence"]));
    }
    ids
}

fn assert_all_were_taken(collector: &Collector, output: &Path) {
    let (taken, expected) = (collector.taken(), expected(output));
    assert!(expected.len() > 24, "{expected:?}");
    let missing: Vec<&String> = expected.iter().filter(|id| !taken.contains_key(*id)).collect();
    assert!(missing.is_empty(), "never told: {missing:?}");
}

#[test]
fn a_run_killed_between_delivery_and_commit_tells_everything_at_least_once() {
    let place = Place::new();
    let (collector, token) = (Collector::start(), token(&place));
    std::fs::write(&place.feed, traffic(20, 300)).unwrap();
    for kill in 1..=6 {
        // Small epochs: more that can be told before it is killed.
        let mut run = with_collector(place.run(), &collector, &token);
        run.args(["--epoch-records-max", "100", "--epoch-interval-ms", "20"]);
        let mut run = Running::start(run);
        collector.kills(run.0.id());
        eventually("it is killed", || collector.killed() == kill);
        run.0.wait().unwrap();
    }
    collector.act([Act::Fail, Act::TakeAndBreakOff, Act::Fail]);
    success(with_collector(place.run_to_idle(), &collector, &token));
    assert_all_were_taken(&collector, &place.output);
    let repeated = collector.taken().values().filter(|count| **count > 1).count();
    assert!(repeated > 0, "what was taken and not written down is told again");

    // All of it is written down now.
    let before = collector.taken();
    let mut again = weir(&["export", "--until-idle", "--data-dir"]);
    again.arg(&place.data);
    success(with_collector(again, &collector, &token));
    assert_eq!(collector.taken(), before);
}

#[test]
fn a_credential_is_in_no_log_line_and_goes_over_no_network_in_clear_text() {
    let place = Place::new();
    let (collector, token) = (Collector::start(), token(&place));
    std::fs::write(&place.feed, traffic(5, 100)).unwrap();
    collector.act([Act::Fail, Act::TakeAndBreakOff]);
    let mut run = with_collector(place.run_to_idle(), &collector, &token);
    run.args(["--log-level", "trace"]);
    let output = success(run);
    let said = text(&output.stderr);
    assert!(said.contains("a SIEM does not take notices") && said.contains("busy"), "{said}");
    assert!(!said.contains(TOKEN) && !text(&output.stdout).contains(TOKEN));

    let refused = |url: &str| {
        let mut command = weir(&["export", "--export-hec-url", url, "--export-hec-token-file"]);
        let output = command.arg(&token).arg("--data-dir").arg(&place.data).output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    assert!(refused("http://splunk.example:8088").contains("clear text"));
    assert!(refused("https://user:secret@splunk.example").contains("belongs into a file"));
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused("https://splunk.example").contains("export.hec_token_file"));
}

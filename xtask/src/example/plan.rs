//! What is sent and when: one seeded plan for all clients, so that no client script decides anything.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde_json::{Value, json};

use super::accounts::{Accounts, Behaving, Campaign, CampaignKey, Client};

/// How long to drive the gateway and how hard.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Wall time from the first request to the last.
    pub duration: Duration,
    /// The campaign's rate for each of its keys, in requests per minute.
    pub campaign_per_minute: u32,
    /// The same seed gives the same requests at the same times.
    pub seed: u64,
}

impl Profile {
    /// What examples/access.jsonl is recorded with.
    pub const RECORDING: Self =
        Self { duration: Duration::from_secs(85), campaign_per_minute: 180, seed: 20 };
    /// A few seconds of the same people, for a live test.
    pub const SHORT: Self = Self { duration: Duration::from_secs(6), campaign_per_minute: 180, seed: 6 };
}

/// One request of the plan.
#[derive(Clone, Serialize, Debug)]
pub struct Call {
    /// Milliseconds after the clients start.
    pub at_ms: u64,
    pub key: String,
    pub path: &'static str,
    /// All headers but authorization and content type, which each client writes its own way.
    pub headers: BTreeMap<String, String>,
    /// The chat request; `None` asks for the list of models.
    pub body: Option<Value>,
}

/// The calls of one client program, in order of time.
pub struct Group {
    pub client: Client,
    pub calls: Vec<Call>,
}

/// What was sent: requests by API key.
#[derive(Debug)]
pub struct Driven {
    pub by_key: BTreeMap<String, usize>,
}

impl Driven {
    /// All requests; each is one line of the log.
    pub fn requests(&self) -> usize {
        self.by_key.values().sum()
    }

    /// Both drives together.
    pub fn and(mut self, other: Self) -> Self {
        for (key, requests) in other.by_key {
            *self.by_key.entry(key).or_default() += requests;
        }
        self
    }
}

impl fmt::Display for Driven {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_key.iter().try_for_each(|(key, requests)| writeln!(out, "  {requests:>5}  {key}"))
    }
}

/// Makes the plan: the behaving accounts by client, and the campaign as a process of its own.
pub fn plan(accounts: &Accounts, profile: &Profile) -> Vec<Group> {
    let mut rng = StdRng::seed_from_u64(profile.seed);
    let mut groups = Vec::new();
    for client in [Client::Curl, Client::Node, Client::OpenaiPython] {
        let mut calls = Vec::new();
        for account in accounts.behaving.iter().filter(|account| account.client == client) {
            calls.extend(behaving_calls(account, profile, &mut rng));
        }
        groups.push(Group { client, calls });
    }
    let mut calls = Vec::new();
    for (index, key) in accounts.campaign.keys.iter().enumerate() {
        calls.extend(campaign_calls(&accounts.campaign, key, index, profile, &mut rng));
    }
    groups.push(Group { client: Client::OpenaiPython, calls });
    for group in &mut groups {
        group.calls.sort_by_key(|call| call.at_ms);
    }
    groups
}

/// Counts the calls by key.
pub fn driven(groups: &[Group]) -> Driven {
    let mut by_key = BTreeMap::new();
    for call in groups.iter().flat_map(|group| &group.calls) {
        *by_key.entry(call.key.clone()).or_default() += 1;
    }
    Driven { by_key }
}

/// People pause as long as they please: gaps are exponential with a floor, stretched over the run.
fn behaving_calls(account: &Behaving, profile: &Profile, rng: &mut StdRng) -> Vec<Call> {
    let share = profile.duration.as_secs_f64() / Profile::RECORDING.duration.as_secs_f64();
    let requests = ((account.requests as f64 * share).round() as usize).max(2);
    let gaps: Vec<f64> = (0..=requests).map(|_| 0.25 - (1.0 - rng.random::<f64>()).ln()).collect();
    let span: f64 = gaps.iter().sum();

    let mut elapsed = 0.0;
    let mut calls = Vec::with_capacity(requests);
    for (index, gap) in gaps.iter().take(requests).enumerate() {
        elapsed += gap;
        // An app lists the models once, when it starts.
        let body = (index > 0).then(|| {
            let prompt = &account.prompts[rng.random_range(0..account.prompts.len())];
            chat(&account.model, account.system.as_deref(), prompt, account.max_tokens)
        });
        let mut headers = account.headers.clone();
        let address = &account.addresses[rng.random_range(0..account.addresses.len())];
        headers.insert("x-forwarded-for".into(), address.clone());
        headers.insert("x-campaign-label".into(), "benign".into());
        let at_ms = (elapsed / span * profile.duration.as_millis() as f64) as u64;
        calls.push(call(at_ms, &account.key, headers, body));
    }
    calls
}

/// A script does not pause: one request an interval, with the jitter of a scheduler.
fn campaign_calls(
    campaign: &Campaign,
    key: &CampaignKey,
    index: usize,
    profile: &Profile,
    rng: &mut StdRng,
) -> Vec<Call> {
    let interval_ms = 60_000 / u64::from(profile.campaign_per_minute.max(1));
    let duration_ms = profile.duration.as_millis() as u64;
    let start_ms = duration_ms / 20 + interval_ms * index as u64 / campaign.keys.len() as u64;
    // All keys move to the other model at the same moment, a little after the half.
    let switch_ms = duration_ms * 11 / 20;

    let mut calls = Vec::new();
    for (turn, at_ms) in (start_ms..duration_ms).step_by(interval_ms as usize).enumerate() {
        let at_ms = at_ms + rng.random_range(0..=interval_ms / 20);
        let model = &campaign.models[usize::from(at_ms >= switch_ms)];
        let problem = if turn % 40 == 17 {
            campaign.refused_problem.clone()
        } else {
            campaign.problems[rng.random_range(0..campaign.problems.len())]
                .replace("{a}", &rng.random_range(100..1000).to_string())
                .replace("{b}", &rng.random_range(10..100).to_string())
                .replace("{c}", &rng.random_range(2..10).to_string())
        };
        let prompt = campaign.template.replace("{problem}", &problem);
        let address = &key.addresses[turn % key.addresses.len()];
        let headers = BTreeMap::from([
            ("x-forwarded-for".to_owned(), address.clone()),
            ("x-campaign-label".to_owned(), campaign.label.clone()),
        ]);
        let body = chat(model, Some(&campaign.system), &prompt, campaign.max_tokens);
        calls.push(call(at_ms, &key.key, headers, Some(body)));
    }
    calls
}

fn call(at_ms: u64, key: &str, headers: BTreeMap<String, String>, body: Option<Value>) -> Call {
    let path = if body.is_some() { "/v1/chat/completions" } else { "/v1/models" };
    Call { at_ms, key: key.to_owned(), path, headers, body }
}

fn chat(model: &str, system: Option<&str>, prompt: &str, max_tokens: u32) -> Value {
    let system = system.map(|text| json!({"role": "system", "content": text}));
    let user = json!({"role": "user", "content": prompt});
    let messages: Vec<Value> = system.into_iter().chain([user]).collect();
    json!({"model": model, "messages": messages, "max_tokens": max_tokens})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(profile: &Profile) -> Vec<Call> {
        let accounts = Accounts::load().unwrap();
        plan(&accounts, profile).into_iter().flat_map(|group| group.calls).collect()
    }

    fn campaign(profile: &Profile) -> Vec<Call> {
        let mut calls = calls(profile);
        calls.retain(|call| call.headers["x-campaign-label"] == "mirror");
        calls
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let text = |profile| format!("{:?}", calls(profile));
        assert_eq!(text(&Profile::RECORDING), text(&Profile::RECORDING));
        assert_ne!(text(&Profile::SHORT), text(&Profile { seed: 7, ..Profile::SHORT }));
    }

    #[test]
    fn a_recording_has_between_1500_and_2500_requests() {
        let requests = calls(&Profile::RECORDING).len();
        assert!((1_500..=2_500).contains(&requests), "{requests}");
    }

    #[test]
    fn the_campaign_switches_models_once_and_together() {
        let calls = campaign(&Profile::RECORDING);
        let model = |call: &Call| call.body.as_ref().map(|body| body["model"].to_string());
        let last_before = calls.iter().filter(|call| model(call) == Some("\"atlas-1\"".into()));
        let first_after = calls.iter().filter(|call| model(call) == Some("\"atlas-2\"".into()));
        let last_before_ms = last_before.map(|call| call.at_ms).max().unwrap();
        let first_after_ms = first_after.map(|call| call.at_ms).min().unwrap();
        assert!(last_before_ms < first_after_ms);
    }

    #[test]
    fn every_address_is_one_set_aside_for_documentation() {
        let documentation = ["192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"];
        for call in calls(&Profile::RECORDING) {
            let address = &call.headers["x-forwarded-for"];
            assert!(documentation.iter().any(|range| address.starts_with(range)), "{address}");
        }
    }
}

//! A small history in memory, and how it is asked.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its part of it; a test may fail loudly.

use std::sync::Arc;
use weir_query::output::Format;
use weir_query::{Engine, Progress, QueryError};
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Audit, AuditEntry, Body, Campaign, CampaignId,
    CampaignMember, Event, EventId, Evidence, Outcome, PromptFeatures, Record, Request, Response, Signal,
    Standing, Tier, ValueHash, Verdict, VerdictId,
};
use weir_topology::log::{Commit, Log};
use weir_topology::memory::MemoryLog;
use weir_topology::record::{LABEL_HEADER, Output};
use weir_topology::topic::Topic;

/// 2026-11-01T00:00:00Z.
pub const START_MS: i64 = 1_793_491_200_000;

pub fn account(number: u8) -> AccountId {
    AccountId([number; 16])
}

/// A log of two partitions.
pub struct History(pub Arc<MemoryLog>);

impl History {
    pub fn new() -> Self {
        Self(MemoryLog::new(2))
    }

    /// Writes a record that is what it should be.
    pub fn write<'a>(&self, topic: Topic, partition: u32, key: &str, record: &impl Record<'a>) {
        self.raw(topic, partition, key, Some(Wire::new().to_bytes(record)), Vec::new());
    }

    /// Writes any bytes.
    pub fn raw(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        payload: Option<Vec<u8>>,
        headers: Vec<(&'static str, Vec<u8>)>,
    ) {
        let key = key.as_bytes().to_vec();
        let output =
            Output { topic, partition: Some(partition), key, payload, headers, timestamp_ms: START_MS };
        let commit = Commit { outputs: vec![output], positions: Vec::new() };
        self.0.writer("test").unwrap().commit(&commit).unwrap();
    }

    pub fn event(&self, partition: u32, event: &Event<'_>) {
        let headers = vec![(LABEL_HEADER, b"hydra".to_vec())];
        let payload = Wire::new().to_bytes(event);
        self.raw(Topic::Events, partition, &event.account.to_string(), Some(payload), headers);
    }

    /// An engine over it.
    pub fn engine(&self) -> (Engine, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        (Engine::new(self.0.clone(), Arc::new(Wire::new()), false, progress.clone()), progress)
    }

    /// What is answered, as it is written.
    pub fn bytes(&self, sql: &str, format: Format) -> Result<Vec<u8>, QueryError> {
        answer(&self.engine().0, sql, format)
    }

    /// The table that is answered.
    pub fn ask(&self, sql: &str) -> String {
        String::from_utf8(self.bytes(sql, Format::Table).unwrap()).unwrap()
    }

    /// Why it is not answered.
    pub fn refusal(&self, sql: &str) -> String {
        self.bytes(sql, Format::Table).unwrap_err().to_string()
    }
}

pub fn answer(engine: &Engine, sql: &str, format: Format) -> Result<Vec<u8>, QueryError> {
    let mut out = Vec::new();
    engine.answer(sql, format.sink(&mut out).as_mut())?;
    Ok(out)
}

/// Two requests of one account, of which one says nothing of itself, and the response to that one; a verdict
/// with two signals, the action on it and its audit record; a campaign that one joins and one leaves.
pub fn small() -> History {
    let history = History::new();
    let prompt = PromptFeatures {
        words: 12,
        embedding: 7,
        text_hash: ValueHash([3; 16]),
        ..PromptFeatures::default()
    };
    let full = Request {
        endpoint: Some("/v1/chat"),
        model: Some("m-1"),
        user_agent: Some("evil\u{1b}[2J\nagent"),
        prompt: Some(prompt),
        logprobs: Some(false),
        outcome: Some(Outcome { status: Some(200), latency_ms: Some(1_500), ..Outcome::default() }),
        ..Request::default()
    };
    let event = |number: u8, body| Event {
        event_id: EventId([number; 16]),
        time_ms: START_MS + i64::from(number) * 60_000,
        tenant: "acme",
        account: account(1),
        body,
        ..Event::default()
    };
    history.event(1, &event(1, Body::Request(full)));
    history.event(1, &event(2, Body::Request(Request::default())));
    let response = Response {
        request: Some(EventId([2; 16])),
        outcome: Outcome { refused: true, ..Outcome::default() },
    };
    history.event(0, &event(3, Body::Response(response)));
    let signal = |detector: &str, millinats, evidence: &[(&str, &str)]| Signal {
        detector: detector.into(),
        family: "content".into(),
        millinats,
        millinats_max: 4_000,
        evidence: evidence
            .iter()
            .map(|(name, value)| Evidence { name: (*name).into(), value: (*value).into() })
            .collect(),
    };
    let verdict = Verdict {
        verdict_id: VerdictId([9; 16]),
        time_ms: START_MS + 120_000,
        tenant: "acme".into(),
        account: account(1),
        sequence: 1,
        score: 0.75,
        probability: 0.99,
        tier: Tier::Critical,
        signals: vec![
            signal("cot", 3_000, &[("prompts", "12"), ("share_permille", "400")]),
            signal("rhythm", -500, &[]),
        ],
        missing: vec!["canary".into()],
        events: vec![EventId([1; 16]), EventId([2; 16])],
        event_count: 2,
        ..Verdict::default()
    };
    history.write(Topic::Verdicts, 1, &verdict.account.to_string(), &verdict);
    let action = Action {
        action_id: ActionId([5; 16]),
        time_ms: verdict.time_ms,
        tenant: "acme".into(),
        account: account(1),
        verdict_id: verdict.verdict_id,
        kind: ActionKind::Suspend,
        ring: 3,
        state: ActionState::Withheld,
        reason: "posture".into(),
        taken_ms: START_MS + 180_000,
        ..Action::default()
    };
    history.write(Topic::Actions, 1, &action.account.to_string(), &action);
    let record = Audit { tenant: "acme".into(), outcome: "noted".into(), ..Audit::default() };
    let entry = AuditEntry {
        writer: "enforcer/1".into(),
        sequence: 1,
        record: Wire::new().to_bytes(&record),
        ..AuditEntry::default()
    };
    history.write(Topic::Audit, 1, "acme", &entry);
    let member = CampaignMember {
        account: account(1),
        tenant: "acme".into(),
        tier: Tier::High,
        ..CampaignMember::default()
    };
    let campaign = Campaign {
        campaign_id: CampaignId([8; 16]),
        sequence: 2,
        time_ms: verdict.time_ms,
        tier: Tier::High,
        member_count: 1,
        members: vec![member],
        left: vec![account(2)],
        ..Campaign::default()
    };
    history.write(Topic::Campaigns, 0, &campaign.campaign_id.to_string(), &campaign);
    let standing =
        Standing { account: account(1), tenant: "acme".into(), since_ms: START_MS, ..Standing::default() };
    history.write(Topic::Standing, 1, &standing.account.to_string(), &standing);
    history
}

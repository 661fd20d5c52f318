//! Client of a schema registry with the Confluent interface.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;
use ureq::Agent;
use weir_schemas::wire::Wire;
use weir_schemas::*;
use weir_topology::log::LogError;
use weir_topology::task::SchemaSource;
use weir_topology::topic::Topic;

/// Longest time that a registry may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A schema registry.
pub struct Registry {
    url: String,
    agent: Agent,
    /// Ids that the registry said it does not know, so that it is asked once.
    unknown: Mutex<Vec<u32>>,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Text {
    schema: String,
}

/// Record of each topic's payloads.
fn schema_of(topic: Topic) -> (u64, &'static str) {
    match topic {
        Topic::Events => (Event::FINGERPRINT, Event::SCHEMA),
        Topic::Identities => (Identity::FINGERPRINT, Identity::SCHEMA),
        Topic::Links => (Link::FINGERPRINT, Link::SCHEMA),
        Topic::Clusters => (Cluster::FINGERPRINT, Cluster::SCHEMA),
        Topic::Verdicts => (Verdict::FINGERPRINT, Verdict::SCHEMA),
        Topic::Members => (Member::FINGERPRINT, Member::SCHEMA),
        Topic::Campaigns => (Campaign::FINGERPRINT, Campaign::SCHEMA),
        Topic::Actions => (Action::FINGERPRINT, Action::SCHEMA),
        Topic::Outcomes => (ActionOutcome::FINGERPRINT, ActionOutcome::SCHEMA),
        Topic::Standing => (Standing::FINGERPRINT, Standing::SCHEMA),
        Topic::Audit => (AuditEntry::FINGERPRINT, AuditEntry::SCHEMA),
        Topic::Control => (Control::FINGERPRINT, Control::SCHEMA),
        Topic::Epochs => (Epoch::FINGERPRINT, Epoch::SCHEMA),
        Topic::Checkpoints
        | Topic::StateAccount
        | Topic::StateCluster
        | Topic::StateCampaign
        | Topic::StateEnforcer
        | Topic::StateCollector
        | Topic::StateExport => (State::FINGERPRINT, State::SCHEMA),
        Topic::Dlq => (DeadLetter::FINGERPRINT, DeadLetter::SCHEMA),
    }
}

impl Registry {
    /// A client of the registry at `url`.
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder().timeout_global(Some(ANSWER_MAX)).http_status_as_error(true);
        Self {
            url: url.trim_end_matches('/').into(),
            agent: config.build().into(),
            unknown: Mutex::default(),
        }
    }

    /// Registers every topic's current schema under `<topic>-value`, and writes with the ids that
    /// the registry gives from now on.
    pub fn register(&self, wire: &mut Wire) -> Result<()> {
        for topic in Topic::ALL {
            let (fingerprint, text) = schema_of(*topic);
            let subject = format!("{}/subjects/{topic}-value/versions", self.url);
            let body = json!({ "schema": text, "schemaType": "AVRO" });
            let registered: Registered = self
                .agent
                .post(&subject)
                .send_json(body)
                .and_then(|mut answer| answer.body_mut().read_json())
                .with_context(|| {
                    format!("the schema registry does not take the schema of {topic} at {subject}")
                })?;
            wire.write_as(fingerprint, registered.id);
        }
        Ok(())
    }
}

impl SchemaSource for Registry {
    fn learn(&self, id: u32, wire: &Wire) -> Result<(), LogError> {
        let mut unknown = self.unknown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if unknown.contains(&id) {
            return Ok(());
        }
        let answer = self.agent.get(format!("{}/schemas/ids/{id}", self.url)).call();
        let text: Text = match answer.and_then(|mut answer| answer.body_mut().read_json()) {
            Ok(text) => text,
            Err(ureq::Error::StatusCode(404)) => {
                unknown.push(id);
                return Ok(());
            }
            Err(error) => {
                let reason =
                    format!("the schema registry at {} does not answer for id {id}: {error}", self.url);
                return Err(LogError::Unavailable { reason });
            }
        };
        match wire.learn(&text.schema) {
            Ok(fingerprint) => wire.read_as(id, fingerprint),
            // A schema of something else: its records are no records of ours.
            Err(_) => unknown.push(id),
        }
        Ok(())
    }
}

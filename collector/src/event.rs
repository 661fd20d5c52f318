//! From an exchange to the record that leaves the node.

use crate::announce::Announcer;
use crate::config::{CollectorConfig, Mode};
use crate::exchange::Exchange;
use crate::features::{Features, cut, of_headers, of_preamble};
use crate::limits::{
    AHEAD_MAX_MS, COUNTRY_BYTES_MAX, TENANT_BYTES_MAX, USER_AGENT_BYTES_MAX, VALUE_BYTES_MAX,
};
use crate::privacy::{Pseudonymizer, ValueKind};
use crate::refusal::Refusal;
use crate::seal::Sealer;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{Body, Event, EventId, Origin, Outcome, Request, SourceKind};
use weir_topology::record::{LABEL_HEADER, Output, POPULATION_HEADER};
use weir_topology::topic::Topic;

/// Writes events, with buffers that are used again.
pub struct EventWriter {
    kind: SourceKind,
    tenant: String,
    keep_text: bool,
    pseudonyms: Pseudonymizer,
    announcer: Announcer,
    wire: Arc<Wire>,
    features: Features,
}

impl EventWriter {
    /// A writer for the source of `config`.
    pub fn new(config: &CollectorConfig, pseudonyms: Pseudonymizer, sealer: Sealer, wire: Arc<Wire>) -> Self {
        Self {
            kind: match config.mode {
                Mode::Tail => SourceKind::Tail,
                Mode::Import => SourceKind::Import,
            },
            tenant: config.tenant.clone(),
            keep_text: config.keep_text,
            pseudonyms,
            announcer: Announcer::new(sealer, wire.clone()),
            wire,
            features: Features::default(),
        }
    }

    /// The event of an exchange, keyed by its account, under the [id](crate::identity) of its line. The
    /// label and the population go into headers, never into the payload.
    pub fn write(
        &mut self,
        exchange: &Exchange<'_>,
        event_id: EventId,
        now_ms: i64,
    ) -> Result<Output, Refusal> {
        let ahead_ms = exchange.time_ms.saturating_sub(now_ms);
        if ahead_ms > AHEAD_MAX_MS {
            return Err(Refusal::future(ahead_ms));
        }
        let tenant = exchange.tenant.unwrap_or(&self.tenant);
        if tenant.len() > TENANT_BYTES_MAX {
            return Err(Refusal::invalid("tenant", "a name of at most 128 bytes"));
        }
        let account = self.pseudonyms.account(tenant, &exchange.account);
        self.announcer.announce(account, self.pseudonyms.key_epoch(), tenant, &exchange.account, now_ms);
        let keys = &mut self.pseudonyms;
        let (address, subnet) = exchange.address.map(|address| keys.address(address)).unzip();
        let payment = exchange.payment.as_ref().map(|value| keys.value(ValueKind::Payment, value.as_bytes()));
        let org = exchange.org.as_ref().map(|value| keys.value(ValueKind::Org, value.as_bytes()));
        let preamble = match (&exchange.system_prompt, &exchange.system_prompt_hash) {
            (Some(text), _) => Some(of_preamble(text, keys)),
            (None, Some(hash)) => Some(keys.value(ValueKind::PreambleHash, hash.as_bytes())),
            (None, None) => None,
        };
        let request_id = exchange.request_id.as_ref();
        let request_id = request_id.map(|id| keys.rare_value(ValueKind::RequestId, id.as_bytes()));
        let prompt = exchange.prompt.as_deref();
        let event = Event {
            event_id,
            time_ms: exchange.time_ms,
            observed_ms: now_ms,
            tenant,
            account,
            key_epoch: keys.key_epoch(),
            source: self.kind,
            origin: match self.kind {
                SourceKind::Import => Origin::Import,
                _ => Origin::Live,
            },
            sample_weight: 1,
            request_id,
            body: Body::Request(Request {
                endpoint: exchange.endpoint.map(|path| cut(without_query(path), VALUE_BYTES_MAX)),
                model: exchange.model.as_deref().map(|model| cut(model, VALUE_BYTES_MAX)),
                user_agent: exchange.user_agent.map(|agent| cut(agent, USER_AGENT_BYTES_MAX)),
                address,
                subnet,
                asn: exchange.asn,
                asn_org: exchange.asn_org.map(|org| cut(org, VALUE_BYTES_MAX)),
                country: exchange.country.map(|country| cut(country, COUNTRY_BYTES_MAX)),
                ja3: exchange.ja3.map(|ja3| cut(ja3, VALUE_BYTES_MAX)),
                ja3s: exchange.ja3s.map(|ja3s| cut(ja3s, VALUE_BYTES_MAX)),
                ja4: exchange.ja4.map(|ja4| cut(ja4, VALUE_BYTES_MAX)),
                h2: exchange.h2.map(|h2| cut(h2, VALUE_BYTES_MAX)),
                headers: exchange.headers.and_then(of_headers),
                payment,
                org,
                preamble,
                prompt: prompt.map(|prompt| self.features.of_prompt(prompt, self.keep_text, keys)),
                prompt_tokens: exchange.prompt_tokens,
                max_tokens: exchange.max_tokens,
                outcome: outcome_of(exchange),
            }),
        };
        let output =
            Output::keyed(Topic::Events, account.to_key(), self.wire.to_bytes(&event), exchange.time_ms);
        let truth = [(LABEL_HEADER, exchange.label), (POPULATION_HEADER, exchange.population)];
        Ok(truth.into_iter().fold(output, |output, (header, value)| match value {
            Some(value) => output.with_header(header, cut(value, VALUE_BYTES_MAX)),
            None => output,
        }))
    }

    /// What has to go into the same commit as the events: who stands behind their accounts.
    pub(crate) fn announcer(&mut self) -> &mut Announcer {
        &mut self.announcer
    }
}

/// Some clients put keys into the query.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

/// How the exchange ended, where the line says anything about it.
fn outcome_of(exchange: &Exchange<'_>) -> Option<Outcome> {
    let outcome = Outcome {
        status: exchange.status,
        latency_ms: exchange.latency_ms,
        completion_tokens: exchange.completion_tokens,
        bytes: exchange.response_bytes,
        refused: exchange.refused,
    };
    (outcome != Outcome::default()).then_some(outcome)
}

#[cfg(test)]
mod tests;

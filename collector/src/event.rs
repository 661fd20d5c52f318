//! From an exchange to the record that leaves the node.

use crate::announce::Announcer;
use crate::body::without_query;
use crate::config::{CollectorConfig, Mode};
use crate::exchange::Exchange;
use crate::features::{Features, cut, note_left_out, of_headers, of_preamble};
use crate::indicators::{Keyed, Mark, Tripwires};
use crate::limits::{AHEAD_MAX_MS, COUNTRY_BYTES_MAX, USER_AGENT_BYTES_MAX, VALUE_BYTES_MAX};
use crate::privacy::{Pseudonymizer, ValueKind};
use crate::refusal::Refusal;
use crate::sampling::{Sampler, Sampling};
use crate::seal::Sealer;
use crate::tenants::Tenants;
use std::borrow::Cow;
use std::sync::Arc;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Body, Event, EventId, Origin, Outcome, Request, SourceKind};
use weir_topology::record::{LABEL_HEADER, Output, POPULATION_HEADER};
use weir_topology::topic::Topic;

/// Writes events, with buffers that are used again.
pub struct EventWriter {
    kind: SourceKind,
    tenants: Tenants,
    keep_text: bool,
    pseudonyms: Pseudonymizer,
    announcer: Announcer,
    wire: Arc<Wire>,
    features: Features,
    tripwires: Tripwires,
}

impl EventWriter {
    /// A writer for the source of `config`.
    pub fn new(config: &CollectorConfig, pseudonyms: Pseudonymizer, sealer: Sealer, wire: Arc<Wire>) -> Self {
        let kind = match config.mode {
            Mode::Tail => SourceKind::Tail,
            Mode::Import => SourceKind::Import,
        };
        Self::of(kind, config.tenants.clone(), config.keep_text, pseudonyms, sealer, wire)
    }

    /// A writer for a source of this kind.
    pub(crate) fn of(
        kind: SourceKind,
        tenants: Tenants,
        keep_text: bool,
        pseudonyms: Pseudonymizer,
        sealer: Sealer,
        wire: Arc<Wire>,
    ) -> Self {
        Self {
            kind,
            tenants,
            keep_text,
            pseudonyms,
            announcer: Announcer::new(sealer, wire.clone()),
            wire,
            features: Features::default(),
            tripwires: Tripwires::none(),
        }
    }

    /// Has every request compared with these indicators.
    pub(crate) fn watch(&mut self, tripwires: Tripwires) {
        self.tripwires = tripwires;
    }

    /// The event of an exchange, keyed by its account, under the [id](crate::identity) of its line. The label
    /// and the population go into headers, never into the payload. One of a tenant that nobody knows is
    /// refused.
    pub fn write<'e>(
        &mut self,
        exchange: &'e Exchange<'e>,
        event_id: EventId,
        now_ms: i64,
    ) -> Result<Output, Refusal> {
        check_ahead(exchange, now_ms)?;
        let tenants = self.tenants.now();
        let tenant = tenants.of(exchange)?;
        let account = self.pseudonyms.account(tenant, &exchange.account);
        self.announcer.announce(account, self.pseudonyms.key_epoch(), tenant, &exchange.account, now_ms);
        Ok(self.write_of((tenant, account), Sampling::ALL, exchange, event_id, now_ms))
    }

    /// Hides the account of a request whose end is still to come, at once. Of one that is left out nobody is
    /// told who it is.
    pub(crate) fn hide(&mut self, tenant: &str, account: &str, sampler: &Sampler, now_ms: i64) -> Hidden {
        let id = self.pseudonyms.account(tenant, account);
        if !sampler.keeps(id) {
            return Hidden { account: id, sealed: None, sampling: None };
        }
        let sealed = self.announcer.seal(id, self.pseudonyms.key_epoch(), tenant, account, now_ms);
        Hidden { account: id, sealed, sampling: Some(sampler.sampling) }
    }

    /// The event of an exchange whose account was hidden when it began, as [`write`](Self::write) gives it.
    pub(crate) fn write_hidden<'e>(
        &mut self,
        exchange: &'e Exchange<'e>,
        hidden: Hidden,
        event_id: EventId,
        now_ms: i64,
    ) -> Result<Output, Refusal> {
        check_ahead(exchange, now_ms)?;
        let tenants = self.tenants.now();
        let tenant = tenants.of(exchange)?;
        self.announcer.announce_sealed(hidden.account, hidden.sealed, now_ms);
        let sampling = hidden.sampling.unwrap_or_default();
        Ok(self.write_of((tenant, hidden.account), sampling, exchange, event_id, now_ms))
    }

    fn write_of<'e>(
        &mut self,
        (tenant, account): (&str, AccountId),
        sampling: Sampling,
        exchange: &'e Exchange<'e>,
        event_id: EventId,
        now_ms: i64,
    ) -> Output {
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
        let text = |text: &'e Option<Cow<'e, str>>| text.as_deref().map(|text| cut(text, VALUE_BYTES_MAX));
        let prompt = asked(exchange);
        let prompt = prompt.as_deref().map(|prompt| {
            let mut features = self.features.of_prompt(prompt, self.keep_text, keys);
            note_left_out(&mut features, exchange.prompt_bytes_cut);
            features
        });
        let template = prompt.as_ref().map(|prompt| prompt.template_hash);
        let keyed = Keyed { address, subnet, payment, preamble, template };
        let marks = self.tripwires.met(exchange, keyed, account, now_ms);
        // Of history nobody is to know at once.
        if self.kind != SourceKind::Import {
            self.tripwires.tell(&marks, (tenant, account), event_id, exchange.time_ms);
        }
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
            sampling: sampling.one_of() as i32,
            request_id,
            body: Body::Request(Request {
                endpoint: exchange.endpoint.as_deref().map(|path| cut(without_query(path), VALUE_BYTES_MAX)),
                model: text(&exchange.model),
                user_agent: exchange.user_agent.as_deref().map(|agent| cut(agent, USER_AGENT_BYTES_MAX)),
                address,
                subnet,
                asn: exchange.asn,
                asn_org: text(&exchange.asn_org),
                country: exchange.country.as_deref().map(|country| cut(country, COUNTRY_BYTES_MAX)),
                ja3: text(&exchange.ja3),
                ja3s: text(&exchange.ja3s),
                ja4: text(&exchange.ja4),
                h2: text(&exchange.h2),
                headers: exchange.headers.as_ref().and_then(of_headers),
                payment,
                org,
                preamble,
                prompt,
                prompt_tokens: exchange.prompt_tokens,
                max_tokens: exchange.max_tokens,
                turns: exchange.turns,
                tools_offered: exchange.tools_offered,
                tools_called: exchange.tools_called,
                temperature_permille: exchange.temperature_permille,
                candidates: exchange.candidates,
                logprobs: exchange.logprobs,
                response_format: exchange.response_format,
                stream: exchange.stream,
                outcome: outcome_of(exchange),
                indicators: marks.iter().map(Mark::hit).collect(),
            }),
        };
        let output =
            Output::keyed(Topic::Events, account.to_key(), self.wire.to_bytes(&event), exchange.time_ms);
        let truth = [(LABEL_HEADER, &exchange.label), (POPULATION_HEADER, &exchange.population)];
        truth.into_iter().fold(output, |output, (header, value)| match value {
            Some(value) => output.with_header(header, cut(value, VALUE_BYTES_MAX)),
            None => output,
        })
    }

    /// What has to go into the same commit as the events: who stands behind their accounts.
    pub(crate) fn announcer(&mut self) -> &mut Announcer {
        &mut self.announcer
    }
}

/// Refuses what is of a time that has not come.
pub(crate) fn check_ahead(exchange: &Exchange<'_>, now_ms: i64) -> Result<(), Refusal> {
    let ahead_ms = exchange.time_ms.saturating_sub(now_ms);
    if ahead_ms > AHEAD_MAX_MS { Err(Refusal::future(ahead_ms)) } else { Ok(()) }
}

/// An account that was hidden before its event is written: its pseudonym, and who stands behind it, sealed,
/// where that was not announced of late.
pub(crate) struct Hidden {
    pub(crate) account: AccountId,
    sealed: Option<Output>,
    /// Which share of accounts was kept when it was hidden; none where this one was not.
    pub(crate) sampling: Option<Sampling>,
}

#[cfg(test)]
impl Hidden {
    /// One that announces nobody.
    pub(crate) fn of_test(account: AccountId) -> Self {
        Self { account, sealed: None, sampling: Some(Sampling::ALL) }
    }
}

/// What the user asks: the last words, and what they go on with where they are few.
fn asked<'e>(exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
    let prompt = exchange.prompt.as_deref()?;
    Some(match exchange.prompt_before.as_deref() {
        None => Cow::Borrowed(prompt),
        Some(before) => Cow::Owned(format!("{before}\n{prompt}")),
    })
}

/// How the exchange ended, where the line says anything about it.
fn outcome_of(exchange: &Exchange<'_>) -> Option<Outcome> {
    let outcome = Outcome {
        status: exchange.status,
        latency_ms: exchange.latency_ms,
        completion_tokens: exchange.completion_tokens,
        bytes: exchange.response_bytes,
        refused: exchange.refused,
        finish_reason: exchange.finish_reason,
        tool_calls: exchange.tool_calls,
    };
    (outcome != Outcome::default()).then_some(outcome)
}

#[cfg(test)]
mod tests;

//! A collector of OpenTelemetry's traces, by OTLP over HTTP: the spans of verdicts and of what was done about
//! them.
//!
//! A batch is taken when the collector answers with 200. What it says it rejected is refused, and counted; it
//! does not say which spans those were.

mod proto;
pub mod spans;

use super::http::{Chunks, Endpoint, Outcome, excerpt};
use super::{Delivery, Destination, DestinationKind, Failure, Fate, RetryCause};
use crate::siem::notice::{Notice, PRODUCT, VERSION};
use crate::siem::text::{bounded, one_line};
use prost::Message as _;
use proto::{AnyValue, KeyValue, Request, Resource, ResourceSpans, Response, Scope, ScopeSpans, Status};
use spans::{Span, is_kept, span_of};

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: i32 = 1;

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

/// The collector.
pub struct OtlpDestination {
    endpoint: Endpoint,
    host: String,
    share_permille: u64,
    chunks: Chunks,
}

impl OtlpDestination {
    /// The collector at an endpoint, below which `/v1/traces` is. Spans come from `host`; of a thousand
    /// traces `share_permille` are kept.
    pub fn new(endpoint: Endpoint, host: &str, share_permille: u64) -> Self {
        Self { endpoint, host: host.to_owned(), share_permille, chunks: Chunks::new() }
    }
}

fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { string_value: Some(value.into()) }) }
}

fn nanoseconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default().saturating_mul(1_000_000)
}

fn written(span: Span) -> proto::Span {
    proto::Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: span.name.to_owned(),
        kind: INTERNAL,
        start_time_unix_nano: nanoseconds(span.begins_ms),
        end_time_unix_nano: nanoseconds(span.ends_ms),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        status: span.failure.map(|message| Status { message, code: ERROR }),
    }
}

fn request(spans: Vec<Span>, host: &str) -> Vec<u8> {
    let attributes = [("service.name", PRODUCT), ("service.version", VERSION), ("host.name", host)];
    let resource = Resource { attributes: attributes.map(|(key, value)| attribute(key, value)).into() };
    let scope = Scope { name: "weir.export".into(), version: VERSION.into() };
    let spans = spans.into_iter().map(written).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }.encode_to_vec()
}

/// Sends the spans of `count` notices, which are at `places` among them.
fn send(endpoint: &Endpoint, body: &[u8], places: &[usize], count: usize) -> Outcome {
    let answer = match endpoint.post("/v1/traces", "application/x-protobuf", body) {
        Ok(answer) => answer,
        Err(failure) => return Outcome::Answered(Delivery::left(count, failure)),
    };
    Outcome::Answered(match answer.status {
        200 => match Response::decode(&*answer.body) {
            Ok(response) => {
                let mut delivery = Delivery::taken(count);
                let said = response.partial_success.unwrap_or_default();
                let rejected = usize::try_from(said.rejected_spans).unwrap_or_default().min(places.len());
                let reason = bounded(&one_line(&said.error_message)).into_owned();
                for place in &places[places.len() - rejected..] {
                    delivery.fates[*place] = Fate::Refused(format!("one of {rejected} of a batch: {reason}"));
                }
                delivery
            }
            Err(_) => {
                let reason =
                    format!("it answers with 200 and something else than OTLP: {}", excerpt(&answer.body));
                Delivery::left(count, Failure::new(RetryCause::Misconfigured, reason))
            }
        },
        // Sent again it would be answered the same.
        400 => {
            let mut delivery = Delivery::taken(count);
            for place in places {
                delivery.fates[*place] = Fate::Refused(excerpt(&answer.body));
            }
            delivery
        }
        413 => return Outcome::TooLarge,
        _ => Delivery::left(count, answer.failure()),
    })
}

impl Destination for OtlpDestination {
    fn kind(&self) -> DestinationKind {
        DestinationKind::Otlp
    }

    fn deliver(&mut self, notices: &[Notice]) -> Delivery {
        let Self { endpoint, host, share_permille, chunks } = self;
        chunks.deliver(notices, |chunk| {
            let spans = chunk
                .iter()
                .map(|notice| span_of(notice).filter(|span| is_kept(&span.trace_id, *share_permille)));
            let (places, spans): (Vec<_>, Vec<_>) =
                spans.enumerate().filter_map(|(place, span)| Some((place, span?))).unzip();
            match spans.is_empty() {
                true => Outcome::Answered(Delivery::taken(chunk.len())),
                false => send(endpoint, &request(spans, host), &places, chunk.len()),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests;

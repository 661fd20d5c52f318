//! Splunk's HTTP Event Collector: one JSON object an event, one after the other, each with its own time.
//!
//! A batch is taken when the collector answers with code 0. Of a batch with an event that it cannot take, it
//! says which: that one is refused, and the others are sent again.

use super::http::{Chunks, Endpoint, Outcome, excerpt};
use super::{Delivery, Destination, DestinationKind, Failure, Fate, RetryCause};
use crate::siem::format::Format;
use crate::siem::notice::Notice;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The collector.
pub struct HecDestination {
    endpoint: Endpoint,
    format: Format,
    host: String,
    index: Option<String>,
    chunks: Chunks,
}

#[derive(Deserialize)]
struct Said {
    code: i64,
    #[serde(rename = "invalid-event-number")]
    invalid: Option<usize>,
}

/// Codes that speak of one event: no event in it, an empty one, one that is not understood.
const OF_ONE_EVENT: [i64; 4] = [6, 12, 13, 15];

impl HecDestination {
    /// The collector at an endpoint whose credential is `Splunk TOKEN`. Events come from `host`, and go to
    /// `index`, or to the one that the token has by default.
    pub fn new(endpoint: Endpoint, format: Format, host: &str, index: Option<&str>) -> Self {
        let (host, index) = (host.to_owned(), index.map(str::to_owned));
        Self { endpoint, format, host, index, chunks: Chunks::new() }
    }
}

fn write(notice: &Notice, format: Format, host: &str, index: Option<&str>, out: &mut Vec<u8>) {
    let mut line = Vec::new();
    format.write(notice, &mut line);
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    // A format that is JSON stays an object, so that Splunk sees its fields.
    let event = match RawValue::from_string(line.clone()) {
        Ok(object) => json!(object),
        Err(_) => Value::String(line),
    };
    let mut event = json!({
        "time": format!("{}.{:03}", notice.time_ms.div_euclid(1_000), notice.time_ms.rem_euclid(1_000)),
        "host": host,
        "source": "weir",
        "sourcetype": format!("weir:{}", format.as_str()),
        "event": event,
        "fields": { "event_id": notice.id },
    });
    if let Some(index) = index {
        event["index"] = json!(index);
    }
    // A value that stands in memory can be written there.
    let _ = crate::export::write_line(out, &event);
}

fn send(endpoint: &Endpoint, body: &[u8], count: usize) -> Outcome {
    let answer = match endpoint.post("/services/collector/event", "application/json", body) {
        Ok(answer) => answer,
        Err(failure) => return Outcome::Answered(Delivery::left(count, failure)),
    };
    let said = serde_json::from_slice::<Said>(&answer.body).ok();
    Outcome::Answered(match (answer.status, said) {
        (200..=299, Some(Said { code: 0, .. })) => Delivery::taken(count),
        (200..=299, _) => {
            let reason = format!("it answers with success and without its code: {}", excerpt(&answer.body));
            Delivery::left(count, Failure::new(RetryCause::Misconfigured, reason))
        }
        (413, _) => return Outcome::TooLarge,
        (400, Some(Said { code, invalid: Some(number) }))
            if OF_ONE_EVENT.contains(&code) && number < count =>
        {
            // What came before it may be there already; it is sent again, under the same id.
            let failure = Failure::new(RetryCause::Partial, "it refuses one event, and with it the batch");
            let mut delivery = Delivery::left(count, failure);
            delivery.fates[number] = Fate::Refused(excerpt(&answer.body));
            delivery
        }
        _ => Delivery::left(count, answer.failure()),
    })
}

impl Destination for HecDestination {
    fn kind(&self) -> DestinationKind {
        DestinationKind::Hec
    }

    fn deliver(&mut self, notices: &[Notice]) -> Delivery {
        let Self { endpoint, format, host, index, chunks } = self;
        chunks.deliver(notices, |chunk| {
            let mut body = Vec::new();
            chunk.iter().for_each(|notice| write(notice, *format, host, index.as_deref(), &mut body));
            send(endpoint, &body, chunk.len())
        })
    }
}

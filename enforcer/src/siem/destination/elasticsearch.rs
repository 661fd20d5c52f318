//! Elasticsearch and OpenSearch, by the bulk interface: each notice is created under its own id, so that one
//! that is there already is not there twice.
//!
//! The answer says of each document how it fared. What failed for now is sent again, and nothing else.

use super::http::{Chunks, Endpoint, Outcome, excerpt};
use super::{Delivery, Destination, DestinationKind, Failure, Fate, RetryCause};
use crate::siem::format::Format;
use crate::siem::notice::Notice;
use serde::Deserialize;
use serde_json::json;

/// The path, and what of the answer is asked for.
const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

/// An index or a data stream.
pub struct ElasticsearchDestination {
    endpoint: Endpoint,
    index: String,
    chunks: Chunks,
}

#[derive(Deserialize)]
struct Said {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    error: Option<serde_json::Value>,
}

impl ElasticsearchDestination {
    /// The index, or data stream, of this name.
    pub fn new(endpoint: Endpoint, index: &str) -> Self {
        Self { endpoint, index: index.to_owned(), chunks: Chunks::new() }
    }
}

fn write(notice: &Notice, index: &str, out: &mut Vec<u8>) {
    let action = json!({ "create": { "_index": index, "_id": notice.id } });
    // A value that stands in memory can be written there.
    let _ = crate::export::write_line(out, &action);
    Format::Ecs.write(notice, out);
    out.push(b'\n');
}

/// How a document fared.
fn fate(created: &Created, failure: &mut Option<Failure>) -> Fate {
    let said = created.error.as_ref().map(ToString::to_string).unwrap_or_default();
    let cause = match created.status {
        // 409: it is there already.
        200..=299 | 409 => return Fate::Taken,
        413 => return Fate::Refused(excerpt(said.as_bytes())),
        // Any other 400 is of the index or the cluster, a limit of shards for one, and comes right when that
        // does.
        400 if is_of_document(created) => return Fate::Refused(excerpt(said.as_bytes())),
        401 | 403 => RetryCause::Denied,
        429 | 503 => RetryCause::Busy,
        500..=599 => RetryCause::Failing,
        _ => RetryCause::Misconfigured,
    };
    let reason = format!("it answers of a document with {}: {}", created.status, excerpt(said.as_bytes()));
    failure.get_or_insert(Failure::new(cause, reason));
    Fate::Left
}

/// Whether a document does not fit the mapping, and never will.
fn is_of_document(created: &Created) -> bool {
    let kind = created.error.as_ref().and_then(|error| error["type"].as_str());
    matches!(
        kind,
        Some("document_parsing_exception" | "mapper_parsing_exception" | "strict_dynamic_mapping_exception")
    )
}

fn send(endpoint: &Endpoint, body: &[u8], count: usize) -> Outcome {
    let answer = match endpoint.post(PATH, "application/x-ndjson", body) {
        Ok(answer) => answer,
        Err(failure) => return Outcome::Answered(Delivery::left(count, failure)),
    };
    match answer.status {
        200..=299 => {}
        413 => return Outcome::TooLarge,
        _ => return Outcome::Answered(Delivery::left(count, answer.failure())),
    }
    let said = serde_json::from_slice::<Said>(&answer.body);
    let Some(said) = said.ok().filter(|said| said.items.len() == count) else {
        let reason = format!("its answer does not speak of every document: {}", excerpt(&answer.body));
        return Outcome::Answered(Delivery::left(count, Failure::new(RetryCause::Misconfigured, reason)));
    };
    let mut failure = None;
    let fates = said.items.iter().map(|item| fate(&item.create, &mut failure)).collect();
    Outcome::Answered(Delivery { fates, failure })
}

impl Destination for ElasticsearchDestination {
    fn kind(&self) -> DestinationKind {
        DestinationKind::Elasticsearch
    }

    fn deliver(&mut self, notices: &[Notice]) -> Delivery {
        let Self { endpoint, index, chunks } = self;
        chunks.deliver(notices, |chunk| {
            let mut body = Vec::new();
            chunk.iter().for_each(|notice| write(notice, index, &mut body));
            send(endpoint, &body, chunk.len())
        })
    }
}

//! What a request brings, by its path and its headers.

use super::answer::Refused;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};
use weir_collector::push::body::{Content, Notation, Packing};

const PROTOBUF: &str = "application/x-protobuf";

/// What a request says of itself before its body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it brings.
    pub content: Content,
    /// How it is written.
    pub notation: Notation,
    /// How it is packed.
    pub packing: Packing,
}

/// What is sent to a path.
pub fn content_of(path: &str) -> Option<Content> {
    Content::ALL.iter().copied().find(|content| content.path() == path)
}

impl Head {
    /// Reads a request's head.
    pub fn of(method: &Method, path: &str, headers: &HeaderMap) -> Result<Self, Refused> {
        let refused = |status, reason: String| Err(Refused { status, reason });
        let Some(content) = content_of(path) else {
            return refused(
                StatusCode::NOT_FOUND,
                "there is nothing at this path: spans go to /v1/traces, log records to /v1/logs, JSON lines and \
                 LiteLLM's callback to /v1/lines"
                    .into(),
            );
        };
        if method != Method::POST {
            return refused(StatusCode::METHOD_NOT_ALLOWED, "records are sent by POST".into());
        }
        let Some(packing) = value(headers, &CONTENT_ENCODING).map_or(Some(Packing::Plain), Packing::of)
        else {
            return refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the Content-Encoding is none of identity, gzip, deflate and zstd".into(),
            );
        };
        let media = media_of(headers);
        let Some(notation) = notation_of(content, &media) else {
            let kinds = match content {
                Content::Lines => "application/json, application/x-ndjson or text/plain",
                Content::Logs | Content::Traces => "application/json or application/x-protobuf",
            };
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the Content-Type is not {kinds}"));
        };
        Ok(Self { content, notation, packing })
    }
}

/// How somebody reads answers who writes like this.
pub fn notation_of_answer(headers: &HeaderMap) -> Notation {
    if media_of(headers) == PROTOBUF { Notation::Protobuf } else { Notation::Json }
}

fn media_of(headers: &HeaderMap) -> String {
    let media = value(headers, &CONTENT_TYPE).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn notation_of(content: Content, media: &str) -> Option<Notation> {
    let lines = [
        "",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/octet-stream",
        "text/plain",
    ];
    match content {
        _ if media == "application/json" => Some(Notation::Json),
        Content::Lines => lines.contains(&media).then_some(Notation::Json),
        Content::Logs | Content::Traces => (media == PROTOBUF).then_some(Notation::Protobuf),
    }
}

fn value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    // What is no text is no name of anything.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

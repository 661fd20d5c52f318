//! What a request is answered, as OTLP wants it: 200 with what was refused of it, 4xx for what is wrong with
//! it, and 503 with a time for what may come again.

use super::limits::RETRY_AFTER_S;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;
use weir_collector::push::body::{Content, Notation};
use weir_collector::push::{Answer, Taken, protobuf};

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status that says so.
    pub status: StatusCode,
    /// Why, for whoever sent it.
    pub reason: String,
}

impl Refused {
    /// It may come again: nothing of it was taken.
    pub fn for_now(status: StatusCode, reason: &str) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// The answer to a request that was looked at.
pub fn of(content: Content, notation: Notation, answer: Answer) -> Result<Response<Full<Bytes>>, Refused> {
    let refused = |status, reason| Err(Refused { status, reason });
    match answer {
        Answer::Taken(taken) => taken_of(content, notation, taken),
        Answer::Malformed(reason) => refused(StatusCode::BAD_REQUEST, reason),
        Answer::TooLarge(reason) => refused(StatusCode::PAYLOAD_TOO_LARGE, reason),
        Answer::Unavailable => {
            let reason = "the log takes nothing for now; nothing of this was taken: send it again".into();
            refused(StatusCode::SERVICE_UNAVAILABLE, reason)
        }
    }
}

fn taken_of(content: Content, notation: Notation, taken: Taken) -> Result<Response<Full<Bytes>>, Refused> {
    let Taken { events, known, unowned, other, refused, .. } = taken;
    let reason = taken.reason.unwrap_or_default();
    let of_kind = match content {
        Content::Lines if refused > 0 && events + known + unowned + other == 0 => {
            let reason = format!("none of the {refused} records can be read: {reason}");
            return Err(Refused { status: StatusCode::BAD_REQUEST, reason });
        }
        Content::Lines => {
            let mut body = json!({
                "events": events, "known": known, "unowned": unowned, "other": other, "refused": refused,
                "came_before": taken.came_before,
            });
            if refused > 0 {
                body["reason"] = reason.into();
            }
            return Ok(json_of(StatusCode::OK, &body));
        }
        Content::Logs => "rejectedLogRecords",
        Content::Traces => "rejectedSpans",
    };
    Ok(match (notation, refused) {
        (Notation::Protobuf, _) => protobuf_of(StatusCode::OK, protobuf::response(refused, &reason)),
        (Notation::Json, 0) => json_of(StatusCode::OK, &json!({})),
        (Notation::Json, _) => {
            // OTLP writes numbers of 64 bits as texts.
            let told = json!({ of_kind: refused.to_string(), "errorMessage": reason });
            json_of(StatusCode::OK, &json!({ "partialSuccess": told }))
        }
    })
}

/// The answer to a request that is not taken.
pub fn refusal(refused: &Refused, notation: Notation) -> Response<Full<Bytes>> {
    // The numbers of google.rpc.Code.
    let code = match refused.status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => 12,
        StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 3,
    };
    let mut response = match notation {
        Notation::Json => json_of(refused.status, &json!({ "code": code, "message": refused.reason })),
        Notation::Protobuf => protobuf_of(refused.status, protobuf::status(code, &refused.reason)),
    };
    let header = match refused.status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, HeaderValue::from_static("POST"))),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))),
        _ => None,
    };
    response.headers_mut().extend(header);
    response
}

fn json_of(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    response_of(status, "application/json", body.to_string().into())
}

fn protobuf_of(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    response_of(status, "application/x-protobuf", body.into())
}

fn response_of(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

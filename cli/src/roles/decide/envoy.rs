//! What Envoy asks, by whichever of its services; and the words in which all of them hand an answer on to
//! Envoy's client.

pub mod ext_authz;
pub mod ext_proc;
pub mod rate_limit;

use super::told::{Told, status_of};
use super::whose::Unclear;
use axum::http::StatusCode;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::json;
use tonic::Code;
use weir_api::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use weir_api::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

/// What the client of a request is told that does not pass.
struct Refusal {
    /// In gRPC's terms.
    code: Code,
    /// In those of HTTP.
    status: StatusCode,
    /// The value of `Retry-After`.
    retry_after: Option<String>,
    /// The body, as JSON. The verdict's id in it is what a client can ask its provider about.
    body: String,
}

impl Refusal {
    /// None where the request may pass.
    fn of(told: &Told) -> Option<Self> {
        let (code, kind, message) = match told.status {
            StatusCode::OK => return None,
            StatusCode::TOO_MANY_REQUESTS => {
                (Code::ResourceExhausted, "rate_limit_error", "Too many requests.")
            }
            StatusCode::FORBIDDEN => (Code::PermissionDenied, "permission_error", "This key is suspended."),
            _ => (Code::Unavailable, "api_error", "Requests cannot be let through now. Try again later."),
        };
        let body = error_body(kind, message, told.verdict_id.as_deref());
        Some(Self { code, status: told.status, retry_after: told.retry_after(), body })
    }

    /// Nobody would know whose the request is.
    fn unclear(error: Unclear) -> Self {
        let (code, kind) = match error {
            Unclear::TooManyKeys | Unclear::TooManyTenants => {
                (Code::InvalidArgument, "invalid_request_error")
            }
            Unclear::Stranger(_) => (Code::PermissionDenied, "permission_error"),
        };
        let body = error_body(kind, &error.to_string(), None);
        Self { code, status: status_of(error), retry_after: None, body }
    }

    /// Names and values of the headers that go with it.
    fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let retry_after = self.retry_after.clone().map(|seconds| ("retry-after", seconds));
        std::iter::once(("content-type", "application/json".to_owned())).chain(retry_after)
    }

    /// The same, each in place of what stands there.
    fn header_options(&self) -> Vec<HeaderValueOption> {
        let option = |(key, value)| HeaderValueOption {
            header: Some(header(key, value)),
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
            ..HeaderValueOption::default()
        };
        self.headers().map(option).collect()
    }
}

fn error_body(kind: &str, message: &str, verdict_id: Option<&str>) -> String {
    format!("{}\n", json!({ "error": { "type": kind, "message": message, "verdict_id": verdict_id } }))
}

fn header(key: &str, value: String) -> HeaderValue {
    HeaderValue { key: key.to_owned(), value, raw_value: Vec::new() }
}

/// What a header says: as text, or as bytes where Envoy was told to hand bytes on.
fn value_of(header: &HeaderValue) -> &[u8] {
    match header.value.as_bytes() {
        b"" => &header.raw_value,
        value => value,
    }
}

/// The whole answer for Envoy's own log and filters; the client is told nothing of it. What is not known is
/// left out.
fn metadata(told: &Told) -> Struct {
    let serde_json::Value::Object(fields) = told.json() else { return Struct::default() };
    let fields = fields.into_iter().filter_map(|(name, field)| Some((name, protobuf(field)?)));
    Struct { fields: fields.collect() }
}

fn protobuf(value: serde_json::Value) -> Option<Value> {
    let kind = match value {
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64()?),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().filter_map(protobuf).collect() })
        }
        serde_json::Value::Null | serde_json::Value::Object(_) => return None,
    };
    Some(Value { kind: Some(kind) })
}

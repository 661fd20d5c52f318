//! Envoy's external authorization: the same answers, as Envoy hands them on to its client.

use super::answer::{CREDENTIAL_HEADERS, Desk};
use super::told::Told;
use crate::telemetry::Transport;
use axum::http::StatusCode;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::json;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};
use weir_api::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use weir_api::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use weir_api::envoy::service::auth::v3::attribute_context::HttpRequest;
use weir_api::envoy::service::auth::v3::authorization_server::Authorization;
use weir_api::envoy::service::auth::v3::check_response::HttpResponse;
use weir_api::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use weir_api::envoy::r#type::v3::HttpStatus;
use weir_api::google::rpc;

/// Answers Envoy.
pub struct ExtAuthz(pub Arc<Desk>);

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.and_then(|attributes| attributes.request);
        let Some(http) = attributes.and_then(|request| request.http) else {
            let reason =
                "no HTTP request is told of: this is an answer to Envoy's HTTP filter, not to others";
            return Err(Status::invalid_argument(reason));
        };
        let tenants = self.0.tenant_header().into_iter().flat_map(|name| values(&http, name));
        let credentials = CREDENTIAL_HEADERS.into_iter().flat_map(|name| values(&http, name));
        let response = match self.0.accounts(tenants, credentials) {
            Ok(accounts) => response(&Told::of(&self.0.answer(accounts, Transport::ExtAuthz).await)),
            Err(error) => {
                self.0.refuse(Transport::ExtAuthz);
                let body = error_body("invalid_request_error", &error.to_string(), None);
                refused(Code::InvalidArgument, StatusCode::BAD_REQUEST, None, body)
            }
        };
        Ok(Response::new(response))
    }
}

/// The values of a header, in either of the ways in which Envoy tells of headers. It joins those of one name with commas in the
/// first, and has each by itself in the second.
fn values<'r>(http: &'r HttpRequest, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
    let is_asked = move |key: &str| key.eq_ignore_ascii_case(name);
    let joined = http.headers.iter().filter(move |(key, _)| is_asked(key)).map(|(_, value)| value.as_bytes());
    let apart =
        http.header_map.iter().flat_map(|map| &map.headers).filter(move |header| is_asked(&header.key));
    let value = |header: &'r HeaderValue| match header.value.as_bytes() {
        b"" => header.raw_value.as_slice(),
        value => value,
    };
    joined.chain(apart.map(value))
}

fn response(told: &Told) -> CheckResponse {
    let (code, kind, message) = match told.status {
        StatusCode::OK => {
            return CheckResponse {
                status: Some(rpc::Status { code: Code::Ok as i32, ..rpc::Status::default() }),
                dynamic_metadata: Some(metadata(told)),
                http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
            };
        }
        StatusCode::TOO_MANY_REQUESTS => (Code::ResourceExhausted, "rate_limit_error", "Too many requests."),
        StatusCode::FORBIDDEN => (Code::PermissionDenied, "permission_error", "This key is suspended."),
        _ => (Code::Unavailable, "api_error", "Requests cannot be let through now. Try again later."),
    };
    let body = error_body(kind, message, told.verdict_id.as_deref());
    let refused = refused(code, told.status, told.retry_after(), body);
    CheckResponse { dynamic_metadata: Some(metadata(told)), ..refused }
}

fn refused(code: Code, status: StatusCode, retry_after: Option<String>, body: String) -> CheckResponse {
    let mut headers = vec![header("content-type", "application/json".into())];
    headers.extend(retry_after.map(|seconds| header("retry-after", seconds)));
    let denied =
        DeniedHttpResponse { status: Some(HttpStatus { code: status.as_u16().into() }), headers, body };
    CheckResponse {
        status: Some(rpc::Status { code: code as i32, ..rpc::Status::default() }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(denied)),
    }
}

/// What the client is told. The verdict's id is what it can ask its provider about.
fn error_body(kind: &str, message: &str, verdict_id: Option<&str>) -> String {
    format!("{}\n", json!({ "error": { "type": kind, "message": message, "verdict_id": verdict_id } }))
}

fn header(key: &str, value: String) -> HeaderValueOption {
    let header = HeaderValue { key: key.to_owned(), value, raw_value: Vec::new() };
    let append_action = HeaderAppendAction::OverwriteIfExistsOrAdd as i32;
    HeaderValueOption { header: Some(header), append_action, ..HeaderValueOption::default() }
}

/// The whole answer for Envoy's own log and filters; the client is told nothing of it. What is not known is left out.
fn metadata(told: &Told) -> Struct {
    let value = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Some(Kind::StringValue(text)),
        serde_json::Value::Bool(flag) => Some(Kind::BoolValue(flag)),
        serde_json::Value::Number(number) => number.as_f64().map(Kind::NumberValue),
        _ => None,
    };
    let serde_json::Value::Object(fields) = told.json() else { return Struct::default() };
    let fields =
        fields.into_iter().filter_map(|(name, field)| Some((name, Value { kind: Some(value(field)?) })));
    Struct { fields: fields.collect() }
}

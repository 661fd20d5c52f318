//! Envoy's external authorization: the same answers, as Envoy hands them on to its client.

use super::super::answer::Desk;
use super::super::told::Told;
use super::{Refusal, metadata, value_of};
use crate::telemetry::Transport;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};
use weir_api::envoy::service::auth::v3::attribute_context::HttpRequest;
use weir_api::envoy::service::auth::v3::authorization_server::Authorization;
use weir_api::envoy::service::auth::v3::check_response::HttpResponse;
use weir_api::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use weir_api::envoy::r#type::v3::HttpStatus;
use weir_api::google::rpc;

/// Answers Envoy's filter `ext_authz`.
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
        let answer = self.0.answer_to(Transport::ExtAuthz, |name| values(&http, name)).await;
        let response = match answer {
            Ok(answer) => response(&Told::of(&answer)),
            Err(error) => refused(Refusal::unclear(error)),
        };
        Ok(Response::new(response))
    }
}

/// The values of a header, in either of the ways in which Envoy tells of headers. It joins those of one name
/// with commas in the first, and has each by itself in the second.
fn values<'r>(http: &'r HttpRequest, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
    let is_asked = move |key: &str| key.eq_ignore_ascii_case(name);
    let joined = http.headers.iter().filter(move |(key, _)| is_asked(key)).map(|(_, value)| value.as_bytes());
    let apart =
        http.header_map.iter().flat_map(|map| &map.headers).filter(move |header| is_asked(&header.key));
    joined.chain(apart.map(value_of))
}

fn response(told: &Told) -> CheckResponse {
    let response = Refusal::of(told).map_or_else(passed, refused);
    CheckResponse { dynamic_metadata: Some(metadata(told)), ..response }
}

fn passed() -> CheckResponse {
    CheckResponse {
        status: Some(rpc::Status { code: Code::Ok as i32, ..rpc::Status::default() }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
    }
}

fn refused(refusal: Refusal) -> CheckResponse {
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: refusal.status.as_u16().into() }),
        headers: refusal.header_options(),
        body: refusal.body,
    };
    CheckResponse {
        status: Some(rpc::Status { code: refusal.code as i32, ..rpc::Status::default() }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(denied)),
    }
}

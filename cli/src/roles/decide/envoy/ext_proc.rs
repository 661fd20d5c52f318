//! Envoy's external processing, of a request's headers: the same answers, and nothing of the request is
//! changed.
//!
//! A stream is of one request. It is answered once, about the headers, and then ended, by which Envoy is told
//! to go on without asking about bodies, trailers and the response.

use super::super::answer::Desk;
use super::super::told::Told;
use super::{Refusal, metadata, value_of};
use crate::telemetry::Transport;
use futures_util::stream::{Iter, iter};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use weir_api::envoy::config::core::v3::HeaderMap;
use weir_api::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessor;
use weir_api::envoy::service::ext_proc::v3::processing_request::Request as Phase;
use weir_api::envoy::service::ext_proc::v3::processing_response::Response as Reply;
use weir_api::envoy::service::ext_proc::v3::{
    CommonResponse, GrpcStatus, HeaderMutation, HeadersResponse, ImmediateResponse, ProcessingRequest,
    ProcessingResponse,
};
use weir_api::envoy::r#type::v3::HttpStatus;

/// Namespace of the dynamic metadata.
const METADATA: &str = "weir";

/// What Envoy's log says of a request that was not let through.
const DETAILS: &str = "weir_refused";

/// Answers Envoy's filter `ext_proc`.
pub struct ExtProc(pub Arc<Desk>);

/// At most one answer, and the end.
type Once = Iter<std::option::IntoIter<Result<ProcessingResponse, Status>>>;

#[tonic::async_trait]
impl ExternalProcessor for ExtProc {
    type ProcessStream = Once;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let first = request.into_inner().message().await?;
        let answer = match first {
            None => None,
            Some(ProcessingRequest {
                request: Some(Phase::RequestHeaders(told)),
                observability_mode,
                ..
            }) => {
                let headers = told.headers.unwrap_or_default();
                let answer = self.answer(&headers).await;
                // Envoy only shows what it does, and does not wait.
                (!observability_mode).then_some(answer)
            }
            Some(_) => {
                let reason = "a stream must begin with a request's headers: set request_header_mode to SEND";
                return Err(Status::invalid_argument(reason));
            }
        };
        Ok(Response::new(iter(answer.map(Ok))))
    }
}

impl ExtProc {
    async fn answer(&self, headers: &HeaderMap) -> ProcessingResponse {
        match self.0.answer_to(Transport::ExtProc, |name| values(headers, name)).await {
            Ok(answer) => response(&Told::of(&answer)),
            Err(error) => refused(Refusal::unclear(error)),
        }
    }
}

fn values<'r>(headers: &'r HeaderMap, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
    headers.headers.iter().filter(move |header| header.key.eq_ignore_ascii_case(name)).map(value_of)
}

fn response(told: &Told) -> ProcessingResponse {
    let response = Refusal::of(told).map_or_else(passed, refused);
    let namespace = Value { kind: Some(Kind::StructValue(metadata(told))) };
    let dynamic_metadata = Struct { fields: [(METADATA.to_owned(), namespace)].into() };
    ProcessingResponse { dynamic_metadata: Some(dynamic_metadata), ..response }
}

fn passed() -> ProcessingResponse {
    let headers = HeadersResponse { response: Some(CommonResponse::default()) };
    ProcessingResponse { response: Some(Reply::RequestHeaders(headers)), ..ProcessingResponse::default() }
}

fn refused(refusal: Refusal) -> ProcessingResponse {
    let immediate = ImmediateResponse {
        status: Some(HttpStatus { code: refusal.status.as_u16().into() }),
        headers: Some(HeaderMutation { set_headers: refusal.header_options(), remove_headers: Vec::new() }),
        // For a client that speaks gRPC.
        grpc_status: Some(GrpcStatus { status: refusal.code as u32 }),
        body: refusal.body.into_bytes(),
        details: DETAILS.to_owned(),
    };
    ProcessingResponse {
        response: Some(Reply::ImmediateResponse(immediate)),
        ..ProcessingResponse::default()
    }
}

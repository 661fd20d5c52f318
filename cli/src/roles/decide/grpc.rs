//! The decision API over gRPC: the services, whether they are there (health), and what they are (reflection).

use super::answer::Desk;
use super::decisions::Answers;
use super::door::is_grpc;
use super::envoy::ext_authz::ExtAuthz;
use super::envoy::ext_proc::ExtProc;
use super::envoy::rate_limit::RateLimit;
use super::limits::{MESSAGE_BYTES_MAX, PROBE_BYTES_MAX};
use anyhow::Result;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use weir_api::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use weir_api::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessorServer;
use weir_api::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitServiceServer;
use weir_api::weir::v1::decisions_server::DecisionsServer;

/// Names under which health is told: all of the server, and each service.
const NAMES: [&str; 5] = [
    "",
    AuthorizationServer::<ExtAuthz>::NAME,
    ExternalProcessorServer::<ExtProc>::NAME,
    RateLimitServiceServer::<RateLimit>::NAME,
    DecisionsServer::<Answers>::NAME,
];

/// How it is with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The table was not read yet: a gateway that asked would let suspended accounts pass.
    Reading,
    /// It answers. Never taken back while it runs: when the log is away it answers from memory.
    Answering,
    /// It is about to end.
    Ending,
}

/// What is answered where, and who tells of health.
pub fn routes(desk: Arc<Desk>) -> Result<(Router, HealthReporter)> {
    let (reporter, health) = health_reporter();
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(weir_api::DESCRIBED)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let authorization = AuthorizationServer::new(ExtAuthz(desk.clone()));
    let processor = ExternalProcessorServer::new(ExtProc(desk.clone()));
    let rate_limit = RateLimitServiceServer::new(RateLimit(desk.clone()));
    let decisions = DecisionsServer::new(Answers(desk));
    let routes = Routes::new(authorization.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(processor.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(rate_limit.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(decisions.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(health.max_decoding_message_size(PROBE_BYTES_MAX))
        .add_service(described().build_v1()?.max_decoding_message_size(PROBE_BYTES_MAX))
        // What clients ask that are older than 2023.
        .add_service(described().build_v1alpha()?.max_decoding_message_size(PROBE_BYTES_MAX));
    // Its own answer to unknown paths is 200 with an error of gRPC's behind it, which another gateway would
    // take for `may pass`.
    Ok((routes.into_axum_router().reset_fallback().route_layer(from_fn(of_grpc_only)), reporter))
}

/// Nor is whoever speaks something else answered by an error of gRPC's.
async fn of_grpc_only(request: Request, next: Next) -> Response {
    if is_grpc(&request) {
        next.run(request).await
    } else {
        StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()
    }
}

/// Tells of health whenever it changes, until the server ends.
pub async fn tell_health(reporter: HealthReporter, mut states: watch::Receiver<State>) {
    loop {
        let status = match *states.borrow_and_update() {
            State::Answering => ServingStatus::Serving,
            State::Reading | State::Ending => ServingStatus::NotServing,
        };
        for name in NAMES {
            reporter.set_service_status(name, status).await;
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

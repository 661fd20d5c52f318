//! Who may ask: whoever shows a token, or has shown a certificate, where the settings ask for them.

use super::frames::PROTOCOL;
use super::limits::TLS_TIME_MAX;
use crate::listen::auth::Tokens;
use crate::listen::tls::{Files, acceptor};
use crate::settings::Settings;
use crate::telemetry::{Metrics, Transport};
use anyhow::Result;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use weir_api::envoy::service::auth::v3::authorization_server;
use weir_api::envoy::service::ext_proc::v3::external_processor_server;
use weir_api::envoy::service::ratelimit::v3::rate_limit_service_server;
use weir_api::weir::v1::decisions_server;

/// Where a gateway shows its token. Not in `Authorization`, where its client's key stands.
const TOKEN: &str = "x-weir-token";

/// What a probe asks, which knows no token and learns nothing of accounts.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Who is let in.
pub struct Door {
    tokens: Option<Tokens>,
    tls: Option<TlsAcceptor>,
    metrics: Arc<Metrics>,
}

impl Door {
    /// As the settings say.
    ///
    /// # Errors
    /// When a file is missing, contradicts another, or holds something else.
    pub fn new(settings: &Settings, metrics: Arc<Metrics>) -> Result<Self> {
        let tokens = settings.decide_token_file.as_deref();
        let tokens = tokens.map(|file| Tokens::read(file, "decide.token_file")).transpose()?;
        let files = Files {
            certificate: ("decide.cert_file", settings.decide_cert_file.as_deref()),
            key: ("decide.key_file", settings.decide_key_file.as_deref()),
            client_authorities: ("decide.client_ca_file", settings.decide_client_ca_file.as_deref()),
        };
        Ok(Self { tokens, tls: acceptor(&files, &[b"h2", b"http/1.1", PROTOCOL])?, metrics })
    }

    /// Whether connections are to be made secret.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Makes a connection secret; none where that fails, which is counted.
    pub async fn secure(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        match timeout(TLS_TIME_MAX, self.tls.as_ref()?.accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => self.metrics.gateway_handshake_failed(&error.to_string()),
            Err(_) => self.metrics.gateway_handshake_failed("the gateway took too long"),
        }
        None
    }

    /// Why whoever shows this token is not answered, which is counted; none where it may ask.
    pub fn refuses(&self, token: Option<&str>, transport: Transport) -> Option<&'static str> {
        let shows = |tokens: &Tokens| token.is_some_and(|token| tokens.has(token.trim()));
        if self.tokens.as_ref().is_none_or(shows) {
            return None;
        }
        self.metrics.gateway_unauthenticated(transport);
        Some("say a `token` of the decision server's")
    }

    /// What a request is answered that shows no token, in the words of its transport; none where it may ask.
    pub fn refusal(&self, request: &Request) -> Option<Response> {
        let path = request.uri().path();
        if path.starts_with(HEALTH)
            || self.tokens.as_ref().is_none_or(|tokens| shows(request.headers(), tokens))
        {
            return None;
        }
        self.metrics.gateway_unauthenticated(transport(path));
        let reason = "send `X-Weir-Token: TOKEN`, with a token of the decision server's";
        if is_grpc(request) {
            return Some(tonic::Status::unauthenticated(reason).into_http::<axum::body::Body>());
        }
        let kind = [(header::CONTENT_TYPE, "application/json")];
        Some((StatusCode::UNAUTHORIZED, kind, format!("{}\n", json!({ "error": reason }))).into_response())
    }
}

/// Whether a request is of gRPC: it names a service, and says so. That alone would not do: nginx hands its
/// client's own `Content-Type` on, and an error of gRPC's is an HTTP 200.
pub fn is_grpc(request: &Request) -> bool {
    let names_service = request.uri().path().split('/').nth(1).is_some_and(|service| service.contains('.'));
    let kind = request.headers().get(header::CONTENT_TYPE);
    names_service && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn shows(headers: &HeaderMap, tokens: &Tokens) -> bool {
    headers.get(TOKEN).and_then(|value| value.to_str().ok()).is_some_and(|token| tokens.has(token.trim()))
}

fn transport(path: &str) -> Transport {
    match path.split('/').nth(1) {
        Some(authorization_server::SERVICE_NAME) => Transport::ExtAuthz,
        Some(external_processor_server::SERVICE_NAME) => Transport::ExtProc,
        Some(rate_limit_service_server::SERVICE_NAME) => Transport::RateLimit,
        Some(decisions_server::SERVICE_NAME) => Transport::Grpc,
        _ => Transport::Http,
    }
}

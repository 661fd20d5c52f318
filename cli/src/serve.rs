//! `/metrics`, `/health/live` and `/health/ready`.

use crate::cpu;
use crate::health::{Health, Readiness};
use crate::liveness::Liveness;
use crate::telemetry::Metrics;
use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;

/// Serves a process's metrics and health until it ends; returns the address that was bound.
pub fn serve(
    address: &str,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    liveness: Arc<Liveness>,
) -> Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("cannot serve metrics on {address}; choose another metrics_addr"))?;
    let bound = listener.local_addr()?;
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        if let Err(error) =
            runtime.block_on(async { axum::serve(listener, router(metrics, health, liveness)).await })
        {
            tracing::error!(%error, "the metrics server ended");
        }
    })?;
    Ok(bound)
}

fn router(metrics: Arc<Metrics>, health: Arc<Health>, liveness: Arc<Liveness>) -> Router {
    let text = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    let asked = health.clone();
    let scraped = move || async move {
        metrics.set_readiness(asked.readiness());
        metrics.cpu_looked_at(cpu::used_us() / 1_000);
        (text, metrics.render())
    };
    let live = move || async move {
        match liveness.stuck() {
            None => (StatusCode::OK, "live\n".to_owned()),
            Some(stuck) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stuck}\n")),
        }
    };
    let ready = move || async move {
        let readiness = health.readiness();
        let status = match readiness {
            Readiness::Ready => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, format!("{readiness}\n"))
    };
    Router::new()
        .route("/metrics", get(scraped))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
}

//! Takes records by HTTP: OpenTelemetry's spans and log records, JSON lines, and LiteLLM's generic callback.
//!
//! A request's way: [`server`] takes it from whom [`accept`] has room for, bounds times and sizes, and asks
//! [`auth`] who may send; [`request`] says what it brings; [`intake`] commits it together with others, in the
//! thread of its caller; [`answer`] says what became of it. It is answered only when it is committed. Nothing
//! is held for a log that is away: whoever sends is told to come again, and what it sends again is known.

pub mod accept;
mod answer;
pub mod auth;
mod intake;
mod limits;
mod request;
mod server;
pub mod tls;

use crate::context::{Context, now_ms};
use crate::keys::{self, CollectorKeys};
use crate::settings::Settings;
use anyhow::{Context as _, Result, ensure};
use auth::Tokens;
use server::{Door, Server};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use weir_collector::{Format, Intake, Pseudonymizer, PushConfig, Sealer};
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

pub use intake::Sensed;

/// Name of the source where the settings give none.
const SOURCE: &str = "listen";

/// A listener that is bound and takes nothing yet.
pub struct Listener {
    socket: TcpListener,
    door: Door,
    config: PushConfig,
    linger: Duration,
}

impl Listener {
    /// Binds the address of the settings; none where they name none. What the operator may have got wrong is
    /// told before anything is written.
    ///
    /// # Errors
    /// When the address cannot be bound, or anybody on the network could send.
    pub fn bind(context: &Context) -> Result<Option<Self>> {
        let settings = &context.settings;
        let Some(address) = &settings.listen else { return Ok(None) };
        let socket = TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}; choose another address for --listen"))?;
        socket.set_nonblocking(true)?;
        let bound = socket.local_addr()?;
        let door = door(settings, bound)?;
        let config = PushConfig {
            source: settings.source.clone().unwrap_or_else(|| SOURCE.into()),
            node: context.node(),
            tenants: context.tenants()?.of_events(),
            format: Format::load(&settings.collector_format)?,
            keep_text: settings.collector_keep_text,
            body_bytes_max: settings.listener_body_bytes_max,
        };
        config.check()?;
        tracing::info!(
            listening = %bound,
            "taking spans at /v1/traces, log records at /v1/logs, and JSON lines or LiteLLM's callback at /v1/lines"
        );
        let linger = Duration::from_millis(settings.listener_linger_ms);
        Ok(Some(Self { socket, door, config, linger }))
    }

    /// Takes requests until it is told to stop; then what is under way is committed and answered.
    ///
    /// # Errors
    /// When the log cannot be used any more, or another process took the source over.
    pub fn run(
        self,
        context: &Context,
        keys: &CollectorKeys,
        log: &dyn Log,
        wire: Arc<Wire>,
        sensed: Sensed<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<()> {
        let keys = sensing_keys(keys)?;
        let intake = Intake::open(log, self.config, keys, wire, context.metrics.clone(), Arc::new(now_ms))?;
        let intake = intake.watching(context.tripwires()?);
        let (server, arrivals) = Server::start(self.socket, self.door, context.metrics.clone())?;
        let pulse = context.liveness.watch("the listener");
        let outcome = intake::run(intake, &arrivals, self.linger, sensed, is_stopped, &server, &pulse);
        // What comes from now on is told to come again.
        drop(arrivals);
        server.end();
        outcome
    }
}

/// What hides ids.
pub fn sensing_keys(keys: &CollectorKeys) -> Result<weir_collector::Keys> {
    let ((epoch, pseudonym), (number, public)) = (&keys.pseudonym, &keys.seal);
    let sealer = Sealer::new(*number, public, *keys::random()?).with_context(|| {
        format!(
            "seal-{number}.pub is no key that anything can be sealed to: take it from where `weir keys make` made it"
        )
    })?;
    Ok(weir_collector::Keys { pseudonymizer: Pseudonymizer::new(**pseudonym, *epoch), sealer })
}

/// Who may send.
fn door(settings: &Settings, bound: SocketAddr) -> Result<Door> {
    let tokens = match &settings.listener_token_file {
        Some(file) => Some(Tokens::read(file, "listener.token_file")?),
        None => None,
    };
    let files = tls::Files {
        certificate: ("listener.cert_file", settings.listener_cert_file.as_deref()),
        key: ("listener.key_file", settings.listener_key_file.as_deref()),
        client_authorities: ("listener.client_ca_file", settings.listener_client_ca_file.as_deref()),
    };
    let tls = tls::acceptor(&files, &[b"http/1.1"])?;
    let are_clients_known = settings.listener_client_ca_file.is_some();
    ensure!(
        tokens.is_some() || are_clients_known || bound.ip().is_loopback(),
        "anybody who reaches {bound} could send records, and so accuse or hide whom they like: give \
         --listener-token-file FILE with a token that clients send as `Authorization: Bearer TOKEN`, or \
         --listener-client-ca-file FILE with the authorities of clients' certificates, or listen on a loopback address"
    );
    if tls.is_none() && !bound.ip().is_loopback() {
        tracing::warn!(
            "the token and what is sent go over the network for everybody to read: give --listener-cert-file and \
             --listener-key-file, unless something else in front of this process does TLS"
        );
    }
    let body_bytes_max = settings.listener_body_bytes_max;
    Ok(Door { tokens, tls, are_clients_known, body_bytes_max })
}

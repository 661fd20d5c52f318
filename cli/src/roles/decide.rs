//! `weir decide`: tells gateways how accounts stand, from memory.
//!
//! A request's way: [`server`] bounds connections, times and sizes; [`door`] says who may ask; [`http`] (for
//! nginx and others), [`envoy`] (Envoy's three services), [`decisions`] (Weir's own gRPC service) and
//! [`frames`] (length-prefixed JSON) [`whose`] whose it is; [`answer`] alone knows whether it may pass; and
//! [`told`] is what each of them then says in its own way. Nothing can be changed here.

mod answer;
mod decisions;
mod door;
mod envoy;
mod frames;
mod grpc;
mod http;
mod limits;
mod server;
mod told;
mod whose;

use crate::context::{Context, now_ms};
use crate::fast_path::listener::{self, Listener};
use crate::follow::{self, FOLLOW_EVERY};
use crate::keys::{self, CollectorKeys, Role};
use crate::settings::HoldMode;
use anyhow::{Context as _, Result, bail, ensure};
use std::process::ExitCode;
use std::sync::Arc;
use weir_enforcer::answer::standings::{Follower, Standings};
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

use answer::Desk;
use door::Door;
use server::Server;

/// Serves until the process is told to stop.
pub fn run(context: &Context) -> Result<ExitCode> {
    if context.settings.decide_addr.is_none() {
        bail!("decide_addr is not set: give --decide-addr HOST:PORT, where gateways ask");
    }
    let store = context.given_keys(Role::Collector)?;
    let (keys, root) = (CollectorKeys::read(&store)?, keys::read_root_if_there(&store, Role::Collector)?);
    let settings = &context.settings;
    ensure!(
        root.is_some()
            || ![settings.fastpath_holds, settings.fastpath_tripwire_holds].contains(&HoldMode::Hold),
        "fastpath.holds or fastpath.tripwire_holds is hold, and sign.pub is not among the keys: the kill switch would not be heard. Put the one \
         there that lies in the directory `auditor` that `weir keys make` made"
    );
    let (log, wire) = (context.kafka()?, context.wire()?);
    let log: Arc<dyn Log> = Arc::new(log);
    context.health.watch(&log)?;
    let health = context.health.clone();
    // A gateway that asked before would let suspended accounts pass. Never taken back: later it answers from
    // memory.
    context.follow_tenants()?;
    let server = serve(context, &keys, root, log, wire, move || health.set_tasks_open(true))?;
    context.health.set_running(true);
    while !context.is_stopped() {
        context.went_round();
        std::thread::sleep(FOLLOW_EVERY);
    }
    context.supervisor.stops();
    context.health.set_running(false);
    if let Some(serving) = server {
        serving.end();
    }
    Ok(ExitCode::SUCCESS)
}

/// A server that runs, and who listens for alerts beside it.
pub struct Serving {
    server: Server,
    listener: Option<Listener>,
}

impl Serving {
    /// Takes no more connections, and ends when what is under way has its answer.
    pub fn end(self) {
        if let Some(listener) = self.listener {
            listener.end();
        }
        self.server.end();
    }
}

/// Serves where `decide.addr` says, in threads of its own, until it is ended or the process ends. `was_read`
/// is called whenever the table was read to its end. `root` says who the persons of the kill switch are.
///
/// # Errors
/// When an address cannot be bound, or the settings are not of use.
pub fn serve(
    context: &Context,
    keys: &CollectorKeys,
    root: Option<[u8; 32]>,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    was_read: impl Fn() + Send + 'static,
) -> Result<Option<Serving>> {
    let Some(address) = context.settings.decide_addr.clone() else {
        ensure!(
            context.settings.fastpath_listen.is_none(),
            "fastpath.listen is set, and decide.addr is not: no gateway could be told who is held"
        );
        return Ok(None);
    };
    let standings = Arc::new(Standings::default());
    let listener = listener::start(context, &standings, log.clone(), wire.clone(), root)?;
    let holds = listener.as_ref().and_then(|listener| listener.holds.clone());
    let desk = Arc::new(Desk::new(context, keys, standings.clone(), holds)?);
    let door = Door::new(&context.settings, context.metrics.clone())?;
    let server = Server::start(&address, door, desk)
        .with_context(|| format!("cannot answer gateways on {address}; choose another decide_addr"))?;
    tracing::info!(address = %server.bound, "answering gateways");
    let answers = server.answers();
    let mut follower = Follower::new(log, wire, context.schemas(), standings.clone());
    let (metrics, stop) = (context.metrics.clone(), context.stop.clone());
    let pulse = context.liveness.watch("the reader of how accounts stand");
    std::thread::Builder::new().name("standings".into()).spawn(move || {
        follow::until(&stop, "gateways are answered from memory", || {
            pulse.beat();
            let outcome = follower.run_once(now_ms());
            metrics.standings_read(
                standings.len() as u64,
                standings.stale_ms(now_ms()),
                standings.take_losses(),
            );
            if outcome.is_ok() {
                was_read();
                answers();
            }
            outcome
        });
    })?;
    Ok(Some(Serving { server, listener }))
}

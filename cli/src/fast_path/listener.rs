//! Listens for alerts beside the decision server, and has their accounts held.

use super::journal::Journal;
use super::keys_file::KeysFile;
use super::limits::{JOURNAL_STALL, LOOK_EVERY, RECEIVE_BUFFER_BYTES};
use super::lost;
use super::rests::Rests;
use crate::context::{Context, now_ms};
use crate::follow;
use crate::settings::HoldMode;
use crate::telemetry::{Metrics, Unheld};
use crate::tenants::Registry;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use weir_enforcer::answer::answers::Answers;
use weir_enforcer::answer::holds::{Held, HeldOn, Holds, LetGo, PROVISIONAL, TRIPWIRE};
use weir_enforcer::answer::standings::Standings;
use weir_enforcer::limits::TRIPWIRE_REST_MS;
use weir_fastpath::limits::PACKET_BYTES_MAX;
use weir_fastpath::{Alert, Believed, Receiver, Word};
use weir_schemas::StandingEvidence;
use weir_schemas::wire::Wire;
use weir_topology::log::Log;

/// A listener that runs.
pub struct Listener {
    /// The holds that gateways are told of; none where nobody is held.
    pub holds: Option<Arc<Holds>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Listens where `fastpath.listen` says, until it is ended. `root` is the key that says who the persons of
/// the kill switch are.
///
/// # Errors
/// When the settings say half of it, the keys cannot be used, or the address cannot be bound.
pub fn start(
    context: &Context,
    standings: &Arc<Standings>,
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    root: Option<[u8; 32]>,
) -> Result<Option<Listener>> {
    let settings = &context.settings;
    let modes = Modes { verdict: settings.fastpath_holds, tripwire: settings.fastpath_tripwire_holds };
    let Some(address) = &settings.fastpath_listen else {
        for (name, mode) in [("fastpath.holds", modes.verdict), ("fastpath.tripwire_holds", modes.tripwire)] {
            ensure!(
                mode == HoldMode::Off,
                "{name} is {mode}, and fastpath.listen is not set: there is nothing to hold anybody on"
            );
        }
        return Ok(None);
    };
    let Some(path) = &settings.fastpath_keys_file else {
        bail!(
            "fastpath.listen is set, and fastpath.keys_file is not: nobody could be believed (`weir keys fastpath FILE \
             --sender NODE` makes one)"
        );
    };
    let keys = KeysFile::open(path, &context.metrics)?;
    keys.follow(context.metrics.clone(), context.stop.clone())?;
    let socket = UdpSocket::bind(address)
        .with_context(|| format!("cannot listen on {address}; choose another fastpath.listen"))?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
    let (holds, tripwire_holds) = (modes.verdict, modes.tripwire);
    tracing::info!(address = %socket.local_addr()?, %holds, %tripwire_holds, "listening for alerts");
    let is_over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    let holder = if modes.are(HoldMode::Off) {
        None
    } else {
        let directory = settings.data_dir.join("fastpath");
        let journal = Journal::open(&directory).with_context(|| {
            format!("cannot write {}: nobody is held of whom nothing is written down", directory.display())
        })?;
        let max = settings.fastpath_holds_max;
        let holds = Holds::new(standings.clone(), wire.clone(), root, max);
        let rests = if modes.tripwire == HoldMode::Off {
            None
        } else {
            open_rests(&directory, &holds, &context.metrics)
        };
        let holder = Arc::new(Holder {
            holds: Arc::new(holds),
            journal,
            rests,
            modes,
            lasts_ms: i64::try_from(settings.fastpath_hold_ms_max)?,
            tenants: context.tenants()?,
            metrics: context.metrics.clone(),
        });
        let answers = Answers::new(log, wire, context.schemas(), holder.holds.clone());
        let (follower, over) = (holder.clone(), is_over.clone());
        let pulse = context.liveness.watch("the reader of what the log says of holds");
        let follow = move || follower.follow(answers, &over, || pulse.beat());
        threads.push(std::thread::Builder::new().name("fastpath-log".into()).spawn(follow)?);
        Some(holder)
    };
    let (heard, metrics, over) = (socket.try_clone()?, context.metrics.clone(), is_over.clone());
    let count = move || lost::count(&heard, &metrics, &over);
    threads.push(std::thread::Builder::new().name("fastpath-lost".into()).spawn(count)?);
    // Held in mind only, unless they are to hold.
    let holds = holder.as_ref().filter(|_| modes.any_is(HoldMode::Hold)).map(|holder| holder.holds.clone());
    let ears = Ears {
        socket,
        keys,
        receiver: Receiver::since(now_ms()),
        score_min: settings.fastpath_score_min_permille as f64 / 1_000.0,
        holder,
        metrics: context.metrics.clone(),
    };
    let over = is_over.clone();
    let pulse = context.liveness.watch("the listener for alerts");
    let listen = move || ears.run(&over, || pulse.beat());
    threads.push(std::thread::Builder::new().name("fastpath".into()).spawn(listen)?);
    Ok(Some(Listener { holds, is_over, threads }))
}

/// Who was held on a tripwire before this start rests; none where that cannot be known.
fn open_rests(directory: &Path, holds: &Holds, metrics: &Metrics) -> Option<Rests> {
    let (rests, found) =
        Rests::open(directory, now_ms()).inspect_err(|error| metrics.rests_unknown(error)).ok()?;
    if found.damaged > 0 {
        let (damaged, kept) = (found.damaged, found.rests.len());
        tracing::warn!(
            damaged,
            kept,
            "who was held on a tripwire is not all known: those may be held once more"
        );
    }
    if let Some(error) = found.unwritten {
        metrics.journal_failed(&error.into());
    }
    holds.rest(found.rests, now_ms());
    Some(rests)
}

impl Listener {
    /// Listens no more, and writes down that nobody is held any more.
    pub fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the early word panicked; please report it");
            }
        }
    }
}

/// Hears datagrams.
struct Ears {
    socket: UdpSocket,
    keys: Arc<KeysFile>,
    receiver: Receiver,
    score_min: f64,
    holder: Option<Arc<Holder>>,
    metrics: Arc<Metrics>,
}

impl Ears {
    fn run(mut self, is_over: &AtomicBool, beat: impl Fn()) {
        // One byte more than any has, so that one that is too large is known to be.
        let mut buffer = [0; PACKET_BYTES_MAX + 1];
        while !is_over.load(Ordering::Relaxed) {
            beat();
            let (length, from) = match self.socket.recv_from(&mut buffer) {
                Ok(came) => came,
                // Nothing came in time.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => {
                    std::thread::sleep(LOOK_EVERY);
                    continue;
                }
            };
            let (came, now_ms) = (Instant::now(), now_ms());
            let packet = buffer.get(..length).unwrap_or_default();
            let keys = self.keys.now();
            let Believed { alert, behind_ms } = match self.receiver.take(packet, from.ip(), &keys, now_ms) {
                Ok(believed) => {
                    self.metrics.alert_believed(believed.behind_ms);
                    believed
                }
                Err(cause) => {
                    self.metrics.datagram_refused(cause);
                    continue;
                }
            };
            let outcome = match &self.holder {
                None => Err(Unheld::Off),
                Some(holder) => holder.hold(&alert, now_ms.saturating_sub(behind_ms), self.score_min, now_ms),
            };
            match outcome {
                Ok(mode) => self.metrics.account_held(&alert.word, mode, came.elapsed()),
                Err(why) => self.metrics.account_unheld(&alert.word, why),
            }
        }
    }
}

/// What is done about alerts of verdicts, and of tripwires.
#[derive(Clone, Copy)]
struct Modes {
    verdict: HoldMode,
    tripwire: HoldMode,
}

impl Modes {
    fn of(self, word: &Word) -> HoldMode {
        match word {
            Word::Verdict(_) => self.verdict,
            Word::Tripwire(_) => self.tripwire,
        }
    }

    fn are(self, mode: HoldMode) -> bool {
        self.verdict == mode && self.tripwire == mode
    }

    fn any_is(self, mode: HoldMode) -> bool {
        self.verdict == mode || self.tripwire == mode
    }
}

/// What is written down as the mode of a hold.
fn mode_of(held: &Held) -> HoldMode {
    if held.is_observed { HoldMode::Observe } else { HoldMode::Hold }
}

/// Holds accounts.
struct Holder {
    holds: Arc<Holds>,
    journal: Journal,
    /// None where nobody is held on a tripwire, or nobody knows who was.
    rests: Option<Rests>,
    modes: Modes,
    lasts_ms: i64,
    tenants: Arc<Registry>,
    metrics: Arc<Metrics>,
}

impl Holder {
    fn hold(&self, alert: &Alert, sent_ms: i64, score_min: f64, now_ms: i64) -> Result<HoldMode, Unheld> {
        let mode = self.modes.of(&alert.word);
        if mode == HoldMode::Off {
            return Err(Unheld::Off);
        }
        // A tripwire is no score, and claims none.
        let (on, score, families) = match &alert.word {
            Word::Verdict(judged) if judged.score < score_min => return Err(Unheld::BelowScore),
            Word::Verdict(judged) => (HeldOn::Verdict(judged.verdict), judged.score, &[PROVISIONAL][..]),
            Word::Tripwire(_) => (HeldOn::Tripwire(None), 0.0, &[PROVISIONAL, TRIPWIRE][..]),
        };
        if self.tenants.now().find(Some(&alert.tenant)).is_err() {
            return Err(Unheld::UnknownTenant);
        }
        let families = families.iter().copied().map(str::to_owned).collect();
        let held = Held {
            account: alert.account,
            tenant: alert.tenant.as_str().into(),
            on,
            is_observed: mode != HoldMode::Hold,
            evidence: Arc::new(StandingEvidence { score, families }),
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(self.lasts_ms),
            told_ms: sent_ms.min(alert.event_ms),
        };
        self.holds.may(&held).map_err(Unheld::Spared)?;
        // Whoever is only observed was not slowed down, and may be when operators say so.
        let rests = if held.on.is_tripwire() && !held.is_observed {
            Some(self.rests.as_ref().ok_or(Unheld::Unwritten)?)
        } else {
            None
        };
        let mut line = json!({
            "time_ms": now_ms,
            "what": "held",
            "mode": mode.to_string(),
            "account": held.account.to_string(),
            "tenant": &*held.tenant,
            "event_id": alert.event.to_string(),
            "event_ms": alert.event_ms,
            "sender": alert.node,
            "until_ms": held.until_ms,
        });
        match &alert.word {
            Word::Verdict(judged) => {
                line["verdict_id"] = judged.verdict.to_string().into();
                line["score"] = judged.score.into();
                line["families"] = json!(judged.families);
                line["policy_version"] = json!(judged.policy);
            }
            Word::Tripwire(tripwire) => line["tripwire"] = tripwire.as_str().into(),
        }
        self.write(&line).map_err(|_| Unheld::Unwritten)?;
        if let Some(rests) = rests {
            let until_ms = now_ms.saturating_add(TRIPWIRE_REST_MS);
            let noted = self.timed(|| rests.note(held.account, until_ms, now_ms));
            noted
                .map_err(|_| Unheld::Unwritten)
                .inspect_err(|why| self.write_end(&held, why.as_str(), now_ms))?;
        }
        let replaced = self.holds.hold(held.clone()).map_err(|why| {
            // Between the line and now somebody said otherwise.
            self.write_end(&held, why.as_str(), now_ms);
            Unheld::Spared(why)
        })?;
        self.let_go(replaced.map(|replaced| (replaced, LetGo::Outranked)).into_iter().collect(), now_ms);
        Ok(mode)
    }

    /// Follows the log, and lets go whom there is a reason to let go.
    fn follow(&self, mut answers: Answers, is_over: &AtomicBool, beat: impl Fn()) {
        follow::until(is_over, "nobody is held until it does", || {
            beat();
            let outcome = answers.run_once(now_ms());
            let now_ms = now_ms();
            self.let_go(self.holds.sweep(now_ms), now_ms);
            outcome
        });
        self.let_go(self.holds.stop(), now_ms());
    }

    fn let_go(&self, ended: Vec<(Held, LetGo)>, now_ms: i64) {
        for (held, why) in &ended {
            self.write_end(held, why.as_str(), now_ms);
            self.metrics.account_let_go(*why);
        }
        self.metrics.holds_looked_at(self.holds.len());
    }

    fn write_end(&self, held: &Held, why: &str, now_ms: i64) {
        let line = json!({
            "time_ms": now_ms,
            "what": "let_go",
            "mode": mode_of(held).to_string(),
            "account": held.account.to_string(),
            "tenant": &*held.tenant,
            "verdict_id": held.on.verdict().map(|verdict| verdict.to_string()),
            "held_ms": now_ms.saturating_sub(held.since_ms),
            "why": why,
        });
        // That it is over does not wait for a line.
        let _ = self.write(&line);
    }

    /// Writes a line of the journal.
    fn write(&self, line: &Value) -> std::io::Result<()> {
        self.timed(|| self.journal.write(line))
    }

    /// Writes something, and tells where that fails, or takes long.
    fn timed(&self, write: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
        let began = Instant::now();
        let outcome = write().inspect_err(|error| self.metrics.journal_failed(error));
        let took = began.elapsed();
        if took >= JOURNAL_STALL {
            self.metrics.journal_stalled(took);
        }
        outcome
    }
}

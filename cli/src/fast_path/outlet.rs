//! Sends alerts: three copies of each, by a thread of its own, for which nobody waits who judges or senses.

use super::keys_file::KeysFile;
use super::limits::{
    COPIES_WAITING_MAX, DESTINATIONS_MAX, EXPEDITED, HOPS_MAX, LOOK_EVERY, QUEUE_MAX, RESOLVE_EVERY,
};
use crate::context::{Context, now_ms};
use crate::telemetry::{Metrics, Unsent};
use anyhow::{Context as _, Result, bail, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_fastpath::limits::{COPIES_AT_MS, EVENT_AGE_MS_MAX};
use weir_fastpath::{Alert, PacketError, Role, Word};
use weir_schemas::{AccountId, EventId};

/// Where the alerts of a process go out: one for all that it has to say, because they are counted together.
pub struct Outlet {
    node: String,
    boot_epoch: u64,
    keys: Option<Arc<KeysFile>>,
    queue: SyncSender<Alert>,
}

/// Whom an alert is about.
pub struct About {
    /// The account.
    pub account: AccountId,
    /// Its tenant.
    pub tenant: String,
    /// The event that led to it.
    pub event: EventId,
    /// When that was, in milliseconds since the Unix epoch.
    pub event_ms: i64,
}

/// Where datagrams go, as names are looked up.
type Destinations = Arc<RwLock<Vec<SocketAddr>>>;

impl Outlet {
    /// One that sends where `fastpath.send_to` says; none where it says nothing.
    ///
    /// # Errors
    /// When the settings say half of it, or the keys cannot be used.
    pub fn open(context: &Context) -> Result<Option<Arc<Self>>> {
        let settings = &context.settings;
        let Some(send_to) = &settings.fastpath_send_to else { return Ok(None) };
        let Some(path) = &settings.fastpath_keys_file else {
            bail!(
                "fastpath.send_to is set, and fastpath.keys_file is not: nobody believes an alert that is not signed \
                 (`weir keys fastpath FILE --sender NODE` makes one)"
            );
        };
        let names: Vec<String> = send_to.split(',').map(|name| name.trim().to_owned()).collect();
        for name in &names {
            let port = name.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            ensure!(port.is_some(), "fastpath.send_to: {name:?} is not HOST:PORT");
        }
        let keys = KeysFile::open(path, &context.metrics)?;
        keys.follow(context.metrics.clone(), context.stop.clone())?;
        let destinations = Destinations::default();
        resolve_on(names, destinations.clone(), context.stop.clone())?;
        let (queue, alerts) = sync_channel(QUEUE_MAX);
        let outbox = Outbox {
            alerts,
            keys: keys.clone(),
            destinations,
            sockets: [socket(Ipv4Addr::UNSPECIFIED.into()), socket(Ipv6Addr::UNSPECIFIED.into())],
            sequence: 0,
            waiting: BinaryHeap::new(),
            metrics: context.metrics.clone(),
            stop: context.stop.clone(),
        };
        ensure!(outbox.sockets.iter().any(Option::is_some), "no socket can be opened for fastpath.send_to");
        std::thread::Builder::new()
            .name("fastpath-send".into())
            .spawn(move || outbox.run())
            .context("no thread for alerts")?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Some(Arc::new(Self {
            node: settings.fastpath_sender.clone().unwrap_or_else(|| context.node()),
            boot_epoch: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
            keys: Some(keys),
            queue,
        })))
    }

    /// One whose alerts nobody signs or sends, and what waits in it.
    #[cfg(test)]
    pub fn of_test() -> (Arc<Self>, Receiver<Alert>) {
        let (queue, alerts) = sync_channel(QUEUE_MAX);
        (Arc::new(Self { node: "node-1".into(), boot_epoch: 1, keys: None, queue }), alerts)
    }

    /// Says so where there is no key by which this node may speak in a role that it is about to speak in.
    pub fn expect_key(&self, role: Role) {
        let is_there = |keys: &Arc<KeysFile>| keys.now().of_sender(&self.node, role, now_ms()).is_some();
        if !self.keys.as_ref().is_some_and(is_there) {
            tracing::warn!(
                node = self.node,
                role = role.as_str(),
                "no key of this role in fastpath.keys_file is good for this node now: no alert is sent until one is"
            );
        }
    }

    /// Has an alert sent.
    ///
    /// # Errors
    /// Why it is not.
    pub fn send(&self, about: About, word: Word) -> Result<(), Unsent> {
        let About { account, tenant, event, event_ms } = about;
        be_of_now(event_ms, now_ms())?;
        let (node, boot_epoch) = (self.node.clone(), self.boot_epoch);
        let alert = Alert { node, event_ms, sequence: 0, boot_epoch, event, account, tenant, word };
        self.queue.try_send(alert).map_err(|error| match error {
            TrySendError::Full(_) => Unsent::QueueFull,
            TrySendError::Disconnected(_) => Unsent::Stopped,
        })
    }
}

/// Whether an event is of now. What lay there for a while is known by the log early enough.
///
/// # Errors
/// When it is not.
pub fn be_of_now(event_ms: i64, now_ms: i64) -> Result<(), Unsent> {
    if now_ms.saturating_sub(event_ms) > EVENT_AGE_MS_MAX { Err(Unsent::Late) } else { Ok(()) }
}

/// A datagram that waits for its time: when, in which order, and what.
type Waiting = Reverse<(Instant, u64, Arc<[u8]>)>;

/// Sends.
struct Outbox {
    alerts: Receiver<Alert>,
    keys: Arc<KeysFile>,
    destinations: Destinations,
    /// Of IPv4 and of IPv6, as far as the machine has them.
    sockets: [Option<UdpSocket>; 2],
    sequence: u32,
    waiting: BinaryHeap<Waiting>,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
}

impl Outbox {
    fn run(mut self) {
        let mut order = 0;
        while !self.stop.load(Ordering::Relaxed) || !self.waiting.is_empty() {
            let due =
                self.waiting.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
            if due.is_some_and(|due| due.is_zero()) {
                if let Some(Reverse((_, _, packet))) = self.waiting.pop() {
                    self.put_out(&packet);
                }
                continue;
            }
            let wait = due.unwrap_or(LOOK_EVERY);
            if self.waiting.len() >= COPIES_WAITING_MAX {
                std::thread::sleep(wait);
                continue;
            }
            match self.alerts.recv_timeout(wait) {
                Ok(alert) => match self.packet(&alert) {
                    Ok(packet) => {
                        self.put_out(&packet);
                        let now = Instant::now();
                        for after_ms in COPIES_AT_MS.into_iter().skip(1) {
                            order += 1;
                            let at = now + Duration::from_millis(after_ms);
                            self.waiting.push(Reverse((at, order, packet.clone())));
                        }
                        self.metrics.alert_sent(&alert.word);
                    }
                    Err(why) => self.metrics.alert_unsent(why),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.waiting.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
        }
    }

    fn packet(&mut self, alert: &Alert) -> Result<Arc<[u8]>, Unsent> {
        let (keys, now_ms) = (self.keys.now(), now_ms());
        let key = keys.of_sender(&alert.node, alert.word.role(), now_ms).ok_or(Unsent::NoKey)?;
        self.sequence = self.sequence.wrapping_add(1);
        let alert = Alert { sequence: self.sequence, ..alert.clone() };
        let packet = alert.encode(key, now_ms, rand::random());
        packet.map(Into::into).map_err(|error| match error {
            PacketError::TooLarge(_) => Unsent::TooLarge,
            PacketError::Time(_) | PacketError::Json(_) => Unsent::Unwritable,
        })
    }

    fn put_out(&self, packet: &[u8]) {
        let destinations = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        if destinations.is_empty() {
            self.metrics.alert_unsent(Unsent::Nowhere);
        }
        for destination in destinations.iter() {
            let [v4, v6] = &self.sockets;
            let socket = if destination.is_ipv4() { v4 } else { v6 };
            let sent = socket.as_ref().is_some_and(|socket| socket.send_to(packet, destination).is_ok());
            if !sent {
                self.metrics.alert_unsent(Unsent::Failed);
            }
        }
    }
}

/// A socket of this family that does not make its thread wait; none where the machine does not have it.
fn socket(any: std::net::IpAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.set_nonblocking(true).ok()?;
    // All of it is best effort: a network may do with it what it likes.
    if any.is_ipv4() {
        let _ = rustix::net::sockopt::set_ip_tos(&socket, EXPEDITED);
        let _ = socket.set_ttl(HOPS_MAX.into());
    } else {
        let _ = rustix::net::sockopt::set_ipv6_tclass(&socket, EXPEDITED.into());
        let _ = rustix::net::sockopt::set_ipv6_unicast_hops(&socket, Some(HOPS_MAX));
    }
    Some(socket)
}

/// Looks the names up again and again, in a thread that may wait for it: all that a name stands for is told,
/// so that every server behind one is.
fn resolve_on(names: Vec<String>, destinations: Destinations, stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let look = move || {
        let mut looked: Option<Instant> = None;
        let mut missing = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            if looked.is_none_or(|at| at.elapsed() >= RESOLVE_EVERY) {
                looked = Some(Instant::now());
                let mut found = BTreeSet::new();
                for name in &names {
                    match name.to_socket_addrs() {
                        Ok(addresses) => {
                            found.extend(addresses);
                            missing.remove(name);
                        }
                        Err(error) => {
                            if missing.insert(name.clone()) {
                                tracing::warn!(name, %error, "a name of fastpath.send_to is not known");
                            }
                        }
                    }
                }
                let found: Vec<SocketAddr> = found.into_iter().take(DESTINATIONS_MAX).collect();
                // A resolver that is away says nothing of servers that were there.
                if !found.is_empty() {
                    *destinations.write().unwrap_or_else(PoisonError::into_inner) = found;
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
    };
    std::thread::Builder::new().name("fastpath-names".into()).spawn(look).map(drop)
}

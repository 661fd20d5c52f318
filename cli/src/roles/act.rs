//! The hands of an enforcer: an executor for each of its partitions, in a thread of its own, because what
//! they drive may be slow.

use crate::context::Context;
use crate::keys::EnforcerKeys;
use crate::keys::ensure_private;
use crate::liveness::Pulse;
use crate::telemetry::Metrics;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir_enforcer::act::actuator::Actuator;
use weir_enforcer::act::executor::Executor;
use weir_enforcer::act::litellm::LiteLlmActuator;
use weir_enforcer::act::redis::RedisActuator;
use weir_enforcer::act::webhook::WebhookActuator;
use weir_enforcer::open::Opener;
use weir_schemas::wire::Wire;
use weir_topology::clock::MachineClock;
use weir_topology::log::{Log, LogError};
use zeroize::Zeroizing;

/// How often actions are looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Shortest and longest pause before what did not work is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Shortest secret of webhooks and shortest admin key, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// The thread, and what it is told.
pub struct Hands {
    owned: Arc<Mutex<BTreeSet<u32>>>,
    is_idle: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the configuration says of actuators.
#[derive(Clone)]
struct Actuators {
    redis: Option<String>,
    webhook: Option<(String, Zeroizing<Vec<u8>>)>,
    litellm: Option<LiteLlm>,
}

/// A proxy of LiteLLM's, and the key of its admin.
#[derive(Clone)]
struct LiteLlm {
    url: String,
    admin_key: Zeroizing<String>,
    rpm_limit: u64,
}

impl Actuators {
    /// None where nothing is configured that carries effects out.
    fn of(context: &Context) -> Result<Option<Self>> {
        let settings = &context.settings;
        let webhook = match (&settings.act_webhook_url, &settings.act_webhook_secret_file) {
            (None, None) => None,
            (Some(url), Some(file)) => Some((url.clone(), secret(file, "the webhook secret")?)),
            _ => bail!("act.webhook_url and act.webhook_secret_file belong together: give both"),
        };
        let litellm = match (&settings.act_litellm_url, &settings.act_litellm_key_file) {
            (None, None) => None,
            (Some(url), Some(file)) => {
                let admin_key = secret(file, "LiteLLM's admin key")?;
                let admin_key = std::str::from_utf8(&admin_key)
                    .with_context(|| format!("LiteLLM's admin key {} is no text", file.display()))?;
                let admin_key = Zeroizing::new(admin_key.to_owned());
                Some(LiteLlm { url: url.clone(), admin_key, rpm_limit: settings.act_litellm_rpm_limit })
            }
            _ => bail!("act.litellm_url and act.litellm_key_file belong together: give both"),
        };
        let redis = settings.act_redis.clone();
        let acts = redis.is_some() || webhook.is_some() || litellm.is_some();
        Ok(acts.then_some(Self { redis, webhook, litellm }))
    }

    fn make(&self) -> Vec<Box<dyn Actuator>> {
        let mut made: Vec<Box<dyn Actuator>> = Vec::new();
        if let Some(address) = &self.redis {
            made.push(Box::new(RedisActuator::new(address)));
        }
        if let Some((url, secret)) = &self.webhook {
            made.push(Box::new(WebhookActuator::new(url, secret.clone(), Arc::new(MachineClock::default()))));
        }
        if let Some(LiteLlm { url, admin_key, rpm_limit }) = &self.litellm {
            let clock = Arc::new(MachineClock::default());
            made.push(Box::new(LiteLlmActuator::new(url, admin_key, *rpm_limit, clock)));
        }
        made
    }
}

/// The secret in a file that only its owner can read, without the line's end. `what` names it in errors.
pub fn secret(file: &PathBuf, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    ensure_private(file, what)?;
    let text = Zeroizing::new(
        std::fs::read(file).with_context(|| format!("cannot read {what} {}", file.display()))?,
    );
    let secret = Zeroizing::new(text.trim_ascii().to_vec());
    ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "{what} {} must have {SECRET_BYTES_MIN} bytes or more",
        file.display()
    );
    Ok(secret)
}

impl Hands {
    /// Starts the thread, for no partition yet; none where nothing is configured that carries effects out.
    pub fn start(
        context: &Context,
        keys: &EnforcerKeys,
        log: Arc<dyn Log>,
        wire: Arc<Wire>,
    ) -> Result<Option<Self>> {
        let Some(actuators) = Actuators::of(context)? else { return Ok(None) };
        let (owned, is_idle, stop) =
            <(Arc<Mutex<BTreeSet<u32>>>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let opener = keys.opener();
        let mut work = Work {
            log,
            wire,
            opener,
            root: keys.root,
            actuators,
            metrics: context.metrics.clone(),
            lanes: BTreeMap::new(),
        };
        let told = (owned.clone(), is_idle.clone(), stop.clone());
        let pulse = context.liveness.watch("the executor");
        let thread = std::thread::Builder::new().name("act".into()).spawn(move || {
            let (owned, is_idle, stop) = told;
            while !stop.load(Ordering::Relaxed) {
                let partitions = owned.lock().unwrap_or_else(PoisonError::into_inner).clone();
                is_idle.store(work.look(&partitions, &pulse), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(Some(Self { owned, is_idle, stop, thread: Some(thread) }))
    }

    /// Has these partitions from now on.
    pub fn own(&self, partitions: impl IntoIterator<Item = u32>) {
        let partitions: BTreeSet<u32> = partitions.into_iter().collect();
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if *owned != partitions {
            self.is_idle.store(false, Ordering::Relaxed);
            *owned = partitions;
        }
    }

    /// Whether at its last look all was done that there was.
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }
}

impl Drop for Hands {
    /// Waits for what is under way: at most as long as an actuator may take.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    log: Arc<dyn Log>,
    wire: Arc<Wire>,
    opener: Opener,
    root: Option<[u8; 32]>,
    actuators: Actuators,
    metrics: Arc<Metrics>,
    lanes: BTreeMap<u32, Lane>,
}

/// One partition's executor.
#[derive(Default)]
struct Lane {
    /// None before it is opened, and after it failed.
    executor: Option<Executor>,
    again: Option<Instant>,
    pause: Duration,
    told: Option<String>,
}

impl Work {
    /// Does what there is to do on these partitions; whether nothing is left.
    fn look(&mut self, partitions: &BTreeSet<u32>, pulse: &Pulse) -> bool {
        self.lanes.retain(|partition, _| partitions.contains(partition));
        let mut is_idle = true;
        pulse.beat();
        for partition in partitions {
            pulse.beat();
            let mut lane = self.lanes.remove(partition).unwrap_or_default();
            if lane.again.is_none_or(|again| again <= Instant::now()) {
                match self.turn(*partition, &mut lane) {
                    Ok(true) => {}
                    Ok(false) => is_idle = false,
                    Err(error) => {
                        is_idle = false;
                        lane.executor = None;
                        self.wait(&mut lane, error.to_string());
                    }
                }
            } else {
                is_idle = false;
            }
            self.lanes.insert(*partition, lane);
        }
        is_idle
    }

    fn turn(&self, partition: u32, lane: &mut Lane) -> Result<bool, LogError> {
        let executor = match &mut lane.executor {
            Some(executor) => executor,
            empty => {
                let executor = Executor::open(
                    partition,
                    self.log.clone(),
                    self.wire.clone(),
                    self.opener.clone(),
                    self.actuators.make(),
                    Arc::new(MachineClock::default()),
                )?;
                empty.insert(match self.root {
                    Some(root) => executor.trusting(root),
                    None => executor,
                })
            }
        };
        let progress = executor.run_once(Duration::ZERO)?;
        self.metrics.effects_done(&progress);
        match progress.stalled {
            Some(reason) => self.wait(lane, reason),
            None => (lane.again, lane.pause, lane.told) = Default::default(),
        }
        Ok(progress.caught_up)
    }

    /// Tries again later, and says why where that is news.
    fn wait(&self, lane: &mut Lane, reason: String) {
        lane.pause = (lane.pause * 2).clamp(BACK_OFF.0, BACK_OFF.1);
        lane.again = Some(Instant::now() + lane.pause);
        let is_news = lane.told.as_ref() != Some(&reason);
        self.metrics.effects_stalled(is_news.then_some(&*reason));
        lane.told = Some(reason);
    }
}

//! What every command starts from: settings, telemetry, keys, the log and its framing.

use crate::fast_path::outlet::Outlet;
use crate::fast_path::tripwires;
use crate::health::Health;
use crate::keys::{self, KeyStore, Role};
use crate::liveness::{Liveness, Pulse};
use crate::roles::registry::Registry;
use crate::security::security;
use crate::settings::{GroupProtocol as Protocol, KeysFrom, LogFormat, Settings};
use crate::supervise::Supervisor;
use crate::telemetry::Metrics;
use crate::tenants::{Registry as TenantsRegistry, TenantsError};
use crate::trust;
use anyhow::{Context as _, Result, bail};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_collector::Tripwires;
use weir_processor::account::AccountStage;
use weir_processor::campaign::CampaignStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_schemas::bundle::Trust;
use weir_schemas::indicators::FILE_NAME;
use weir_schemas::wire::Wire;
use weir_topology::clock::MachineClock;
use weir_topology::embedded::EmbeddedLog;
use weir_topology::kafka::{GroupProtocol, KafkaConfig, KafkaLog};
use weir_topology::log::Log;
use weir_topology::stage::Stage;
use weir_topology::stage::StageFactory;
use weir_topology::task::{Pace, SchemaSource, Surroundings};
use weir_topology::topic::StageName;

/// What a command starts from.
pub struct Context {
    /// Configuration.
    pub settings: Settings,
    /// Metrics and log lines.
    pub metrics: Arc<Metrics>,
    /// Whether the process can do its work.
    pub health: Arc<Health>,
    /// Whether its loops go round.
    pub liveness: Arc<Liveness>,
    /// The main loop's.
    pulse: Pulse,
    /// Who started the process, and watches it.
    pub supervisor: Arc<Supervisor>,
    /// Set when the process is told to stop.
    pub stop: Arc<AtomicBool>,
    /// Whose requests and events may be, once it was read.
    tenants: OnceLock<Arc<TenantsRegistry>>,
    /// What requests are compared with, once it was read.
    tripwires: OnceLock<Tripwires>,
    /// Where alerts go out, once it was opened; none where they go nowhere.
    outlet: OnceLock<Option<Arc<Outlet>>>,
    /// The command line names a data directory, which outweighs brokers from elsewhere.
    chose_directory: bool,
}

impl Context {
    /// Starts logging, does what is to be done first, while the process has one thread, listens for SIGTERM
    /// and SIGINT, and serves metrics where asked.
    pub fn behind<F>(
        first: impl FnOnce(&Settings) -> Result<F>,
        settings: Settings,
        chose_directory: bool,
    ) -> Result<(Self, F)> {
        start_logging(&settings)?;
        let first = first(&settings)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            // The second signal ends the process at once: draining may hang on a broker that is gone.
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())?;
        }
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::default()));
        let supervisor = Arc::new(Supervisor::from_env());
        let liveness = Arc::new(Liveness::new(supervisor.waits()));
        let pulse = liveness.watch("the main loop");
        if let Some(address) = &settings.metrics_addr {
            let bound = crate::serve::serve(address, metrics.clone(), health.clone(), liveness.clone())?;
            tracing::info!(address = %bound, "serving /metrics and /health");
        }
        let (tenants, tripwires, outlet) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let context = Self {
            settings,
            metrics,
            health,
            liveness,
            pulse,
            supervisor,
            stop,
            tenants,
            tripwires,
            outlet,
            chose_directory,
        };
        Ok((context, first))
    }

    /// Whether the process was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The main loop went round: the service manager is told, where there is one and no other loop is stuck.
    pub fn went_round(&self) {
        self.pulse.beat();
        self.supervisor.went_round(self.health.readiness(), self.liveness.stuck());
    }

    /// Name of this machine.
    pub fn node(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = self.settings.node.clone().or_else(host).unwrap_or_default();
        let name = name.trim();
        if name.is_empty() { "node".into() } else { name.into() }
    }

    /// Name of this process in epoch records.
    pub fn process(&self) -> String {
        format!("{}:{}", self.node(), std::process::id())
    }

    /// Of whom requests and events may be: one registry, so that all of a process go by the same.
    pub fn tenants(&self) -> Result<Arc<TenantsRegistry>, TenantsError> {
        if let Some(tenants) = self.tenants.get() {
            return Ok(tenants.clone());
        }
        let tenants = Arc::new(TenantsRegistry::read(&self.settings)?);
        Ok(self.tenants.get_or_init(|| tenants).clone())
    }

    /// The indicators that requests are compared with, the same for all sources of the process.
    ///
    /// # Errors
    /// When somebody is to be told of them at once, and the settings say half of how.
    pub fn tripwires(&self) -> Result<Tripwires> {
        if let Some(tripwires) = self.tripwires.get() {
            return Ok(tripwires.clone());
        }
        let (alarm, metrics) = (tripwires::start(self)?, self.metrics.clone());
        let path = self.settings.indicators_dir.as_ref().map(|directory| directory.join(FILE_NAME));
        let trust_min = u16::try_from(self.settings.fastpath_tripwire_trust_min_permille)?;
        let tripwires = match (path, alarm) {
            (None, _) => Tripwires::none(),
            (Some(path), None) => Tripwires::open(path, metrics, now_ms()),
            (Some(path), Some(alarm)) => Tripwires::telling(path, metrics, alarm, trust_min, now_ms()),
        };
        Ok(self.tripwires.get_or_init(|| tripwires).clone())
    }

    /// Where alerts go out, one for all that the process has to say; none where they go nowhere.
    ///
    /// # Errors
    /// When the settings say half of it, or the keys cannot be used.
    pub fn outlet(&self) -> Result<Option<Arc<Outlet>>> {
        if let Some(outlet) = self.outlet.get() {
            return Ok(outlet.clone());
        }
        let outlet = Outlet::open(self)?;
        Ok(self.outlet.get_or_init(|| outlet).clone())
    }

    /// From now on the registry of tenants is as its directory is.
    pub fn follow_tenants(&self) -> Result<()> {
        self.tenants()?.follow(&self.settings, self.metrics.clone(), self.stop.clone())?;
        Ok(())
    }

    /// The keys that a distributed role must be given.
    pub fn given_keys(&self, role: Role) -> Result<KeyStore> {
        if let Some(store) = KeyStore::elsewhere(&self.settings, role, true)? {
            return Ok(store);
        }
        match &self.settings.keys_dir {
            Some(directory) => Ok(KeyStore::Directory(directory.clone())),
            None => bail!(
                "keys_dir is not set: the role {role} needs its own keys (`weir keys make DIR` makes a directory \
                 for each role; give --keys-dir DIR/{role}, or keys_from, where they are elsewhere)"
            ),
        }
    }

    /// The directory with the directories of all roles: the one given, or else that of the data directory,
    /// where keys are made on first use.
    fn all_keys(&self) -> Result<PathBuf> {
        let given = self.settings.keys_dir.clone();
        let directory = given.clone().unwrap_or_else(|| self.settings.data_dir.join("keys"));
        if given.is_none() && keys::make(&directory)? {
            note!(
                "weir: made new keys in {} (owner only). Without them no pseudonym can be traced back: back them up.",
                directory.display()
            );
        }
        Ok(directory)
    }

    /// A role's keys where one process is every role.
    pub fn keys_of_all(&self, role: Role) -> Result<KeyStore> {
        match KeyStore::elsewhere(&self.settings, role, false)? {
            Some(store) => Ok(store),
            None => Ok(KeyStore::Directory(self.all_keys()?.join(role.name()))),
        }
    }

    /// A role's keys where the embedded log is used by one machine: those given, or else the role's own in
    /// the data directory, where keys are made on first use.
    pub fn given_or_own_keys(&self, role: Role) -> Result<KeyStore> {
        match &self.settings.keys_dir {
            // A deployment has its keys already: new ones would be of another.
            _ if self.brokers().is_some() => self.given_keys(role),
            Some(directory) if self.settings.keys_from == KeysFrom::Files => {
                Ok(KeyStore::Directory(directory.clone()))
            }
            _ => self.keys_of_all(role),
        }
    }

    /// The brokers, when the command is to use Kafka.
    pub fn brokers(&self) -> Option<&str> {
        self.settings.brokers.as_deref().filter(|_| !self.chose_directory)
    }

    /// The configuration of the Kafka client; an error when there are no brokers.
    pub fn kafka_config(&self) -> Result<KafkaConfig> {
        let settings = &self.settings;
        let Some(brokers) = &settings.brokers else {
            bail!("brokers is not set: give --brokers host:port (or use `weir run`, which needs none)");
        };
        let mut config = KafkaConfig::new(brokers);
        config.client_id = format!("weir-{}", self.node());
        config.prefix = settings.kafka_prefix.clone().unwrap_or_default();
        config.security = security(settings)?;
        config.group_protocol = match settings.kafka_group_protocol {
            Protocol::Auto => GroupProtocol::Auto,
            Protocol::Consumer => GroupProtocol::Consumer,
            Protocol::Classic => GroupProtocol::Classic,
        };
        config.session_timeout = Duration::from_millis(settings.kafka_session_timeout_ms);
        config.instance_id = settings.kafka_instance_id.clone();
        let options = settings.kafka_options.iter().flat_map(|options| options.split(','));
        for (number, option) in options.enumerate() {
            let Some((name, value)) = option.split_once('=') else {
                // Its text may be the rest of a secret with a comma in it.
                bail!("kafka.options: number {} is not name=value", number + 1);
            };
            config.extra.push((name.trim().into(), value.trim().into()));
        }
        Ok(config)
    }

    /// The Kafka log.
    pub fn kafka(&self) -> Result<KafkaLog> {
        Ok(KafkaLog::connect(self.kafka_config()?)?)
    }

    /// The embedded log, made when there is none.
    pub fn embedded(&self) -> Result<Arc<EmbeddedLog>> {
        Ok(EmbeddedLog::open(&self.log_dir(), self.settings.partitions)?)
    }

    /// The log that history is read from or operators write to: Kafka when there are brokers, or the
    /// embedded log that must exist.
    pub fn existing_log(&self) -> Result<Arc<dyn Log>> {
        match self.brokers() {
            Some(_) => Ok(Arc::new(self.kafka()?)),
            None => {
                let directory = self.log_dir();
                let log = EmbeddedLog::open_existing(&directory)
                    .with_context(|| format!("there is no log to read in {}", directory.display()))?;
                Ok(log)
            }
        }
    }

    /// The log that operators may write to before anything runs: Kafka when there are brokers, or the
    /// embedded log, made when there is none.
    pub fn log_or_new(&self) -> Result<Arc<dyn Log>> {
        match self.brokers() {
            Some(_) => self.existing_log(),
            None => Ok(self.embedded()?),
        }
    }

    fn log_dir(&self) -> PathBuf {
        self.settings.data_dir.join("log")
    }

    /// Framing: the registry's where one is configured.
    pub fn wire(&self) -> Result<Arc<Wire>> {
        let mut wire = Wire::with_history()?;
        if let Some(url) = &self.settings.registry_url {
            Registry::new(url).register(&mut wire)?;
        }
        Ok(Arc::new(wire))
    }

    /// What tasks need.
    pub fn surroundings(&self, log: Arc<dyn Log>, wire: Arc<Wire>) -> Surroundings {
        let pace = Pace {
            epoch_interval: Duration::from_millis(self.settings.epoch_interval_ms),
            epoch_records_max: self.settings.epoch_records_max,
            snapshot_interval: Duration::from_millis(self.settings.snapshot_interval_ms),
            checkpoint_interval: Duration::from_millis(self.settings.checkpoint_interval_ms),
            ..Pace::default()
        };
        let schemas = self.schemas();
        let (telemetry, process) = (self.metrics.clone(), self.process());
        let clock = Arc::new(MachineClock::default());
        Surroundings { log, wire, schemas, telemetry, process, pace, clock, before_commit: None }
    }

    /// The schema registry, where one is configured.
    pub fn schemas(&self) -> Option<Arc<dyn SchemaSource>> {
        let url = self.settings.registry_url.as_deref()?;
        Some(Arc::new(Registry::new(url)))
    }

    /// Whose signatures policies need; none where they need none.
    pub fn trust(&self) -> Result<Option<Arc<Trust>>> {
        Ok(trust::configured(&self.settings)?.map(Arc::new))
    }

    /// Makes the judging stages as they go live: the policies that judge are in the log, and before the first
    /// of them the built-in one does.
    pub fn judging_stages(&self, wire: Arc<Wire>) -> Result<StageFactory> {
        let accounts_max = self.settings.state_accounts_max;
        Ok(make_stages(wire, Arc::new(Policy::builtin()), self.trust()?, accounts_max))
    }
}

/// Makes the judging stages, starting with `policy`.
pub fn judging_stages(wire: Arc<Wire>, policy: Arc<Policy>, accounts_max: usize) -> StageFactory {
    make_stages(wire, policy, None, accounts_max)
}

fn make_stages(
    wire: Arc<Wire>,
    policy: Arc<Policy>,
    trust: Option<Arc<Trust>>,
    accounts_max: usize,
) -> StageFactory {
    Arc::new(move |task| -> Box<dyn Stage> {
        let (wire, policy, trust) = (wire.clone(), policy.clone(), trust.clone());
        match task.stage {
            StageName::Cluster => Box::new(ClusterStage::new(wire, policy).trusting(trust)),
            StageName::Campaign => Box::new(CampaignStage::new(wire, policy).trusting(trust)),
            _ => {
                let stage = AccountStage::new(wire, policy).trusting(trust);
                Box::new(stage.with_accounts_max(accounts_max))
            }
        }
    })
}

/// Milliseconds since the Unix epoch. Only rims that sense or publish may ask.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

fn start_logging(settings: &Settings) -> Result<()> {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&settings.log_level)
        .with_context(|| format!("log_level {:?} is no filter", settings.log_level))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| crate::status::Logs);
    let started = match settings.log_format {
        LogFormat::Json => logs.json().try_init(),
        LogFormat::Text => logs.with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}

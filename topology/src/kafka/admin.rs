//! Topics on the brokers: what they are, and carrying out a [`Plan`].

use super::config::KafkaConfig;
use super::connection::ConnectionWatch;
use super::errors::{is_missing, unavailable};
use super::retried;
use crate::limits::BROKER_WAIT_MAX;
use crate::log::LogError;
use crate::plan::{Change, Found, Plan, Settings, Target};
use crate::topic::Topic;
use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Looks after the topics of one deployment.
pub struct Admin {
    config: KafkaConfig,
    /// Asks which topics there are; the client that changes them says nothing of its connections.
    asker: BaseConsumer<ConnectionWatch>,
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// Connects when it is first used.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let asker = config.query_client("read_committed")?;
        let client = config.base()?.create().map_err(super::config::refused)?;
        Ok(Self { config, asker, client })
    }

    /// The deployment's topics that exist, with all their settings.
    pub fn found(&self) -> Result<BTreeMap<Topic, Found>, LogError> {
        const DOING: &str = "asking for the topics";
        let metadata = retried(&self.asker, |client, wait| client.fetch_metadata(None, wait))
            .map_err(|unanswered| unanswered.log_error(DOING))?;
        let mut found = BTreeMap::new();
        for &topic in Topic::ALL {
            let name = self.config.topic_name(topic);
            let Some(on_broker) = metadata.topics().iter().find(|other| other.name() == name) else {
                continue;
            };
            match on_broker.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(code) if is_missing(code) => continue,
                Some(code) => return Err(unavailable(DOING, &KafkaError::MetadataFetch(code))),
            }
            let partitions = on_broker.partitions();
            let copies = partitions.first().map_or(0, |partition| partition.replicas().len());
            found.insert(
                topic,
                Found {
                    partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
                    replication: u16::try_from(copies).unwrap_or(u16::MAX),
                    settings: Settings::new(),
                },
            );
        }
        let topics: Vec<Topic> = found.keys().copied().collect();
        for (topic, settings) in self.settings(&topics, |_| true)? {
            if let Some(found) = found.get_mut(&topic) {
                found.settings = settings;
            }
        }
        Ok(found)
    }

    /// What separates the brokers from `target`.
    pub fn plan(&self, target: &Target) -> Result<Plan, LogError> {
        Ok(Plan::between(target, &self.found()?))
    }

    /// Carries out the changes of `plan`, then waits until the brokers show them. What the plan
    /// refuses stays as it is. Applying a plan again does no harm.
    pub fn apply(&self, plan: &Plan) -> Result<(), LogError> {
        self.create(plan)?;
        let mut changed: BTreeMap<Topic, Settings> = BTreeMap::new();
        for change in &plan.changes {
            if let Change::Set { topic, name, to, .. } = change {
                changed.entry(*topic).or_default().insert(name.clone(), to.clone());
            }
        }
        if !changed.is_empty() {
            self.alter(changed)?;
        }
        self.wait_for(plan)
    }

    fn create(&self, plan: &Plan) -> Result<(), LogError> {
        let names: BTreeMap<Topic, String> =
            Topic::ALL.iter().map(|topic| (*topic, self.config.topic_name(*topic))).collect();
        let mut topics = Vec::new();
        for change in &plan.changes {
            let Change::Create { topic, partitions, replication, settings } = change else { continue };
            let Some(name) = names.get(topic) else { continue };
            let copies = TopicReplication::Fixed((*replication).into());
            let new = NewTopic::new(name, *partitions as i32, copies);
            topics.push(settings.iter().fold(new, |new, (name, value)| new.set(name, value)));
        }
        if topics.is_empty() {
            return Ok(());
        }
        let outcomes = block_on(self.client.create_topics(&topics, &options()))
            .map_err(|error| unavailable("creating topics", &error))?;
        for outcome in outcomes {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(unavailable(format_args!("creating {name}"), &KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(())
    }

    /// Changes settings. The broker's call replaces all of a topic's own settings, so those that are
    /// not ours are sent along as they are.
    fn alter(&self, changed: BTreeMap<Topic, Settings>) -> Result<(), LogError> {
        let topics: Vec<Topic> = changed.keys().copied().collect();
        let mut wanted = self.settings(&topics, |source| *source == ConfigSource::DynamicTopic)?;
        for (topic, settings) in changed {
            wanted.entry(topic).or_default().extend(settings);
        }
        let named: Vec<_> =
            wanted.iter().map(|(topic, settings)| (self.config.topic_name(*topic), settings)).collect();
        let configs: Vec<_> = named
            .iter()
            .map(|(name, settings)| {
                let new = AlterConfig::new(ResourceSpecifier::Topic(name));
                settings.iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let outcomes = block_on(self.client.alter_configs(&configs, &options()))
            .map_err(|error| unavailable("changing settings", &error))?;
        for outcome in outcomes {
            if let Err((resource, code)) = outcome {
                let doing = format!("changing the settings of {resource:?}");
                return Err(unavailable(doing, &KafkaError::AdminOp(code)));
            }
        }
        Ok(())
    }

    /// Settings of topics that come from a source that is `wanted`.
    fn settings(
        &self,
        topics: &[Topic],
        wanted: impl Fn(&ConfigSource) -> bool,
    ) -> Result<BTreeMap<Topic, Settings>, LogError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<_> = topics.iter().map(|topic| self.config.topic_name(*topic)).collect();
        let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = block_on(self.client.describe_configs(&resources, &options()))
            .map_err(|error| unavailable("asking for settings", &error))?;
        let mut settings = BTreeMap::new();
        for (topic, described) in topics.iter().zip(described) {
            let resource = described.map_err(|code| {
                unavailable(format_args!("asking for the settings of {topic}"), &KafkaError::AdminOp(code))
            })?;
            let entries = resource.entries.into_iter().filter(|entry| wanted(&entry.source));
            settings.insert(*topic, entries.filter_map(|entry| Some((entry.name, entry.value?))).collect());
        }
        Ok(settings)
    }

    /// A broker answers before all others know.
    fn wait_for(&self, plan: &Plan) -> Result<(), LogError> {
        let deadline = Instant::now() + BROKER_WAIT_MAX;
        loop {
            let found = self.found()?;
            let is_done = plan.changes.iter().all(|change| match change {
                Change::Create { topic, partitions, .. } => {
                    found.get(topic).is_some_and(|found| found.partitions == *partitions)
                }
                Change::Set { topic, name, to, .. } => {
                    found.get(topic).and_then(|found| found.settings.get(name)).is_some_and(|now| now == to)
                }
            });
            if is_done {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let reason = "the brokers took the changes but do not show them; look again with `weir topology check`";
                return Err(LogError::Unavailable { reason: reason.into() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(BROKER_WAIT_MAX)).operation_timeout(Some(BROKER_WAIT_MAX))
}

//! The backends under test.

use std::any::Any;
use std::sync::Arc;
use weir_topology::log::{Log, Position};
use weir_topology::memory::MemoryLog;

/// Makes fresh logs of one kind.
pub trait Backend {
    /// An empty log whose shared topics have this many partitions.
    fn fresh(&self, partitions: u32) -> Fresh;
}

/// The positions that a writer of this name committed.
type Positions = Box<dyn Fn(&str) -> Vec<Position>>;

/// An empty log, and how to see what is not part of the trait.
pub struct Fresh {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The positions that a writer committed.
    pub positions: Positions,
    /// What goes away with the log.
    pub _keep: Box<dyn Any>,
}

/// The log in memory.
pub fn memory() -> impl Backend {
    struct Memory;
    impl Backend for Memory {
        fn fresh(&self, partitions: u32) -> Fresh {
            let log = MemoryLog::new(partitions);
            let other = log.clone();
            Fresh { log, positions: Box::new(move |writer| other.positions(writer)), _keep: Box::new(()) }
        }
    }
    Memory
}

/// The log in a directory.
#[cfg(feature = "embedded")]
pub fn embedded() -> impl Backend {
    use weir_topology::embedded::EmbeddedLog;
    struct Embedded;
    impl Backend for Embedded {
        fn fresh(&self, partitions: u32) -> Fresh {
            let dir = tempfile::tempdir().unwrap();
            let log = EmbeddedLog::open(dir.path(), partitions).unwrap();
            let other = log.clone();
            let positions = move |writer: &str| other.positions().unwrap().remove(writer).unwrap_or_default();
            Fresh { log, positions: Box::new(positions), _keep: Box::new(dir) }
        }
    }
    Embedded
}

/// The log on the brokers that the environment names, if it names any.
#[cfg(feature = "kafka")]
pub fn kafka() -> Option<impl Backend> {
    use crate::broker::{brokers, deploy};
    use weir_topology::topic::Topic;
    struct Kafka;
    impl Backend for Kafka {
        fn fresh(&self, partitions: u32) -> Fresh {
            let deployment = Arc::new(deploy(partitions).unwrap());
            let other = deployment.clone();
            let positions = move |writer: &str| {
                let places = Topic::ALL
                    .iter()
                    .flat_map(|topic| (0..topic.partitions(partitions)).map(|partition| (*topic, partition)));
                let places: Vec<_> = places.collect();
                let committed = other.committed(writer, &places);
                let found = places.iter().zip(committed);
                found
                    .filter_map(|(&(topic, partition), next)| {
                        Some(Position { topic, partition, next: next? })
                    })
                    .collect()
            };
            let log = Arc::new(deployment.log.clone());
            Fresh { log, positions: Box::new(positions), _keep: Box::new(deployment) }
        }
    }
    brokers().map(|_| Kafka)
}

//! Weir in one thread from one seed.
//!
//! The real collector, the real stages, the real epoch runner and the real life of a task run on a
//! simulated log and clock. A seed decides everything: the traffic, who acts next, who dies where,
//! what a commit comes to. What must hold is checked at every commit and, in full, at rest.
//!
//! Read in this order: [`world`] (who acts), [`log`] (what can happen to them), [`observe`] and
//! [`check`] (what must hold), [`bug`] (how we know that this finds anything).

pub mod bug;
pub mod check;
pub mod disk;
pub mod faults;
mod infected;
pub mod log;
pub mod observe;
mod random;
pub mod reference;
pub mod soak;
pub mod story;
pub mod ways;
pub mod workload;
pub mod world;

pub use bug::Bug;

use check::{Checker, Totals};
use faults::Faults;
use log::{Shared, SimLog};
use random::Random;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use weir_processor::JUDGE_VERSION;
use weir_schemas::wire::Wire;
use weir_topology::topic::StageName;
use workload::Workload;
use world::World;

/// What to do with a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The bug to plant.
    pub bug: Option<Bug>,
    /// Whether the story's lines are kept.
    pub is_told: bool,
}

/// What a seed came to.
#[derive(Debug)]
pub struct Outcome {
    /// What does not hold; none where everything does.
    pub violation: Option<String>,
    /// The story's lines, where they were kept.
    pub story: String,
    /// How often each thing happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// What is in the log at the end.
    pub totals: Totals,
    /// A hash over everything that happened: the same for every run of the seed.
    pub hash: u64,
}

/// Runs a seed from its beginning to its checks.
///
/// # Errors
/// When the machine fails: the access logs cannot be written.
pub fn run(seed: u64, options: Options) -> anyhow::Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let wire = Arc::new(Wire::new());
    let workload = Workload::draw(&mut Random::new(seed, 1), &wire);
    for source in &workload.sources {
        std::fs::write(directory.path().join(&source.name), &source.text)?;
    }
    let faults = Faults::draw(&mut Random::new(seed, 4));
    let store = world::store(seed, workload.partitions, faults, options.bug, options.is_told);
    let checked = catch_unwind(AssertUnwindSafe(|| live(seed, &workload, &wire, &store, directory.path())));
    let (violation, totals) = match checked {
        Ok(Ok(totals)) => (None, totals),
        Ok(Err(violation)) => (Some(violation), Totals::default()),
        Err(panic) => (Some(format!("it panicked: {}", panic_text(panic.as_ref()))), Totals::default()),
    };
    let mut store = store.lock();
    if let Some(violation) = &violation {
        store.actor = "world".into();
        store.tell("VIOLATION", || violation.clone());
    }
    Ok(Outcome {
        violation,
        story: store.story.lines().to_owned(),
        counts: store.story.counts().clone(),
        totals,
        hash: store.story.hash(),
    })
}

fn live(
    seed: u64,
    workload: &Workload,
    wire: &Arc<Wire>,
    store: &Shared,
    directory: &Path,
) -> Result<Totals, String> {
    let processes = 10_000..10_000 + world::COLLECTOR_PROCESSES;
    let handles: Vec<SimLog> = processes.map(|process| SimLog::new(store, process)).collect();
    let mut world = World::new(seed, workload, wire, store, &handles, directory);
    world.run()?;
    let (disk, reigns) = (world.disk(), world.reigns().clone());
    drop(world);
    store.lock().faults = Faults::default();
    let stages = |entries_max, build| {
        world::make_stage(wire.clone(), Arc::new(workload.policy.clone()), entries_max, build)
    };
    let builds = std::array::from_fn(|build| stages(workload.entries_max, build));
    let totals =
        Checker { store, workload, wire, make_stage: &builds, reigns: &reigns, disk: &disk }.check()?;
    let judges = reigns.iter().filter(|(task, _)| task.stage != StageName::Enforcer);
    let is_mixed = judges.flat_map(|(_, reigns)| reigns).any(|reign| reign.version != JUDGE_VERSION);
    let makes = reference::Makes { as_recorded: &builds[0], in_lockstep: &stages(None, 0), is_mixed };
    reference::compare(seed, workload, wire, store, makes, directory)?;
    Ok(totals)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

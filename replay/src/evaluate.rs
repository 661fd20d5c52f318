//! How good a policy is, on traffic whose truth is known.
//!
//! [`intake`] is a log that a collector writes to: what it keeps of an event is its key and payload, for the
//! stages, and apart from them its [`truth`], which the stages cannot be given. [`judge`] folds the events in
//! lockstep, by the product's own stages, and gives a [`case::Case`] an account. [`report`] counts cases;
//! cases of several runs can be counted together.

pub mod assembly;
pub mod case;
pub mod counts;
pub mod diff;
mod html;
pub mod intake;
mod plot;
pub mod reliability;
pub mod report;
pub mod text;
pub mod truth;

use crate::campaigns::Campaigns;
use crate::lockstep::{Layout, fold};
use crate::report::ReplayError;
use case::{Case, Outcome};
use intake::Labelled;
use std::collections::BTreeMap;
use std::time::Instant;
use weir_schemas::wire::Wire;
use weir_schemas::{AccountId, Verdict};
use weir_topology::stage::StageFactory;
use weir_topology::topic::Topic;

/// What one run over labelled events came to.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// One for every account.
    pub cases: Vec<Case>,
    /// Events that were folded.
    pub events: u64,
    /// Lines and events that could not be judged.
    pub refused: u64,
    /// Digest of all verdicts: equal where two runs judged the same.
    pub digest: String,
    /// How long judging took, in seconds.
    pub seconds: f64,
}

impl Judged {
    /// Counts another run's cases with these. The first run is taken as it is, with its digest.
    pub fn pool(&mut self, other: Self) {
        if self.events == 0 {
            *self = other;
            return;
        }
        let runs = self.cases.last().map_or(0, |case| case.run + 1);
        self.cases.extend(other.cases.into_iter().map(|case| Case { run: case.run + runs, ..case }));
        self.events += other.events;
        self.refused += other.refused;
        self.seconds += other.seconds;
        self.digest = String::new();
    }
}

/// Folds labelled events by the stages that `make_stage` gives. `progress` is told how many events were
/// folded since the last call.
pub fn judge(
    labelled: &Labelled,
    wire: &Wire,
    make_stage: &StageFactory,
    layout: Layout,
    progress: impl FnMut(u64),
) -> Result<Judged, ReplayError> {
    let started = Instant::now();
    let mut outcomes: BTreeMap<AccountId, Outcome> = BTreeMap::new();
    let (mut campaigns, mut unreadable) = (Campaigns::default(), None);
    let folded = fold(labelled.sorted()?, wire, make_stage, layout, progress, |output| {
        let payload = output.payload.as_deref().unwrap_or_default();
        let read = match output.topic {
            Topic::Verdicts => wire
                .read::<Verdict>(payload)
                .map(|verdict| outcomes.entry(verdict.account).or_default().add(&verdict)),
            Topic::Campaigns => wire.read(payload).map(|campaign| campaigns.take(campaign)),
            _ => Ok(()),
        };
        unreadable = read.err().or(unreadable.take());
    })?;
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    let truth = &labelled.truth;
    let cases = truth.accounts().map(|(id, account)| {
        let assembled = campaigns.of(*id).filter(|_| truth.knows_campaigns());
        Case::of(*id, account, outcomes.get(id), assembled, truth)
    });
    Ok(Judged {
        cases: cases.collect(),
        events: labelled.events,
        refused: labelled.refused + folded.dead_events,
        digest: folded.digest.finish(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

//! What was said of campaigns, folded again and held against the bytes in the log.

use crate::digest::CampaignDigest;
use crate::report::ReplayError;
use std::collections::VecDeque;
use weir_schemas::Campaign;
use weir_schemas::wire::Wire;
use weir_topology::cursor::Cursor;
use weir_topology::error::TaskError;
use weir_topology::history::History;
use weir_topology::log::Log;
use weir_topology::restore::{Refolded, fold_recorded};
use weir_topology::stage::StageFactory;
use weir_topology::topic::{StageName, TaskId, Topic};

/// What folding the campaign stage again came to.
#[derive(Default)]
pub(super) struct Campaigns {
    /// What came out.
    pub(super) found: CampaignDigest,
    /// Whether it is what stands in the log; none where that cannot be told: what led to it is no longer
    /// kept, or another judge recorded it.
    pub(super) is_equal: Option<bool>,
}

/// Folds every recorded epoch of the campaign stage again.
pub(super) fn replay(
    log: &dyn Log,
    wire: &Wire,
    make_stage: &StageFactory,
) -> Result<Campaigns, ReplayError> {
    let task = TaskId { stage: StageName::Campaign, partition: 0 };
    // The stage has no checkpoints: whoever assembles campaigns again begins with the first member.
    if log.bounds(Topic::Members, 0)?.0 > 0 {
        return Ok(Campaigns::default());
    }
    let mut written = Written::open(log)?;
    let (mut found, mut is_equal, mut failure) = (CampaignDigest::default(), true, None);
    let mut stage = make_stage(task);
    let each = |Refolded { epoch, effects, .. }: Refolded<'_>| {
        let ends = |_| TaskError::Gap { task, expected: epoch.epoch, found: epoch.epoch };
        let Some(effects) = effects else {
            let count = epoch.outputs.iter().find(|count| count.topic == Topic::Campaigns.name());
            for _ in 0..count.map_or(0, |count| count.records) {
                written.next().map_err(|error| failure = Some(error)).map_err(ends)?;
            }
            return Ok(());
        };
        for output in effects.outputs.iter().filter(|output| output.topic == Topic::Campaigns) {
            let payload = output.payload.as_deref().unwrap_or_default();
            let campaign =
                wire.read::<Campaign>(payload).map_err(|error| failure = Some(error.into())).map_err(ends)?;
            found.add(&campaign);
            let standing = written.next().map_err(|error| failure = Some(error)).map_err(ends)?;
            is_equal &= standing.is_some_and(|(key, standing)| key == output.key && standing == payload);
        }
        Ok(())
    };
    let folded = fold_recorded(task, stage.as_mut(), log, wire, Cursor::start(task), each);
    if let Some(failure) = failure {
        return Err(failure);
    }
    match folded {
        Ok(_) => Ok(Campaigns { is_equal: Some(is_equal && written.next()?.is_none()), found }),
        Err(TaskError::OtherJudge { .. }) => Ok(Campaigns { is_equal: None, found }),
        Err(error) => Err(error.into()),
    }
}

/// Key and payload of a record.
type Keyed = (Vec<u8>, Vec<u8>);

/// What stands in the log.
struct Written {
    history: History,
    ready: VecDeque<Keyed>,
}

impl Written {
    fn open(log: &dyn Log) -> Result<Self, ReplayError> {
        let (first, end) = log.bounds(Topic::Campaigns, 0)?;
        Ok(Self { history: History::new(log, Topic::Campaigns, 0, first, end)?, ready: VecDeque::new() })
    }

    fn next(&mut self) -> Result<Option<Keyed>, ReplayError> {
        while self.ready.is_empty() {
            let Some(records) = self.history.next()? else { return Ok(None) };
            let records =
                records.iter().filter_map(|record| Some((record.key.to_vec(), record.payload?.to_vec())));
            self.ready.extend(records);
        }
        Ok(self.ready.pop_front())
    }
}

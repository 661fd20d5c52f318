//! The formats that a source may have, as one tree and a plan for each.

use super::error::FormatError;
use super::found::{Bits, Found};
use super::plan::{Plan, Unfold, Yield};
use super::spec::Spec;
use super::tree::Tree;
use crate::json::Value;

/// Places where a record stands inside of another: log collectors and container runtimes wrap lines in
/// theirs.
const WRAPPERS: [&str; 17] = [
    // Docker's json-file and Fluent Bit; journald; Vector, Filebeat, CloudWatch, Logstash; Google Cloud;
    // Splunk; Elastic's schema and its documents; GELF; Datadog.
    "log",
    "MESSAGE",
    "message",
    "msg",
    "textPayload",
    "jsonPayload",
    "event",
    "line",
    "@message",
    "data",
    "/event/original",
    "_source",
    "_raw",
    "result",
    "full_message",
    "short_message",
    "attributes",
];

/// Places of lists of such: CloudWatch's subscriptions and exports, Elasticsearch's answers, Loki's pushes
/// and answers.
const ENVELOPES: [&str; 5] =
    ["/logEvents", "/events", "/hits/hits", "/streams/*/values", "/data/result/*/values"];

/// The formats of a source.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) tree: Tree,
    pub(crate) plans: Vec<Plan>,
    /// Slots where a record may stand inside of another.
    pub(crate) wrappers: Vec<u16>,
    /// Lists of such.
    pub(crate) envelopes: Vec<Unfold>,
    /// Slot of the stream that a container wrote to.
    pub(crate) stream: u16,
    /// Slots from which some format reads a field.
    read: Bits,
}

impl Catalog {
    /// A catalog of these formats, the earlier ones first where a record fits two equally well.
    pub(crate) fn new(specs: &[Spec]) -> Result<Self, FormatError> {
        let mut tree = Tree::default();
        let mut plans =
            specs.iter().map(|spec| Plan::new(spec, &mut tree)).collect::<Result<Vec<_>, FormatError>>()?;
        let wrappers = WRAPPERS.iter().filter_map(|name| tree.slot(name).ok()).collect();
        let envelopes = ENVELOPES.iter().filter_map(|path| Unfold::new(path, &mut tree).ok()).collect();
        // A name is always a place.
        let stream = tree.slot("stream").unwrap_or_default();
        for (plan, spec) in plans.iter_mut().zip(specs) {
            plan.finish(spec, &mut tree);
        }
        tree.finish();
        let mut read = Bits::none(tree.slots());
        plans.iter().flat_map(Plan::read_slots).for_each(|slot| read.set(slot, true));
        Ok(Self { tree, plans, wrappers, envelopes, stream, read })
    }

    /// The format of a record: of those that it has the places of, the one that gets most out of it; or else
    /// of those that it has more than half of the places of, and an account and a time. None where there is
    /// none.
    pub(crate) fn choose(&self, found: &Found) -> Option<usize> {
        if self.plans.len() == 1 {
            return Some(0);
        }
        let plans = || self.plans.iter().enumerate();
        let mut best: Option<(Yield, usize, usize)> = None;
        let fits = plans().filter(|(_, plan)| plan.fits(found));
        for (index, plan) in fits {
            let (yields, shape) = (plan.yields(found), plan.shape_len());
            if best.is_none_or(|(other, its_shape, _)| (yields, shape) > (other, its_shape)) {
                best = Some((yields, shape, index));
            }
        }
        // What is not there of a shape makes no line unseen that has its account and its time.
        let half = |plan: &Plan| plan.fitting(found) * 2 > plan.shape_len() && plan.yields(found).is_readable;
        let nearly = || plans().rev().filter(|(_, plan)| half(plan));
        best.map(|(_, _, index)| index)
            .or_else(|| nearly().max_by_key(|(_, plan)| plan.yields(found)).map(|(index, _)| index))
    }

    /// The format whose places a record has most of, where it has half of them.
    pub(crate) fn nearest(&self, found: &Found) -> Option<&Plan> {
        let fitting = |plan: &&Plan| (plan.fitting(found), plan.yields(found));
        let plans = self.plans.iter().rev().filter(|plan| plan.fitting(found) > 0);
        plans.max_by_key(fitting).filter(|plan| plan.fitting(found) * 2 >= plan.shape_len())
    }

    /// Whether the format's account and time are there.
    pub(crate) fn is_readable(&self, plan: usize, found: &Found) -> bool {
        self.plans[plan].yields(found).is_readable
    }

    /// Whether a record may stand inside of another.
    pub(crate) fn wraps(&self, record: &[u8], found: &Found) -> bool {
        let is_inside = |slot: &u16| matches!(found.value(record, *slot), Value::Text(_) | Value::Object(_));
        self.wrappers.iter().any(is_inside)
    }

    /// Every list of records inside of a record.
    pub(crate) fn unfolds(&self) -> impl Iterator<Item = &Unfold> {
        self.plans.iter().flat_map(|plan| &plan.records)
    }

    /// The places of a record that say something and that the format leaves unread.
    pub(crate) fn unread<'c>(&'c self, plan: usize, filled: &'c Bits) -> impl Iterator<Item = &'c str> + 'c {
        filled
            .without(&self.plans[plan].reach)
            .filter(|slot| self.read.has(*slot) && *slot != self.stream && !self.wrappers.contains(slot))
            .map(|slot| self.tree.path(slot))
    }
}

//! The search: from the policy in force uphill, a number at a time and pairs of them at random; then back, as
//! far as nothing is lost by it. Of policies that flag the same, the one that flags them by a clearer margin.

use super::evidence::{Flagged, Group, Heard};
use super::knob::{Bank, Draft};
use super::score::{Bounds, Score};
use crate::limits::PAIRS_TRIED;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What every draft flags, judged once.
pub struct Judge<'h> {
    heard: &'h Heard,
    bank: &'h Bank,
    known: BTreeMap<Draft, Option<Rc<[Flagged]>>>,
    judged_max: usize,
    progress: &'h mut dyn FnMut(u64),
}

impl<'h> Judge<'h> {
    /// A judge that judges so many drafts and then no more. `progress` is told of each.
    pub fn new(
        heard: &'h Heard,
        bank: &'h Bank,
        judged_max: usize,
        progress: &'h mut dyn FnMut(u64),
    ) -> Self {
        Self { heard, bank, known: BTreeMap::new(), judged_max, progress }
    }

    /// What a draft flags; none where it is no policy, was not heard, or enough were judged.
    pub fn flagged(&mut self, draft: &Draft) -> Option<Rc<[Flagged]>> {
        if let Some(known) = self.known.get(draft) {
            return known.clone();
        }
        if self.is_spent() {
            return None;
        }
        let flagged: Option<Rc<[Flagged]>> = self.heard.judge(self.bank, draft).map(Rc::from);
        self.known.insert(draft.clone(), flagged.clone());
        (self.progress)(1);
        flagged
    }

    /// Judges so many more, whatever was judged before: a search that another has left nothing finds nothing.
    pub fn allow(&mut self, more: usize) {
        self.judged_max = self.judged().saturating_add(more);
    }

    /// Drafts that were judged.
    pub fn judged(&self) -> usize {
        self.known.len()
    }

    /// Whether no more are judged.
    pub fn is_spent(&self) -> bool {
        self.known.len() >= self.judged_max
    }
}

/// What is searched: which groups count, and what may not happen to them.
pub struct Search<'s> {
    /// Bounds.
    pub bounds: &'s Bounds,
    /// What the policy in force flags.
    pub in_force: &'s [Flagged],
    /// Kinds of campaigns and populations that are left out.
    pub left_out: &'s [(bool, String)],
    /// Seed of the pairs.
    pub seed: u64,
}

impl Search<'_> {
    fn is_in(&self, group: &Group) -> bool {
        !self
            .left_out
            .iter()
            .any(|(is_campaign, kin)| *is_campaign == group.is_campaign && kin == group.kin())
    }

    /// The score of a draft on the groups that count.
    pub fn score(&self, judge: &mut Judge<'_>, draft: &Draft) -> Option<Score> {
        let flagged = judge.flagged(draft)?;
        Some(Score::of(&judge.heard.groups, &flagged, self.in_force, self.bounds, |group| self.is_in(group)))
    }

    /// The best draft that is found; the policy in force where none is better.
    pub fn run(&self, judge: &mut Judge<'_>) -> Draft {
        let bank = judge.bank;
        let mut dice = StdRng::seed_from_u64(self.seed);
        let mut best = bank.origin.clone();
        let Some(mut best_score) = self.score(judge, &best) else { return best };
        loop {
            let start = best.clone();
            for draft in neighbours(bank, &start, &mut dice) {
                let Some(score) = self.score(judge, &draft) else { continue };
                // Of two that are as good and as clear, the nearer to the policy in force.
                let is_nearer = || {
                    let is_equal =
                        score.compare(&best_score) == Ordering::Equal && score.doubt == best_score.doubt;
                    best != start && is_equal && distance(bank, &draft) < distance(bank, &best)
                };
                if score.compare(&best_score) == Ordering::Greater
                    || score.is_clearer(&best_score)
                    || is_nearer()
                {
                    (best, best_score) = (draft, score);
                }
            }
            if best == start {
                break;
            }
        }
        self.undone(judge, best, best_score)
    }

    /// The draft without the changes that it can do without.
    fn undone(&self, judge: &mut Judge<'_>, mut best: Draft, best_score: Score) -> Draft {
        for at in 0..best.len() {
            let mut without = best.clone();
            without[at] = judge.bank.origin[at];
            let is_as_good =
                |score: Score| score.compare(&best_score) != Ordering::Less && !best_score.is_clearer(&score);
            if without != best && self.score(judge, &without).is_some_and(is_as_good) {
                best = without;
            }
        }
        best
    }
}

/// Every draft that differs in one number, and some that differ in two.
fn neighbours(bank: &Bank, start: &Draft, dice: &mut StdRng) -> Vec<Draft> {
    let tried = |at: usize| bank.knobs[at].tried(start[at], bank.origin[at]);
    let mut drafts = Vec::new();
    for at in 0..start.len() {
        drafts.extend(tried(at).into_iter().map(|value| {
            let mut draft = start.clone();
            draft[at] = value;
            draft
        }));
    }
    for _ in 0..PAIRS_TRIED {
        let mut draft = start.clone();
        for _ in 0..2 {
            let at = dice.random_range(0..start.len());
            let values = tried(at);
            if !values.is_empty() {
                draft[at] = values[dice.random_range(0..values.len())];
            }
        }
        drafts.push(draft);
    }
    drafts
}

/// How far a draft is from the policy in force: the numbers that differ, then by how much.
fn distance(bank: &Bank, draft: &Draft) -> (usize, i64) {
    let changes = bank.changes(draft).map(|(_, from, to)| i64::from(to - from).abs());
    changes.fold((0, 0), |(count, sum), change| (count + 1, sum + change))
}

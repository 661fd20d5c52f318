//! An effect's records, put together: what was decided, when it was there, how it ended, on which verdict.

use std::collections::{BTreeMap, BTreeSet};
use weir_schemas::{Action, ActionId, ActionState, Audit, AuditEntry, AuditKind, Verdict, VerdictId};

/// One effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The decision to carry it out.
    pub decided: Action,
    /// The word that it is there.
    pub done: Action,
    /// How it ended; none while it lasts, or where nothing ends.
    pub ended: Option<Action>,
    /// The verdict that it answers; none where its record has passed its retention.
    pub verdict: Option<Verdict>,
    /// Chain and places of its audit records, in their order.
    pub audited: Vec<(String, i64)>,
}

impl Course {
    /// When the effect was there, in processing time.
    pub fn effect_ms(&self) -> i64 {
        self.done.effect_ms()
    }

    /// From the event to the decision.
    pub fn detected_after_ms(&self) -> i64 {
        self.decided.taken_ms - self.decided.time_ms
    }

    /// From the decision to the effect.
    pub fn acted_after_ms(&self) -> i64 {
        self.effect_ms() - self.decided.taken_ms
    }
}

/// The action whose course an audit record tells: its decision or a transition of it. Packs are for
/// outsiders, and what analysts said of an action, or did not say in time, is no part of its course.
pub fn certifies(audit: &Audit) -> Option<ActionId> {
    audit.action_id.filter(|_| matches!(audit.kind, AuditKind::Decision | AuditKind::Outcome))
}

/// Gathers the effects of a time.
#[derive(Debug, Default)]
pub struct Courses {
    from_ms: i64,
    to_ms: i64,
    under_way: BTreeMap<ActionId, Vec<Action>>,
    /// Verdicts that their actions name.
    asked: BTreeSet<VerdictId>,
    verdicts: BTreeMap<VerdictId, Verdict>,
    audited: BTreeMap<ActionId, Vec<(String, i64)>>,
    judged: BTreeSet<weir_schemas::AccountId>,
}

impl Courses {
    /// Effects that were there from `from_ms` on and before `to_ms`, in processing time.
    pub fn of(from_ms: i64, to_ms: i64) -> Self {
        Self { from_ms, to_ms, ..Self::default() }
    }

    /// Takes a transition of an action, in the order in which they stand.
    pub fn action(&mut self, action: Action) {
        if action.state != ActionState::Withheld {
            self.asked.insert(action.verdict_id);
            self.under_way.entry(action.action_id).or_default().push(action);
        }
    }

    /// Takes a verdict.
    pub fn verdict(&mut self, verdict: Verdict) {
        if (self.from_ms..self.to_ms).contains(&verdict.time_ms) {
            self.judged.insert(verdict.account);
        }
        if self.asked.contains(&verdict.verdict_id) {
            self.verdicts.insert(verdict.verdict_id, verdict);
        }
    }

    /// Takes an audit record.
    pub fn audit(&mut self, entry: &AuditEntry, audit: &Audit) {
        if let Some(action) = certifies(audit)
            && self.under_way.contains_key(&action)
        {
            self.audited.entry(action).or_default().push((entry.writer.clone(), entry.sequence));
        }
    }

    /// Accounts with a verdict of an event of that time.
    pub fn accounts_judged(&self) -> usize {
        self.judged.len()
    }

    /// How many actions of that time were carried out, and how many were not although they were asked for.
    pub fn carried_out(&self) -> (usize, usize) {
        let (mut done, mut failed) = (0, 0);
        for transitions in self.under_way.values() {
            let is_of_it = |action: &&Action| (self.from_ms..self.to_ms).contains(&action.taken_ms);
            done += usize::from(transitions.iter().filter(is_of_it).any(|a| a.state == ActionState::Done));
            failed +=
                usize::from(transitions.iter().filter(is_of_it).any(|a| a.state == ActionState::Failed));
        }
        (done, failed)
    }

    /// The effects, in the order in which they were there.
    pub fn finish(self) -> Vec<Course> {
        let Self { from_ms, to_ms, under_way, verdicts, mut audited, .. } = self;
        let course = |(id, transitions): (ActionId, Vec<Action>)| {
            let decided = transitions.iter().find(|action| action.state == ActionState::Pending)?.clone();
            let place = transitions.iter().position(|action| action.state == ActionState::Done)?;
            let ends = |action: &&Action| {
                matches!(
                    action.state,
                    ActionState::Reverted
                        | ActionState::Expired
                        | ActionState::Superseded
                        | ActionState::Failed
                )
            };
            let ended = transitions[place..].iter().rfind(ends).cloned();
            let verdict = verdicts.get(&decided.verdict_id).cloned();
            let audited = audited.remove(&id).unwrap_or_default();
            Some(Course { decided, done: transitions[place].clone(), ended, verdict, audited })
        };
        let mut courses: Vec<Course> = under_way.into_iter().filter_map(course).collect();
        courses.retain(|course| (from_ms..to_ms).contains(&course.effect_ms()));
        courses.sort_by_key(|course| (course.effect_ms(), course.decided.action_id));
        courses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_analysts_say_and_when_they_are_late_is_no_part_of_a_course() {
        let action = ActionId::of(VerdictId([7; 16]), weir_schemas::ActionKind::Suspend);
        let of = |kind| Audit { kind, action_id: Some(action), ..Audit::default() };
        let certified = AuditKind::ALL.iter().filter(|kind| certifies(&of(**kind)) == Some(action));
        assert_eq!(certified.copied().collect::<Vec<_>>(), [AuditKind::Decision, AuditKind::Outcome]);

        let mut courses = Courses::of(0, i64::MAX);
        courses.action(Action { action_id: action, state: ActionState::Pending, ..Action::default() });
        courses.action(Action { action_id: action, state: ActionState::Done, ..Action::default() });
        for (sequence, kind) in
            [AuditKind::Decision, AuditKind::Operator, AuditKind::Outcome].into_iter().enumerate()
        {
            let entry = AuditEntry {
                writer: "enforcer/0".into(),
                sequence: sequence as i64,
                ..AuditEntry::default()
            };
            courses.audit(&entry, &of(kind));
        }
        let places = courses.finish().into_iter().flat_map(|course| course.audited);
        assert_eq!(places.map(|(_, sequence)| sequence).collect::<Vec<_>>(), [0, 2]);
    }
}

//! A drill held against what it should have come to.

use super::Seen;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use weir_schemas::{AccountId, Tier, VerdictId};
use weir_topology::topic::Topic;

/// Most honest accounts that are named.
const NAMED_MAX: usize = 20;

/// What a drill should come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Objectives {
    /// Share of the campaign's accounts that is flagged, 0 to 1.
    pub flagged_share_min: f64,
    /// From an event to the decision on the verdict that rests on it, for 99 of 100 verdicts.
    pub decision_p99_ms_max: u64,
    /// From a decision to its effect, for 99 of 100 that were carried out; none where nothing is to be
    /// carried out.
    pub effect_p99_ms_max: Option<u64>,
}

/// How large a drill is, whether or not all of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Lines, each of which makes an event.
    pub lines: u64,
}

/// What a drill came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was processed, and every objective met.
    Pass,
    /// An objective was not met.
    Fail,
    /// What was processed is not enough to tell.
    Inconclusive,
}

/// How long something took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How often it was measured.
    pub count: u64,
    /// As long as half of them took at most.
    pub p50_ms: u64,
    /// As long as 99 of 100 took at most.
    pub p99_ms: u64,
}

/// What a drill came to, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Its tenant.
    pub tenant: String,
    /// What it came to.
    pub outcome: Outcome,
    /// Lines of it, each of which makes an event.
    pub lines: u64,
    /// Events of it in the log.
    pub events: u64,
    /// Accounts of the campaign.
    pub campaign_accounts: u64,
    /// Those of them that were called MEDIUM or worse.
    pub campaign_flagged: u64,
    /// Accounts that behave.
    pub honest_accounts: u64,
    /// Those of them that were called MEDIUM or worse.
    pub honest_flagged: u64,
    /// The first of these, by pseudonym.
    pub honest_flagged_first: Vec<String>,
    /// From an event to the decision on the verdict that rests on it.
    pub decision: Option<Times>,
    /// From a decision to its effect; none where none was carried out.
    pub effect: Option<Times>,
    /// What it should have come to.
    pub objectives: Objectives,
    /// Objectives that were not met.
    pub failed: Vec<String>,
    /// What is not known, and why.
    pub unknown: Vec<String>,
}

/// How long something took, where that can be: by the clocks of two machines it may have been over before it
/// began.
#[derive(Debug, Default)]
struct Measured {
    times: Option<Times>,
    /// How often it was over before it began.
    backwards: u64,
}

impl Measured {
    fn of(times_ms: impl Iterator<Item = i64>) -> Self {
        let (mut times, mut backwards) = (Vec::new(), 0);
        for time_ms in times_ms {
            match u64::try_from(time_ms) {
                Ok(time_ms) => times.push(time_ms),
                Err(_) => backwards += 1,
            }
        }
        Self { times: Times::of(times), backwards }
    }
}

impl Times {
    fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        // The least that is not exceeded by so many of a hundred.
        let rank = |of_hundred: usize| times.get((times.len() * of_hundred).div_ceil(100).checked_sub(1)?);
        Some(Self { count: times.len() as u64, p50_ms: *rank(50)?, p99_ms: *rank(99)? })
    }
}

impl Report {
    /// Of a drill of which nothing could be read, for this reason.
    pub fn unread(tenant: &str, size: Size, objectives: Objectives, reason: String) -> Self {
        let nothing = report(tenant, &Seen::default(), size, objectives);
        Self { outcome: Outcome::Inconclusive, unknown: vec![reason], ..nothing }
    }
}

pub(super) fn report(tenant: &str, seen: &Seen, size: Size, objectives: Objectives) -> Report {
    let of_campaign = |is_campaign| seen.accounts.values().filter(|is| **is == is_campaign).count() as u64;
    let (campaign, honest) = (seen.flagged(true), seen.flagged(false));
    let decision = Measured::of(
        decided(seen)
            .iter()
            .filter_map(|(verdict, decided_ms)| Some(decided_ms - seen.observed_ms_of(verdict)?)),
    );
    let effect =
        Measured::of(seen.actions.values().filter_map(|action| Some(action.effect_ms? - action.decided_ms)));
    let mut report = Report {
        tenant: tenant.to_owned(),
        outcome: Outcome::Pass,
        lines: size.lines,
        events: seen.events,
        campaign_accounts: of_campaign(true),
        campaign_flagged: campaign.len() as u64,
        honest_accounts: of_campaign(false),
        honest_flagged: honest.len() as u64,
        honest_flagged_first: honest.iter().take(NAMED_MAX).map(AccountId::to_string).collect(),
        decision: decision.times,
        effect: effect.times,
        objectives,
        failed: Vec::new(),
        unknown: Vec::new(),
    };
    report.unknown = unknown(&report, seen);
    report.unknown.extend(backwards("decisions come before their events", decision.backwards));
    report.unknown.extend(backwards("effects come before their decisions", effect.backwards));
    report.failed = failed(&report);
    // Whoever behaves and is flagged stays flagged, whatever is still to come.
    report.outcome = match (report.unknown.is_empty(), report.failed.is_empty()) {
        (true, true) => Outcome::Pass,
        (true, false) => Outcome::Fail,
        // Unless what cannot be read says that they do not.
        (false, _) if report.honest_flagged > 0 && seen.unknown == 0 => Outcome::Fail,
        (false, _) => Outcome::Inconclusive,
    };
    report
}

/// When the first decision on each verdict was taken that was answered.
fn decided(seen: &Seen) -> BTreeMap<VerdictId, i64> {
    let mut decided = BTreeMap::new();
    for action in seen.actions.values() {
        let first = decided.entry(action.verdict).or_insert(action.decided_ms);
        *first = action.decided_ms.min(*first);
    }
    decided
}

fn unknown(report: &Report, seen: &Seen) -> Vec<String> {
    let mut unknown = Vec::new();
    if seen.unknown > 0 {
        unknown.push(format!(
            "{} records were written by a newer build, and some of them may be the drill's: measure it with that build",
            seen.unknown
        ));
    }
    match (report.lines, report.events) {
        (_, 0) => unknown.push("no event of it is in the log".to_owned()),
        (lines, events) if lines > events => {
            unknown.push(format!("{} of {lines} events are not in the log", lines - events));
        }
        (lines, events) if lines < events => {
            unknown
                .push(format!("{events} events of it are in the log, and it is said to have {lines} lines"));
        }
        _ => {}
    }
    if report.campaign_accounts == 0 && report.events > 0 {
        unknown.push("no event of its campaign is in the log: were labels left out?".to_owned());
    }
    let folds = [
        (Topic::Events, "not all of its events are judged: does a processor run?"),
        (Topic::Links, "not all of its accounts are compared: does a processor run the stage cluster?"),
        (Topic::Clusters, "not all that comparing its accounts gave is judged: does a processor run?"),
        (Topic::Verdicts, "not all of its verdicts are answered: does an enforcer run?"),
    ];
    let unfolded = folds.into_iter().filter(|(topic, _)| !seen.is_folded(*topic));
    unknown.extend(unfolded.map(|(_, why)| why.to_owned()));
    let is_flagged = seen.verdicts.values().any(|told| told.tier >= Tier::Medium);
    if is_flagged && report.decision.is_none() {
        unknown.push("no verdict of it has a decision whose events are in the log".to_owned());
    }
    if report.objectives.effect_p99_ms_max.is_some() && report.effect.is_none() {
        let why =
            "nothing was carried out on its accounts: are they protected, or does the posture withhold it?";
        unknown.push(why.to_owned());
    }
    unknown
}

/// Why so many times are not known; none where there are none.
fn backwards(what: &str, count: u64) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}: the clocks of the machines differ by more than it took"))
}

fn failed(report: &Report) -> Vec<String> {
    let Objectives { flagged_share_min, decision_p99_ms_max, effect_p99_ms_max } = report.objectives;
    let mut failed = Vec::new();
    if (report.campaign_flagged as f64) < flagged_share_min * report.campaign_accounts as f64 {
        failed.push(format!(
            "{} of the campaign's {} accounts were flagged, and {:.0} % should have been",
            report.campaign_flagged,
            report.campaign_accounts,
            flagged_share_min * 100.0
        ));
    }
    if report.honest_flagged > 0 {
        failed.push(format!("{} accounts were flagged that behave", report.honest_flagged));
    }
    let bounds = [
        ("from an event to the decision", report.decision, Some(decision_p99_ms_max)),
        ("from a decision to its effect", report.effect, effect_p99_ms_max),
    ];
    for (what, times, max) in bounds {
        if let (Some(Times { p99_ms, .. }), Some(max)) = (times, max)
            && p99_ms > max
        {
            failed.push(format!("{what} it took {p99_ms} ms for 99 of 100, and {max} ms should have done"));
        }
    }
    failed
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} ms, p99 {} ms, of {}", self.p50_ms, self.p99_ms, self.count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |times: Option<Times>, max: Option<u64>| match (times, max) {
            (Some(times), Some(max)) => format!("{times} (p99 at most {max} ms)"),
            (Some(times), None) => format!("{times} (no objective)"),
            (None, Some(_)) => "none was measured".to_owned(),
            (None, None) => "none was measured, and none was asked for".to_owned(),
        };
        let Objectives { flagged_share_min, decision_p99_ms_max, effect_p99_ms_max } = self.objectives;
        writeln!(f, "drill     {}", self.tenant)?;
        writeln!(f, "events    {}", self.events)?;
        writeln!(
            f,
            "campaign  {} of {} accounts flagged (at least {:.0} %)",
            self.campaign_flagged,
            self.campaign_accounts,
            flagged_share_min * 100.0
        )?;
        writeln!(f, "honest    {} of {} accounts flagged (none)", self.honest_flagged, self.honest_accounts)?;
        for account in &self.honest_flagged_first {
            writeln!(f, "          {account}")?;
        }
        writeln!(f, "decisions {}", times(self.decision, Some(decision_p99_ms_max)))?;
        writeln!(f, "effects   {}", times(self.effect, effect_p99_ms_max))?;
        self.failed.iter().try_for_each(|failed| writeln!(f, "failed    {failed}"))?;
        self.unknown.iter().try_for_each(|unknown| writeln!(f, "unknown   {unknown}"))?;
        writeln!(f, "result    {}", self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answered, Told};
    use super::*;
    use weir_schemas::{ActionId, EventId};

    const OBJECTIVES: Objectives =
        Objectives { flagged_share_min: 0.5, decision_p99_ms_max: 1_000, effect_p99_ms_max: None };

    /// Topics that a drill has something on, in the order in which they are folded.
    const FOLDED: [Topic; 4] = [Topic::Events, Topic::Links, Topic::Clusters, Topic::Verdicts];

    /// A drill of one account of a campaign, which was found, and one that behaves; the decision took so
    /// long.
    fn found(decision_ms: i64) -> Seen {
        let (account, event, verdict) = (AccountId([1; 16]), EventId([2; 16]), VerdictId([3; 16]));
        let mut seen = Seen { events: 2, ..Seen::default() };
        seen.accounts = BTreeMap::from([(account, true), (AccountId([9; 16]), false)]);
        seen.observed_ms.insert(event, 5_000);
        seen.verdicts.insert(verdict, Told { account, tier: Tier::High, events: vec![event] });
        let answered = Answered { verdict, decided_ms: 5_000 + decision_ms, effect_ms: None };
        seen.actions.insert(ActionId([4; 16]), answered);
        seen.ends = FOLDED.map(|topic| ((topic, 0), 7)).into();
        seen.folded = seen.ends.clone();
        seen
    }

    fn told(seen: &Seen, objectives: Objectives) -> Report {
        report("weir-drill-1", seen, Size { lines: 2 }, objectives)
    }

    #[test]
    fn it_passes_where_all_is_folded_and_fails_by_what_took_too_long() {
        let passed = told(&found(900), OBJECTIVES);
        assert_eq!((passed.outcome, passed.unknown.len()), (Outcome::Pass, 0));
        assert_eq!(passed.decision, Some(Times { count: 1, p50_ms: 900, p99_ms: 900 }));
        let late = told(&found(1_001), OBJECTIVES);
        assert_eq!(late.outcome, Outcome::Fail);
        assert_eq!(late.failed.len(), 1);
    }

    #[test]
    fn whichever_stage_has_not_folded_all_of_it_the_result_is_not_known() {
        for topic in FOLDED {
            let mut seen = found(10);
            seen.folded.insert((topic, 0), 6);
            // That nobody was flagged yet is no failure either.
            seen.verdicts.clear();
            let waiting = told(&seen, OBJECTIVES);
            assert_eq!(waiting.outcome, Outcome::Inconclusive, "{topic}");
            assert!(waiting.unknown[0].starts_with("not all "), "{:?}", waiting.unknown);
            seen.folded.remove(&(topic, 0));
            assert_eq!(told(&seen, OBJECTIVES).outcome, Outcome::Inconclusive, "{topic}");
        }
    }

    #[test]
    fn whoever_behaves_and_is_flagged_fails_it_whatever_is_still_to_come() {
        let mut seen = found(10);
        seen.folded.clear();
        let wrong = Told { account: AccountId([9; 16]), tier: Tier::Medium, events: Vec::new() };
        seen.verdicts.insert(VerdictId([8; 16]), wrong);
        assert_eq!(told(&seen, OBJECTIVES).outcome, Outcome::Fail);
        // What cannot be read may say that it was of the campaign.
        seen.unknown = 1;
        assert_eq!(told(&seen, OBJECTIVES).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn it_passes_only_where_as_many_events_are_there_as_it_has_lines() {
        for (events, outcome) in [(1, Outcome::Inconclusive), (2, Outcome::Pass), (3, Outcome::Inconclusive)]
        {
            assert_eq!(told(&Seen { events, ..found(10) }, OBJECTIVES).outcome, outcome, "{events}");
        }
    }

    #[test]
    fn a_time_that_runs_backwards_is_not_known_and_not_short() {
        let backwards = told(&found(-1), OBJECTIVES);
        assert_eq!((backwards.outcome, backwards.decision), (Outcome::Inconclusive, None));
        assert!(backwards.unknown.iter().any(|why| why.starts_with("1 decisions come before")));
    }

    #[test]
    fn effects_that_are_asked_for_and_were_not_carried_out_are_not_soon_enough() {
        let objectives = Objectives { effect_p99_ms_max: Some(500), ..OBJECTIVES };
        let mut seen = found(10);
        assert_eq!(told(&seen, objectives).outcome, Outcome::Inconclusive);
        let mut done = |done_ms| {
            seen.actions.values_mut().for_each(|action| action.effect_ms = Some(done_ms));
            told(&seen, objectives).outcome
        };
        assert_eq!((done(5_510), done(5_511)), (Outcome::Pass, Outcome::Fail));
    }
}

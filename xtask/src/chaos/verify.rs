//! What must hold after any number of faults.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::deployment::Deployment;
use super::outside::{self, Id};

/// Verdicts that are proved one by one.
const PROVED_APART: usize = 20;

/// What a process's log says when one of its tasks takes over what another build recorded.
const ADOPTED: &str = "another judge recorded the last epochs";

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Lines of the feed.
    pub lines: u64,
    /// Events that a stranger sees.
    pub events: u64,
    /// Lines that are no visible event.
    pub lost: u64,
    /// Events visible more than once.
    pub doubled: u64,
    /// Verdicts that a stranger sees.
    pub verdicts: u64,
    /// Verdicts visible more than once.
    pub verdicts_doubled: u64,
    /// Actions that a stranger sees, withheld ones among them.
    pub actions: u64,
    /// Actions that the stub actuator carried out.
    pub effects: u64,
    /// Actions that it was told to carry out more than once.
    pub effects_doubled: u64,
    /// Actions without an audit record of their own.
    pub unaudited: u64,
    /// Audit records.
    pub audit_records: u64,
    /// Verdicts that were decided never or more than once.
    pub decisions_wrong: u64,
    /// Breaks in the sequence of an audit chain.
    pub chain_breaks: u64,
    /// Lines of the enforcers' audit files that are torn, missing or there twice.
    pub audit_lines_wrong: u64,
    /// Whether a replay as recorded gave the bytes of the log.
    pub bytes_equal: bool,
    /// Events of which `weir coverage` proves what became of them.
    pub covered: u64,
    /// Verdicts of which `weir verify` gave the very bytes again.
    pub proven: u64,
    /// Verdicts of which it says that another build judged them: none, where there is one.
    pub unproven: u64,
    /// Times that a task took over what another build had recorded.
    pub adoptions: u64,
    /// Of [`PROVED_APART`] verdicts that were proved one by one, those that came out of a fold from a
    /// checkpoint.
    pub from_checkpoints: u64,
    /// Digest of the lockstep replay of the disturbed log.
    pub digest: String,
    /// Digest of the lockstep replay of the same feed, undisturbed.
    pub digest_undisturbed: String,
    /// What is wrong, in words; empty when all is well.
    pub violations: Vec<String>,
}

/// Looks at everything.
pub fn verify(deployment: &Deployment, lines: u64, recorded: &Value, outputs: &[String]) -> Result<Findings> {
    let mut found = Findings { lines, ..Findings::default() };
    let events = ids(deployment, "events")?;
    found.events = events.values().sum();
    found.lost = lines.saturating_sub(events.len() as u64);
    found.doubled = repeated(&events);
    let verdicts = ids(deployment, "verdicts")?;
    found.verdicts = verdicts.values().sum();
    found.verdicts_doubled = repeated(&verdicts);
    actions_and_audit(deployment, &verdicts, outputs, &mut found)?;

    let (coverage, proofs) = (deployment.coverage()?, deployment.proofs()?);
    found.covered = covered(&coverage["statement"]);
    let count = |name: &str| proofs[name].as_u64().unwrap_or(0);
    if deployment.is_mixed() {
        found.proven = count("proven").saturating_sub(count("different"));
        found.unproven = count("unproven");
        found.adoptions = adoptions(&deployment.home)?;
        found.violations = violations_of_two_builds(&found);
        return Ok(found);
    }
    // One that differs takes away: it must not be made up for by another.
    found.proven = count("proven").saturating_sub(count("different") + count("unproven"));
    found.bytes_equal = recorded["bytes_equal"] == true;
    found.from_checkpoints = from_checkpoints(deployment, &verdicts)?;
    let digest =
        |report: &Value| report["digest"].as_str().map(String::from).context("a replay without a digest");
    found.digest = digest(&deployment.replay("--lockstep")?)?;
    found.digest_undisturbed = digest(&deployment.undisturbed()?)?;
    found.violations = violations(&found, recorded);
    Ok(found)
}

/// What must hold whatever was done, and whoever judged.
fn checks(found: &Findings) -> [(bool, &'static str); 11] {
    [
        (found.events + found.lost == found.lines + found.doubled, "events and lines do not balance"),
        (found.lost == 0, "events were lost"),
        (found.doubled == 0, "events are visible twice"),
        (found.verdicts_doubled == 0, "verdicts are visible twice"),
        (found.covered == found.lines, "the statement of coverage does not balance"),
        (found.effects > 0, "no action was carried out: the run shows nothing of effects"),
        (found.effects_doubled == 0, "effects were doubled"),
        (found.unaudited == 0, "actions have no audit record"),
        (found.decisions_wrong == 0, "verdicts were not decided once each"),
        (found.chain_breaks == 0, "an audit chain has gaps or repetitions"),
        (found.audit_lines_wrong == 0, "the enforcers' audit files are not the audit topic"),
    ]
}

fn told<const N: usize>(checks: [(bool, &'static str); N]) -> impl Iterator<Item = String> {
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what.to_owned())
}

/// What one build recorded the other cannot give again, byte for byte: it says so, and differs in nothing
/// else.
fn violations_of_two_builds(found: &Findings) -> Vec<String> {
    let of_two = [
        (
            found.adoptions > 0,
            "no task took over what another build had recorded: the run shows nothing of upgrades",
        ),
        (found.proven > 0, "this build proves none of its verdicts"),
        (found.proven + found.unproven == found.verdicts, "verdicts differ from what this build recorded"),
    ];
    told(checks(found)).chain(told(of_two)).collect()
}

/// How often the processes' logs say that a task took over from another build.
fn adoptions(home: &Path) -> Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(home)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let text = String::from_utf8_lossy(&text);
            count += text.lines().filter(|line| line.contains(ADOPTED)).count() as u64;
        }
    }
    Ok(count)
}

fn violations(found: &Findings, recorded: &Value) -> Vec<String> {
    let number = |name: &str| recorded[name].as_u64().unwrap_or(u64::MAX);
    let of_one = [
        (number("events") == found.lines, "the replay counts other events than there are lines"),
        (number("judged") == found.lines && number("dlq") == 0, "not every event was judged"),
        (number("in_flight") == 0, "events are in the log and in no epoch"),
        (found.bytes_equal, "the replay as recorded gives other bytes"),
        (found.verdicts > 0 && number("verdicts") == found.verdicts, "the replay gives other verdicts"),
        (found.proven == found.verdicts, "not every verdict can be proved"),
        // The first verdicts of a partition may lie before its first checkpoint.
        (found.from_checkpoints * 2 > PROVED_APART as u64, "verdicts are not proved from checkpoints"),
        (found.digest == found.digest_undisturbed, "lockstep gives another digest than undisturbed"),
    ];
    told(checks(found)).chain(told(of_one)).collect()
}

/// Events that a statement accounts for; none when it does not balance or leaves events in flight.
pub fn covered(statement: &Value) -> u64 {
    let count = |name: &str| statement[name].as_u64().unwrap_or(0);
    let is_whole = statement["balance"] == "balanced" && statement["in_flight"] == 0;
    if is_whole { count("judged") + count("dead_lettered") } else { 0 }
}

/// How many verdicts of a sample are proved from a checkpoint.
fn from_checkpoints(deployment: &Deployment, verdicts: &HashMap<Id, u64>) -> Result<u64> {
    let ids: BTreeSet<String> =
        verdicts.keys().map(|id| format!("{:032x}", u128::from_be_bytes(*id))).collect();
    let mut proved = 0;
    // Ids are hashes: the first of them are anywhere in the log.
    for id in ids.iter().take(PROVED_APART) {
        let proof = deployment.proof(id)?;
        let is_proved = proof["proven"] == 1 && proof["different"] == 0;
        let folded_after = proof["findings"][0]["folded_after"].as_i64();
        proved += u64::from(is_proved && folded_after > Some(0));
    }
    Ok(proved)
}

/// How often each id is visible.
fn ids(deployment: &Deployment, topic: &str) -> Result<HashMap<Id, u64>> {
    let mut seen = HashMap::new();
    outside::read(&deployment.brokers, &deployment.topic(topic), |value| {
        *seen.entry(outside::id(value)?).or_default() += 1;
        Ok(())
    })?;
    Ok(seen)
}

fn repeated<K>(seen: &HashMap<K, u64>) -> u64 {
    seen.values().map(|times| times - 1).sum()
}

/// The states that decisions put an action in, by their place in the schema's list.
const WITHHELD: i64 = 0;
const PENDING: i64 = 1;

fn actions_and_audit(
    deployment: &Deployment,
    verdicts: &HashMap<Id, u64>,
    outputs: &[String],
    found: &mut Findings,
) -> Result<()> {
    // The stub actuator: carries out what it is told, and writes down by id how often.
    let (mut actions, mut effects) = (HashMap::<Id, u64>::new(), HashMap::<Id, u64>::new());
    // An action has many transitions, and each of them once.
    let mut transitions = HashMap::<(Id, i64), u64>::new();
    outside::read(&deployment.brokers, &deployment.topic("actions"), |value| {
        let action = outside::action(value)?;
        *transitions.entry((action.id, action.state)).or_default() += 1;
        if matches!(action.state, WITHHELD | PENDING) {
            *actions.entry(action.id).or_default() += 1;
        }
        if action.state == PENDING {
            *effects.entry(action.id).or_default() += 1;
        }
        Ok(())
    })?;
    found.actions = actions.values().sum();
    found.effects = effects.values().sum();
    found.effects_doubled = repeated(&effects) + repeated(&actions) + repeated(&transitions);

    let mut records = Vec::new();
    outside::read(&deployment.brokers, &deployment.topic("audit"), |value| {
        records.push(outside::audit(value)?);
        Ok(())
    })?;
    found.audit_records = records.len() as u64;
    let mut chains = BTreeMap::<&str, Vec<i64>>::new();
    let mut decided = HashMap::<Id, HashMap<Option<Id>, u64>>::new();
    for record in &records {
        chains.entry(&record.writer).or_default().push(record.sequence);
        if let Some(verdict) = record.verdict.filter(|_| record.is_decision) {
            *decided.entry(verdict).or_default().entry(record.action).or_default() += 1;
        }
    }
    // A topic of one partition has every chain in order; of several tenants' it may not.
    found.chain_breaks = chains.values_mut().map(|chain| breaks(chain)).sum();
    let is_decided_once = |verdict: &Id| {
        decided.get(verdict).is_some_and(|of| {
            of.values().all(|times| *times == 1) && !(of.len() > 1 && of.contains_key(&None))
        })
    };
    found.decisions_wrong = verdicts.keys().filter(|verdict| !is_decided_once(verdict)).count() as u64
        + decided.keys().filter(|verdict| !verdicts.contains_key(*verdict)).count() as u64;
    let audited: HashSet<Id> = records.iter().filter_map(|record| record.action).collect();
    found.unaudited = actions.keys().filter(|id| !audited.contains(*id)).count() as u64;

    let expected: HashSet<(String, i64)> =
        records.iter().map(|record| (record.writer.clone(), record.sequence)).collect();
    for output in outputs {
        found.audit_lines_wrong +=
            wrong_lines(&deployment.output(output).join("audit_log.jsonl"), &expected)?;
    }
    Ok(())
}

/// How often a chain's numbers do not follow each other from 1.
fn breaks(chain: &mut [i64]) -> u64 {
    chain.sort_unstable();
    chain.iter().zip(1..).filter(|(sequence, expected)| *sequence != expected).count() as u64
}

/// Lines that are torn, unknown or repeated, and records without a line.
fn wrong_lines(path: &Path, expected: &HashSet<(String, i64)>) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(text.ends_with('\n'), "{} ends in half a line", path.display());
    let (mut seen, mut wrong) = (HashSet::new(), 0);
    for line in text.lines() {
        let parsed: Option<Value> = serde_json::from_str(line).ok();
        let place =
            parsed.and_then(|line| Some((line["writer"].as_str()?.to_owned(), line["sequence"].as_i64()?)));
        let is_right = place.is_some_and(|place| expected.contains(&place) && seen.insert(place));
        wrong += u64::from(!is_right);
    }
    Ok(wrong + (expected.len() - seen.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_breaks_where_a_number_is_missing_or_there_twice() {
        assert_eq!(breaks(&mut [3, 1, 2]), 0);
        assert_eq!(breaks(&mut [1, 2, 4]), 1);
        assert_eq!(breaks(&mut [1, 2, 2]), 1);
    }

    #[test]
    fn lines_are_wrong_when_torn_repeated_unknown_or_missing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("audit_log.jsonl");
        let expected: HashSet<_> = [("a".to_owned(), 1), ("a".to_owned(), 2)].into();
        let wrong = |text: &str| {
            fs::write(&path, text).unwrap();
            wrong_lines(&path, &expected).unwrap()
        };
        let [first, second] = [1, 2].map(|n| format!("{{\"writer\":\"a\",\"sequence\":{n}}}\n"));
        assert_eq!(wrong(&format!("{first}{second}")), 0);
        assert_eq!(wrong(&first), 1, "missing");
        assert_eq!(wrong(&format!("{first}{second}{second}")), 1, "repeated");
        assert_eq!(wrong(&format!("{first}{second}{{\"wri\n")), 1, "torn");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let recorded = serde_json::json!({"events": 2, "judged": 2, "dlq": 0, "in_flight": 0, "verdicts": 1});
        let well = Findings {
            lines: 2,
            events: 2,
            verdicts: 1,
            effects: 1,
            covered: 2,
            proven: 1,
            from_checkpoints: PROVED_APART as u64,
            bytes_equal: true,
            ..Findings::default()
        };
        assert_eq!(violations(&well, &recorded), Vec::<String>::new());
        let lost = Findings { events: 1, lost: 1, ..well };
        assert_eq!(violations(&lost, &recorded), ["events were lost"]);
    }
}

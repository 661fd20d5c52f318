//! What a seed's customers do, what its operators say, and what is wrong with its records. Drawn
//! apart from the faults, so that a run without faults folds the same events.

use crate::random::Random;
use std::fmt::Write as _;
use weir_collector::{LineKey, Mode, Pseudonymizer};
use weir_enforcer::age::AGE_NAME;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Body, Control, ControlKind, Event, EventId, Link, LinkKind, Request, ValueHash,
};
use weir_topology::record::Output;
use weir_topology::topic::Topic;

/// Event time of a workload's first event, in milliseconds since the Unix epoch.
pub const START_MS: i64 = 1_793_491_200_000;

/// What collectors make pseudonyms and the ids of events with.
pub const PSEUDONYM_KEY: [u8; 32] = [3; 32];

/// What collectors believe the time to be: after every event.
pub const COLLECTED_MS: i64 = START_MS + 400 * DAY_MS;

/// Id of an audit key that a control record may move the chains to.
pub const SECOND_KEY: &str = "sim-2";

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// In so many of a thousand worlds a program runs accounts side by side, long enough to be put together.
const SWARM_PERMILLE: u64 = 300;
const SWARM_ACCOUNTS: u64 = 3;
const SWARM_ROUNDS: u64 = 30;

/// One access log.
pub struct Source {
    /// Name of the source.
    pub name: String,
    /// Its content.
    pub text: String,
    /// Whether it is followed while it grows, or an old log that is imported.
    pub mode: Mode,
    /// Ids of the events that its lines become, in order.
    pub events: Vec<EventId>,
    /// Lines that do not become events.
    pub refused: u64,
}

/// Everything that comes from outside.
pub struct Workload {
    /// Partitions of shared topics.
    pub partitions: u32,
    /// The policy that tasks begin with.
    pub policy: Policy,
    /// Accounts and values that a task remembers; none for all.
    pub entries_max: Option<usize>,
    /// Access logs.
    pub sources: Vec<Source>,
    /// Operators' words, in order.
    pub controls: Vec<Output>,
    /// Records that somebody else wrote, in order.
    pub poison: Vec<Output>,
    /// Whether there is poison among verdicts, which a replay of them would stumble over.
    pub has_poisoned_verdicts: bool,
}

impl Workload {
    /// The workload of a seed.
    pub fn draw(random: &mut Random, wire: &Wire) -> Self {
        let source_count = random.between(1, 3);
        let accounts = random.between(3, 16);
        let campaign = random.between(2, 5);
        let sources =
            (0..source_count).map(|number| source(random, number, source_count, accounts, campaign));
        let sources = sources.collect();
        let has_poisoned_verdicts = random.chance(250);
        // Apart from the other choices, so that seeds of before mean what they meant.
        let acts_from_the_start = random.clone().chance(800);
        let mut controls: Vec<Output> = (0..random.below(8)).map(|_| control(random, wire)).collect();
        if acts_from_the_start {
            controls.insert(0, told(wire, ControlKind::Posture, "posture", "enforce".into()));
        }
        let poison = (0..random.below(10)).map(|_| poison(random, wire, has_poisoned_verdicts)).collect();
        Self {
            partitions: random.between(1, 3) as u32,
            policy: Policy::parse(&policy_text(0)).unwrap_or_else(|_| Policy::builtin()),
            entries_max: random.chance(300).then(|| random.between(1, 6) as usize),
            sources,
            controls,
            poison,
            has_poisoned_verdicts,
        }
    }
}

/// A policy that speaks early and often, so that a few events make verdicts of every tier.
fn policy_text(version: u64) -> String {
    let mut text = Policy::builtin_text()
        .replace("version = \"builtin-10\"", &format!("version = \"sim-{version}\""))
        .replace("prior_nats = -6.75", "prior_nats = 0.5")
        .replace("alone_nats = 13.8", "alone_nats = 0.0")
        .replace("speaks_from_nats = 0.5", "speaks_from_nats = 0.05")
        .replace("medium_s = 3600", "medium_s = 60")
        .replace("high_s = 1800", "high_s = 20")
        .replace("critical_s = 900", "critical_s = 0");
    if version > 1 {
        text = text.replace("medium = 0.35", "medium = 0.05").replace("high = 0.55", "high = 0.3");
    }
    match version {
        0..=2 => text,
        3 => {
            text.replace("critical = 0.72", "critical = 0.45").replace("prior_nats = 0.5", "prior_nats = 2.5")
        }
        // Whom it judges otherwise than the one before are the customers of others: there are none.
        _ => text + "\n[tenants.default]\ntiers.critical = 0.45\nfusion.prior_nats = 2.5\n",
    }
}

fn source(random: &mut Random, number: u64, of: u64, accounts: u64, campaign: u64) -> Source {
    let name = format!("gateway-{number}");
    let key = LineKey::new(&Pseudonymizer::new(PSEUDONYM_KEY, 1));
    let (mut text, mut events, mut refused) = (String::new(), Vec::new(), 0);
    let skew_ms = if random.chance(300) { random.below(4 * HOUR_MS as u64) as i64 - 2 * HOUR_MS } else { 0 };
    let late_permille = random.below(200);
    let leap_permille = random.below(15);
    let mut time_ms = START_MS + skew_ms;
    // An account's events come from one source, so that their order does not depend on the run.
    let mine: Vec<u64> = (0..accounts).filter(|account| account % of == number).collect();
    for line in 0..random.between(10, 60) {
        if random.chance(30) {
            refused += 1;
            let lines = ["not json", "{\"time\":1}", "{\"id\":\"x\",\"account\":", "{\"account\":\"x\"}"];
            // No two are alike: a file that begins as another one that was read before is taken for its copy.
            let _ = writeln!(text, "{}{number}-{line}", random.pick::<&str>(&lines));
            continue;
        }
        let Some(account) = (!mine.is_empty()).then(|| *random.pick(&mine)) else { break };
        time_ms += random.below(40_000) as i64;
        if random.chance(leap_permille) {
            time_ms += random.between(1, 60) as i64 * HOUR_MS;
        }
        let late_ms = if random.chance(late_permille) { random.below(6 * HOUR_MS as u64) as i64 } else { 0 };
        let id = format!("{number}-{line}");
        let start = text.len();
        write_line(&mut text, random, &id, time_ms - late_ms, account, account < campaign);
        // The id of the exchange makes each line the only one of its kind.
        events.push(key.event_id(key.hash(text[start..].trim_end().as_bytes()), 0));
    }
    // Apart from the other choices, so that seeds of before mean what they meant.
    let mut swarm = random.clone();
    if number == 0 && swarm.chance(SWARM_PERMILLE) {
        for line in 0..SWARM_ACCOUNTS * SWARM_ROUNDS {
            time_ms += 700;
            let (id, account) = (format!("{number}-swarm-{line}"), 1_000 + line % SWARM_ACCOUNTS);
            let start = text.len();
            write_line(&mut text, &mut swarm, &id, time_ms, account, true);
            events.push(key.event_id(key.hash(text[start..].trim_end().as_bytes()), 0));
        }
    }
    // This one too.
    let mode = if random.clone().chance(200) { Mode::Import } else { Mode::Tail };
    Source { name, text, mode, events, refused }
}

fn write_line(
    text: &mut String,
    random: &mut Random,
    id: &str,
    time_ms: i64,
    account: u64,
    is_campaign: bool,
) {
    let (payment, prompt, agent) = match is_campaign {
        true => (
            "shared".to_owned(),
            "Think step by step and show all of your reasoning. Problem",
            "OpenAI/Python 3.52.0",
        ),
        false => (format!("own-{account}"), "Please shorten this note about tax forms", "node-fetch"),
    };
    let (number, model) = (random.below(1_000), random.between(1, 2));
    let _ = writeln!(
        text,
        "{{\"id\":\"{id}\",\"time\":{time_ms},\"account\":\"acct-{account}\",\"ip\":\"10.0.{account}.1\",\
         \"user_agent\":\"{agent}\",\"endpoint\":\"/v1/chat/completions\",\"model\":\"atlas-{model}\",\
         \"system_prompt\":\"You are a tutor ({payment}).\",\"prompt\":\"{prompt} {number}.\",\"max_tokens\":4096,\
         \"status\":200,\"latency_ms\":900,\"payment\":\"{payment}\",\"asn\":64500,\"asn_org\":\"Example Hosting\"}}"
    );
}

fn control(random: &mut Random, wire: &Wire) -> Output {
    let (kind, name, body) = match random.below(12) {
        0 => (ControlKind::Policy, "policy", "version = 1".to_owned()),
        1..=4 => (ControlKind::Policy, "policy", policy_text(random.below(5))),
        5 if random.clone().chance(500) => (ControlKind::Setting, AGE_NAME, "3600000".to_owned()),
        5 => (ControlKind::Posture, "posture", "ENFORCE".to_owned()),
        6 | 7 => (ControlKind::Posture, "posture", "enforce".to_owned()),
        8 => (ControlKind::Posture, "posture", format!("canary {}", random.below(101))),
        9 => (ControlKind::Key, "audit-key", (*random.pick(&[SECOND_KEY, "sim-1", "unknown"])).to_owned()),
        10 => {
            let name: &[u8] = if random.chance(500) { b"posture" } else { b"policy" };
            return Output::tombstone(Topic::Control, name.to_vec(), START_MS);
        }
        _ => {
            let garbage = vec![0xff; 9];
            return Output::keyed(Topic::Control, b"policy".to_vec(), garbage, START_MS);
        }
    };
    told(wire, kind, name, body)
}

fn told(wire: &Wire, kind: ControlKind, name: &str, body: String) -> Output {
    let control = Control {
        name: name.into(),
        kind,
        version: "1".into(),
        author: "operator".into(),
        time_ms: START_MS,
        body,
    };
    Output::keyed(Topic::Control, name.as_bytes().to_vec(), wire.to_bytes(&control), START_MS)
}

/// A record that no Weir writes, or that says what cannot be.
fn poison(random: &mut Random, wire: &Wire, also_verdicts: bool) -> Output {
    let number = random.below(u64::MAX);
    let stranger = AccountId((u128::from(number) | 1 << 127).to_be_bytes());
    let topics: &[Topic] = match also_verdicts {
        true => &[Topic::Events, Topic::Links, Topic::Clusters, Topic::Verdicts],
        false => &[Topic::Events, Topic::Links, Topic::Clusters],
    };
    let topic = match *random.pick(topics) {
        Topic::Clusters if random.clone().chance(300) => Topic::Outcomes,
        Topic::Links if random.clone().chance(300) => Topic::Members,
        topic => topic,
    };
    let event = |account: AccountId, time_ms: i64| {
        let body = Body::Request(Request::default());
        wire.to_bytes(&Event {
            account,
            time_ms,
            tenant: "t",
            sample_weight: 1,
            sampling: 1,
            body,
            ..Event::default()
        })
    };
    let key = stranger.to_key();
    let payload = match random.below(6) {
        0 => return Output::tombstone(topic, key, START_MS),
        1 => vec![number as u8; random.below(40) as usize],
        // A frame that names a registry id which nobody knows.
        2 => vec![0, 0, 0, 9, 9, 1, 2, 3],
        // A record of another topic.
        3 => wire.to_bytes(&Link { kind: LinkKind::Payment, value: ValueHash([7; 16]), ..Link::default() }),
        // An event whose key is another account, and one from before the beginning of time.
        4 => event(AccountId([9; 16]), START_MS),
        _ => event(stranger, -5),
    };
    Output::keyed(topic, key, payload, START_MS)
}

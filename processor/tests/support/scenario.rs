//! The scenario language. One line tells what one account, or `x12` of them, do:
//!
//! ```text
//! mirror-$ x12 every=2s for=10m payment=card template=reason text=problem-# phrases=0x3 model=atlas-1
//! ```
//!
//! `$` is the account's number, `#` the request's, and `@` the request's among twelve that come again.
//! `every=person` pauses as people do, `every=agent` as one does whose agent works for him, `every=drip`
//! about once an hour. `opening=` is how the prompt begins, where that is not its template's. `from=5m`
//! starts later, `late=90s` makes every tenth event arrive that much after its time, `model=a|b` takes turns,
//! `then=m@5m` changes the model for good, `refused=3` means that every third answer is a refusal and arrives
//! as an event of its own. `tenant=` is whose customers they are. What a line does not say, the events do not
//! have.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use weir_schemas::wire::Wire;
use weir_schemas::{
    AccountId, Body, Event, EventId, HeaderFeatures, Outcome, PromptFeatures, Request, Response, ValueHash,
};

/// When every scenario starts, an even hour.
pub const START_MS: i64 = 1_767_700_800_000;

const PERSON_S: [i64; 9] = [3, 60, 8, 240, 5, 12, 4, 300, 21];

const AGENT_S: [i64; 13] = [2, 5, 9, 3, 7, 4, 600, 3, 8, 2, 45, 6, 2_700];

const DRIP_S: [i64; 11] = [3_600, 4_900, 2_800, 3_300, 4_200, 2_500, 5_300, 3_900, 3_100, 4_500, 2_900];

/// An event on its way to the pipeline.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When it arrives, which decides its epoch.
    pub arrival_ms: i64,
    /// Who did it.
    pub account: AccountId,
    /// The framed record.
    pub payload: Vec<u8>,
}

/// The events of a scenario in order of arrival, and the names of its accounts.
pub struct Scenario {
    pub arrivals: Vec<Arrival>,
    pub names: BTreeMap<AccountId, String>,
}

fn digest(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// `90s`, `10m` or `3h` in milliseconds.
fn span_ms(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: i64 = number.parse().unwrap_or_else(|_| panic!("{text} is not a span"));
    number
        * match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => panic!("{text} is not a span"),
        }
}

pub fn parse(text: &str) -> Scenario {
    let mut scenario = Scenario { arrivals: Vec::new(), names: BTreeMap::new() };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let (mut count, mut fields) = (1, BTreeMap::new());
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => drop(fields.insert(key, value)),
                None => count = word.trim_start_matches('x').parse().expect("xN or key=value"),
            }
        }
        for number in 1..=count {
            act(&mut scenario, &name.replace('$', &number.to_string()), number, &fields);
        }
    }
    scenario.arrivals.sort_by_key(|arrival| arrival.arrival_ms);
    scenario
}

fn act(scenario: &mut Scenario, name: &str, number: usize, fields: &BTreeMap<&str, &str>) {
    let account = AccountId(digest(name));
    scenario.names.insert(account, name.to_owned());
    let wire = Wire::new();
    let (every, length_ms) = (fields["every"].replace('$', &number.to_string()), span_ms(fields["for"]));
    let late_ms = fields.get("late").map_or(0, |late| span_ms(late));
    let refused_every: usize = fields.get("refused").map_or(usize::MAX, |every| every.parse().unwrap());
    // Accounts of a group do not move in step.
    let start_ms = START_MS
        + fields.get("from").map_or(0, |from| span_ms(&from.replace('$', &number.to_string())))
        + (number as i64 * 137) % 1_000;
    let (mut at_ms, mut index) = (0, 0usize);
    while at_ms < length_ms {
        let time_ms = start_ms + at_ms;
        let value = |key: &str| {
            let text = fields
                .get(key)?
                .replace('$', &number.to_string())
                .replace('#', &index.to_string())
                .replace('@', &(index % 12).to_string());
            let turns: Vec<&str> = text.split('|').collect();
            // Turns are of uneven length, as people take them.
            Some(turns[(index / 4 + index / 7) % turns.len()].replace('_', " "))
        };
        let hash = |key: &str| value(key).map(|text| ValueHash(digest(&format!("{key} {text}"))));
        let mut model = value("model");
        if let Some((new, from)) = fields.get("then").and_then(|then| then.split_once('@'))
            && at_ms >= span_ms(from)
        {
            model = Some(new.to_owned());
        }
        let (agent, organisation, h2) = (value("ua"), value("asn"), value("h2"));
        // Its parts are parted as they are, by underscores.
        let ja4 = value("ja4").map(|ja4| ja4.replace(' ', "_"));
        let prompt = value("template").map(|template| {
            // As long as it says, or as the text's name.
            let length = value("bytes").map_or_else(
                || value("text").unwrap_or_else(|| template.clone()).len() as i32,
                |bytes| bytes.parse().unwrap(),
            );
            PromptFeatures {
                text_hash: ValueHash(digest(&value("text").unwrap_or_else(|| template.clone()))),
                template_hash: ValueHash(digest(&format!("template {template}"))),
                head_hash: ValueHash(digest(&format!(
                    "head {}",
                    value("opening").as_ref().unwrap_or(&template)
                ))),
                bytes: length,
                chars: length,
                phrases: value("phrases").map_or(0, |bits| i64::from_str_radix(&bits[2..], 16).unwrap()),
                ..Default::default()
            }
        });
        let request = Request {
            model: model.as_deref(),
            user_agent: agent.as_deref(),
            asn_org: organisation.as_deref(),
            ja4: ja4.as_deref(),
            h2: h2.as_deref(),
            payment: hash("payment"),
            org: hash("org"),
            subnet: hash("subnet"),
            preamble: hash("preamble"),
            headers: value("headers").map(|order| HeaderFeatures {
                order_hash: i64::from_le_bytes(digest(&order)[..8].try_into().unwrap()),
                browser_affinity_permille: if order == "browser" { 900 } else { 200 },
                has_accept_language: order == "browser",
                has_accept_encoding: true,
                ..Default::default()
            }),
            prompt,
            max_tokens: value("limit").map(|limit| limit.parse().unwrap()),
            ..Default::default()
        };
        let arrival_ms = time_ms + if index % 10 == 9 { late_ms } else { 0 };
        let mut push = |arrival_ms, time_ms, part: &str, body| {
            let event = Event {
                event_id: EventId(digest(&format!("{name} {index} {part}"))),
                time_ms,
                observed_ms: arrival_ms,
                tenant: fields.get("tenant").copied().unwrap_or("acme"),
                account,
                sample_weight: 1,
                sampling: 1,
                body,
                ..Default::default()
            };
            scenario.arrivals.push(Arrival { arrival_ms, account, payload: wire.to_bytes(&event) });
        };
        push(arrival_ms, time_ms, "request", Body::Request(request));
        if fields.contains_key("refused") {
            let outcome = Outcome { refused: index % refused_every == 0, ..Default::default() };
            let response = Body::Response(Response { request: None, outcome });
            push(arrival_ms + 40, time_ms + 40, "response", response);
        }
        // Everybody has a rhythm of their own.
        let turn = |paces: &[i64]| 1_000 * paces[(index * (number % 4 + 1) + number) % paces.len()];
        at_ms += match &every[..] {
            "person" => turn(&PERSON_S),
            "agent" => turn(&AGENT_S),
            "drip" => turn(&DRIP_S),
            every => span_ms(every),
        };
        index += 1;
    }
}

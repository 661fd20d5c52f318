//! The account stage against records good and bad.

use super::*;
use crate::campaign::CampaignStage;
use crate::cluster::ClusterStage;
use crate::fixture::{START_MS, cluster, event, hash, prompt};
use crate::in_force::POLICY_KEY;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use weir_schemas::bundle::{self, Bundle, Header};
use weir_schemas::{Control, ControlKind, DeadLetter, LinkKind, Outcome, Request, Response, Verdict};
use weir_topology::record::{LABEL_HEADER, Records};

const HOUR_MS: i64 = 3_600_000;

/// When the log took the records: long after everything that they tell of.
const LOG_MS: i64 = START_MS + 365 * 24 * HOUR_MS;

fn stage() -> AccountStage {
    AccountStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()))
}

/// A stage whose policy suspects everybody, so that events alone make verdicts.
fn eager() -> AccountStage {
    let text = Policy::builtin().text;
    let eager = text
        .replace("prior_nats = -6.75", "prior_nats = 3.0")
        .replace("alone_nats = 13.8", "alone_nats = 0.0");
    AccountStage::new(Arc::new(Wire::new()), Arc::new(Policy::parse(&eager).unwrap()))
}

fn batch(topic: Topic, clock_ms: i64, records: Vec<(Vec<u8>, Vec<u8>)>) -> Batch {
    let mut batch = Records::default();
    for (offset, (key, payload)) in records.into_iter().enumerate() {
        batch.push(offset as i64, LOG_MS, &key, Some(&payload), []);
    }
    Batch {
        epoch: 1,
        partition: 3,
        clock_ms,
        taken_ms: None,
        inputs: vec![InputBatch { topic, partition: 3, records: batch }],
    }
}

fn framed(event: &Event<'_>) -> (Vec<u8>, Vec<u8>) {
    (event.account.to_key(), Wire::new().to_bytes(event))
}

fn elicits(index: usize) -> Request<'static> {
    Request {
        prompt: Some(prompt("reason", &format!("problem {index}"), 1)),
        payment: Some(hash("card")),
        max_tokens: Some(4_096),
        ..Default::default()
    }
}

fn campaign(account: &str, from_ms: i64, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count).map(|index| framed(&event(account, from_ms + index as i64 * 2_000, elicits(index)))).collect()
}

fn step_events(stage: &mut AccountStage, records: Vec<(Vec<u8>, Vec<u8>)>) -> Effects {
    stage.step(&batch(Topic::Events, START_MS, records))
}

fn of(effects: &Effects, topic: Topic) -> Vec<&Output> {
    effects.outputs.iter().filter(|output| output.topic == topic).collect()
}

/// The cluster stage's word that eleven others who pay by the same card do what the account does.
fn kin(account: &str, time_ms: i64) -> (Vec<u8>, Vec<u8>) {
    let account = AccountId(hash(account).0);
    let word = Cluster { account, tenant: "acme".into(), time_ms, ..cluster(LinkKind::Payment, "card", 12) };
    (account.to_key(), Wire::new().to_bytes(&word))
}

/// Folds an account's requests, and then the cluster stage's word on it.
fn step_told(stage: &mut AccountStage, account: &str, from_ms: i64, count: usize) -> Effects {
    step_events(stage, campaign(account, from_ms, count));
    stage.step(&batch(Topic::Clusters, START_MS, vec![kin(account, from_ms + 1)]))
}

fn verdicts(effects: &Effects) -> Vec<Verdict> {
    let read = |output: &&Output| Wire::new().read(output.payload.as_ref().unwrap()).unwrap();
    of(effects, Topic::Verdicts).iter().map(read).collect()
}

/// Steps one bad record between two good ones and describes the dead letter.
fn check_refused(key: Vec<u8>, payload: Vec<u8>, expected: Expect) {
    let good = framed(&event("good", START_MS, Request::default()));
    let effects = step_events(&mut stage(), vec![good.clone(), (key.clone(), payload.clone()), good]);
    assert_eq!((effects.judged, effects.dead_lettered), (2, 1));
    let letters = of(&effects, Topic::Dlq);
    let letter: DeadLetter = Wire::new().read(letters[0].payload.as_ref().unwrap()).unwrap();
    assert_eq!((&letter.payload, &letters[0].key, letters[0].partition), (&payload, &key, Some(3)));
    let headers = letters[0].headers.iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
    expected.assert_eq(&format!("{}: {}\n{}", letter.kind, letter.reason, headers.join(" ")));
}

#[test]
fn bytes_that_are_no_record_go_to_the_dead_letters_untouched() {
    check_refused(
        b"key".to_vec(),
        b"\xff\xfenonsense".to_vec(),
        expect![[r#"
            UNDECODABLE: the record has neither a single-object nor a Confluent frame
            weir-dlq-kind=UNDECODABLE weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema="#]],
    );
}

#[test]
fn a_truncated_event_goes_to_the_dead_letters() {
    let (key, mut payload) = framed(&event("a", START_MS, Request::default()));
    payload.truncate(30);
    check_refused(
        key,
        payload,
        expect![[r#"
            UNDECODABLE: the record does not fit its schema: the record ends inside Event.time_ms
            weir-dlq-kind=UNDECODABLE weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema=3a044542126e2784"#]],
    );
}

#[test]
fn an_unknown_schema_goes_to_the_dead_letters() {
    let payload = vec![0, 0, 0, 0, 77, 1, 2, 3];
    check_refused(
        b"key".to_vec(),
        payload,
        expect![[r#"
            UNKNOWN_SCHEMA: the record is written with registry schema 77, which this build does not know
            weir-dlq-kind=UNKNOWN_SCHEMA weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema=77"#]],
    );
}

#[test]
fn an_event_under_another_accounts_key_is_impossible() {
    let (_, payload) = framed(&event("a", START_MS, Request::default()));
    check_refused(
        AccountId(hash("b").0).to_key(),
        payload,
        expect![[r#"
            IMPOSSIBLE: the record's key is not its account
            weir-dlq-kind=IMPOSSIBLE weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema=3a044542126e2784"#]],
    );
}

#[test]
fn an_event_from_before_time_or_of_nobody_is_impossible() {
    let (key, payload) = framed(&event("a", 0, Request::default()));
    check_refused(
        key,
        payload,
        expect![[r#"
            IMPOSSIBLE: the time is before 1970 or after the year 9999
            weir-dlq-kind=IMPOSSIBLE weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema=3a044542126e2784"#]],
    );
    let (key, payload) = framed(&event("a", i64::MAX, Request::default()));
    check_refused(
        key,
        payload,
        expect![[r#"
            IMPOSSIBLE: the time is before 1970 or after the year 9999
            weir-dlq-kind=IMPOSSIBLE weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema=3a044542126e2784"#]],
    );
    let nobody = Event { account: AccountId::default(), ..event("a", START_MS, Request::default()) };
    let (key, payload) = framed(&nobody);
    check_refused(
        key,
        payload,
        expect![[r#"
            IMPOSSIBLE: the account id is zero
            weir-dlq-kind=IMPOSSIBLE weir-dlq-origin-topic=weir.events weir-dlq-origin-partition=3 weir-dlq-origin-offset=1 weir-dlq-origin-timestamp=1799236000000 weir-dlq-schema=3a044542126e2784"#]],
    );
}

#[test]
fn an_event_of_next_year_is_refused_and_makes_nobody_look_idle() {
    let mut stage = stage();
    step_events(&mut stage, campaign("a", LOG_MS, 10));
    let on_time = |stage: &mut AccountStage, time_ms| {
        step_events(stage, vec![framed(&event("b", time_ms, Request::default()))])
    };
    let latest = on_time(&mut stage, LOG_MS + AHEAD_MAX_MS);
    assert_eq!((latest.judged, latest.clock_ms), (1, LOG_MS + AHEAD_MAX_MS));
    let ahead = on_time(&mut stage, LOG_MS + AHEAD_MAX_MS + 365 * 24 * HOUR_MS);
    let letter: DeadLetter = Wire::new().read(ahead.outputs[0].payload.as_ref().unwrap()).unwrap();
    expect!["FUTURE_TIME: the time is 8784 h ahead of the log's: check the clock of the node that sensed it. It can be requeued when that time has come"].assert_eq(&format!("{}: {}", letter.kind, letter.reason));
    assert_eq!((ahead.judged, ahead.dead_lettered, ahead.clock_ms), (0, 1, START_MS));
    // With the clock as far ahead as it can come, who spoke a moment ago is still known.
    let next =
        Batch { clock_ms: latest.clock_ms, ..batch(Topic::Events, 0, campaign("a", LOG_MS + HOUR_MS, 1)) };
    let effects = stage.step(&next);
    assert_eq!((effects.tallies, stage.entries()), (Vec::new(), 2));
}

#[test]
fn a_record_too_large_for_a_letter_is_named_but_not_copied() {
    let payload = vec![7; weir_topology::limits::RECORD_BYTES_MAX];
    let effects = step_events(&mut stage(), vec![(b"key".to_vec(), payload)]);
    let letters = of(&effects, Topic::Dlq);
    let letter: DeadLetter = Wire::new().read(letters[0].payload.as_ref().unwrap()).unwrap();
    assert_eq!((letter.payload.len(), letter.length), (0, 1_000_000));
}

#[test]
fn a_verdict_says_what_it_rests_on() {
    let mut stage = stage();
    let effects = step_told(&mut stage, "a", START_MS, 80);
    let spoken = verdicts(&effects);
    let verdict = &spoken[0];
    let events: Vec<_> = (0..80)
        .map(|index| event("a", START_MS + index * 2_000, Request::default()).event_id)
        .filter(|id| verdict.events.contains(id))
        .collect();
    assert_eq!(events, verdict.events, "in order, oldest first");
    assert_eq!(verdict.verdict_id, VerdictIdOf(verdict).id());
    let signal = &verdict.signals[0];
    expect![[r#"acme CRITICAL 0.844 probability 0.997 #1 by kin of kin: 7000 of 7000 millinats, ["alike_by=PAYMENT", "alike_accounts=11.000", "sharing_accounts=12"]; then ["bond 4000", "harvest 2037", "elicitation 1500", "rhythm 0"]; missing ["whale", "probing", "contradiction", "network", "script", "owner", "theme", "opening", "proxies", "payer", "indicator", "disguise"]; 16 events of 80"#]].assert_eq(&format!(
        "{} {} {:.3} probability {:.3} #{} by {} of {}: {} of {} millinats, {:?}; then {:?}; missing {:?}; {} events of {}",
        verdict.tenant,
        verdict.tier,
        verdict.score,
        verdict.probability,
        verdict.sequence,
        signal.detector,
        signal.family,
        signal.millinats,
        signal.millinats_max,
        signal.evidence.iter().map(|e| format!("{}={}", e.name, e.value)).collect::<Vec<_>>(),
        verdict.signals[1..].iter().map(|s| format!("{} {}", s.detector, s.millinats)).collect::<Vec<_>>(),
        verdict.missing,
        verdict.events.len(),
        verdict.event_count,
    ));
}

/// The id that a verdict must have, from its own fields.
struct VerdictIdOf<'a>(&'a Verdict);

impl VerdictIdOf<'_> {
    fn id(&self) -> weir_schemas::VerdictId {
        let verdict = self.0;
        weir_schemas::VerdictId::of(
            &verdict.policy_digest.0,
            verdict.account,
            verdict.sequence,
            &verdict.events,
        )
    }
}

#[test]
fn the_label_changes_nothing() {
    let records = campaign("a", START_MS, 40);
    let plain = step_events(&mut stage(), records.clone());
    let mut labelled = batch(Topic::Events, START_MS, Vec::new());
    for (offset, (key, payload)) in records.iter().enumerate() {
        let label = [(LABEL_HEADER, &b"mirror"[..])];
        labelled.inputs[0].records.push(offset as i64, LOG_MS, key, Some(payload), label);
    }
    assert_eq!(stage().step(&labelled), plain);
}

#[test]
fn a_card_is_told_to_every_shared_value_in_rounds() {
    let effects = step_events(&mut stage(), campaign("a", START_MS, 20));
    let links: Vec<Link> = of(&effects, Topic::Links)
        .iter()
        .map(|output| Wire::new().read(output.payload.as_ref().unwrap()).unwrap())
        .collect();
    let told: Vec<_> = links
        .iter()
        .map(|link| {
            let card = &link.card;
            let second = (link.time_ms - START_MS) / 1_000;
            format!(
                "{} at {second} s: {} requests, {}, {}",
                link.kind, card.requests, card.pause_millinats, card.limit
            )
        })
        .collect();
    expect![[r#"
        PAYMENT at 14 s: 8 requests, 7600, 4096
        TEMPLATE at 14 s: 8 requests, 7600, 4096
        PROGRAM at 14 s: 8 requests, 7600, 4096
        HABIT at 14 s: 8 requests, 7600, 4096
        ORG at 14 s: 8 requests, 7600, 4096
        PAYMENT at 22 s: 12 requests, 7600, 4096
        TEMPLATE at 22 s: 12 requests, 7600, 4096
        PROGRAM at 22 s: 12 requests, 7600, 4096
        HABIT at 22 s: 12 requests, 7600, 4096
        ORG at 22 s: 12 requests, 7600, 4096
        PAYMENT at 34 s: 18 requests, 7600, 4096
        TEMPLATE at 34 s: 18 requests, 7600, 4096
        PROGRAM at 34 s: 18 requests, 7600, 4096
        HABIT at 34 s: 18 requests, 7600, 4096
        ORG at 34 s: 18 requests, 7600, 4096"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(of(&effects, Topic::Links)[0].key, format!("PAYMENT/{}", hash("card")).into_bytes());
}

#[test]
fn responses_move_neither_the_clock_nor_the_pauses() {
    let answered = |with_responses: bool| {
        let mut records = Vec::new();
        for (index, request) in campaign("a", START_MS, 40).into_iter().enumerate() {
            records.push(request);
            let end_ms = START_MS + index as i64 * 2_000 + 700 + (index as i64 % 7) * 90_000;
            let response = Body::Response(Response { request: None, outcome: Outcome::default() });
            let response = Event { body: response, ..event("a", end_ms, Request::default()) };
            if with_responses {
                records.push(framed(&response));
            }
        }
        let mut stage = eager();
        let highest = verdicts(&step_events(&mut stage, records)).iter().map(|verdict| verdict.tier).max();
        let profile = &stage.accounts.change(AccountId(hash("a").0)).unwrap().profile;
        (highest, profile.clock_ms, profile.day.clone(), profile.behaviour.clone())
    };
    assert_eq!(answered(true), answered(false));
    assert_eq!(answered(true).1, START_MS + 39 * 2_000);
}

#[test]
fn a_response_is_not_a_request() {
    let mut records = campaign("a", START_MS, 40);
    let alone = step_events(&mut stage(), records.clone());
    let response = Response { request: None, outcome: Outcome::default() };
    let answer =
        Event { body: Body::Response(response), ..event("a", START_MS + 78_500, Request::default()) };
    records.push(framed(&answer));
    let mut stage = stage();
    let with = step_events(&mut stage, records);
    assert_eq!(verdicts(&with).len(), verdicts(&alone).len());
    let account = stage.accounts.change(AccountId(hash("a").0)).unwrap();
    assert_eq!((account.profile.view().day, account.profile.refused.total()), (40, 1));
    assert_eq!(account.last_event(), Some(answer.event_id));
}

fn policy_record(body: &str) -> (Vec<u8>, Vec<u8>) {
    let control = Control {
        name: "policy".into(),
        kind: ControlKind::Policy,
        version: "x".into(),
        body: body.into(),
        ..Default::default()
    };
    (b"policy".to_vec(), Wire::new().to_bytes(&control))
}

#[test]
fn a_published_policy_judges_from_then_on_and_survives_a_restart() {
    let mut stage = stage();
    let text = Policy::builtin().text.replace("builtin-10", "mine-3");
    let effects = stage.step(&batch(Topic::Control, START_MS, vec![policy_record(&text)]));
    assert_eq!((effects.policy_version.as_str(), effects.judged), ("mine-3", 1));
    let changes = stage.take_changes();
    assert_eq!(changes[0].key, POLICY_KEY);
    let mut again = self::stage();
    again.restore(POLICY_KEY, STATE_FORMAT, changes[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(again.policy(), stage.policy());
}

#[test]
fn a_task_restores_a_policy_that_an_older_build_wrote_before_there_was_a_detector() {
    let text = eager().policy().text.clone();
    let older = text.split("# The operator's own systems").next().unwrap();
    let mut again = stage();
    again.restore(POLICY_KEY, STATE_FORMAT, older.as_bytes()).unwrap();
    assert_eq!(again.policy().text, older);
    let effects = step_events(&mut again, campaign("a", START_MS, 40));
    let spoken = verdicts(&effects);
    assert_eq!((spoken.len(), spoken[0].missing.contains(&"owner".to_owned())), (1, false));
    assert!(
        verdicts(&step_events(&mut eager(), campaign("a", START_MS, 40)))[0]
            .missing
            .contains(&"owner".into())
    );
}

#[test]
fn what_a_detector_cannot_take_back_is_counted_once_and_the_account_is_kept() {
    let mut before = eager();
    step_events(&mut before, campaign("a", START_MS, 40));
    let entry = before.take_changes().remove(0);
    let mut body = entry.body.unwrap();
    // Tag and version of `elicitation`: its section follows the one of `harvest`, which is empty.
    let at = body.windows(4).position(|bytes| bytes == [8, 1, 0, 9]).unwrap() + 4;
    body[at] += 1;
    let mut after = eager();
    after.restore(&entry.key, STATE_FORMAT, &body).unwrap();
    assert_eq!(after.take_losses(), [(Tally::DetectorForgot("elicitation"), 1)]);
    assert_eq!((after.take_losses(), after.entries()), (Vec::new(), 1));
    // Of the same tier it says nothing more, because it knows that it said it.
    let effects = step_events(&mut after, campaign("a", START_MS + 80_000, 1));
    assert_eq!((effects.judged, verdicts(&effects).len()), (1, 0));
}

/// What was signed by these seeds, and published at the time of the tests.
fn bundle(counter: u64, version: &str, seeds: &[[u8; 32]]) -> String {
    let audience = "weir".to_owned();
    let header = Header { counter, audience, issued_s: 0, expires_s: 0, enforces: false };
    let text = Policy::builtin().text.replace("builtin-10", version);
    let mut bundle = Bundle::new(header, text).unwrap();
    seeds.iter().for_each(|seed| bundle.sign(seed));
    bundle.to_text()
}

fn trusting() -> AccountStage {
    let trust = Trust::new("weir", [bundle::public_of(&[1; 32]), bundle::public_of(&[2; 32])]).unwrap();
    stage().trusting(Some(Arc::new(trust)))
}

/// The version in force after a record of control, and what was counted.
fn say(stage: &mut AccountStage, body: &str) -> (String, Vec<(Tally, u64)>) {
    let batch = batch(Topic::Control, START_MS, vec![policy_record(body)]);
    let told = stage.judge(&batch).policy;
    let effects = stage.step(&batch);
    assert_eq!(told, Some(stage.policy().digest), "the epoch record says what is in force");
    (effects.policy_version, effects.tallies)
}

#[test]
fn with_a_trust_store_only_what_is_signed_comes_in_force_and_what_is_refused_is_told() {
    let mut stage = trusting();
    let untrusted = vec![(Tally::PolicyUntrusted, 1)];
    let (plain, signed) = (Policy::builtin().text, bundle(7, "mine-7", &[[1; 32]]));
    assert_eq!(
        say(&mut stage, &plain.replace("builtin-10", "mine-1")),
        ("builtin-10".into(), untrusted.clone())
    );
    assert_eq!(say(&mut stage, &bundle(7, "mine-7", &[[9; 32]])), ("builtin-10".into(), untrusted.clone()));
    assert_eq!(say(&mut stage, &signed), ("mine-7".into(), vec![]));
    // The same again, of another process that is configured alike.
    assert_eq!(say(&mut stage, &signed), ("mine-7".into(), vec![]));
    assert_eq!(say(&mut stage, &bundle(7, "mine-8", &[[1; 32]])), ("mine-7".into(), untrusted.clone()));
    assert_eq!(
        say(&mut stage, &bundle(6, "mine-6", &[[1; 32], [2; 32]])),
        ("mine-7".into(), untrusted.clone())
    );
    let mut batch = batch(Topic::Control, START_MS, vec![policy_record(&plain)]);
    batch.partition = 0;
    let effects = stage.step(&batch);
    let letters = of(&effects, Topic::Dlq);
    let letter: DeadLetter = Wire::new().read(letters[0].payload.as_ref().unwrap()).unwrap();
    assert_eq!(
        letter.reason,
        "the policy is not trusted: it is not signed, and only signed policies are put in force here (`weir policy sign`)"
    );

    // A task that restarts knows how far it had come, and one that cannot read it does not judge on.
    let changes = stage.take_changes();
    let mut again = trusting();
    for entry in &changes {
        again.restore(&entry.key, STATE_FORMAT, entry.body.as_ref().unwrap()).unwrap();
    }
    assert_eq!(again.policy(), stage.policy());
    assert_eq!(say(&mut again, &bundle(7, "mine-8", &[[2; 32]])), ("mine-7".into(), untrusted));
    assert_eq!(say(&mut again, &bundle(8, "mine-8", &[[2; 32]])), ("mine-8".into(), vec![]));
    let counter = &changes.iter().find(|entry| entry.key != POLICY_KEY).unwrap().key;
    let damaged = trusting().restore(counter, STATE_FORMAT, b"").unwrap_err().to_string();
    assert!(damaged.contains("the policy's counter is no number"), "{damaged}");
}

#[test]
fn whoever_trusts_others_judges_otherwise() {
    let trust = |seed: u8| Some(Arc::new(Trust::new("weir", [bundle::public_of(&[seed; 32])]).unwrap()));
    let judge = |trust: Option<Arc<Trust>>| {
        let batch = batch(Topic::Control, START_MS, Vec::new());
        let judges = [
            stage().trusting(trust.clone()).judge(&batch),
            ClusterStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()))
                .trusting(trust.clone())
                .judge(&batch),
            CampaignStage::new(Arc::new(Wire::new()), Arc::new(Policy::builtin()))
                .trusting(trust)
                .judge(&batch),
        ];
        assert!(judges.iter().all(|judge| *judge == judges[0]), "the stages refuse the same policies");
        let [judge, ..] = judges;
        assert_eq!(judge.policy, Some(Policy::builtin().digest));
        judge.trust
    };
    assert_eq!(judge(None), None);
    assert_eq!(judge(trust(1)), judge(trust(1)));
    assert!(judge(trust(1)).is_some() && judge(trust(1)) != judge(trust(2)));
}

#[test]
fn without_a_trust_store_a_bundle_counts_by_its_text() {
    let mut stage = stage();
    assert_eq!(say(&mut stage, &bundle(7, "mine-7", &[])), ("mine-7".into(), vec![]));
    assert_eq!(say(&mut stage, &bundle(6, "mine-6", &[])), ("mine-6".into(), vec![]));
    let broken = bundle(7, "mine-7", &[]).replace("counter: 7", "counter: 0");
    assert_eq!(say(&mut stage, &broken), ("mine-6".into(), vec![(Tally::PolicyRefused, 1)]));
}

#[test]
fn a_policy_that_cannot_be_read_is_refused_and_the_old_one_stays() {
    for (partition, letters) in [(0, 1), (3, 0)] {
        let mut stage = stage();
        let mut batch = batch(Topic::Control, START_MS, vec![policy_record("version = 7")]);
        batch.partition = partition;
        let effects = stage.step(&batch);
        assert_eq!(effects.policy_version, "builtin-10");
        assert_eq!(effects.tallies, [(Tally::PolicyRefused, 1)]);
        assert_eq!(of(&effects, Topic::Dlq).len(), letters);
        assert_eq!(effects.judged + effects.dead_lettered, 1);
    }
}

#[test]
fn the_cluster_stages_word_can_make_a_verdict() {
    let mut stage = stage();
    step_events(&mut stage, campaign("a", START_MS, 80));
    let effects = stage.step(&batch(Topic::Clusters, START_MS, vec![kin("a", START_MS + 90_000)]));
    let spoken = verdicts(&effects);
    expect![[r#"CRITICAL 0.844 [("PAYMENT", 12)]"#]].assert_eq(&format!(
        "{} {:.3} {:?}",
        spoken[0].tier,
        spoken[0].score,
        spoken[0].clusters.iter().map(|c| (c.kind.as_str(), c.members)).collect::<Vec<_>>()
    ));
}

#[test]
fn the_cluster_stages_word_on_a_forgotten_account_is_passed_over() {
    let mut stage = stage();
    let effects = stage.step(&batch(Topic::Clusters, START_MS, vec![kin("nobody", START_MS)]));
    assert_eq!((effects.judged, effects.outputs.len(), stage.entries()), (1, 0, 0));
}

#[test]
fn a_detector_that_fails_costs_its_signal_and_nothing_else() {
    let mut faulty = eager().with_fault_in("probing");
    let effects = step_events(&mut faulty, campaign("a", START_MS, 40));
    assert_eq!((effects.judged, effects.dead_lettered), (40, 0));
    assert_eq!(effects.tallies, [(Tally::DetectorFaults("probing"), 40), (Tally::VerdictsMedium, 1)]);
    let spoken = verdicts(&effects);
    assert!(spoken[0].partial);
    assert_eq!(spoken[0].missing[0], "rhythm", "that of the first event has nothing to judge by yet");
    // Sixteen events later no verdict names an event on which it failed.
    faulty.fault = FaultHook::default();
    step_events(&mut faulty, campaign("a", START_MS + 90_000, 16));
    assert!(!faulty.accounts.change(AccountId(hash("a").0)).unwrap().is_partial());
}

#[test]
fn a_detector_that_panics_stops_neither_the_epoch_nor_the_partition_nor_its_next_owner() {
    let mut faulty = eager().with_fault_in("probing");
    let mut records = campaign("a", START_MS, 40);
    records.insert(20, (b"key".to_vec(), b"no record".to_vec()));
    records.extend(campaign("b", START_MS + 80_000, 40));
    let effects = step_events(&mut faulty, records);
    assert_eq!((effects.judged, effects.dead_lettered), (80, 1), "only what is no record is refused");
    let spoken = verdicts(&effects);
    let accounts: std::collections::BTreeSet<_> = spoken.iter().map(|verdict| verdict.account).collect();
    assert_eq!(accounts.len(), 2);
    assert!(spoken.iter().all(|verdict| verdict.partial), "every verdict says that a signal is wanting");

    let next = step_events(&mut faulty, campaign("c", START_MS + 200_000, 40));
    assert_eq!((next.judged, next.dead_lettered, verdicts(&next).is_empty()), (40, 0, false));

    // Another build takes the partition over, in which the detector does not panic.
    let mut owner = eager();
    for entry in faulty.take_changes() {
        owner.restore(&entry.key, faulty.state_format(), &entry.body.unwrap()).unwrap();
    }
    let effects = step_events(&mut owner, campaign("d", START_MS + 300_000, 40));
    assert_eq!(
        (effects.judged, effects.tallies.iter().any(|(tally, _)| matches!(tally, Tally::DetectorFaults(_)))),
        (40, false)
    );
    assert!(verdicts(&effects).iter().all(|verdict| !verdict.partial));
}

#[test]
fn an_idle_account_is_new_whether_or_not_it_was_evicted() {
    let back_ms = START_MS + 49 * HOUR_MS;
    let mut kept = eager();
    step_events(&mut kept, campaign("a", START_MS, 40));
    let kept_effects = step_events(&mut kept, campaign("a", back_ms, 40));
    assert_eq!(kept_effects.tallies, [(Tally::Expired, 1), (Tally::VerdictsMedium, 1)]);
    let fresh = step_events(&mut eager(), campaign("a", back_ms, 40));
    assert_eq!(kept_effects.outputs, fresh.outputs);
}

#[test]
fn the_tasks_clock_evicts_what_is_idle_and_tombstones_it() {
    let mut stage = stage();
    step_events(&mut stage, campaign("a", START_MS, 3));
    stage.take_changes();
    let later_ms = START_MS + 74 * HOUR_MS;
    let effects = stage.step(&batch(Topic::Events, later_ms, campaign("b", later_ms, 1)));
    assert_eq!((effects.tallies, stage.entries()), (vec![(Tally::Expired, 1)], 1));
    let gone: Vec<_> = stage.take_changes().into_iter().filter(|entry| entry.body.is_none()).collect();
    assert_eq!(gone, [StateEntry { key: AccountId(hash("a").0).to_key(), body: None }]);
}

#[test]
fn beyond_the_cap_the_longest_idle_are_evicted() {
    let mut stage = stage().with_accounts_max(10);
    let records = (0..25).map(|index| {
        framed(&event(&format!("account {index}"), START_MS + index * 600_000, Request::default()))
    });
    let effects = step_events(&mut stage, records.collect());
    assert_eq!((effects.tallies, stage.entries()), (vec![(Tally::EvictedByCap, 15)], 10));
    for index in 15..25 {
        assert!(stage.accounts.change(AccountId(hash(&format!("account {index}")).0)).is_some());
    }
}

#[test]
fn entries_of_another_format_or_with_damage_are_refused() {
    let mut stage = stage();
    let key = AccountId([7; 16]).to_key();
    let refused = |result: Result<(), StateError>| result.unwrap_err().to_string();
    expect!["state entry 07070707070707070707070707070707 has format 9, this build reads 5: run the release that wrote it, or delete the state topic and let the stage fold its inputs from the start"].assert_eq(&refused(stage.restore(&key, 9, b"")));
    expect!["state entry 07070707070707070707070707070707 is damaged: it ends inside a number"]
        .assert_eq(&refused(stage.restore(&key, STATE_FORMAT, b"\x05")));
    expect!["state entry what is damaged: expected 32 lower-case hex digits"]
        .assert_eq(&refused(stage.restore(b"what", STATE_FORMAT, b"")));
}

/// Events of a few accounts, most in order, some late, some long after.
fn history() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let one = (0..6u8, 0..30_000i64, prop::bool::weighted(0.02), 0..4u8, any::<bool>());
    prop::collection::vec(one, 1..120).prop_map(|steps| {
        let mut time_ms = START_MS;
        let mut records = Vec::new();
        for (index, (account, pause_ms, is_leap, shape, elicits)) in steps.into_iter().enumerate() {
            time_ms += pause_ms + if is_leap { 60 * HOUR_MS } else { 0 };
            let text = format!("text {index}");
            let request = Request {
                model: Some(if index > 60 { "atlas-2" } else { "atlas-1" }),
                user_agent: Some("Mozilla/5.0 Firefox/127.0"),
                ja4: Some("t13d1812h1_85036bcba153_b26ce05bbdd6"),
                asn_org: (shape > 1).then_some("Example VPS"),
                payment: Some(hash(&format!("card {}", account / 2))),
                max_tokens: Some(64 << (index % 5)),
                subnet: Some(hash(&format!("net {shape}"))),
                prompt: Some(prompt(&format!("shape {}", account % 2), &text, elicits.into())),
                ..Default::default()
            };
            let late_ms = if shape == 3 { 4_000_000 } else { 0 };
            records.push(framed(&event(&format!("account {account}"), time_ms - late_ms, request)));
        }
        records
    })
}

/// The outputs of a history folded in epochs of a size, without their log coordinates; restarted
/// after each if asked.
fn fold(history: &[(Vec<u8>, Vec<u8>)], epoch_len: usize, restarts: bool) -> Vec<Output> {
    let (mut stage, mut outputs, mut state) = (eager(), Vec::new(), std::collections::BTreeMap::new());
    let mut clock_ms = START_MS;
    for chunk in history.chunks(epoch_len) {
        let effects = stage.step(&batch(Topic::Events, clock_ms, chunk.to_vec()));
        clock_ms = effects.clock_ms;
        outputs.extend(effects.outputs);
        if restarts {
            for entry in stage.take_changes() {
                match entry.body {
                    Some(body) => drop(state.insert(entry.key, body)),
                    None => drop(state.remove(&entry.key)),
                }
            }
            stage = eager();
            state.iter().for_each(|(key, body)| stage.restore(key, STATE_FORMAT, body).unwrap());
        }
    }
    outputs
}

proptest! {
    #[test]
    fn a_restored_stage_goes_on_with_the_same_bytes(history in history(), epoch_len in 1..40usize) {
        prop_assert_eq!(fold(&history, epoch_len, true), fold(&history, epoch_len, false));
    }

    #[test]
    fn how_records_are_cut_into_epochs_changes_nothing(history in history(), epoch_len in 1..40usize) {
        prop_assert_eq!(fold(&history, epoch_len, false), fold(&history, history.len(), false));
    }

    #[test]
    fn no_bytes_make_the_stage_panic(payload: Vec<u8>, key: Vec<u8>) {
        let effects = step_events(&mut stage(), vec![(key, payload)]);
        prop_assert_eq!((effects.judged, effects.dead_lettered), (0, 1));
    }

    #[test]
    fn damaged_entries_never_panic(flips in prop::collection::vec((0..400usize, any::<u8>()), 1..6)) {
        let mut stage = stage();
        step_events(&mut stage, campaign("a", START_MS, 30));
        let entry = stage.take_changes().remove(0);
        let mut body = entry.body.unwrap();
        for (at, byte) in flips {
            let at = at % body.len();
            body[at] ^= byte;
        }
        if stage.restore(&entry.key, STATE_FORMAT, &body).is_ok() {
            step_events(&mut stage, campaign("a", START_MS + 90_000, 30));
        }
    }
}

/// `after` adopts what `before` says of an epoch; what it says then itself, and of how many accounts.
fn take_over(before: &mut AccountStage, after: &mut AccountStage) -> (Effects, u64) {
    let epoch = batch(Topic::Events, START_MS, campaign("a", START_MS, 40));
    let recorded = before.step(&epoch);
    let mut said = Records::default();
    for (offset, output) in of(&recorded, Topic::Verdicts).into_iter().enumerate() {
        said.push(offset as i64, output.timestamp_ms, &output.key, output.payload.as_deref(), []);
    }
    assert_ne!(before.judge(&epoch), after.judge(&epoch));
    after.adopt(&epoch, &[said]).unwrap();
    after.rejudge(&Batch { epoch: 2, ..batch(Topic::Events, recorded.clock_ms, Vec::new()) })
}

#[test]
fn what_another_judge_did_not_say_is_said_once() {
    let mut after = eager();
    let (effects, accounts) = take_over(&mut stage(), &mut after);
    let spoken = verdicts(&effects);
    let told: Vec<_> =
        spoken.iter().map(|verdict| (verdict.tier.as_str(), verdict.sequence, verdict.epoch)).collect();
    assert_eq!((accounts, told), (1, vec![("MEDIUM", 1, 2)]));
    // The verdict, and what it says to the campaign stage.
    assert_eq!((spoken[0].tenant.as_str(), effects.outputs.len()), ("acme", 2));
    assert_eq!(of(&effects, Topic::Members).len(), 1);
    let next = step_events(&mut after, campaign("a", START_MS + 80_000, 40));
    assert_eq!(verdicts(&next), [], "it knows that it said so");
}

#[test]
fn a_judge_that_sees_less_waits_for_the_cooldown_of_what_was_said() {
    let mut after = stage();
    let (effects, accounts) = take_over(&mut eager(), &mut after);
    assert_eq!((accounts, effects.outputs), (1, Vec::new()));
    let next = step_events(&mut after, campaign("a", START_MS + 4_000_000, 40));
    let told: Vec<_> = verdicts(&next).iter().map(|verdict| (verdict.tier, verdict.sequence)).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0] == (weir_schemas::Tier::Clear, 2), "{told:?}");
}

#[test]
fn what_was_said_of_a_forgotten_account_stands_until_it_does_something() {
    let epoch = batch(Topic::Events, START_MS, campaign("a", START_MS, 40));
    let recorded = eager().step(&epoch);
    let mut said = Records::default();
    for (offset, output) in of(&recorded, Topic::Verdicts).into_iter().enumerate() {
        said.push(offset as i64, output.timestamp_ms, &output.key, output.payload.as_deref(), []);
    }
    // The accounts' events are in epochs before: this task forgot the account since.
    let mut after = stage();
    let nothing = |epoch| Batch { epoch, ..batch(Topic::Events, recorded.clock_ms, Vec::new()) };
    after.adopt(&nothing(1), &[said]).unwrap();
    let (effects, accounts) = after.rejudge(&nothing(2));
    assert_eq!((accounts, effects.outputs), (0, Vec::new()));
    let next = step_events(&mut after, campaign("a", START_MS + 4_000_000, 40));
    let told: Vec<_> = verdicts(&next).iter().map(|verdict| (verdict.tier, verdict.sequence)).collect();
    assert_eq!(told, [(weir_schemas::Tier::Clear, 2)]);
}

/// The built-in policy, by which tenant acme suspects everybody and nobody else does.
fn eager_for_acme() -> Policy {
    let said = "[tenants.acme.fusion]\nprior_nats = 3.0\nalone_nats = 0.0\n";
    Policy::parse(&(Policy::builtin().text.replace("builtin-10", "mine-9") + said)).unwrap()
}

fn by(policy: Policy) -> AccountStage {
    AccountStage::new(Arc::new(Wire::new()), Arc::new(policy))
}

/// The traffic of account `a`, which is acme's, and the same of `b`, which is beta's.
fn of_two_tenants(from_ms: i64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of_beta = (0..40).map(|index| {
        framed(&Event { tenant: "beta", ..event("b", from_ms + index as i64 * 2_000, elicits(index)) })
    });
    campaign("a", from_ms, 40).into_iter().chain(of_beta).collect()
}

/// Whose accounts were spoken of, and by which rules.
fn spoken(effects: &Effects) -> Vec<(String, String)> {
    verdicts(effects).into_iter().map(|verdict| (verdict.tenant, verdict.policy_version)).collect()
}

#[test]
fn accounts_are_judged_by_the_rules_of_their_tenant_and_the_verdict_names_them() {
    let mut stage = by(eager_for_acme());
    let effects = step_events(&mut stage, of_two_tenants(START_MS));
    assert_eq!(spoken(&effects), [("acme".to_owned(), "mine-9/acme".to_owned())]);
    assert_eq!(verdicts(&effects)[0].policy_digest, eager_for_acme().digest);
    assert_eq!(effects.policy_version, "mine-9", "the epoch names the document");
}

#[test]
fn a_policy_with_tenants_that_takes_over_says_what_only_their_rules_say() {
    let epoch = batch(Topic::Events, START_MS, of_two_tenants(START_MS));
    let (mut before, mut after) = (stage(), by(eager_for_acme()));
    let recorded = before.step(&epoch);
    assert_eq!(spoken(&recorded), []);
    assert_ne!(before.judge(&epoch), after.judge(&epoch));
    after.adopt(&epoch, &[Records::default()]).unwrap();
    let nothing = Batch { epoch: 2, ..batch(Topic::Events, recorded.clock_ms, Vec::new()) };
    let (effects, accounts) = after.rejudge(&nothing);
    assert_eq!((accounts, spoken(&effects)), (2, vec![("acme".to_owned(), "mine-9/acme".to_owned())]));
    let next = step_events(&mut after, of_two_tenants(START_MS + 80_000));
    assert_eq!(spoken(&next), [], "it knows that it said so");
}

#[test]
fn a_signed_policy_with_tenants_comes_in_force_and_back_after_a_restart_with_all_of_them() {
    let policy = eager_for_acme();
    let header =
        Header { counter: 9, audience: "weir".to_owned(), issued_s: 0, expires_s: 0, enforces: false };
    let mut signed = Bundle::new(header, policy.text.clone()).unwrap();
    signed.sign(&[1; 32]);
    let mut stage = trusting();
    assert_eq!(say(&mut stage, &signed.to_text()), ("mine-9".into(), vec![]));
    assert_eq!(*stage.policy(), policy);
    // Who changes a tenant's rules changes what was signed.
    let forged =
        signed.to_text().replace("counter: 9", "counter: 10").replace("prior_nats = 3.0", "prior_nats = 4.0");
    assert_eq!(say(&mut stage, &forged), ("mine-9".into(), vec![(Tally::PolicyUntrusted, 1)]));
    let mut again = trusting();
    for entry in stage.take_changes() {
        again.restore(&entry.key, STATE_FORMAT, &entry.body.unwrap()).unwrap();
    }
    let effects = step_events(&mut again, of_two_tenants(START_MS));
    assert_eq!(spoken(&effects), [("acme".to_owned(), "mine-9/acme".to_owned())]);
}

#[test]
fn a_detector_that_a_tenant_turns_off_and_on_again_knows_what_it_would_know_after_a_policy_did() {
    let builtin = Policy::builtin().text;
    let off = "[detectors.elicitation]\nenabled = false";
    let fleet = builtin.replace("[detectors.elicitation]\nenabled = true", off);
    assert_ne!(fleet, builtin);
    let tenant = builtin.clone() + "[tenants.acme.detectors.elicitation]\nenabled = false\n";
    let state = |between: &str| {
        let mut stage = stage();
        step_events(&mut stage, campaign("a", START_MS, 40));
        for (text, from_ms) in [(between, START_MS + 80_000), (builtin.as_str(), START_MS + 160_000)] {
            stage.step(&batch(Topic::Control, START_MS, vec![policy_record(text)]));
            step_events(&mut stage, campaign("a", from_ms, 40));
        }
        stage.take_changes().into_iter().find(|entry| entry.key != POLICY_KEY).unwrap()
    };
    assert_eq!(state(&tenant), state(&fleet));
    assert_ne!(state(&tenant), state(&builtin), "what it did not see it does not know");
}

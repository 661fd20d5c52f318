use super::super::audit_file::entry_of;
use super::*;
use crate::open::seal_for_tests;
use crate::stage::{AUDIT_SEQUENCE_HEADER, VERDICT_OFFSET_HEADER};
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use weir_schemas::sealed::content;
use weir_schemas::{Action, AuditEntry, Campaign, CampaignStatus, Evidence, Identity, Record};
use weir_topology::record::Output;

/// A rig in a posture whose enforcer has answered the verdicts, and its files.
fn exported(stance: &str, verdicts: &[Verdict]) -> (Rig, Outputs) {
    let rig = Rig::new(2);
    rig.put_control(&posture(stance));
    rig.put_verdicts(verdicts);
    rig.enforce();
    let outputs = Outputs::new();
    assert_eq!(outputs.export(&rig), []);
    (rig, outputs)
}

fn check(outputs: &Outputs, file: OutputFile, expected: Expect) {
    let mut shown = String::new();
    for line in outputs.lines_of(file) {
        shown += &serde_json::to_string_pretty(&line).unwrap();
        shown.push('\n');
    }
    expected.assert_eq(&shown);
}

#[test]
fn an_action_is_told_with_its_grounds_and_the_raw_account_that_it_is_to_be_done_to() {
    let (_, outputs) = exported("enforce", &[resting_on(7, verdict(1, 0, Tier::Critical))]);
    check(
        &outputs,
        OutputFile::EnforcementActions,
        expect![[r#"
            {
              "account": "be4e29e5a9058eac2f85140a965b487e",
              "account_raw": "raw-account-1",
              "action": "SUSPEND",
              "action_id": "a5f9f7432d1cf7d5525368c612416640",
              "clusters": [
                {
                  "kind": "PAYMENT",
                  "shared_by": 12,
                  "value": "00000000000000000000000000000007"
                }
              ],
              "detectors": [
                {
                  "detector": "velocity",
                  "evidence": [
                    {
                      "name": "requests_per_hour",
                      "value": "240"
                    }
                  ],
                  "family": "volume",
                  "millinats": 2500,
                  "millinats_max": 6000
                }
              ],
              "event_count_24h": 2,
              "events": [
                "00000000000000000000000000000000",
                "00000000000000010000000000000000"
              ],
              "execute": true,
              "expires_ms": 600000,
              "lasts_ms": 600000,
              "missing_detectors": [],
              "origin": "LIVE",
              "partial": false,
              "policy_digest": "0000000000000000000000000000000000000000000000000000000000000000",
              "policy_version": "p1",
              "posture": "ENFORCE",
              "probability": 0.97,
              "reason": "tier CRITICAL, score 0.900",
              "revert": "MANUAL",
              "ring": 3,
              "score": 0.9,
              "state": "PENDING",
              "taken_ms": 0,
              "tenant": "acme",
              "tier": "CRITICAL",
              "time_ms": 0,
              "verdict_id": "b22eff8147d291d8d200ae83f0a96139"
            }
            {
              "account": "be4e29e5a9058eac2f85140a965b487e",
              "action": "SHARE_INDICATORS",
              "action_id": "b3bb3c72edf38affeba91a46e8c22fe1",
              "clusters": [
                {
                  "kind": "PAYMENT",
                  "shared_by": 12,
                  "value": "00000000000000000000000000000007"
                }
              ],
              "detectors": [
                {
                  "detector": "velocity",
                  "evidence": [
                    {
                      "name": "requests_per_hour",
                      "value": "240"
                    }
                  ],
                  "family": "volume",
                  "millinats": 2500,
                  "millinats_max": 6000
                }
              ],
              "event_count_24h": 2,
              "events": [
                "00000000000000000000000000000000",
                "00000000000000010000000000000000"
              ],
              "execute": true,
              "expires_ms": null,
              "lasts_ms": null,
              "missing_detectors": [],
              "origin": "LIVE",
              "partial": false,
              "policy_digest": "0000000000000000000000000000000000000000000000000000000000000000",
              "policy_version": "p1",
              "posture": "ENFORCE",
              "probability": 0.97,
              "reason": "tier CRITICAL, score 0.900",
              "revert": "AUTO",
              "ring": 1,
              "score": 0.9,
              "state": "PENDING",
              "taken_ms": 0,
              "tenant": "acme",
              "tier": "CRITICAL",
              "time_ms": 0,
              "verdict_id": "b22eff8147d291d8d200ae83f0a96139"
            }
        "#]],
    );
    check(
        &outputs,
        OutputFile::AnalystQueue,
        expect![[r#"
            {
              "account": "be4e29e5a9058eac2f85140a965b487e",
              "action": "SUSPEND",
              "action_id": "a5f9f7432d1cf7d5525368c612416640",
              "clusters": [
                {
                  "kind": "PAYMENT",
                  "shared_by": 12,
                  "value": "00000000000000000000000000000007"
                }
              ],
              "detectors": [
                {
                  "detector": "velocity",
                  "evidence": [
                    {
                      "name": "requests_per_hour",
                      "value": "240"
                    }
                  ],
                  "family": "volume",
                  "millinats": 2500,
                  "millinats_max": 6000
                }
              ],
              "event_count_24h": 2,
              "events": [
                "00000000000000000000000000000000",
                "00000000000000010000000000000000"
              ],
              "execute": true,
              "expires_ms": 600000,
              "lasts_ms": 600000,
              "missing_detectors": [],
              "origin": "LIVE",
              "partial": false,
              "policy_digest": "0000000000000000000000000000000000000000000000000000000000000000",
              "policy_version": "p1",
              "posture": "ENFORCE",
              "probability": 0.97,
              "reason": "tier CRITICAL, score 0.900",
              "revert": "MANUAL",
              "ring": 3,
              "score": 0.9,
              "state": "PENDING",
              "taken_ms": 0,
              "tenant": "acme",
              "tier": "CRITICAL",
              "time_ms": 0,
              "verdict_id": "b22eff8147d291d8d200ae83f0a96139"
            }
        "#]],
    );
}

#[test]
fn a_gateway_is_told_what_to_slow_down_and_until_when() {
    let (_, outputs) = exported("enforce", &[verdict(1, 0, Tier::Medium)]);
    check(
        &outputs,
        OutputFile::RateLimitCommands,
        expect![[r#"
            {
              "account": "be4e29e5a9058eac2f85140a965b487e",
              "account_raw": "raw-account-1",
              "action": "RATE_LIMIT",
              "action_id": "d210769c98305e4ee0b2568a83b690ab",
              "execute": true,
              "expires_ms": 300000,
              "lasts_ms": 300000,
              "origin": "LIVE",
              "policy_version": "p1",
              "posture": "ENFORCE",
              "reason": "tier MEDIUM, score 0.400",
              "revert": "AUTO",
              "ring": 2,
              "state": "PENDING",
              "taken_ms": 0,
              "tenant": "acme",
              "time_ms": 0,
              "verdict_id": "b22eff8147d291d8d200ae83f0a96139"
            }
        "#]],
    );
}

#[test]
fn an_audit_record_is_told_whole() {
    let (_, outputs) = exported("audit", &[verdict(1, 0, Tier::Medium)]);
    let lines = outputs.lines_of(OutputFile::AuditLog);
    let decision = lines.iter().find(|line| line["kind"] == "DECISION").unwrap();
    expect![[r#"
        {
          "account": "be4e29e5a9058eac2f85140a965b487e",
          "action": "RATE_LIMIT",
          "action_id": "d210769c98305e4ee0b2568a83b690ab",
          "actor": "enforcer",
          "epoch": 1,
          "key_id": "k1",
          "kind": "DECISION",
          "outcome": "withheld",
          "policy_version": "p1",
          "posture": "AUDIT",
          "previous": "56c76a49192fd96ca67067152181ce0045f75b550e07718799651a4b145de4b2",
          "reason": "the posture is audit",
          "record": "c30186cc6c8e81f2969900020861636d6502be4e29e5a9058eac2f85140a965b487e02b22eff8147d291d8d200ae83f0a9613902d210769c98305e4ee0b2568a83b690ab0200107769746868656c642874686520706f737475726520697320617564697410656e666f726365720470319a9999999999d93f02021076656c6f636974790002",
          "score": 0.4,
          "sequence": 2,
          "signals": [
            "velocity"
          ],
          "signature": "e1379c86f526a7bec9fdc34645c4118c6c25d4edc0707762cabe5669e942cc27b30d75c0457be483e455fcef9535b2f2e24466e5b8e56890774df12ffd0ccf0e",
          "tenant": "acme",
          "tier": "MEDIUM",
          "time_ms": 0,
          "verdict_id": "b22eff8147d291d8d200ae83f0a96139",
          "writer": "enforcer/0"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(decision).unwrap());
}

#[test]
fn three_accounts_that_rest_on_one_value_make_an_indicator() {
    let verdicts: Vec<_> = (0..3).map(|n| resting_on(7, verdict(n, i64::from(n), Tier::High))).collect();
    let (_, outputs) = exported("enforce", &verdicts);
    let bundle = outputs.lines_of(OutputFile::IocBundles).remove(0);
    let mut members: Vec<_> = verdicts.iter().map(|verdict| verdict.account.to_string()).collect();
    members.sort();
    assert_eq!(bundle["members"], serde_json::json!(members));
    assert_eq!(outputs.lines_of(OutputFile::IocBundles).len(), 1);
    let mut bundle = bundle;
    // Which of the partitions is read last decides which action tells the value.
    for field in ["bundle_id", "action_id", "verdict_id", "time_ms"] {
        bundle[field] = Value::Null;
    }
    expect![[r#"
        {
          "action_id": null,
          "bundle_id": null,
          "detectors": [
            "velocity"
          ],
          "execute": true,
          "first_seen_ms": 0,
          "kind": "PAYMENT",
          "last_seen_ms": 2,
          "member_count": 3,
          "members": [
            "019f1819faf801a5d56c4de0b93266f0",
            "9f773529b974ed34e45e13ca9970cda6",
            "be4e29e5a9058eac2f85140a965b487e"
          ],
          "policy_digest": "0000000000000000000000000000000000000000000000000000000000000000",
          "policy_version": "p1",
          "posture": "ENFORCE",
          "shared_by": 12,
          "state": "PENDING",
          "time_ms": null,
          "value": "00000000000000000000000000000007",
          "verdict_id": null
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&bundle).unwrap());
}

#[test]
fn in_audit_posture_no_line_is_to_be_executed_and_no_raw_account_is_told() {
    let rig = Rig::new(2);
    busy(&rig, 0);
    let outputs = Outputs::new();
    outputs.export(&rig);
    let lines = outputs.lines();
    for (file, lines) in &lines {
        let is_of_few = ["ioc_bundles.jsonl", "campaigns.jsonl"].contains(file);
        assert!(lines.len() >= 2 || is_of_few, "{file} is exercised");
        let tells_no_action = ["audit_log.jsonl", "campaigns.jsonl"].contains(file);
        for line in lines.iter().filter(|_| !tells_no_action) {
            assert_eq!((&line["execute"], &line["state"]), (&Value::Bool(false), &Value::from("WITHHELD")));
            assert_eq!(line.get("account_raw"), None);
        }
        let bytes = std::fs::read_to_string(outputs.path(file)).unwrap();
        assert!(!bytes.contains("raw-account") && !bytes.contains("10.0.0.1"), "{file}");
    }
    assert_eq!(lines["ioc_bundles.jsonl"].len(), 2);
}

#[test]
fn raw_accounts_stand_only_where_something_is_to_be_done_to_them() {
    let rig = Rig::new(2);
    rig.put_control(&posture("enforce"));
    busy(&rig, 0);
    let outputs = Outputs::new();
    outputs.export(&rig);
    for (file, lines) in outputs.lines() {
        let may_tell = matches!(file, "enforcement_actions.jsonl" | "rate_limit_commands.jsonl");
        for line in lines {
            let acts = line["execute"] == true
                && ["RATE_LIMIT", "SUSPEND"].iter().any(|kind| line["action"] == *kind);
            assert_eq!(line.get("account_raw").is_some(), may_tell && acts, "{file}: {line}");
        }
        assert!(!std::fs::read_to_string(outputs.path(file)).unwrap().contains("10.0.0.1"));
    }
}

/// The one command that a gateway is told after a verdict on account 1, with these identities in the log.
fn told_with(identities: &[Identity], opener: Opener) -> (Value, Outputs) {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.put_identities(identities);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    let outputs = Outputs::new();
    drain(&mut outputs.open_with(&rig, Some(opener)).unwrap());
    let line = outputs.lines_of(OutputFile::RateLimitCommands).remove(0);
    assert_eq!(line["execute"], true);
    (line, outputs)
}

#[test]
fn an_account_that_cannot_be_opened_is_told_with_the_reason_and_counted() {
    let wrong = Opener::new().with_key(1, &[0; 32]).with_pseudonyms(pseudonyms());
    let substitute = seal_for_tests(1, &SEAL_SECRET, account(1), &content("acme", "raw-account-2"));
    let cases =
        [(vec![identity(1)], wrong, 1), (vec![identity(2)], opener(), 0), (vec![substitute], opener(), 1)];
    let mut said = String::new();
    for (identities, opener, refused) in cases {
        let (line, outputs) = told_with(&identities, opener);
        assert_eq!(line.get("account_raw"), None);
        assert_eq!(outputs.telemetry.unopened.load(Relaxed), 1);
        assert_eq!(outputs.telemetry.refused.load(Relaxed), refused);
        said += &format!("{}\n", line["account_raw_error"].as_str().unwrap());
    }
    expect![[r#"
        the identity was not sealed to seal key 1 for this account
        weir.identities has no identity of this account: it was never announced, or is older than 90 days
        the sealed identity is of another account: somebody put one customer in another's place
    "#]]
    .assert_eq(&said);
}

#[test]
fn whoever_overwrites_an_identity_hides_nothing_from_an_enforcer_that_knew_it() {
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    rig.put_identities(&[identity(1), identity(2)]);
    let outputs = Outputs::new();
    let mut export = outputs.open_with(&rig, Some(opener())).unwrap();
    drain(&mut export);
    let substitute = seal_for_tests(1, &SEAL_SECRET, account(1), &content("acme", "raw-account-2"));
    for rogue in [substitute, Identity { sealed: vec![1, 2, 3], ..identity(1) }] {
        rig.put_identities(&[rogue]);
        drain(&mut export);
    }
    assert_eq!(outputs.telemetry.refused.load(Relaxed), 2);
    // What opens takes the place of what was known.
    let again = Identity { announced_ms: 9, ..identity(1) };
    rig.put_identities(&[again]);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    drain(&mut export);
    let line = outputs.lines_of(OutputFile::RateLimitCommands).remove(0);
    assert_eq!((&line["account_raw"], line.get("account_raw_error")), (&Value::from("raw-account-1"), None));
    assert_eq!(outputs.telemetry.refused.load(Relaxed), 2);
}

/// The topic is compacted by account, so on an eager broker what was overwritten is gone: rubbish hides an
/// identity from an enforcer that was not there, visibly, until its collector announces it again.
#[test]
fn whoever_overwrites_an_identity_hides_it_until_it_is_announced_again_and_is_counted() {
    let substitute = || seal_for_tests(1, &SEAL_SECRET, account(1), &content("acme", "raw-account-2"));
    let rubbish = || Identity { sealed: vec![1, 2, 3], ..identity(1) };
    let (line, outputs) = told_with(&[identity(1), identity(2), substitute(), rubbish()], opener());
    assert_eq!((line.get("account_raw"), line["account_raw_error"].is_string()), (None, true));
    assert_eq!(outputs.telemetry.refused.load(Relaxed), 1);
    let (line, outputs) = told_with(&[identity(1), substitute(), rubbish(), identity(1)], opener());
    assert_eq!((&line["account_raw"], line.get("account_raw_error")), (&Value::from("raw-account-1"), None));
    assert_eq!(outputs.telemetry.refused.load(Relaxed), 0);
}

#[test]
fn hostile_text_stays_inside_its_line_and_its_string() {
    let hostile = "x\"}\n{\"execute\":true}\r\u{2028}\u{85}\u{0}\u{1b}[31m\u{202e}";
    let mut verdict = verdict(1, 0, Tier::High);
    verdict.signals[0].evidence = vec![Evidence { name: "user_agent".into(), value: hostile.into() }];
    verdict.tenant = hostile.into();
    let (_, outputs) = exported("audit", &[verdict]);
    let lines = outputs.lines_of(OutputFile::EnforcementActions);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["detectors"][0]["evidence"][0]["value"], hostile);
    assert_eq!(lines[0]["tenant"], hostile);
    let text = std::fs::read_to_string(outputs.path("enforcement_actions.jsonl")).unwrap();
    assert!(!text.trim_end_matches('\n').replace('\n', "").chars().any(char::is_control));
    assert!(!text.contains(['\u{2028}', '\u{202e}']));
}

#[test]
fn the_chains_verify_from_the_audit_log_alone() {
    let rig = Rig::new(3);
    rig.put_control(&posture("canary 50"));
    busy(&rig, 0);
    let outputs = Outputs::new();
    outputs.export(&rig);
    let text = std::fs::read_to_string(outputs.path(OutputFile::AuditLog.name())).unwrap();
    let mut chains = BTreeMap::<String, Vec<AuditEntry>>::new();
    for line in text.lines() {
        let entry = entry_of(line, &rig.wire).unwrap();
        chains.entry(entry.writer.clone()).or_default().push(entry);
    }
    assert_eq!(chains.len(), 3);
    chains.values().for_each(|chain| drop(sound(chain)));
}

#[test]
fn a_line_that_says_in_words_what_was_not_signed_is_noticed() {
    let (rig, outputs) = exported("audit", &[verdict(1, 0, Tier::Medium)]);
    let text = std::fs::read_to_string(outputs.path(OutputFile::AuditLog.name())).unwrap();
    let line = text.lines().last().unwrap();
    let refused = |line: String| entry_of(&line, &rig.wire).unwrap_err().to_string();
    let swap = |from: &str, to: &str| refused(line.replacen(from, to, 1));
    let said = [
        swap("\"reason\":\"the posture", "\"reason\":\"nobody's posture"),
        swap("\"tier\":\"MEDIUM\",", ""),
        swap("{\"writer\"", "{\"note\":1,\"writer\""),
        swap("{\"writer\"", "{\"tier\":\"CLEAR\",\"writer\""),
        swap("\"record\":\"c301", "\"record\":\"xx01"),
        swap("\"sequence\":2", "\"sequence\":\"2\""),
        refused("{}".into()),
        refused("no json".into()),
    ];
    expect![[r#"
        the line says another reason than the signed record
        the line says another tier than the signed record
        the line says another note than the signed record
        the line is no audit entry: it has white space, or a name twice
        the line is no audit entry: record
        the line is no audit entry: sequence
        the line is no audit entry: writer
        the line is no audit entry: expected ident at line 1 column 2
    "#]]
    .assert_eq(&(said.join("\n") + "\n"));
}

#[test]
fn a_campaign_is_told_once_with_its_members_and_their_own_evidence() {
    let rig = Rig::new(2);
    rig.put_campaign(&campaign(1));
    let outputs = Outputs::new();
    outputs.export(&rig);
    check(
        &outputs,
        OutputFile::Campaigns,
        expect![[r#"
        {
          "absorbed_by": null,
          "asks": [
            {
              "members": 3,
              "what": "chain_of_thought"
            }
          ],
          "beside": [
            "21b6ca520b8e7c8ffcfcd3401108e7c4"
          ],
          "beside_count": 1,
          "campaign_id": "0bc2a95b8b4f8c659ed762d58fb01057",
          "evade_dollars": 12.5,
          "evidence": [
            {
              "family": "kin",
              "members": 3,
              "nats": 6.5
            }
          ],
          "first": "be4e29e5a9058eac2f85140a965b487e",
          "left": [],
          "links": [
            {
              "dollars": 12.0,
              "kind": "PAYMENT",
              "members": 3,
              "value": "07070707070707070707070707070707"
            }
          ],
          "member_count": 3,
          "members": [
            {
              "account": "be4e29e5a9058eac2f85140a965b487e",
              "nats": 4.0,
              "probability": 0.982,
              "requests": 40,
              "since_ms": 1000,
              "tenant": "acme",
              "tier": "HIGH",
              "verdict_id": "2e898922c4f1d6063041c11f6949b6cc"
            },
            {
              "account": "019f1819faf801a5d56c4de0b93266f0",
              "nats": 4.0,
              "probability": 0.982,
              "requests": 40,
              "since_ms": 1000,
              "tenant": "acme",
              "tier": "HIGH",
              "verdict_id": "1033f4043435baec19cd2f97b6a5a36d"
            },
            {
              "account": "155f56dc903bbb9b5a5b644548b050a2",
              "nats": 4.0,
              "probability": 0.982,
              "requests": 40,
              "since_ms": 1000,
              "tenant": "acme",
              "tier": "HIGH",
              "verdict_id": "72d78755b381459bfb6d9d77a605a411"
            }
          ],
          "policy_version": "p1",
          "requests": 120,
          "sequence": 1,
          "since_ms": 1000,
          "status": "OPEN",
          "tier": "HIGH",
          "time_ms": 2000,
          "until_ms": 2000
        }
    "#]],
    );
    rig.put_campaign(&Campaign {
        sequence: 2,
        members: Vec::new(),
        status: CampaignStatus::Closed,
        ..campaign(1)
    });
    outputs.export(&rig);
    let lines = outputs.lines_of(OutputFile::Campaigns);
    let said: Vec<_> = lines.iter().map(|line| (&line["sequence"], &line["status"])).collect();
    assert_eq!(said, [(&Value::from(1), &Value::from("OPEN")), (&Value::from(2), &Value::from("CLOSED"))]);
}

#[test]
fn every_field_of_every_file_is_documented() {
    let documented = include_str!("../../../OUTPUTS.md");
    let rig = Rig::new(1);
    rig.put_control(&posture("enforce"));
    busy(&rig, 0);
    let outputs = Outputs::new();
    outputs.export(&rig);
    for (file, lines) in outputs.lines() {
        let section =
            documented.split("\n## ").find(|section| section.starts_with(&format!("`{file}`"))).unwrap();
        let fields: BTreeSet<&String> =
            lines.iter().flat_map(|line| line.as_object().unwrap().keys()).collect();
        assert!(!fields.is_empty(), "{file}");
        let shared =
            documented.split("\n## ").find(|section| section.starts_with("Fields of an action")).unwrap();
        for field in fields {
            let row = format!("| `{field}` |");
            assert!(section.contains(&row) || shared.contains(&row), "{file}: {field}");
        }
    }
}

#[test]
fn an_action_without_its_audit_record_is_not_told() {
    let rig = Rig::new(1);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    let action = rig.log.all(Topic::Actions).remove(0);
    // One that names no record, and one whose record has not been written yet.
    let forged = Output { headers: Vec::new(), ..action.clone() };
    let early = Output { headers: vec![(AUDIT_SEQUENCE_HEADER, b"2".to_vec())], ..action };
    rig.put(vec![forged.in_partition(0), early.in_partition(0)]);
    let outputs = Outputs::new();
    let mut export = outputs.open(&rig).unwrap();
    let progress = export.run_once(Duration::ZERO).unwrap();
    assert_eq!((progress.unreadable, progress.waiting), (1, 1));
    let told = || (outputs.telemetry.unreadable.load(Relaxed), outputs.telemetry.waiting.load(Relaxed));
    assert_eq!(told(), (1, 1));
    assert_eq!(outputs.lines_of(OutputFile::EnforcementActions).len(), 1);
    drop(export);
    // The record comes, and the export has been started again in between.
    rig.put_verdicts(&[verdict(1, 1, Tier::Clear)]);
    rig.enforce();
    outputs.export(&rig);
    assert_eq!(outputs.lines_of(OutputFile::EnforcementActions).len(), 2);
    assert_eq!(told(), (1, 0));
}

#[test]
fn an_action_whose_verdict_is_gone_is_told_without_grounds() {
    let rig = Rig::new(1);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium), verdict(2, 0, Tier::Medium)]);
    rig.enforce();
    let mut action = rig.log.all(Topic::Actions).remove(0);
    // The offset of another verdict.
    action.headers = vec![(AUDIT_SEQUENCE_HEADER, b"1".to_vec()), (VERDICT_OFFSET_HEADER, b"1".to_vec())];
    rig.put(vec![action.in_partition(0)]);
    let outputs = Outputs::new();
    outputs.export(&rig);
    let lines = outputs.lines_of(OutputFile::EnforcementActions);
    assert_eq!(lines.iter().map(|line| line.get("score").is_some()).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn actions_that_answer_old_verdicts_anew_find_their_grounds() {
    let rig = Rig::new(1);
    busy(&rig, 0);
    let again: Vec<Output> = rig.log.all(Topic::Actions).into_iter().map(|o| o.in_partition(0)).collect();
    let outputs = Outputs::new();
    outputs.export(&rig);
    let before = outputs.lines_of(OutputFile::EnforcementActions);
    rig.put(again);
    outputs.export(&rig);
    let lines = outputs.lines_of(OutputFile::EnforcementActions);
    assert_eq!(lines.len(), 2 * before.len());
    assert!(lines.iter().all(|line| line.get("score").is_some()));
}

#[test]
fn a_backlog_is_written_in_bounded_rounds() {
    let rig = Rig::new(1);
    let verdicts: Vec<_> = (0..5000).map(|n| verdict(n, 0, Tier::Medium)).collect();
    rig.put_verdicts(&verdicts);
    let mut task = rig.task(0, false);
    while task.run_epoch(Duration::ZERO).unwrap() {}
    let outputs = Outputs::new();
    let mut export = outputs.open(&rig).unwrap();
    let mut rounds = Vec::new();
    loop {
        let progress = export.run_once(Duration::ZERO).unwrap();
        if progress.caught_up {
            break;
        }
        rounds.push(progress.lines);
    }
    assert!(rounds.len() > 2, "{rounds:?}");
    assert_eq!(rounds.iter().sum::<u64>(), 15_000);
    assert_eq!(outputs.lines_of(OutputFile::AuditLog).len(), 5000);
    assert_eq!(outputs.telemetry.settled.lock().unwrap().len(), 5000);
}

/// A registry that does not answer at first.
struct Registry {
    answers_from: usize,
    asked: Mutex<usize>,
}

/// Ids under which the test's writer frames its records.
const IDS: [(u32, u64); 3] =
    [(11, AuditEntry::FINGERPRINT), (12, Action::FINGERPRINT), (13, Verdict::FINGERPRINT)];

impl SchemaSource for Registry {
    fn learn(&self, id: u32, wire: &Wire) -> Result<(), LogError> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        if *asked <= self.answers_from {
            return Err(LogError::Unavailable { reason: "the registry does not answer".into() });
        }
        let known = IDS.iter().find(|(known, _)| *known == id);
        known.iter().for_each(|(id, fingerprint)| wire.read_as(*id, *fingerprint));
        Ok(())
    }
}

#[test]
fn records_that_a_registry_names_are_waited_for_and_none_is_passed_over() {
    let mut rig = Rig::new(1);
    let mut wire = Wire::new();
    IDS.iter().for_each(|(id, fingerprint)| wire.write_as(*fingerprint, *id));
    rig.wire = Arc::new(wire);
    rig.put_verdicts(&[verdict(1, 0, Tier::Medium)]);
    rig.enforce();
    // The export's process has not been told of any id.
    rig.wire = Arc::new(Wire::new());
    let outputs = Outputs::new();
    let registry = Registry { answers_from: 2, asked: Mutex::default() };
    let mut export = outputs.open(&rig).unwrap().with_schemas(Arc::new(registry));
    for _ in 0..2 {
        let error = export.run_once(Duration::ZERO).unwrap_err().to_string();
        assert_eq!(error, "the log cannot be used: the registry does not answer");
    }
    assert_eq!(export.run_once(Duration::ZERO).unwrap().unreadable, 0);
    let line = outputs.lines_of(OutputFile::EnforcementActions).remove(0);
    assert_eq!(line["score"], 0.4);
}

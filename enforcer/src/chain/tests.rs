use super::*;
use expect_test::{Expect, expect};
use weir_schemas::{ActionId, ActionKind, AuditKind, Posture, Tier};

fn keys() -> AuditKeys {
    AuditKeys::new(AuditKey::new("k1", [1; 32])).and(AuditKey::new("k2", [2; 32]))
}

/// Five records, of which the second key signed the last two.
fn chain() -> Vec<Audit> {
    let keys = keys();
    let mut head = ChainHead::default();
    let record = |index: i64| Audit {
        time_ms: index * 1000,
        tenant: "acme".into(),
        reason: format!("reason {index}"),
        score: 0.5,
        ..Audit::default()
    };
    (1..=5)
        .map(|index| {
            let key = keys.get(if index < 4 { "k1" } else { "k2" }).expect("given");
            head.append("enforcer/0", key, record(index))
        })
        .collect()
}

fn check(attack: impl FnOnce(&mut Vec<Audit>), expected: Expect) {
    let mut records = chain();
    let head = records.last().map(|last| ChainHead { sequence: last.sequence, mac: last.mac });
    attack(&mut records);
    let outcome = verify(&records, &keys(), ChainHead::default(), head);
    expected.assert_eq(&match outcome {
        Ok(report) => format!("{} records, {:?}", report.records, report.by_key),
        Err(error) => error.to_string(),
    });
}

#[test]
fn a_chain_that_nobody_touched_verifies_across_a_change_of_keys() {
    check(|_| {}, expect![[r#"5 records, {"k1": 3, "k2": 2}"#]]);
}

type Flip = fn(&mut Audit);

#[test]
fn a_flipped_bit_in_any_field_names_the_record() {
    let flips: &[(&str, Flip)] = &[
        ("writer", |a| a.writer.push('1')),
        ("sequence", |a| a.sequence += 1),
        ("time_ms", |a| a.time_ms ^= 1),
        ("kind", |a| a.kind = AuditKind::Checkpoint),
        ("tenant", |a| a.tenant.push('x')),
        ("account", |a| a.account = Some(Default::default())),
        ("verdict_id", |a| a.verdict_id = Some(Default::default())),
        ("action_id", |a| a.action_id = Some(ActionId([1; 16]))),
        ("action", |a| a.action = ActionKind::Suspend),
        ("posture", |a| a.posture = Posture::Enforce),
        ("outcome", |a| a.outcome.push('x')),
        ("reason", |a| a.reason.clear()),
        ("actor", |a| a.actor.push('x')),
        ("policy_version", |a| a.policy_version.push('x')),
        ("score", |a| a.score = f64::from_bits(a.score.to_bits() ^ 1)),
        ("tier", |a| a.tier = Tier::Critical),
        ("signals", |a| a.signals.push(String::new())),
        ("epoch", |a| a.epoch += 1),
        ("key_id", |a| a.key_id = "k2".into()),
        ("previous_mac", |a| a.previous_mac.0[31] ^= 1),
        ("mac", |a| a.mac.0[0] ^= 1),
    ];
    let schema: serde_json::Value = serde_json::from_str(Audit::SCHEMA).unwrap();
    let fields: Vec<&str> =
        schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(flips.iter().map(|(name, _)| *name).collect::<Vec<_>>(), fields, "every field is flipped");
    for (field, flip) in flips {
        let mut records = chain();
        flip(&mut records[2]);
        let error = verify(&records, &keys(), ChainHead::default(), None).unwrap_err();
        assert_eq!(error.sequence, 3, "{field}");
        assert!(matches!(error.what, Flaw::Altered { .. }), "{field}: {error}");
    }
}

#[test]
fn a_deleted_record_is_missed() {
    check(
        |records| {
            records.remove(1);
        },
        expect![
            "the audit chain breaks at record 2: record 3 stands in its place: records were deleted, repeated or reordered"
        ],
    );
}

#[test]
fn a_deleted_beginning_is_missed() {
    check(
        |records| {
            records.drain(..2);
        },
        expect![
            "the audit chain breaks at record 1: record 3 stands in its place: records were deleted, repeated or reordered"
        ],
    );
}

#[test]
fn swapped_records_are_noticed() {
    check(
        |records| records.swap(1, 2),
        expect![
            "the audit chain breaks at record 2: record 3 stands in its place: records were deleted, repeated or reordered"
        ],
    );
}

#[test]
fn a_repeated_record_is_noticed() {
    check(
        |records| records.insert(2, records[1].clone()),
        expect![
            "the audit chain breaks at record 3: record 2 stands in its place: records were deleted, repeated or reordered"
        ],
    );
}

#[test]
fn a_tail_that_was_cut_off_is_missed_when_the_head_is_known() {
    check(
        |records| records.truncate(3),
        expect![
            "the audit chain breaks at record 4: it is missing: the chain was cut before its head, record 5"
        ],
    );
    check(
        Vec::clear,
        expect![
            "the audit chain breaks at record 1: it is missing: the chain was cut before its head, record 5"
        ],
    );
}

#[test]
fn records_signed_anew_with_the_true_key_do_not_reach_the_known_head() {
    check(
        |records| {
            let last = records.pop().unwrap();
            let mut head = ChainHead { sequence: 4, mac: records[3].mac };
            let forged = Audit { reason: "another".into(), ..last };
            records.push(head.append("enforcer/0", keys().get("k2").unwrap(), forged));
        },
        expect!["the audit chain breaks at record 5: it is not the record that was the chain's head"],
    );
}

#[test]
fn a_signed_record_of_the_same_place_in_another_history_is_unlinked() {
    check(
        |records| {
            let mut head = ChainHead { sequence: 2, mac: Mac([9; 32]) };
            records[2] = head.append("enforcer/0", keys().first(), records[2].clone());
        },
        expect!["the audit chain breaks at record 3: it does not continue the record before it"],
    );
}

#[test]
fn a_record_of_another_chain_is_noticed() {
    check(
        |records| {
            let mut head = ChainHead { sequence: 2, mac: records[1].mac };
            records[2] = head.append("enforcer/7", keys().first(), records[2].clone());
        },
        expect![
            "the audit chain breaks at record 3: it belongs to the chain of enforcer/7, not of enforcer/0"
        ],
    );
}

#[test]
fn a_wrong_secret_and_an_unknown_key_are_told_apart() {
    let wrong = AuditKeys::new(AuditKey::new("k1", [7; 32]));
    let error = verify(&chain(), &wrong, ChainHead::default(), None).unwrap_err();
    expect!["the audit chain breaks at record 1: its content is not what key k1 signed"]
        .assert_eq(&error.to_string());
    let too_few = AuditKeys::new(AuditKey::new("k1", [1; 32]));
    let error = verify(&chain(), &too_few, ChainHead::default(), None).unwrap_err();
    expect!["the audit chain breaks at record 4: it names key k2, which was not given"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_chain_whose_beginning_passed_its_retention_verifies_from_a_known_head() {
    let records = chain();
    let from = ChainHead { sequence: 2, mac: records[1].mac };
    assert_eq!(verify(&records[2..], &keys(), from, None).unwrap().records, 3);
}

#[test]
fn a_key_is_never_printed() {
    expect![[r#"AuditKey { id: "k1", secret: "redacted" }"#]]
        .assert_eq(&format!("{:?}", AuditKey::new("k1", [42; 32])));
}

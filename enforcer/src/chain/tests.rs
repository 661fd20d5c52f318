use super::*;
use expect_test::{Expect, expect};
use weir_schemas::wire::{Wire, to_single_object};
use weir_schemas::{Audit, Record as _};

fn keys() -> AuditKeys {
    AuditKeys::new(AuditKey::new("k1", &[1; 32])).and(AuditKey::new("k2", &[2; 32]))
}

fn record(index: i64) -> Vec<u8> {
    to_single_object(&Audit {
        time_ms: index * 1000,
        tenant: "acme".into(),
        reason: format!("reason {index}"),
        score: 0.5,
        ..Audit::default()
    })
}

/// Six entries, of which the second key signed the last three.
fn chain() -> Vec<AuditEntry> {
    let keys = keys();
    let mut head = ChainHead::default();
    (1..=6)
        .map(|index| {
            let key = keys.get(if index < 4 { "k1" } else { "k2" }).expect("given");
            head.append("enforcer/0", key, record(index))
        })
        .collect()
}

fn head_of(entry: &AuditEntry) -> ChainHead {
    ChainHead { sequence: entry.sequence, hash: hash_of(&message(entry), &entry.signature) }
}

fn verified<'k>(verifier: Verifier<'k>, entries: &[AuditEntry]) -> ChainReport {
    let mut verifier = verifier;
    entries.iter().for_each(|entry| verifier.entry(entry));
    verifier.finish()
}

fn shown(report: &ChainReport) -> String {
    let breaks: String = report.breaks.iter().map(|found| format!("{found}\n")).collect();
    format!("{} to {}, {:?}\n{breaks}", report.first, report.head.sequence, report.by_key)
}

/// Verifies what an attack left of the chain, whose end is known.
fn check(attack: impl FnOnce(&mut Vec<AuditEntry>), expected: Expect) {
    let mut entries = chain();
    let head = head_of(&entries[5]);
    attack(&mut entries);
    let public = keys().public();
    expected.assert_eq(&shown(&verified(Verifier::new(&public).reaches(head), &entries)));
}

#[test]
fn a_chain_that_nobody_touched_verifies_across_a_change_of_keys() {
    check(
        |_| {},
        expect![[r#"
            1 to 6, {"k1": 3, "k2": 3}
        "#]],
    );
}

type Flip = fn(&mut AuditEntry);

#[test]
fn a_flipped_bit_in_any_field_names_the_entry_and_nothing_else() {
    let flips: &[(&str, Flip)] = &[
        ("writer", |e| e.writer.push('1')),
        ("sequence", |e| e.sequence += 1),
        ("previous", |e| e.previous.0[31] ^= 1),
        ("key_id", |e| e.key_id = "k2".into()),
        ("record", |e| e.record[20] ^= 1),
        ("signature", |e| e.signature.0[0] ^= 1),
    ];
    let schema: serde_json::Value = serde_json::from_str(AuditEntry::SCHEMA).unwrap();
    let fields: Vec<&str> =
        schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(flips.iter().map(|(name, _)| *name).collect::<Vec<_>>(), fields, "every field is flipped");
    let public = keys().public();
    for (field, flip) in flips {
        let mut entries = chain();
        flip(&mut entries[2]);
        let key_id = entries[2].key_id.clone();
        let report = verified(Verifier::new(&public), &entries);
        assert_eq!(report.breaks, [Break { sequence: 3, what: Flaw::Altered { key_id } }], "{field}");
    }
}

#[test]
fn no_bit_of_a_record_or_a_signature_can_be_flipped() {
    let public = keys().public();
    let whole = chain();
    for bit in 0..8 * (whole[2].record.len() + 64) {
        let mut entries = whole.clone();
        let at = bit / 8;
        match at.checked_sub(64) {
            None => entries[2].signature.0[at] ^= 1 << (bit % 8),
            Some(at) => entries[2].record[at] ^= 1 << (bit % 8),
        }
        let report = verified(Verifier::new(&public), &entries);
        assert_eq!(report.breaks.len(), 1, "bit {bit}: {report:?}");
        assert_eq!(report.breaks[0].sequence, 3, "bit {bit}");
    }
}

#[test]
fn deleted_entries_are_missed_where_they_stood() {
    check(
        |entries| drop(entries.drain(1..3)),
        expect![[r#"
            1 to 6, {"k1": 1, "k2": 3}
            entry 2: deleted: missing up to entry 3
        "#]],
    );
    check(
        |entries| drop(entries.drain(..2)),
        expect![[r#"
            3 to 6, {"k1": 1, "k2": 3}
            entry 1: deleted: missing up to entry 2
        "#]],
    );
}

#[test]
fn swapped_entries_are_reordered_and_not_deleted() {
    check(
        |entries| entries.swap(1, 2),
        expect![[r#"
            1 to 6, {"k1": 3, "k2": 3}
            entry 2: reordered: it stands after entry 3
        "#]],
    );
}

#[test]
fn a_repeated_entry_is_noticed() {
    check(
        |entries| entries.insert(4, entries[1].clone()),
        expect![[r#"
            1 to 6, {"k1": 4, "k2": 3}
            entry 2: repeated: it stands there again after entry 4
        "#]],
    );
}

#[test]
fn an_end_that_was_cut_off_is_missed_when_the_head_is_known() {
    check(
        |entries| entries.truncate(3),
        expect![[r#"
            1 to 3, {"k1": 3}
            entry 4: truncated: the chain once reached entry 6
        "#]],
    );
    check(
        Vec::clear,
        expect![[r#"
            0 to 0, {}
            entry 1: truncated: the chain once reached entry 6
        "#]],
    );
}

#[test]
fn an_end_that_was_signed_anew_with_the_true_key_is_not_the_known_head() {
    check(
        |entries| {
            entries.pop();
            let mut head = head_of(&entries[4]);
            entries.push(head.append("enforcer/0", keys().get("k2").unwrap(), record(66)));
        },
        expect![[r#"
            1 to 6, {"k1": 3, "k2": 3}
            entry 6: replaced: it is not the entry that was the chain's head
        "#]],
    );
}

#[test]
fn entries_spliced_in_from_another_history_do_not_continue_what_stands_before_them() {
    check(
        |entries| {
            let mut head = ChainHead { sequence: 2, hash: Digest([9; 32]) };
            entries[2] = head.append("enforcer/0", keys().first(), record(3));
        },
        expect![[r#"
            1 to 6, {"k1": 3, "k2": 3}
            entry 3: spliced: it does not continue the entry before it
            entry 4: spliced: it does not continue the entry before it
        "#]],
    );
    check(
        |entries| {
            let mut head = ChainHead { sequence: 1, hash: Digest([9; 32]) };
            entries.insert(3, head.append("enforcer/0", keys().first(), record(2)));
        },
        expect![[r#"
            1 to 6, {"k1": 4, "k2": 3}
            entry 2: spliced: it does not continue the entry before it
        "#]],
    );
}

#[test]
fn an_entry_of_another_chain_is_noticed_and_the_chain_goes_on_behind_it() {
    check(
        |entries| {
            let mut head = head_of(&entries[1]);
            entries.insert(2, head.append("enforcer/7", keys().first(), record(3)));
        },
        expect![[r#"
            1 to 6, {"k1": 4, "k2": 3}
            entry 3: spliced: an entry of the chain of enforcer/7 stands in that of enforcer/0
        "#]],
    );
}

#[test]
fn a_forged_entry_is_told_whether_it_was_put_between_or_in_place_of_another() {
    let forged = |entries: &[AuditEntry]| {
        let forger = AuditKey::new("k1", &[7; 32]);
        head_of(&entries[1]).append("enforcer/0", &forger, record(3))
    };
    check(
        |entries| entries.insert(2, forged(entries)),
        expect![[r#"
            1 to 6, {"k1": 3, "k2": 3}
            entry 3: flipped: this is not what key k1 signed
        "#]],
    );
    check(
        |entries| entries[2] = forged(entries),
        expect![[r#"
            1 to 6, {"k1": 2, "k2": 3}
            entry 3: flipped: this is not what key k1 signed
        "#]],
    );
    check(
        |entries| entries.push(forged(entries)),
        expect![[r#"
            1 to 6, {"k1": 3, "k2": 3}
            entry 7: flipped: this is not what key k1 signed
        "#]],
    );
}

#[test]
fn a_wrong_and_an_unknown_public_key_are_told_apart() {
    let wrong = AuditKeys::new(AuditKey::new("k1", &[7; 32])).public();
    expect![[r#"
        0 to 0, {}
        entry 1: flipped: this is not what key k1 signed
        entry 2: flipped: this is not what key k1 signed
        entry 3: flipped: this is not what key k1 signed
    "#]]
    .assert_eq(&shown(&verified(Verifier::new(&wrong), &chain()[..3])));
    let too_few = AuditKeys::new(AuditKey::new("k2", &[2; 32])).public();
    expect![[r#"
        1 to 4, {"k2": 1}
        entry 1: unknown key: it names k1, whose public key was not given
        entry 2: unknown key: it names k1, whose public key was not given
        entry 3: unknown key: it names k1, whose public key was not given
    "#]]
    .assert_eq(&shown(&verified(Verifier::new(&too_few), &chain()[..4])));
}

#[test]
fn a_chain_whose_beginning_is_elsewhere_verifies_from_where_it_begins() {
    let public = keys().public();
    let mut entries = chain().split_off(2);
    expect![[r#"
        3 to 6, {"k1": 1, "k2": 3}
    "#]]
    .assert_eq(&shown(&verified(Verifier::new(&public).may_begin_later(), &entries)));
    entries[0].record[9] ^= 1;
    expect![[r#"
        3 to 6, {"k2": 3}
        entry 3: flipped: this is not what key k1 signed
    "#]]
    .assert_eq(&shown(&verified(Verifier::new(&public).may_begin_later(), &entries)));
}

#[test]
fn what_is_wrong_is_told_one_by_one_up_to_a_limit_and_counted_beyond() {
    let public = keys().public();
    let mut verifier = Verifier::new(&public);
    (0..crate::limits::BREAKS_MAX + 7).for_each(|_| verifier.unreadable("not framed".into()));
    let report = verifier.finish();
    assert_eq!((report.breaks.len(), report.breaks_more), (crate::limits::BREAKS_MAX, 7));
    assert!(!report.is_sound());
}

/// The datum of an older or newer build's schema: today's and one more field.
fn record_of_a_schema_with_one_more_field(reason: &str) -> (String, Vec<u8>) {
    use weir_schemas::fingerprint::rabin;
    let added = r#"{ "name": "severity", "type": "int", "doc": "How grave.", "default": 0 }"#;
    let end = Audit::SCHEMA.rfind(']').unwrap();
    let schema = format!("{}, {added} {}", Audit::SCHEMA[..end].trim_end(), &Audit::SCHEMA[end..]);
    let canonical_end = Audit::CANONICAL.rfind(']').unwrap();
    let canonical = format!(
        r#"{},{{"name":"severity","type":"int"}}{}"#,
        &Audit::CANONICAL[..canonical_end],
        &Audit::CANONICAL[canonical_end..]
    );
    let audit = Audit { tenant: "acme".into(), reason: reason.into(), ..Audit::default() };
    let mut framed = vec![0xC3, 0x01];
    framed.extend(rabin(canonical.as_bytes()).to_le_bytes());
    framed.extend(audit.to_datum());
    framed.push(2 * 3);
    (schema, framed)
}

#[test]
fn a_field_more_in_the_schema_leaves_entries_of_before_and_of_after_verifiable_by_both_builds() {
    let keys = keys();
    let (schema, newer) = record_of_a_schema_with_one_more_field("with a field more");
    let mut head = ChainHead::default();
    let entries: Vec<AuditEntry> = [record(1), newer, record(3)]
        .into_iter()
        .map(|record| head.append("enforcer/0", keys.first(), record))
        .collect();
    let public = keys.public();
    let report = verified(Verifier::new(&public).reaches(head), &entries);
    assert!(report.is_sound() && report.entries == 3, "{report:?}");
    // A build that does not know the newer schema cannot read the record, and verifies it all the same.
    assert!(Wire::new().read::<Audit>(&entries[1].record).is_err());
    // A build that knows both schemas reads both.
    let wire = Wire::with_history().unwrap();
    wire.learn(&schema).unwrap();
    let reasons = entries.iter().map(|entry| wire.read::<Audit>(&entry.record).unwrap().reason);
    assert_eq!(reasons.collect::<Vec<_>>(), ["reason 1", "with a field more", "reason 3"]);
}

#[test]
fn a_key_is_never_printed() {
    expect![[r#"AuditKey { id: "k1", secret: "redacted" }"#]]
        .assert_eq(&format!("{:?}", AuditKey::new("k1", &[42; 32])));
}

//! Schemas evolve under FULL_TRANSITIVE: every version ever committed reads every other.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use std::process::Command;
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::*;

/// Name and text of every current schema.
fn current() -> [(&'static str, &'static str); 16] {
    [
        (Event::NAME, Event::SCHEMA),
        (Link::NAME, Link::SCHEMA),
        (Cluster::NAME, Cluster::SCHEMA),
        (Verdict::NAME, Verdict::SCHEMA),
        (Member::NAME, Member::SCHEMA),
        (Campaign::NAME, Campaign::SCHEMA),
        (Action::NAME, Action::SCHEMA),
        (ActionOutcome::NAME, ActionOutcome::SCHEMA),
        (Standing::NAME, Standing::SCHEMA),
        (Audit::NAME, Audit::SCHEMA),
        (AuditEntry::NAME, AuditEntry::SCHEMA),
        (Identity::NAME, Identity::SCHEMA),
        (Control::NAME, Control::SCHEMA),
        (Epoch::NAME, Epoch::SCHEMA),
        (State::NAME, State::SCHEMA),
        (DeadLetter::NAME, DeadLetter::SCHEMA),
    ]
}

fn versions(name: &str) -> Vec<(u32, Schema)> {
    let texts = HISTORY.iter().filter(|(record, ..)| *record == name);
    texts.map(|(_, version, text)| (*version, Schema::parse_str(text).unwrap())).collect()
}

#[test]
fn the_current_schema_is_the_last_version_of_its_history() {
    for (name, text) in current() {
        let versions = versions(name);
        let numbers: Vec<u32> = versions.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=versions.len() as u32).collect::<Vec<_>>(), "{name}: versions count up");
        let last = versions.last().unwrap_or_else(|| panic!("{name} has no history")).1.canonical_form();
        assert_eq!(
            Schema::parse_str(text).unwrap().canonical_form(),
            last,
            "{name}.avsc changed: copy it to avro/history/{name}/{}.avsc",
            versions.len() + 1
        );
    }
}

#[test]
fn every_version_reads_every_other() {
    for (name, _) in current() {
        for (a, older) in versions(name) {
            for (b, newer) in versions(name) {
                let readable = SchemaCompatibility::can_read(&older, &newer);
                assert!(readable.is_ok(), "{name}: version {b} cannot read version {a}: {readable:?}");
            }
        }
    }
}

#[test]
fn no_version_was_committed_that_the_history_does_not_keep() {
    let git = |arguments: &[&str]| {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output = Command::new("git").arg("-C").arg(directory).args(arguments).output();
        output.ok().filter(|output| output.status.success()).map(|o| String::from_utf8(o.stdout).unwrap())
    };
    let Some(shallow) = git(&["rev-parse", "--is-shallow-repository"]) else {
        // A source archive has no history to hold the schemas against.
        return;
    };
    assert_eq!(shallow.trim(), "false", "the check needs the whole history: git fetch --unshallow");
    for (name, _) in current() {
        let file = format!("schemas/avro/{name}.avsc");
        // Until the first release a break begins a schema's history anew: by a commit that replaces version
        // 1.
        let first = format!("schemas/avro/history/{name}/1.avsc");
        let begun = git(&["log", "-1", "--format=%H", "--", &first]).unwrap_or_default();
        let Some(begun) = begun.lines().next() else { continue };
        let kept: Vec<String> = versions(name).iter().map(|(_, schema)| schema.canonical_form()).collect();
        let since = git(&["log", "--format=%H", &format!("{begun}..HEAD"), "--", &file]).unwrap_or_default();
        for commit in since.lines().chain([begun]) {
            let Some(text) = git(&["show", &format!("{commit}:{file}")]) else { continue };
            let committed = Schema::parse_str(&text).unwrap().canonical_form();
            assert!(kept.contains(&committed), "{file} as of {commit} is not in avro/history/{name}");
        }
    }
}

#[test]
fn both_framings_are_read_whatever_is_written() {
    let link = Link { tenant: "t".into(), account_first_ms: 7, ..Link::default() };
    let single = Wire::new();
    let mut confluent = Wire::new();
    confluent.write_as(Link::FINGERPRINT, 42);
    let (a, b) = (single.to_bytes(&link), confluent.to_bytes(&link));
    assert_eq!((&a[..2], &b[..5]), (&[0xC3, 0x01][..], &[0, 0, 0, 0, 42][..]));
    assert_eq!(confluent.read::<Link>(&a), Ok(link.clone()));
    assert_eq!(confluent.read::<Link>(&b), Ok(link));
    assert_eq!((single.unknown_id(&b), confluent.unknown_id(&b)), (Some(42), None));
    assert!(matches!(single.read::<Link>(&b), Err(WireError::UnknownSchema(_))));
    assert_eq!(single.read::<Link>(b"{}"), Err(WireError::Unframed));
}

/// A control record framed as a build with another version of its schema would write it.
#[cfg(feature = "resolve")]
fn written_with(text: &str, wire: &Wire) -> Vec<u8> {
    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;

    let schema = Schema::parse_str(text).unwrap();
    let Schema::Record(record) = &schema else { panic!("a record") };
    let fields = record.fields.iter().map(|field| {
        let value = match field.name.as_str() {
            "kind" => Value::Enum(1, "POLICY".into()),
            "time_ms" => Value::TimestampMillis(5),
            name => Value::String(name.into()),
        };
        (field.name.clone(), value)
    });
    let value = Value::Record(fields.collect());
    let datum = GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
    let mut framed = vec![0xC3, 0x01];
    framed.extend(wire.learn(text).unwrap().to_le_bytes());
    framed.extend(datum);
    framed
}

#[cfg(feature = "resolve")]
#[test]
fn a_record_of_another_version_is_read_through_its_schema() {
    let wire = Wire::with_history().unwrap();
    let note = r#""fields": [ {"name": "note", "type": "string", "default": ""},"#;
    let with_note = Control::SCHEMA.replacen("\"fields\": [", note, 1);
    let framed = written_with(&with_note, &wire);
    let control: Control = wire.read(&framed).unwrap();
    assert_eq!((control.name.as_str(), control.kind, control.time_ms), ("name", ControlKind::Policy, 5));
    assert!(matches!(Wire::new().read::<Control>(&framed), Err(WireError::UnknownSchema(_))));
}

#[cfg(feature = "resolve")]
#[test]
fn a_version_that_lacks_a_field_without_default_is_refused_and_not_guessed() {
    let wire = Wire::with_history().unwrap();
    let without_author = Control::SCHEMA.replacen("\"name\": \"author\"", "\"name\": \"writer\"", 1);
    let framed = written_with(&without_author, &wire);
    assert!(matches!(wire.read::<Control>(&framed), Err(WireError::Resolve(_))));
}

//! The generated codec against the reference library, for every record.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use sha2::Digest as _;
use std::collections::HashMap;
use weir_schemas::*;

/// Runs `$check::<R>()` for every record.
macro_rules! for_every_record {
    ($check:ident $(, $argument:expr)*) => {
        $check::<Event<'_>>($($argument),*);
        $check::<Link>($($argument),*);
        $check::<Cluster>($($argument),*);
        $check::<Verdict>($($argument),*);
        $check::<Member>($($argument),*);
        $check::<Campaign>($($argument),*);
        $check::<Action>($($argument),*);
        $check::<ActionOutcome>($($argument),*);
        $check::<Standing>($($argument),*);
        $check::<Audit>($($argument),*);
        $check::<AuditEntry>($($argument),*);
        $check::<Identity>($($argument),*);
        $check::<Control>($($argument),*);
        $check::<Epoch>($($argument),*);
        $check::<State>($($argument),*);
        $check::<DeadLetter>($($argument),*);
    };
}

#[test]
fn canonical_forms_agree_with_the_reference_library() {
    fn check<'a, R: Record<'a>>() {
        // The library keeps the braces around a primitive that had a logical type; the
        // specification's rule PRIMITIVES takes them off.
        let canonical = Schema::parse_str(R::SCHEMA).unwrap().canonical_form();
        assert_eq!(canonical.replace("{\"type\":\"long\"}", "\"long\""), R::CANONICAL, "{}", R::NAME);
    }
    for_every_record!(check);
}

#[test]
fn fingerprints_agree_with_the_reference_library() {
    for text in ["\"int\"", "\"string\"", Evidence::default().name.as_str(), State::CANONICAL] {
        let expected = Rabin::digest(text.as_bytes());
        assert_eq!(fingerprint::rabin(text.as_bytes()).to_le_bytes()[..], expected[..], "{text:?}");
    }
}

/// A small generator: the same numbers make the same value.
struct Choices<'a> {
    numbers: &'a [u64],
    at: usize,
}

impl Choices<'_> {
    fn next(&mut self) -> u64 {
        self.at += 1;
        self.numbers[self.at % self.numbers.len()].rotate_left(self.at as u32)
    }

    fn value(&mut self, schema: &Schema, named: &HashMap<String, Schema>) -> Value {
        let number = self.next();
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(number % 2 == 1),
            Schema::Int => Value::Int(number as i32),
            Schema::Long => Value::Long(number as i64 >> (number % 64)),
            Schema::TimestampMillis => Value::TimestampMillis(number as i64 >> (number % 64)),
            Schema::Double => Value::Double(number as f64 / 3.0),
            Schema::String => {
                Value::String("aé\u{200d}𐍈\0\"".chars().cycle().take(number as usize % 200).collect())
            }
            Schema::Bytes => Value::Bytes(vec![number as u8; number as usize % 200]),
            Schema::Fixed(fixed) => Value::Fixed(
                fixed.size,
                (0..fixed.size).map(|i| number.rotate_left(i as u32) as u8).collect(),
            ),
            Schema::Enum(choices) => {
                let index = number as usize % choices.symbols.len();
                Value::Enum(index as u32, choices.symbols[index].clone())
            }
            Schema::Array(array) => {
                Value::Array((0..number % 4).map(|_| self.value(&array.items, named)).collect())
            }
            Schema::Union(union) => {
                let index = number as usize % union.variants().len();
                Value::Union(index as u32, Box::new(self.value(&union.variants()[index], named)))
            }
            Schema::Record(record) => Value::Record(
                record.fields.iter().map(|f| (f.name.clone(), self.value(&f.schema, named))).collect(),
            ),
            Schema::Ref { name } => self.value(&named[&name.to_string()], named),
            other => panic!("no record of ours uses {other:?}"),
        }
    }
}

fn collect_named(schema: &Schema, named: &mut HashMap<String, Schema>) {
    if let Some(name) = schema.name()
        && !matches!(schema, Schema::Ref { .. })
    {
        named.insert(name.to_string(), schema.clone());
    }
    match schema {
        Schema::Record(record) => record.fields.iter().for_each(|f| collect_named(&f.schema, named)),
        Schema::Union(union) => union.variants().iter().for_each(|v| collect_named(v, named)),
        Schema::Array(array) => collect_named(&array.items, named),
        _ => {}
    }
}

fn agrees<'a, R: Record<'a> + PartialEq + std::fmt::Debug>(numbers: &[u64]) {
    let schema = Schema::parse_str(R::SCHEMA).unwrap();
    let mut named = HashMap::new();
    collect_named(&schema, &mut named);
    let value = Choices { numbers, at: 0 }.value(&schema, &named);
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    // The generated decoder borrows from the datum for as long as the test runs.
    let datum: &'static [u8] = writer.write_value_to_vec(value.clone()).unwrap().leak();
    let record = R::decode(datum).unwrap_or_else(|error| panic!("{}: {error}", R::NAME));
    let encoded = record.to_datum();
    assert_eq!(encoded, datum, "{}", R::NAME);
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    assert_eq!(reader.read_value(&mut &encoded[..]).unwrap(), value, "{}", R::NAME);
    for cut in 0..datum.len() {
        assert!(R::decode(&datum[..cut]).is_err(), "{} cut at {cut} of {}", R::NAME, datum.len());
    }
}

fn never_panics<'a, R: Record<'a>>(bytes: &'a [u8]) {
    let _ = R::decode(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_read_what_the_other_writes_and_a_cut_datum_is_an_error(
        numbers in prop::collection::vec(any::<u64>(), 8..32),
    ) {
        for_every_record!(agrees, &numbers);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes: &'static [u8] = bytes.leak();
        for_every_record!(never_panics, bytes);
    }
}

#[test]
fn a_forged_array_count_reserves_nothing() {
    // A count of 2^62 members, as a zigzag long, in the place of none before the last field, an id.
    let mut datum = Cluster::default().to_datum();
    datum.truncate(datum.len() - 17);
    datum.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    assert_eq!(Cluster::decode(&datum), Err(DecodeError::TooManyItems { field: "Cluster.sample" }));
}

#[test]
fn ids_print_and_parse_as_hex() {
    let id = AccountId([0xab; 16]);
    assert_eq!(id.to_string(), "ab".repeat(16));
    assert_eq!(id.to_string().parse(), Ok(id));
    assert!("AB".repeat(16).parse::<AccountId>().is_err());
    assert!("ab".repeat(15).parse::<AccountId>().is_err());
}

//! Older schema versions: their datums are brought to the current schema by the reference library.
//!
//! This is the slow path by design: it runs only while a topic still holds records from before an
//! upgrade.

use crate::codec::Record;
use crate::fingerprint::rabin;
use crate::records::HISTORY;
use crate::wire::{Wire, WireError};
use crate::*;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;

impl Wire {
    /// A wire that reads every schema version that was ever committed.
    pub fn with_history() -> Result<Self, WireError> {
        let mut wire = Self::new();
        for (name, _, text) in HISTORY {
            wire.learn(name, text)?;
        }
        Ok(wire)
    }

    /// Learns to read record `name` as written with the schema `text`; returns its fingerprint.
    pub fn learn(&mut self, name: &str, text: &str) -> Result<u64, WireError> {
        macro_rules! learn {
            ($($record:ty),+) => {
                $(if name == <$record>::NAME {
                    return self.learn_as::<$record>(text);
                })+
            };
        }
        learn!(Event<'_>, Link, Cluster, Verdict, Action, Audit, Control, Epoch, State, DeadLetter);
        Err(WireError::Resolve(format!("there is no record named {name}")))
    }

    fn learn_as<'a, R: Record<'a>>(&mut self, text: &str) -> Result<u64, WireError> {
        let writer = parse(text)?;
        let fingerprint = fingerprint_of(&writer);
        if fingerprint != R::FINGERPRINT {
            let reader = parse(R::SCHEMA)?;
            self.add_older(
                R::NAME,
                fingerprint,
                Box::new(move |datum| {
                    let resolve = || {
                        let value = GenericDatumReader::builder(&writer)
                            .reader_schema(&reader)
                            .build()?
                            .read_value(&mut &datum[..])?;
                        GenericDatumWriter::builder(&reader).build()?.write_value_to_vec(value)
                    };
                    resolve().map_err(|error: apache_avro::Error| WireError::Resolve(error.to_string()))
                }),
            );
        }
        Ok(fingerprint)
    }
}

fn parse(text: &str) -> Result<Schema, WireError> {
    Schema::parse_str(text).map_err(|error| WireError::Resolve(error.to_string()))
}

/// CRC-64-AVRO of a schema's canonical form, as frames carry it.
///
/// The library writes a primitive with a logical type as `{"type":"long"}` where the specification
/// (rule PRIMITIVES), and so the Java library, wants `"long"`.
fn fingerprint_of(schema: &Schema) -> u64 {
    rabin(schema.canonical_form().replace("{\"type\":\"long\"}", "\"long\"").as_bytes())
}

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
use std::sync::Arc;

impl Wire {
    /// A wire that reads every schema version that was ever committed.
    pub fn with_history() -> Result<Self, WireError> {
        let wire = Self::new();
        for (_, _, text) in HISTORY {
            wire.learn(text)?;
        }
        Ok(wire)
    }

    /// Learns to read what is written with the schema `text`, which must be a version of one of
    /// Weir's records; returns its fingerprint.
    pub fn learn(&self, text: &str) -> Result<u64, WireError> {
        let writer = parse(text)?;
        macro_rules! learn {
            ($($record:ty),+) => {
                $(if let Some(fingerprint) = self.learn_as::<$record>(&writer)? {
                    return Ok(fingerprint);
                })+
            };
        }
        learn!(
            Event<'_>,
            Identity,
            Link,
            Cluster,
            Verdict,
            Member,
            Campaign,
            Action,
            ActionOutcome,
            Standing,
            Audit,
            AuditEntry,
            Control,
            Epoch,
            State,
            DeadLetter
        );
        Err(WireError::Resolve("the schema is of none of Weir's records".into()))
    }

    fn learn_as<'a, R: Record<'a>>(&self, writer: &Schema) -> Result<Option<u64>, WireError> {
        let reader = parse(R::SCHEMA)?;
        if writer.name() != reader.name() {
            return Ok(None);
        }
        let fingerprint = fingerprint_of(writer);
        if fingerprint != R::FINGERPRINT {
            let writer = writer.clone();
            let translate = move |datum: &[u8]| {
                let resolve = || {
                    let value = GenericDatumReader::builder(&writer)
                        .reader_schema(&reader)
                        .build()?
                        .read_value(&mut &datum[..])?;
                    GenericDatumWriter::builder(&reader).build()?.write_value_to_vec(value)
                };
                resolve().map_err(|error: apache_avro::Error| WireError::Resolve(error.to_string()))
            };
            self.add_version(R::NAME, fingerprint, Arc::new(translate));
        }
        Ok(Some(fingerprint))
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

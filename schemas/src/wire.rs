//! How a record stands in a topic: a short frame that names the writer's schema, then the datum.
//!
//! Two framings are written, both are read. *Single-object* (Avro specification): `C3 01` and the
//! schema's CRC-64-AVRO in little-endian. *Confluent*: `00` and the schema registry's id in
//! big-endian.

use crate::codec::{DecodeError, Record};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
const CONFLUENT: u8 = 0x00;

/// Why a framed record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Neither framing.
    #[error("the record has neither a single-object nor a Confluent frame")]
    Unframed,
    /// A schema that this build does not know. Upgrade the reader, or check what writes the topic.
    #[error("the record is written with {0}, which this build does not know")]
    UnknownSchema(SchemaName),
    /// The datum does not fit its schema.
    #[error("the record does not fit its schema: {0}")]
    Datum(#[from] DecodeError),
    /// The datum of an older schema cannot be brought to the current one.
    #[error("the record's schema version cannot be brought to the current one: {0}")]
    Resolve(String),
}

/// How a frame names a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaName {
    /// By CRC-64-AVRO fingerprint.
    Fingerprint(u64),
    /// By registry id.
    RegistryId(u32),
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => write!(f, "schema {fingerprint:016x}"),
            Self::RegistryId(id) => write!(f, "registry schema {id}"),
        }
    }
}

/// Brings a datum of one known writer schema to the current schema of its record.
pub type Translate = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, WireError> + Send + Sync>;

/// What this process knows of schemas: which frame to write, and which frames it can read.
#[derive(Default)]
pub struct Wire {
    /// Registry id to write for a record, by the current schema's fingerprint; single-object
    /// framing for records that have none.
    written_ids: HashMap<u64, u32>,
    /// Writer schemas that can be read besides the current ones. They may be learned at any time: a
    /// schema's meaning never changes, so when it was learned cannot change what is read.
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// Registry ids that stand for a known writer schema.
    ids: HashMap<u32, u64>,
    /// Other versions, by record name and fingerprint.
    versions: HashMap<(&'static str, u64), Translate>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("written_ids", &self.written_ids).finish_non_exhaustive()
    }
}

impl Wire {
    /// Single-object framing, reading the current schemas only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes records with schema `fingerprint` under registry id `id` from now on.
    pub fn write_as(&mut self, fingerprint: u64, id: u32) {
        self.written_ids.insert(fingerprint, id);
        self.read_as(id, fingerprint);
    }

    /// Reads registry id `id` as the schema with `fingerprint`.
    pub fn read_as(&self, id: u32, fingerprint: u64) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).ids.insert(id, fingerprint);
    }

    /// Reads another version of record `name` through `translate`.
    pub fn add_version(&self, name: &'static str, fingerprint: u64, translate: Translate) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.versions.insert((name, fingerprint), translate);
    }

    /// The registry id in a frame, if it is one that this process has not been told of yet.
    pub fn unknown_id(&self, framed: &[u8]) -> Option<u32> {
        match split(framed) {
            Ok((SchemaName::RegistryId(id), _)) if self.fingerprint_of(id).is_none() => Some(id),
            _ => None,
        }
    }

    fn fingerprint_of(&self, id: u32) -> Option<u64> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).ids.get(&id).copied()
    }

    /// Appends the framed record to `out`.
    pub fn frame<'a, R: Record<'a>>(&self, record: &R, out: &mut Vec<u8>) {
        match self.written_ids.get(&R::FINGERPRINT) {
            Some(id) => {
                out.push(CONFLUENT);
                out.extend_from_slice(&id.to_be_bytes());
            }
            None => single_object_header::<R>(out),
        }
        record.encode(out);
    }

    /// The framed record in a new vector.
    pub fn to_bytes<'a, R: Record<'a>>(&self, record: &R) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.frame(record, &mut out);
        out
    }

    /// The datum of a framed record in the current schema of `R`: a slice of the input unless it was
    /// written with an older version.
    pub fn datum<'b, R: Record<'b>>(&self, framed: &'b [u8]) -> Result<Cow<'b, [u8]>, WireError> {
        let (name, datum) = split(framed)?;
        let fingerprint = match name {
            SchemaName::Fingerprint(fingerprint) => fingerprint,
            SchemaName::RegistryId(id) => self.fingerprint_of(id).ok_or(WireError::UnknownSchema(name))?,
        };
        if fingerprint == R::FINGERPRINT {
            return Ok(Cow::Borrowed(datum));
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let translate = known.versions.get(&(R::NAME, fingerprint)).cloned();
        drop(known);
        translate.ok_or(WireError::UnknownSchema(name))?(datum).map(Cow::Owned)
    }

    /// Reads a framed record that owns its content.
    pub fn read<R>(&self, framed: &[u8]) -> Result<R, WireError>
    where
        R: for<'b> Record<'b>,
    {
        match self.datum::<R>(framed)? {
            Cow::Borrowed(datum) => Ok(R::decode(datum)?),
            Cow::Owned(datum) => Ok(R::decode(&datum)?),
        }
    }
}

/// The record in its single-object frame, whatever a registry says: for bytes that must be understood
/// without one for as long as they are kept.
pub fn to_single_object<'a, R: Record<'a>>(record: &R) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    single_object_header::<R>(&mut out);
    record.encode(&mut out);
    out
}

fn single_object_header<'a, R: Record<'a>>(out: &mut Vec<u8>) {
    out.extend_from_slice(&SINGLE_OBJECT);
    out.extend_from_slice(&R::FINGERPRINT.to_le_bytes());
}

/// The schema that a frame names, and the datum behind it.
pub fn split(framed: &[u8]) -> Result<(SchemaName, &[u8]), WireError> {
    match framed {
        [a, b, rest @ ..] if [*a, *b] == SINGLE_OBJECT => {
            let (fingerprint, datum) = rest.split_first_chunk::<8>().ok_or(WireError::Unframed)?;
            Ok((SchemaName::Fingerprint(u64::from_le_bytes(*fingerprint)), datum))
        }
        [CONFLUENT, rest @ ..] => {
            let (id, datum) = rest.split_first_chunk::<4>().ok_or(WireError::Unframed)?;
            Ok((SchemaName::RegistryId(u32::from_be_bytes(*id)), datum))
        }
        _ => Err(WireError::Unframed),
    }
}

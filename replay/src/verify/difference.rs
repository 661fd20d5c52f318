//! The first difference between a verdict as it stands and as it came out, for a person to read.

use crate::limits::VALUE_CHARS_MAX;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Debug;
use weir_schemas::wire::Wire;
use weir_schemas::{Digest, Signal, Verdict};

/// How the bytes of a verdict differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContentDifference {
    /// Epoch that emitted what came out.
    pub epoch: i64,
    /// First byte of the record that differs, counted from 0; the shorter length where one is the
    /// beginning of the other.
    pub byte: usize,
    /// That byte as it stands, in hex; none after the end.
    pub byte_written: Option<String>,
    /// That byte as it came out, in hex; none after the end.
    pub byte_refolded: Option<String>,
    /// Fields that differ, in the schema's order.
    pub fields: Vec<FieldDifference>,
    /// Why the record as it stands cannot be read, when it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// SHA-256 of the record as it stands.
    pub sha256_written: String,
    /// SHA-256 of the record that came out.
    pub sha256_refolded: String,
}

/// How one field differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Name of the field.
    pub field: String,
    /// Its value as it stands.
    pub written: String,
    /// Its value as it came out.
    pub refolded: String,
}

impl ContentDifference {
    pub(super) fn between(wire: &Wire, epoch: i64, written: &[u8], refolded: &[u8]) -> Self {
        let byte = written.iter().zip(refolded).position(|(one, other)| one != other);
        let byte = byte.unwrap_or(written.len().min(refolded.len()));
        let at = |bytes: &[u8]| bytes.get(byte).map(|byte| format!("{byte:02x}"));
        let (mut fields, mut unreadable) = (Vec::new(), None);
        match (wire.read::<Verdict>(written), wire.read::<Verdict>(refolded)) {
            (Ok(written), Ok(refolded)) => verdict(&mut fields, &written, &refolded),
            (Err(error), _) | (_, Err(error)) => unreadable = Some(error.to_string()),
        }
        Self {
            epoch,
            byte,
            byte_written: at(written),
            byte_refolded: at(refolded),
            fields,
            unreadable,
            sha256_written: sha256_of(written),
            sha256_refolded: sha256_of(refolded),
        }
    }
}

/// SHA-256 as hex digits.
pub(super) fn sha256_of(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

/// Compares every field of a record. A field that is added to the schema and not here does not compile.
macro_rules! compare {
    ($into:expr, $prefix:expr, $record:ident, $written:expr, $refolded:expr, { $($field:ident),+ $(,)? }) => {{
        let $record { $($field),+ } = $written;
        $(push($into, format!("{}{}", $prefix, stringify!($field)), $field, &$refolded.$field);)+
    }};
}

fn verdict(into: &mut Vec<FieldDifference>, written: &Verdict, refolded: &Verdict) {
    compare!(into, "", Verdict, written, refolded, {
        verdict_id, time_ms, origin, tenant, account, sequence, score, probability, tier, voter, partial,
        policy_version, policy_digest, signals, missing, events, event_count, clusters, epoch, partition,
    });
    // Lists of signals are long: what differs within them is shown instead, where they match up.
    if written.signals.len() != refolded.signals.len() {
        return;
    }
    let Some(place) = into.iter().position(|difference| difference.field == "signals") else { return };
    into.remove(place);
    let mut within = Vec::new();
    for (index, (written, refolded)) in written.signals.iter().zip(&refolded.signals).enumerate() {
        let prefix = format!("signals[{index}].");
        compare!(&mut within, prefix, Signal, written, refolded, {
            detector, family, millinats, millinats_max, evidence,
        });
    }
    into.splice(place..place, within);
}

fn push<T: PartialEq + Debug>(into: &mut Vec<FieldDifference>, field: String, written: &T, refolded: &T) {
    if written != refolded {
        into.push(FieldDifference { field, written: shown(written), refolded: shown(refolded) });
    }
}

fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

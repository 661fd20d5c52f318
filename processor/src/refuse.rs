//! A record that cannot be used goes to the dead-letter topic, untouched, and the stage goes on.

use crate::detector::Counts;
use std::collections::BTreeMap;
use weir_schemas::wire::{SchemaName, Wire, WireError, split};
use weir_schemas::{DeadLetter, DlqKind};
use weir_topology::letter::record_again;
use weir_topology::limits::RECORD_BYTES_MAX;
use weir_topology::record::{Output, RecordRef};
use weir_topology::stage::{Effects, InputBatch, Tally};
use weir_topology::topic::StageName;

/// Room for the dead letter's own fields, headers and frame, in bytes.
const ENVELOPE_BYTES: usize = 4_096;

/// Why a record is refused.
pub(crate) struct Refusal {
    pub(crate) kind: DlqKind,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn impossible(reason: &str) -> Self {
        Self { kind: DlqKind::Impossible, reason: reason.to_owned() }
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        let kind = match &error {
            WireError::UnknownSchema(_) => DlqKind::UnknownSchema,
            WireError::Unframed | WireError::Datum(_) | WireError::Resolve(_) => DlqKind::Undecodable,
        };
        Self { kind, reason: error.to_string() }
    }
}

impl From<weir_schemas::DecodeError> for Refusal {
    fn from(error: weir_schemas::DecodeError) -> Self {
        WireError::from(error).into()
    }
}

/// The dead letter of a record.
pub(crate) fn dead_letter(
    wire: &Wire,
    stage: StageName,
    input: &InputBatch,
    record: RecordRef<'_>,
    refusal: Refusal,
) -> Output {
    let raw = record.payload.unwrap_or_default();
    let schema = match split(raw) {
        Ok((SchemaName::Fingerprint(fingerprint), _)) => format!("{fingerprint:016x}"),
        Ok((SchemaName::RegistryId(id), _)) => id.to_string(),
        Err(_) => String::new(),
    };
    // A record at the log's own limit does not fit into a letter; it can still be fetched where it is.
    let fits = raw.len() + record.key.len() + ENVELOPE_BYTES <= RECORD_BYTES_MAX;
    let letter = DeadLetter {
        kind: refusal.kind,
        reason: refusal.reason,
        stage: stage.as_str().to_owned(),
        origin: input.topic.name().to_owned(),
        partition: input.partition as i32,
        offset: record.offset,
        length: raw.len() as i64,
        time_ms: record.timestamp_ms,
        schema,
        payload: if fits { raw.to_vec() } else { Vec::new() },
    };
    record_again(wire, record, &letter).in_partition(input.partition)
}

/// Counts a record that was folded, or refuses it with its dead letter.
pub(crate) fn note(
    effects: &mut Effects,
    folded: Result<(), Refusal>,
    letter: impl FnOnce(Refusal) -> Output,
) {
    match folded {
        Ok(()) => effects.judged += 1,
        Err(refusal) => {
            effects.dead_lettered += 1;
            effects.outputs.push(letter(refusal));
        }
    }
}

/// The counts of a step, in a closed set.
#[derive(Debug, Default)]
pub(crate) struct Tallies(BTreeMap<Tally, u64>);

impl Tallies {
    #[inline]
    pub(crate) fn add(&mut self, tally: Tally, count: u64) {
        if count > 0 {
            *self.0.entry(tally).or_default() += count;
        }
    }

    /// What happened to detectors.
    #[inline]
    pub(crate) fn add_each(&mut self, tally: fn(&'static str) -> Tally, counts: Counts) {
        if !counts.is_empty() {
            counts.named().for_each(|(detector, count)| self.add(tally(detector), count));
        }
    }

    /// Those that counted anything.
    pub(crate) fn counted(self) -> Vec<(Tally, u64)> {
        self.0.into_iter().collect()
    }
}

//! What cannot be used: which records, and the dead letter that keeps them.

use crate::limits::{
    DEAD_LETTER_KEY_BYTES_MAX, DEAD_LETTER_OVERHEAD_BYTES, NAME_BYTES_MAX, SIGNALS_MAX, TIME_MS_MAX,
};
use weir_schemas::wire::{SchemaName, Wire, WireError, split};
use weir_schemas::{ActionOutcome, DeadLetter, DlqKind, OutcomeKind, Verdict};
use weir_topology::letter::record_of;
use weir_topology::limits::RECORD_BYTES_MAX;
use weir_topology::record::{Output, RecordRef};
use weir_topology::stage::InputBatch;
use weir_topology::topic::StageName;

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub kind: DlqKind,
    pub reason: String,
}

impl Refusal {
    pub fn new(kind: DlqKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        let kind = match error {
            WireError::UnknownSchema(_) => DlqKind::UnknownSchema,
            _ => DlqKind::Undecodable,
        };
        Self::new(kind, error.to_string())
    }
}

/// The verdict in `payload`, if the enforcer can answer it.
///
/// What it would copy into its own records is bounded here, so that no verdict can make a record that
/// the log refuses: that would stop the task.
pub(crate) fn read_verdict(wire: &Wire, payload: Option<&[u8]>) -> Result<Verdict, Refusal> {
    let payload = payload.ok_or_else(|| Refusal::new(DlqKind::Undecodable, "a verdict has no payload"))?;
    let verdict: Verdict = wire.read(payload)?;
    let impossible = |reason: &str| Err(Refusal::new(DlqKind::Impossible, reason));
    if !(0.0..=1.0).contains(&verdict.score) {
        return impossible("the score is not between 0 and 1");
    }
    if !(0..=TIME_MS_MAX).contains(&verdict.time_ms) {
        return impossible("the time is before 1970 or after 9999");
    }
    let is_long = |name: &str| name.len() > NAME_BYTES_MAX;
    let has_long_name = is_long(&verdict.tenant)
        || is_long(&verdict.policy_version)
        || verdict.signals.iter().any(|signal| is_long(&signal.detector) || is_long(&signal.family));
    if verdict.signals.len() > SIGNALS_MAX || has_long_name {
        return impossible("there are too many signals, or a name is too long");
    }
    Ok(verdict)
}

/// The executor's word in `record`, if it can be one.
pub(crate) fn read_outcome(wire: &Wire, record: RecordRef<'_>) -> Result<ActionOutcome, Refusal> {
    let payload =
        record.payload.ok_or_else(|| Refusal::new(DlqKind::Undecodable, "an outcome has no payload"))?;
    let outcome: ActionOutcome = wire.read(payload)?;
    let impossible = |reason: &str| Err(Refusal::new(DlqKind::Impossible, reason));
    if outcome.account.to_key() != record.key {
        return impossible("the record's key is not its account");
    }
    if outcome.kind == OutcomeKind::Other {
        return impossible("the outcome is of no known kind");
    }
    if !(0..=TIME_MS_MAX).contains(&outcome.effect_ms) {
        return impossible("the time is before 1970 or after 9999");
    }
    if [&outcome.tenant, &outcome.executor, &outcome.detail].iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return impossible("a name is too long");
    }
    Ok(outcome)
}

/// The dead letter of a refused record.
pub(crate) fn dead_letter(
    wire: &Wire,
    task_partition: u32,
    input: &InputBatch,
    record: RecordRef<'_>,
    refusal: &Refusal,
) -> Output {
    let payload = record.payload.unwrap_or_default();
    let key = record.key.get(..DEAD_LETTER_KEY_BYTES_MAX).unwrap_or(record.key);
    // A record at the log's own limit would not fit into its dead letter.
    let room = RECORD_BYTES_MAX - DEAD_LETTER_OVERHEAD_BYTES - key.len();
    let kept = payload.get(..room).unwrap_or(payload);
    let mut reason = refusal.reason.clone();
    if kept.len() < payload.len() {
        reason.push_str("; the payload was cut, read the rest at its place");
    }
    let schema = match split(payload) {
        Ok((SchemaName::Fingerprint(fingerprint), _)) => format!("{fingerprint:016x}"),
        Ok((SchemaName::RegistryId(id), _)) => id.to_string(),
        Err(_) => String::new(),
    };
    let letter = DeadLetter {
        kind: refusal.kind,
        reason,
        stage: StageName::Enforcer.as_str().into(),
        origin: input.topic.name().into(),
        partition: input.partition as i32,
        offset: record.offset,
        length: payload.len() as i64,
        time_ms: record.timestamp_ms,
        schema,
        payload: kept.to_vec(),
    };
    record_of(wire, key.to_vec(), &letter, record.timestamp_ms).in_partition(task_partition)
}

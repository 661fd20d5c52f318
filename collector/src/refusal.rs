//! Why a line is not an event. A refusal names fields and limits, and never quotes the line: reasons
//! go to the dead-letter topic and to people.

use weir_schemas::DlqKind;

/// Why a line is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, from the closed set.
    pub kind: DlqKind,
    /// Why, for a person.
    pub reason: String,
}

impl Refusal {
    /// The line is not one JSON object.
    pub fn not_json(reason: impl Into<String>) -> Self {
        Self { kind: DlqKind::InvalidJson, reason: reason.into() }
    }

    /// A field that every event needs is absent, null or empty.
    pub fn missing(field: &str) -> Self {
        Self { kind: DlqKind::MissingField, reason: format!("field `{field}` is missing or empty") }
    }

    /// A field has another type or range than it should: `field` must be `what`.
    pub fn invalid(field: &str, what: &str) -> Self {
        Self { kind: DlqKind::InvalidField, reason: format!("field `{field}` is not {what}") }
    }

    /// The line's time is ahead of the collector's clock.
    pub fn future(ahead_ms: i64) -> Self {
        Self {
            kind: DlqKind::FutureTime,
            reason: format!(
                "the time is {} s ahead of this node's clock: check both clocks",
                ahead_ms / 1000
            ),
        }
    }

    /// The line is neither UTF-8 nor JSON once it is; `at` is the first byte that is not UTF-8.
    pub fn not_utf8(at: usize) -> Self {
        Self { kind: DlqKind::InvalidUtf8, reason: format!("byte {at} of the line is not UTF-8") }
    }

    /// The line is longer than the limit.
    pub fn too_long(limit: usize) -> Self {
        Self { kind: DlqKind::LineTooLong, reason: format!("the line is over the limit of {limit} bytes") }
    }
}

//! Why a line is not an event. A refusal names fields and limits, and never quotes the line: reasons
//! go to the dead-letter topic and to people.

use crate::field::Field;
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
    /// The line holds no JSON object, or one that cannot be read from the byte `at` on, counted from 1.
    pub fn not_json(at: usize) -> Self {
        Self {
            kind: DlqKind::InvalidJson,
            reason: format!("it is no JSON object, or a torn one, at byte {at}"),
        }
    }

    /// The line is of a format that is no JSON, and what to do about it.
    pub fn foreign(advice: &str) -> Self {
        Self { kind: DlqKind::InvalidJson, reason: advice.to_owned() }
    }

    /// The line is JSON, with none of the places that a known format has.
    pub fn no_format() -> Self {
        Self {
            kind: DlqKind::MissingField,
            reason: "fields `account` and `time` are missing: the line is of no format that Weir knows"
                .into(),
        }
    }

    /// The line has `count` columns where the first line of the file names `names`.
    pub fn columns(count: usize, names: usize) -> Self {
        Self {
            kind: DlqKind::InvalidField,
            reason: format!("the line has {count} columns, and the line of names has {names}"),
        }
    }

    /// The line has some of the places of a format, which `title` writes, and not these fields.
    pub fn near(title: &str, lacking: &[Field]) -> Self {
        let names: Vec<String> = lacking.iter().map(|field| format!("`{field}`")).collect();
        let missing = match &names[..] {
            [] => "it lacks what tells formats apart".to_owned(),
            [name] => format!("field {name} is missing or empty"),
            _ => format!("fields {} are missing or empty", names.join(" and ")),
        };
        let reason = format!("{missing}: the line is of no format that Weir knows; nearest comes {title}");
        Self { kind: DlqKind::MissingField, reason }
    }

    /// The line names no account; `title` is what writes such lines, and `advice` what to do.
    pub fn no_account(title: &str, advice: &str) -> Self {
        let reason = match advice {
            "" => format!("field `account` is missing or empty in what looks like {title}"),
            advice => format!("field `account` is missing or empty in what looks like {title}: {advice}"),
        };
        Self { kind: DlqKind::MissingField, reason }
    }

    /// A field that every event needs is absent, null or empty.
    pub fn missing(field: Field) -> Self {
        Self { kind: DlqKind::MissingField, reason: format!("field `{field}` is missing or empty") }
    }

    /// The line names a tenant that is not registered.
    pub fn unknown_tenant() -> Self {
        let reason = "field `tenant` names no tenant that is registered: give it a file in tenants.dir, or mend \
                      what writes the log";
        Self { kind: DlqKind::UnknownTenant, reason: reason.into() }
    }

    /// The line names no tenant, where it has to.
    pub fn no_tenant() -> Self {
        let reason = "field `tenant` is missing or empty, and with tenants.dir every line names its tenant: mend what \
                      writes the log, or set `tenant` or tenants.allow_anonymous";
        Self { kind: DlqKind::UnknownTenant, reason: reason.into() }
    }

    /// A field that every event needs has another type or range than it should: `field` must be `what`.
    pub fn invalid(field: Field, what: &str) -> Self {
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

//! What a value says where a field is wanted: known, absent, or there and of no use. Bodies and lines share
//! it.

use crate::json::{Number, Value};
use crate::limits::COUNT_MAX;
use std::borrow::Cow;
use weir_schemas::{FinishReason, ResponseFormat};

/// A field of a line or a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got<T> {
    /// Nothing is there, or something that says so: null, a blank text, a dash.
    Absent,
    /// Something is there, of another type, out of range, or malformed.
    Bad,
    /// This is there.
    Known(T),
}

impl<T> Got<T> {
    /// `Bad` where there is none.
    pub(crate) fn or_bad(value: Option<T>) -> Self {
        value.map_or(Self::Bad, Self::Known)
    }

    /// The value, passed on.
    pub(crate) fn and_then<U>(self, then: impl FnOnce(T) -> Got<U>) -> Got<U> {
        match self {
            Self::Absent => Got::Absent,
            Self::Bad => Got::Bad,
            Self::Known(value) => then(value),
        }
    }
}

/// A text: absent where it is blank, or the dash that log writers put where nothing is known. Of a list of
/// texts, as some writers log a header, the first.
pub(crate) fn text(value: Value<'_>) -> Got<Cow<'_, str>> {
    match value {
        Value::Null => Got::Absent,
        Value::Text(text) => known(text.decode()),
        Value::Array(list) => {
            let mut first = Got::Absent;
            let read = crate::json::Json::new(list).array(|json, index| {
                let value = json.value()?;
                if index == 0 {
                    first = match value {
                        Value::Text(text) => known(text.decode()),
                        Value::Null => Got::Absent,
                        _ => Got::Bad,
                    };
                }
                Ok(())
            });
            if read.is_ok() { first } else { Got::Bad }
        }
        _ => Got::Bad,
    }
}

/// The text without blanks around it, unless it says that nothing is known.
fn known(text: Cow<'_, str>) -> Got<Cow<'_, str>> {
    // Most have nothing to trim, which two bytes tell.
    if let [b'!'..=b'~', .., b'!'..=b'~'] = text.as_bytes() {
        return Got::Known(text);
    }
    let Some(trimmed) = said(&text) else { return Got::Absent };
    if trimmed.len() == text.len() {
        return Got::Known(text);
    }
    Got::Known(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    })
}

/// The text without blanks around it; none where it is blank, or the dash that log writers put where nothing
/// is known.
pub(crate) fn said(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty() && *text != "-")
}

/// An id: a text, or a whole number for those who count their accounts.
pub(crate) fn id(value: Value<'_>) -> Got<Cow<'_, str>> {
    match value {
        Value::Number(Number::Integer(number)) => Got::Known(Cow::Owned(number.to_string())),
        other => text(other),
    }
}

/// A number, also where it is written as a text.
pub(crate) fn number(value: Value<'_>) -> Got<Number> {
    match value {
        Value::Number(number) => Got::Known(number),
        Value::Null => Got::Absent,
        Value::Bool(_) | Value::Object(_) | Value::Bare => Got::Bad,
        other => text(other).and_then(|text| Got::Known(Number::of(text.as_bytes()))),
    }
}

/// A number of something, from 0; a fraction is rounded.
pub(crate) fn count(value: Value<'_>) -> Got<i64> {
    number(value).and_then(|number| match number {
        Number::Integer(number) => {
            Got::or_bad(Some(number).filter(|number| (0..=COUNT_MAX).contains(number)))
        }
        Number::Float(number) => Got::or_bad(rounded(number)),
    })
}

/// A finite number from 0 as the nearest whole one.
pub(crate) fn rounded(number: f64) -> Option<i64> {
    let whole = number.round();
    (0.0..=COUNT_MAX as f64).contains(&whole).then_some(whole as i64)
}

/// A small number of something.
pub(crate) fn small(value: Value<'_>) -> Got<i32> {
    count(value).and_then(|number| Got::or_bad(i32::try_from(number).ok()))
}

/// A number in thousandths.
pub(crate) fn permille(value: Value<'_>) -> Got<i32> {
    number(value)
        .and_then(|number| Got::or_bad(rounded(number.as_f64() * 1000.0).and_then(|n| i32::try_from(n).ok())))
}

/// Yes or no: a boolean, or a number or text that means one.
pub(crate) fn flag(value: Value<'_>) -> Got<bool> {
    match value {
        Value::Bool(flag) => Got::Known(flag),
        Value::Number(Number::Integer(number @ 0..=1)) => Got::Known(number == 1),
        Value::Number(_) => Got::Bad,
        other => text(other).and_then(|text| match &*text {
            "true" | "True" | "TRUE" | "1" | "yes" => Got::Known(true),
            "false" | "False" | "FALSE" | "0" | "no" => Got::Known(false),
            _ => Got::Bad,
        }),
    }
}

/// Why a model stopped, by the names that the APIs have for it.
pub(crate) fn finish_reason(name: &str) -> FinishReason {
    // `FinishReason.STOP` is how Python prints an enum.
    let name = name.rsplit('.').next().unwrap_or(name);
    let is = |names: &[&str]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
    if is(&[
        "stop",
        "end_turn",
        "stop_sequence",
        "complete",
        "completed",
        "eos_token",
        "eos",
        "finish",
        "endoftext",
    ]) {
        FinishReason::Stop
    } else if is(&[
        "length",
        "max_tokens",
        "max_output_tokens",
        "model_length",
        "model_context_window_exceeded",
    ]) {
        FinishReason::Length
    } else if is(&["tool_calls", "tool_call", "tool_use", "function_call"]) {
        FinishReason::ToolCalls
    } else if is(&[
        "content_filter",
        "content_filtered",
        "refusal",
        "safety",
        "prohibited_content",
        "blocklist",
        "spii",
        "recitation",
        "image_safety",
        "error_toxic",
        "guardrail_intervened",
    ]) {
        FinishReason::Refusal
    } else {
        FinishReason::Other
    }
}

/// What an answer shall be, by the names that the APIs have for it.
pub(crate) fn response_format(name: &str) -> ResponseFormat {
    match name {
        "text" | "text/plain" => ResponseFormat::Text,
        "json" | "json_object" | "application/json" => ResponseFormat::Json,
        "json_schema" => ResponseFormat::JsonSchema,
        _ => ResponseFormat::Other,
    }
}

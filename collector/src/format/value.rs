//! A JSON value as far as a log line needs it, borrowed where the line has no escapes in it.

use crate::limits::HEADERS_MAX;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A value of a line. It may hold raw ids and text, so it cannot be printed.
#[derive(Clone, Default)]
pub(crate) enum Value<'a> {
    /// The key is not there, or null.
    #[default]
    Absent,
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// An array of strings; those after the first [`HEADERS_MAX`] are dropped.
    List(Vec<Cow<'a, str>>),
    /// An object that has a string called `fingerprint`.
    Fingerprint(Cow<'a, str>),
    /// Anything else.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let (mut texts, mut is_texts) = (Vec::new(), true);
        while let Some(item) = items.next_element::<Value<'de>>()? {
            match item {
                Value::Text(text) if texts.len() < HEADERS_MAX => texts.push(text),
                Value::Text(_) => {}
                _ => is_texts = false,
            }
        }
        Ok(if is_texts { Value::List(texts) } else { Value::Other })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        let mut fingerprint = None;
        while let Some(is_fingerprint) = entries.next_key_seed(Name(|name| name == "fingerprint"))? {
            if is_fingerprint {
                fingerprint = match entries.next_value()? {
                    Value::Text(text) => Some(text),
                    _ => None,
                };
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(fingerprint.map_or(Value::Other, Value::Fingerprint))
    }
}

/// Reads an object's key without keeping it: what the function makes of it.
pub(crate) struct Name<T>(pub(crate) fn(&str) -> T);

impl<'de, T> DeserializeSeed<'de> for Name<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T> Visitor<'_> for Name<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<T, E> {
        Ok((self.0)(name))
    }
}

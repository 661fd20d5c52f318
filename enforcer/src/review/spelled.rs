//! How ids and symbols are spelled in words, items and labels.

use serde::de::Error;
use std::str::FromStr;

/// The id that a text spells.
fn id_of<T: FromStr, E: Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|_| E::custom("an id is 32 lower-case hex digits"))
}

/// Ids as the hex digits that they are written as.
pub(super) mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<T: Display, S: Serializer>(id: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        super::id_of(&String::deserialize(from)?)
    }
}

/// The same, of an id that may be missing.
pub(super) mod text_if_any {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use std::fmt::Display;
    use std::str::FromStr;

    pub fn serialize<T: Display, S: Serializer>(id: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        id.as_ref().map(T::to_string).serialize(to)
    }

    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| super::id_of(&text)).transpose()
    }
}

/// Symbols as schemas spell them.
pub(super) mod symbol {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::fmt::Display;
    use weir_schemas::{ActionKind, Tier};

    pub trait Symbol: Copy + Display + 'static {
        const ALL: &'static [Self];
    }

    impl Symbol for ActionKind {
        const ALL: &'static [Self] = Self::ALL;
    }

    impl Symbol for Tier {
        const ALL: &'static [Self] = Self::ALL;
    }

    pub fn serialize<T: Display, S: Serializer>(symbol: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(symbol)
    }

    pub fn deserialize<'de, T: Symbol, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        let known = T::ALL.iter().find(|symbol| symbol.to_string() == text);
        known.copied().ok_or_else(|| D::Error::custom("this build knows no such symbol"))
    }
}

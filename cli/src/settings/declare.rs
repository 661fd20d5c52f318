//! How keys are declared: one line becomes a field, a flag, an environment name and a row of the reference.

use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// One key, for flags and the reference page.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name in the file, dots for tables: `collector.format`.
    pub name: &'static str,
    /// What its value is.
    pub kind: &'static str,
    /// The texts that it may be; empty where any will do.
    pub choices: &'static [&'static str],
    /// Smallest and largest number that it may be.
    pub range: Option<(u64, u64)>,
    /// Whether it may be without a value.
    pub is_optional: bool,
    /// Default as it would be written; empty for none.
    pub default: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// Which commands take it as a flag.
    pub group: Group,
}

impl Key {
    /// Name as a flag: `collector-format`.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// Name in the environment: `WEIR_COLLECTOR_FORMAT`.
    pub fn env(&self) -> String {
        format!("WEIR_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// What its value may be, for people.
    pub fn allowed(&self) -> String {
        match (self.range, self.choices) {
            (Some((min, max)), _) => format!("{} from {min} to {max}", self.kind),
            (None, []) => self.kind.to_owned(),
            (None, choices) => choices.join(", "),
        }
    }
}

/// Which commands take a key as a flag. The file and the environment may set any key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Every command.
    Common,
    /// What runs a role that has keys. Other commands read them from where the file or the environment says.
    Vault,
    /// What opens the embedded log.
    Embedded,
    /// What makes a log.
    Layout,
    /// What talks to a broker.
    Kafka,
    /// What reads a source.
    Collector,
    /// What compares with others' indicators.
    Indicators,
    /// What takes records by HTTP.
    Listener,
    /// What reads a topic of somebody else's.
    Feed,
    /// What listens to processes.
    Tracing,
    /// What runs stages.
    Stages,
    /// What writes the enforcer's output.
    Enforcer,
    /// What tells SIEMs.
    Export,
    /// What answers gateways.
    Deciding,
    /// What sends early words, or hears them.
    FastPath,
    /// What sends them.
    Sending,
    /// What sends them of tripwires.
    Tripping,
    /// What reads the tenants' registry.
    Tenants,
    /// What serves metrics.
    Serving,
}

/// What a number is called.
pub const NUMBER: &str = "number";

/// What a flag is called.
pub const FLAG: &str = "true or false";

/// A type that a key's value can have.
pub trait Value: DeserializeOwned {
    /// What it is called.
    const KIND: &'static str;
    /// The texts that it may be; empty where any will do.
    const CHOICES: &'static [&'static str] = &[];
    /// Whether it may be without a value.
    const IS_OPTIONAL: bool = false;
}

macro_rules! kinds {
    ($($type:ty = $kind:expr),+ $(,)?) => {
        $(impl Value for $type {
            const KIND: &'static str = $kind;
        })+
    };
}

kinds!(u32 = NUMBER, u64 = NUMBER, usize = NUMBER, bool = FLAG, PathBuf = "path", String = "text");

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const CHOICES: &'static [&'static str] = T::CHOICES;
    const IS_OPTIONAL: bool = true;
}

/// Declares a type that is one of a few texts.
macro_rules! choices {
    ($(#[$doc:meta])* pub enum $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] #[serde(rename = $text)] $variant,)+
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }

        impl $crate::settings::declare::Value for $name {
            const KIND: &'static str = "text";
            const CHOICES: &'static [&'static str] = &[$($text),+];
        }
    };
}

/// Declares the keys.
macro_rules! settings {
    ($(
        $group:ident $name:literal $field:ident: $type:ty = $default:literal $(in $min:literal ..= $max:literal)?,
        $doc:literal;
    )+) => {
        /// The configuration of a process.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            $(#[doc = $doc] pub $field: $type,)+
        }

        /// Every key, in the order of the reference page.
        pub const KEYS: &[Key] = &[
            $(Key {
                name: $name,
                kind: <$type as $crate::settings::declare::Value>::KIND,
                choices: <$type as $crate::settings::declare::Value>::CHOICES,
                range: {
                    let range: Option<(u64, u64)> = None;
                    $(let range = { let _ = range; Some(($min, $max)) };)?
                    range
                },
                is_optional: <$type as $crate::settings::declare::Value>::IS_OPTIONAL,
                default: $default,
                doc: $doc,
                group: Group::$group,
            },)+
        ];

        impl Settings {
            fn read(layers: &Layers) -> Result<Self, ConfigError> {
                Ok(Self { $($field: layers.get::<$type>($name)?,)+ })
            }
        }
    };
}

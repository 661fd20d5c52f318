//! A table of a policy: its keys, each with a type and a range, and what is said of a value outside of it.

use crate::nats::Millinats;
use thiserror::Error;

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PolicyError {
    /// Not TOML, a key is missing, or a key is unknown.
    #[error("the policy cannot be read: {0}")]
    Unreadable(String),
    /// A value is outside its range.
    #[error("policy key {key} is {value}; allowed is {min} to {max}")]
    OutOfRange {
        /// Full name of the key.
        key: String,
        /// Its value.
        value: f64,
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// Two values contradict each other.
    #[error("policy key {key} must be {must}")]
    Contradiction {
        /// Full name of the key.
        key: String,
        /// What it must be.
        must: &'static str,
    },
}

impl PolicyError {
    /// Full name of the key that it is about; none where it is about the text.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Unreadable(_) => None,
            Self::OutOfRange { key, .. } | Self::Contradiction { key, .. } => Some(key),
        }
    }

    /// The same, of a key within the table whose name `prefix` ends with.
    pub(crate) fn within(self, prefix: &str) -> Self {
        match self {
            Self::Unreadable(_) => self,
            Self::OutOfRange { key, value, min, max } => {
                Self::OutOfRange { key: format!("{prefix}{key}"), value, min, max }
            }
            Self::Contradiction { key, must } => Self::Contradiction { key: format!("{prefix}{key}"), must },
        }
    }
}

/// A table of a policy whose values have ranges.
pub trait Section {
    /// Refuses values out of range; `path` is the table's full name.
    fn check(&self, path: &str) -> Result<(), PolicyError>;
}

pub(crate) fn check_range(path: &str, key: &str, value: f64, min: f64, max: f64) -> Result<(), PolicyError> {
    // Written so that not-a-number, which TOML can say, is refused as well.
    if value >= min && value <= max {
        return Ok(());
    }
    Err(PolicyError::OutOfRange { key: format!("{path}.{key}"), value, min, max })
}

/// Declares a table of the policy: every key with its type and allowed range.
macro_rules! section {
    (
        $(#[$doc:meta])* pub struct $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $min:literal ..= $max:literal),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type),+
        }
        impl $crate::section::Section for $name {
            fn check(&self, path: &str) -> Result<(), $crate::section::PolicyError> {
                $($crate::section::check_range(
                    path, stringify!($field), self.$field as f64, $min as f64, $max as f64,
                )?;)+
                Ok(())
            }
        }
    };
}

/// Declares a detector's table: `enabled`, `nats_max` and its thresholds.
macro_rules! detector_settings {
    ($($(#[$field_doc:meta])* $field:ident: $type:ty = $min:literal ..= $max:literal),* $(,)?) => {
        /// The detector's table of the policy.
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            /// Whether it is asked at all.
            pub enabled: bool,
            /// The most that it can contribute, for or against an account, in nats.
            pub nats_max: f64,
            $($(#[$field_doc])* pub $field: $type),*
        }
        impl $crate::section::Section for Settings {
            fn check(&self, path: &str) -> Result<(), $crate::section::PolicyError> {
                $crate::section::check_range(path, "nats_max", self.nats_max, 0.0, 20.0)?;
                $($crate::section::check_range(
                    path, stringify!($field), self.$field as f64, $min as f64, $max as f64,
                )?;)*
                Ok(())
            }
        }
        impl $crate::detector::Settings for Settings {
            fn enabled(&self) -> bool {
                self.enabled
            }
            fn most(&self) -> $crate::nats::Millinats {
                $crate::section::milli(self.nats_max)
            }
        }
    };
}

/// Thousandths of a number that a policy says.
pub(crate) fn milli(nats: f64) -> Millinats {
    // The ranges of policies keep it far from the ends of the type.
    (nats * 1_000.0) as Millinats
}

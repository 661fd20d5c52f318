//! What is wrong with a format file, or with the name of a format.

use super::pointer::PointerError;
use crate::field::Field;
use std::path::PathBuf;
use thiserror::Error;

/// Why a format cannot be used.
#[derive(Debug, Error)]
pub enum FormatError {
    /// There is no format and no file of this name.
    #[error("no such format, and no file of that name: {name:?}; there are auto, {names}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names that there are.
        names: String,
    },
    /// The file cannot be read.
    #[error("the format file {} cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is no format.
    #[error("the format {format} is none: {reason}")]
    Toml {
        /// Its name or file.
        format: String,
        /// What does not fit.
        reason: String,
    },
    /// A field of the file cannot be.
    #[error("the format {format} says of {field} what cannot be: {reason}")]
    Field {
        /// Its name or file.
        format: String,
        /// The key under `fields`.
        field: String,
        /// What does not fit.
        reason: FieldError,
    },
    /// Something else of the file cannot be.
    #[error("the format {format} cannot be: {reason}")]
    Format {
        /// Its name or file.
        format: String,
        /// What does not fit.
        reason: FieldError,
    },
}

impl FormatError {
    /// A file that is no TOML, or has what no format has; in one line.
    pub(super) fn toml(format: &str, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message = error.message().replace('\n', "; ");
        Self::Toml { format: format.to_owned(), reason: format!("line {line}: {message}") }
    }
}

/// What does not fit of a field, or of a format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// There is no such field.
    #[error("there is no such field; docs/formats.md has the list")]
    Unknown,
    /// A place cannot be one.
    #[error(transparent)]
    Place(#[from] PointerError),
    /// Neither a place nor a value.
    #[error("it needs `at`, a place, or `value`, but not both")]
    Nowhere,
    /// A zone that is none.
    #[error("`zone` is no offset such as +02:00")]
    Zone,
    /// An option that another field has.
    #[error("`{0}` makes no sense here")]
    Option(&'static str),
    /// A client's claim for what only the operator may say.
    #[error("what a client claims never becomes this")]
    Claim,
    /// A field is not there that every event needs.
    #[error("it says nowhere where {} stands", .0.as_str())]
    Missing(Field),
    /// Another format that is not there.
    #[error("it extends {0:?}, which is no shipped format")]
    Extends(String),
    /// A line's pattern that cannot be one.
    #[error("the line pattern {0:?} cannot be: two captures need text between them, and each is {{name}}")]
    Pattern(String),
    /// More places than a record can have slots.
    #[error("it has too many places")]
    TooMany,
}

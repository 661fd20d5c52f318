//! Log formats: data files that say where each field of a request stands, compiled into one reader.
//!
//! [`spec`] is the language of the files, `files/` holds those that ship. A format becomes a plan, and all
//! plans of a source share one tree of places, through which a record goes once. [`reader`] finds the records
//! of a line, tells their formats, and makes an [`Exchange`](crate::exchange::Exchange) of each.

mod any_value;
mod assembly;
mod catalog;
mod columns;
mod credential;
mod error;
mod foreign;
mod found;
mod line;
mod parts;
mod plan;
mod pointer;
mod prefix;
pub mod reader;
mod shapes;
mod shipped;
pub mod spec;
mod template;
mod time;
mod tree;
mod view;

pub use error::{FieldError, FormatError};
pub use line::Line;
pub use pointer::PointerError;
pub use reader::{Reader, Record};
pub use shipped::shipped;

use catalog::Catalog;
use spec::Spec;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The account of an API key as a client writes it: without the name of its scheme, and by its hash where it
/// is long. The same as a line that carries it has. None where a scheme is all there is.
pub fn account_of(credential: &str) -> Option<String> {
    self::credential::account(credential.into()).map(std::borrow::Cow::into_owned)
}

/// The tenant that a value names, as a line that carries it has. None where it says that none is known: then
/// it is the configured one.
pub fn tenant_of(value: &str) -> Option<&str> {
    crate::read::said(value)
}

/// What the lines of a log look like; `docs/formats.md` has every format.
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// The shipped format that gets most out of each record.
    #[default]
    Auto,
    /// This one: a shipped format, or one of a file.
    Named(Arc<Spec>),
}

impl Format {
    /// The format of this name, or of the file at this path.
    pub fn load(name: &str) -> Result<Self, FormatError> {
        if name == "auto" {
            return Ok(Self::Auto);
        }
        if let Some(spec) = shipped().iter().find(|spec| spec.name == name) {
            return Ok(Self::Named(Arc::new(spec.clone())));
        }
        let path = Path::new(name);
        if !path.is_file() {
            let names: Vec<&str> = shipped().iter().map(|spec| &*spec.name).collect();
            return Err(FormatError::Unknown { name: name.to_owned(), names: names.join(", ") });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|reason| FormatError::Read { path: path.to_owned(), reason })?;
        Self::of_file(name, &text)
    }

    /// The format that a file says, which is called `origin`.
    pub fn of_file(origin: &str, text: &str) -> Result<Self, FormatError> {
        let mut spec: Spec = toml::from_str(text).map_err(|error| FormatError::toml(origin, text, &error))?;
        if spec.name.is_empty() {
            origin.clone_into(&mut spec.name);
        }
        if spec.title.is_empty() {
            spec.title = format!("the format {}", spec.name);
        }
        if let Some(base) = spec.extends.take() {
            let Some(base) = shipped().iter().find(|shipped| shipped.name == base) else {
                return Err(FormatError::Format {
                    format: origin.to_owned(),
                    reason: FieldError::Extends(base),
                });
            };
            spec.extend(base);
        }
        let format = Self::Named(Arc::new(spec));
        format.catalog()?;
        Ok(format)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::Named(spec) => &spec.name,
        }
    }

    /// Whether it is one of OpenTelemetry's exports.
    pub(crate) fn is_of_otlp(&self) -> bool {
        let is_export =
            |place: &String| place.starts_with("/resourceSpans") || place.starts_with("/resourceLogs");
        matches!(self, Self::Named(spec) if spec.records.iter().any(is_export))
    }

    /// The columns of its lines, where it says them.
    fn columns(&self) -> Option<&spec::Columns> {
        match self {
            Self::Auto => None,
            Self::Named(spec) => spec.columns.as_ref(),
        }
    }

    fn catalog(&self) -> Result<Arc<Catalog>, FormatError> {
        Ok(Arc::new(match self {
            Self::Auto => Catalog::new(shipped())?,
            Self::Named(spec) => Catalog::new(std::slice::from_ref(spec))?,
        }))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

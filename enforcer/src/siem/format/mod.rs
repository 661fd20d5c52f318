//! A notice as bytes, one file a format. Pure: the same notice gives the same bytes. No format ends its line.

mod cef;
mod csv;
mod ecs;
mod fields;
mod json;
mod leef;
mod ocsf;
pub mod syslog;
#[cfg(test)]
mod tests;

use super::notice::Notice;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// RFC 4180, safe to open in a spreadsheet.
    Csv,
    /// ArcSight's Common Event Format, version 0.
    Cef,
    /// QRadar's Log Event Extended Format, version 2.0.
    Leef,
    /// Open Cybersecurity Schema Framework 1.1.0, Detection Finding.
    Ocsf,
    /// Elastic Common Schema.
    Ecs,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Json, Self::Csv, Self::Cef, Self::Leef, Self::Ocsf, Self::Ecs];

    /// Its name in configurations and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
        }
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// How its files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Cef | Self::Leef => "log",
            Self::Json | Self::Ocsf | Self::Ecs => "jsonl",
        }
    }

    /// What the first line of a file says; none for most.
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some(csv::HEADER),
            _ => None,
        }
    }

    /// Appends the notice.
    pub fn write(self, notice: &Notice, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(notice, out),
            Self::Csv => csv::write(notice, out),
            Self::Cef => cef::write(notice, out),
            Self::Leef => leef::write(notice, out),
            Self::Ocsf => ocsf::write(notice, out),
            Self::Ecs => ecs::write(notice, out),
        }
    }
}

/// Appends a value as JSON on one line, whatever its texts hold.
fn write_json(value: &serde_json::Value, out: &mut Vec<u8>) {
    // A value that stands in memory can be written there.
    if crate::export::write_line(out, value).is_ok() {
        out.pop();
    }
}

//! Log formats: one file each, all of them from [`fields::Fields`] to an [`Exchange`].

mod chat;
mod envoy;
pub mod fields;
mod glasswally;
mod nginx;
mod time;
mod value;
mod weir;

use crate::exchange::Exchange;
use crate::refusal::Refusal;
use fields::{Fields, Key};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What the lines of a log look like; `docs/formats.md` has every field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Whatever the keys of each line say.
    #[default]
    Auto,
    /// Weir's own JSON lines.
    Weir,
    /// nginx's `weir_rich`.
    NginxRich,
    /// nginx's `weir_basic` and `weir_basic_auth`.
    NginxBasic,
    /// Envoy's JSON access log.
    Envoy,
    /// Glasswally's events.
    Glasswally,
}

/// Which moment of a request a line's time tells. An event's time is when its request began, whatever the
/// source: logs are written when requests end, in an order that says nothing of how they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// When the request began.
    Start,
    /// When the response had been sent.
    End,
}

impl Stamp {
    /// When the request began, by the line's time and how long the request took. Where that is not known the
    /// line's time is all there is.
    fn start_ms(self, time_ms: i64, took_ms: Option<i64>) -> i64 {
        match self {
            Self::Start => time_ms,
            Self::End => time_ms.saturating_sub(took_ms.unwrap_or(0)).max(0),
        }
    }
}

/// A format of this name does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no such format; there are auto, weir, weir_rich, weir_basic, envoy and glasswally")]
pub struct UnknownFormat;

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] =
        &[Self::Auto, Self::Weir, Self::NginxRich, Self::NginxBasic, Self::Envoy, Self::Glasswally];

    /// The name in configurations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Weir => "weir",
            Self::NginxRich => "weir_rich",
            Self::NginxBasic => "weir_basic",
            Self::Envoy => "envoy",
            Self::Glasswally => "glasswally",
        }
    }

    /// Which moment of a request the time of its lines tells.
    const fn stamp(self) -> Stamp {
        match self {
            // nginx writes a line, and its time, when the response has been sent.
            Self::NginxRich | Self::NginxBasic => Stamp::End,
            Self::Auto | Self::Weir | Self::Envoy | Self::Glasswally => Stamp::Start,
        }
    }

    /// What the fields of a line say.
    pub fn read<'f>(self, fields: &'f Fields<'_>) -> Result<Exchange<'f>, Refusal> {
        let mut exchange = match self {
            Self::Auto => return Self::of(fields).read(fields),
            Self::Weir => weir::read(fields),
            Self::NginxRich => nginx::read_rich(fields),
            Self::NginxBasic => nginx::read_basic(fields),
            Self::Envoy => envoy::read(fields),
            Self::Glasswally => glasswally::read(fields),
        }?;
        exchange.time_ms = self.stamp().start_ms(exchange.time_ms, exchange.latency_ms);
        Ok(exchange)
    }

    /// The format that has the keys of this line.
    fn of(fields: &Fields<'_>) -> Self {
        let has_any = |keys: &[Key]| keys.iter().any(|key| fields.has(*key));
        if has_any(&[Key::RequestBody, Key::Uri])
            || (fields.has(Key::RequestTime) && !fields.has(Key::AccountId))
        {
            Self::NginxRich
        } else if has_any(&[Key::StartTime, Key::XAccountId, Key::Authorization]) {
            Self::Envoy
        } else if fields.has(Key::AccountId) {
            // It reads Glasswally's fields too; only a prompt that is a chat is taken apart.
            Self::NginxBasic
        } else {
            Self::Weir
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().copied().find(|format| format.as_str() == name).ok_or(UnknownFormat)
    }
}

#[cfg(test)]
mod tests;

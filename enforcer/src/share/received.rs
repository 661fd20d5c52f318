//! Bundles of others, as they are believed: signed by the source that the operator names, whole or not at
//! all.
//!
//! A bundle is one envelope a line (DSSE), each with what [`super::lines`] writes or with a bundle of STIX
//! 2.1. Every envelope must be signed by the source's own key, or all of them are refused. What an indicator
//! says of itself then counts for no more than the operator allows its source: its trust is the source's
//! times its own confidence, and it ends when its source says so, or a life after it was last changed. That
//! is a time in the bundle, so that an old one that is shown again brings nothing back; and [`super::latest`]
//! knows what its source said since.

use super::pattern::values;
use super::{lines, stix};
use crate::limits::{RECEIVED_AHEAD_MAX_MS, RECEIVED_BYTES_MAX, RECEIVED_INDICATORS_MAX, RECEIVED_LINES_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_schemas::hex::unhex;
use weir_schemas::indicators::{ID_BYTES_MAX, Indicator, Pattern, PatternError, is_name};

/// Who tells of indicators, and how far they are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the operator calls them.
    pub name: String,
    /// The Ed25519 key that they sign with.
    pub public_key: [u8; 32],
    /// How far they are trusted, in thousandths.
    pub trust_permille: u16,
    /// How long an indicator of theirs lasts at most after it was last changed, in milliseconds.
    pub life_ms: i64,
}

/// What a bundle brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Indicators that requests can be compared with, each pattern of an id once.
    pub indicators: Vec<Indicator>,
    /// Ids of which the source says something, and when it last changed that: what it said of them before
    /// holds
    /// no more. The end of time where it revoked one.
    pub told: BTreeMap<String, i64>,
    /// How many were left out, and why.
    pub left_out: BTreeMap<LeftOut, u64>,
}

/// Why an indicator of a bundle that is believed is left out: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// Requests are not compared with such a thing.
    Unsupported,
    /// It is a network that is wider than /16 or /32.
    TooWide,
    /// It is not what it says it is, or has no id or time.
    Malformed,
    /// Its end has passed, or its life by the operator's word.
    Ended,
    /// It was changed at a time that has not come.
    Future,
    /// Its source has no confidence in it.
    Untrusted,
    /// Its source vouches for who comes with it.
    Benign,
    /// Its source changed it or took it back in a bundle that was taken before.
    Older,
}

impl LeftOut {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::TooWide => "too_wide",
            Self::Malformed => "malformed",
            Self::Ended => "ended",
            Self::Future => "future",
            Self::Untrusted => "untrusted",
            Self::Benign => "benign",
            Self::Older => "older",
        }
    }
}

impl From<PatternError> for LeftOut {
    fn from(error: PatternError) -> Self {
        match error {
            PatternError::Malformed => Self::Malformed,
            PatternError::TooWide => Self::TooWide,
            PatternError::Unsupported => Self::Unsupported,
        }
    }
}

/// Why nothing of a bundle is taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is larger than any is.
    #[error(
        "it is oversized: more than {RECEIVED_BYTES_MAX} bytes, {RECEIVED_LINES_MAX} lines or {RECEIVED_INDICATORS_MAX} indicators; \
             have its source divide it"
    )]
    Oversized,
    /// A line is no envelope.
    #[error(
        "line {line} is not signed: each must be an envelope (DSSE) with `payloadType`, `payload` and `signatures`. A bundle of \
             STIX by itself is signed by nobody: who vouches for it signs it (`weir indicators sign`)"
    )]
    Unsigned {
        /// Number of the line, from 1.
        line: usize,
    },
    /// Somebody else signed it.
    #[error(
        "line {line} is of an unknown source: it is signed by the key {key}, which is not that of {source_name}"
    )]
    Unknown {
        /// Number of the line, from 1.
        line: usize,
        /// The key that it names, as far as it is one.
        key: String,
        /// Whom the operator named.
        source_name: String,
    },
    /// It is not what the source signed.
    #[error("line {line} is forged: it is not what the key of {source_name} signed")]
    Forged {
        /// Number of the line, from 1.
        line: usize,
        /// Whom the operator named.
        source_name: String,
    },
    /// What was signed is no bundle.
    #[error("line {line} is signed, and is no bundle of indicators: {reason}")]
    Foreign {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing that holds any longer.
    #[error(
        "it has expired: each of its {indicators} indicators has ended, by its source's word or by the longest life that the \
             operator gives them"
    )]
    Expired {
        /// How many it has.
        indicators: u64,
    },
    /// What its source said since was taken before.
    #[error(
        "it is older than what was taken: {source_name} changed or took back each of its {indicators} indicators since"
    )]
    Older {
        /// How many it has.
        indicators: u64,
        /// Whom the operator named.
        source_name: String,
    },
    /// There is nothing in it.
    #[error("there is no indicator in it")]
    Empty,
}

#[derive(Deserialize)]
struct Envelope<'e> {
    #[serde(rename = "payloadType", borrow)]
    payload_type: Cow<'e, str>,
    #[serde(borrow)]
    payload: Cow<'e, str>,
    #[serde(borrow)]
    signatures: Vec<EnvelopeSignature<'e>>,
}

#[derive(Deserialize)]
struct EnvelopeSignature<'e> {
    #[serde(borrow)]
    keyid: Cow<'e, str>,
    #[serde(borrow)]
    sig: Cow<'e, str>,
}

/// What a bundle of `source` brings at `now_ms`.
///
/// # Errors
/// When any of it is not signed by the source, or nothing of it holds.
pub fn read(bytes: &[u8], source: &Source, now_ms: i64) -> Result<Received, Refused> {
    let mut reading =
        Reading { source, now_ms, received: Received::default(), latest: BTreeMap::new(), seen: 0 };
    if bytes.len() > RECEIVED_BYTES_MAX {
        return Err(Refused::Oversized);
    }
    for (index, envelope) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if envelope.trim_ascii().is_empty() {
            continue;
        }
        if index >= RECEIVED_LINES_MAX {
            return Err(Refused::Oversized);
        }
        let line = index + 1;
        let (payload_type, payload) = opened(envelope, source, line)?;
        let foreign = |reason: String| Refused::Foreign { line, reason };
        let payload: Value = serde_json::from_slice(&payload).map_err(|error| foreign(error.to_string()))?;
        match &*payload_type {
            lines::PAYLOAD_TYPE => reading.take_campaign(&payload).map_err(foreign)?,
            stix::PAYLOAD_TYPE => reading.take_stix(&payload).map_err(foreign)?,
            _ => return Err(foreign("its payloadType is neither Weir's nor that of STIX 2.1".to_owned())),
        }
        if reading.seen > RECEIVED_INDICATORS_MAX {
            return Err(Refused::Oversized);
        }
    }
    reading.ended()
}

/// What an envelope holds, which the source signed.
fn opened<'e>(envelope: &'e [u8], source: &Source, line: usize) -> Result<(Cow<'e, str>, Vec<u8>), Refused> {
    let unsigned = Refused::Unsigned { line };
    let Ok(envelope) = serde_json::from_slice::<Envelope<'e>>(envelope) else { return Err(unsigned) };
    let signature =
        envelope.signatures.iter().find(|signature| unhex(&signature.keyid) == Some(source.public_key));
    let Some(signature) = signature else {
        let named = &envelope.signatures.first().ok_or(unsigned)?.keyid;
        let key =
            unhex::<32>(named).map_or_else(|| "that it does not name".to_owned(), |_| named.to_string());
        return Err(Refused::Unknown { line, key, source_name: source.name.clone() });
    };
    let forged = || Refused::Forged { line, source_name: source.name.clone() };
    let payload = BASE64.decode(&*envelope.payload).map_err(|_| forged())?;
    let bytes = BASE64.decode(&*signature.sig).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let signature = Signature::from_bytes(&bytes.ok_or_else(forged)?);
    let key = VerifyingKey::from_bytes(&source.public_key).ok().filter(|key| !key.is_weak());
    let signed = crate::evidence::certificate::pre_authentication(&envelope.payload_type, &payload);
    key.ok_or_else(forged)?.verify_strict(&signed, &signature).map_err(|_| forged())?;
    Ok((envelope.payload_type, payload))
}

struct Reading<'r> {
    source: &'r Source,
    now_ms: i64,
    received: Received,
    /// The latest word on each id.
    latest: BTreeMap<String, Word>,
    /// Indicators that were looked at, whatever became of them.
    seen: usize,
}

/// What a source said last of an id.
struct Word {
    changed_ms: i64,
    /// None where it takes it back.
    indicators: BTreeMap<Pattern, Indicator>,
}

/// An indicator as a bundle tells of it.
struct Told<'t> {
    id: &'t str,
    from_ms: i64,
    changed_ms: i64,
    until_ms: Option<i64>,
    /// How sure the source is of it, in hundredths.
    confidence: i64,
}

impl Reading<'_> {
    /// The shared values of a campaign, as [`lines`] writes them.
    fn take_campaign(&mut self, payload: &Value) -> Result<(), String> {
        let text = |name: &str| payload[name].as_str().ok_or_else(|| format!("it has no {name}"));
        let number = |name: &str| payload[name].as_i64().ok_or_else(|| format!("it has no {name}"));
        let campaign = text("bundle_id")?;
        let (from_ms, changed_ms) = (number("first_seen_ms")?, number("last_seen_ms")?);
        for shared in payload["values"].as_array().ok_or("it has no values")? {
            let field = |name: &str| shared[name].as_str().unwrap_or_default();
            let (kind, value) = (field("kind"), field("value"));
            // The id that the same campaign has in STIX, so that who is told twice has one indicator.
            let id = stix::id_of("indicator", &[campaign, kind, value]);
            let told = Told { id: &id, from_ms, changed_ms, until_ms: None, confidence: 100 };
            self.take(&told, Pattern::of_link(kind, value).map(|pattern| vec![pattern]));
        }
        Ok(())
    }

    /// The indicators of a bundle of STIX; whatever else is in it is for others.
    fn take_stix(&mut self, payload: &Value) -> Result<(), String> {
        if payload["type"] != "bundle" {
            return Err("its type is not `bundle`".to_owned());
        }
        let objects = payload["objects"].as_array().ok_or("it has no objects")?;
        for object in objects.iter().filter(|object| object["type"] == "indicator") {
            let id = object["id"].as_str().unwrap_or_default();
            if object["revoked"] == true {
                // By STIX nothing follows on that.
                self.seen += 1;
                self.say(id, i64::MAX, Vec::new());
                continue;
            }
            let time = |name: &str| object[name].as_str().and_then(time_ms);
            let (Some(from_ms), Some(changed_ms)) = (time("valid_from"), time("modified")) else {
                self.leave_out(LeftOut::Malformed);
                continue;
            };
            let until_ms = time("valid_until");
            let confidence = match &object["confidence"] {
                Value::Null => Some(100),
                confidence => confidence.as_i64(),
            };
            let (Some(confidence), true) =
                (confidence, object["valid_until"].is_null() || until_ms.is_some())
            else {
                self.leave_out(LeftOut::Malformed);
                continue;
            };
            let told = Told { id, from_ms, changed_ms, until_ms, confidence };
            if object["indicator_types"].as_array().is_some_and(|types| types.iter().any(|of| of == "benign"))
            {
                self.take_back(&told, LeftOut::Benign);
                continue;
            }
            let is_stix = object["pattern_type"] == "stix";
            let pattern = object["pattern"].as_str().filter(|_| is_stix).ok_or(PatternError::Unsupported);
            self.take(&told, pattern.and_then(values));
        }
        Ok(())
    }

    fn take(&mut self, told: &Told<'_>, patterns: Result<Vec<Pattern>, PatternError>) {
        let life_end_ms = told.changed_ms.saturating_add(self.source.life_ms);
        let until_ms = told.until_ms.map_or(life_end_ms, |end_ms| end_ms.min(life_end_ms));
        let trust_permille =
            (i64::from(self.source.trust_permille) * told.confidence.clamp(0, 100) / 100) as u16;
        let patterns = match patterns {
            Err(PatternError::Malformed) => return self.leave_out(LeftOut::Malformed),
            _ if !is_name(told.id, ID_BYTES_MAX) => return self.leave_out(LeftOut::Malformed),
            _ if told.changed_ms > self.now_ms.saturating_add(RECEIVED_AHEAD_MAX_MS) => {
                return self.leave_out(LeftOut::Future);
            }
            // An old bundle takes nothing back.
            _ if life_end_ms <= self.now_ms => return self.leave_out(LeftOut::Ended),
            Err(error) => return self.take_back(told, error.into()),
            Ok(_) if until_ms <= self.now_ms => return self.take_back(told, LeftOut::Ended),
            Ok(_) if trust_permille == 0 => return self.take_back(told, LeftOut::Untrusted),
            Ok(patterns) => patterns,
        };
        self.seen += patterns.len();
        let indicator = |pattern| Indicator {
            pattern,
            from_ms: told.from_ms,
            until_ms,
            trust_permille,
            source: self.source.name.clone(),
            id: told.id.to_owned(),
        };
        let indicators = patterns.into_iter().map(indicator).collect();
        self.say(told.id, told.changed_ms, indicators);
    }

    /// The source says of an id what leaves nothing of it.
    fn take_back(&mut self, told: &Told<'_>, why: LeftOut) {
        self.leave_out(why);
        self.say(told.id, told.changed_ms, Vec::new());
    }

    /// Notes what the source says of an id, unless it said something else since.
    fn say(&mut self, id: &str, changed_ms: i64, indicators: Vec<Indicator>) {
        if !is_name(id, ID_BYTES_MAX) {
            return;
        }
        let new = || Word { changed_ms, indicators: BTreeMap::new() };
        let word = self.latest.entry(id.to_owned()).or_insert_with(new);
        if changed_ms > word.changed_ms {
            *word = new();
        }
        if changed_ms == word.changed_ms {
            word.indicators.extend(indicators.into_iter().map(|one| (one.pattern.clone(), one)));
        }
    }

    fn leave_out(&mut self, why: LeftOut) {
        self.seen += 1;
        *self.received.left_out.entry(why).or_default() += 1;
    }

    fn ended(self) -> Result<Received, Refused> {
        let Self { mut received, latest, .. } = self;
        if latest.is_empty() {
            let ended = received.left_out.get(&LeftOut::Ended).copied().unwrap_or(0);
            match received.left_out.values().sum::<u64>() {
                0 => return Err(Refused::Empty),
                indicators if indicators == ended => return Err(Refused::Expired { indicators }),
                _ => {}
            }
        }
        for (id, word) in latest {
            received.indicators.extend(word.indicators.into_values());
            received.told.insert(id, word.changed_ms);
        }
        Ok(received)
    }
}

fn time_ms(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests;

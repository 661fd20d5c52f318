//! The language of format files.
//!
//! A format file (TOML) says where in a record each field stands, in which unit, and who wrote it.
//! `docs/formats.md` has the language for people.

use crate::field::Field;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A format, as its file says it.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name in configurations.
    #[serde(default)]
    pub name: String,
    /// What writes it, for people.
    #[serde(default)]
    pub title: String,
    /// How to have it written so that Weir can use it, for people.
    #[serde(default)]
    pub about: String,
    /// What to do where a record names no account; it ends the sentence `the line names no account: …`.
    #[serde(default)]
    pub without_account: String,
    /// Name of a shipped format whose fields count where this one says nothing of them.
    #[serde(default)]
    pub extends: Option<String>,
    /// Places that every record of this format has; of a list of places, one. They tell formats apart.
    #[serde(default)]
    pub shape: Vec<Places>,
    /// Places of lists whose items are the records, where a line holds several.
    #[serde(default)]
    pub records: Vec<String>,
    /// Those lists hold others too, which are of no format and tell of no request.
    #[serde(default)]
    pub is_mixed: bool,
    /// Which records are requests, where there are others of the same shape.
    #[serde(default)]
    pub only: Option<Only>,
    /// Lines that are no JSON: what stands between which captures.
    #[serde(default)]
    pub lines: Vec<String>,
    /// Lines that are columns with this between them.
    #[serde(default)]
    pub columns: Option<Columns>,
    /// Places that are left unread on purpose, with the reason.
    #[serde(default)]
    pub ignored: BTreeMap<String, String>,
    /// Where each field stands.
    pub fields: BTreeMap<String, Sources>,
}

/// Lines that are columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// What stands between them.
    pub separator: char,
    /// Their names, where the file has no line that names them.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Which records are requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// A place; a record without it is a request.
    pub at: String,
    /// What stands there in those that are.
    pub is: Vec<String>,
}

/// One place, or several of which any will do.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Places {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Places {
    /// The places.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Any(places) => places,
        }
    }
}

/// Where a field stands: the first place counts at which something is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Sources {
    /// There.
    One(Source),
    /// At one of these.
    Many(Vec<Source>),
}

impl Sources {
    /// The places, in order.
    pub fn all(&self) -> &[Source] {
        match self {
            Self::One(source) => std::slice::from_ref(source),
            Self::Many(sources) => sources,
        }
    }
}

/// A place of a field.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// There, as it is.
    Place(String),
    /// With more to say of it.
    Detailed(Detailed),
}

impl Source {
    /// The same with everything said.
    pub fn detailed(&self) -> Detailed {
        match self {
            Self::Place(at) => Detailed { at: Some(at.clone()), ..Detailed::default() },
            Self::Detailed(detailed) => detailed.clone(),
        }
    }
}

/// Everything that may be said of a place.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detailed {
    /// The place.
    pub at: Option<String>,
    /// A value that is the same in every record, in place of a place.
    pub value: Option<String>,
    /// Unit of a number: `s`, `ms`, `us` or `ns`.
    pub unit: Option<Unit>,
    /// Whether a time is when the request was made or when it had been answered.
    pub moment: Option<Moment>,
    /// Zone of a time that names none, as `+02:00`.
    pub zone: Option<String>,
    /// What values mean; one that is not listed means itself.
    #[serde(default)]
    pub means: BTreeMap<String, String>,
    /// Values that say nothing, such as what is put in the place of secrets.
    #[serde(default)]
    pub nothing: Vec<String>,
    /// Only what follows the last occurrence of this counts; all of it where there is none.
    pub after: Option<String>,
    /// Who wrote the value.
    pub set_by: Option<SetBy>,
    /// For prompts: a text there is JSON that holds words, in parts or messages.
    #[serde(default)]
    pub json: bool,
    /// For messages whose keys differ by a number: the place of their roles.
    pub roles: Option<String>,
}

/// Unit of a time or a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl Unit {
    /// How many of it are a millisecond, as a factor.
    pub(crate) fn per_ms(self) -> f64 {
        match self {
            Self::S => 1e3,
            Self::Ms => 1.0,
            Self::Us => 1e-3,
            Self::Ns => 1e-6,
        }
    }
}

/// Which moment of a request a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// It was made.
    #[default]
    Start,
    /// It had been answered.
    End,
}

/// Who wrote a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetBy {
    /// The gateway, or what it asks: it holds.
    Gateway,
    /// The client: it is what the client claims.
    Client,
}

impl SetBy {
    /// Who writes a field where the format file does not say.
    pub fn default_of(field: Field) -> Self {
        match field {
            // An API key is the client's word until the gateway has let the request through.
            Field::Account
            | Field::UserAgent
            | Field::Endpoint
            | Field::Model
            | Field::Prompt
            | Field::SystemPrompt
            | Field::MaxTokens
            | Field::Body
            | Field::Messages
            | Field::Parameters
            | Field::HeaderOrder
            | Field::Label
            | Field::Population => Self::Client,
            _ => Self::Gateway,
        }
    }

    /// Whether a client's claim may be taken for this field. What says whose a request is may not, and the
    /// client's network is what the connection shows; of an address a claim is better than nothing where a
    /// proxy wrote it.
    pub fn may_claim(field: Field) -> bool {
        !matches!(
            field,
            Field::Org
                | Field::Payment
                | Field::Tenant
                | Field::Country
                | Field::Asn
                | Field::AsnOrg
                | Field::Ja3
                | Field::Ja3s
                | Field::Ja4
                | Field::H2
        )
    }
}

impl Spec {
    /// Takes over from `base` what this one says nothing of.
    pub(crate) fn extend(&mut self, base: &Self) {
        for (field, sources) in &base.fields {
            self.fields.entry(field.clone()).or_insert_with(|| sources.clone());
        }
        for (place, reason) in &base.ignored {
            self.ignored.entry(place.clone()).or_insert_with(|| reason.clone());
        }
        if self.records.is_empty() {
            self.records.clone_from(&base.records);
            self.is_mixed = base.is_mixed;
        }
        if self.only.is_none() {
            self.only.clone_from(&base.only);
        }
        if self.lines.is_empty() {
            self.lines.clone_from(&base.lines);
        }
        if self.columns.is_none() {
            self.columns.clone_from(&base.columns);
        }
    }
}

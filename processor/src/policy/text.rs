//! A policy's text: the fleet's document, and what tenants say otherwise.
//!
//! `[tenants.NAME]` holds tables of the document in which single keys have other values. Each tenant's tables
//! are laid over the fleet's, and what comes of it is read and checked as if it were the whole document.
//! What accounts of all tenants share cannot be said otherwise: an account's links and card, what a value
//! knows of its members, and how long both are remembered.

use super::by_tenant::ByTenant;
use super::{Cooldown, Fusion, Horizons, Policy, Rules, Tiers};
use crate::calibration::{Calibration, CalibrationTable};
use crate::detector::DetectorSettings;
use crate::limits::POLICY_TENANTS_MAX;
use crate::section::{PolicyError, Section as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};
use weir_schemas::Digest;
use weir_schemas::tenant::{ID_BYTES_MAX, is_id};

/// The table of tenants.
const TENANTS: &str = "tenants";

/// Tables that a tenant may have.
pub const OF_TENANTS: [&str; 5] = ["tiers", "fusion", "cooldown", "calibration", "detectors"];

/// Longest version, in bytes.
const VERSION_BYTES_MAX: usize = 64;

/// The fleet's document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: String,
    tiers: Tiers,
    fusion: Fusion,
    cooldown: Cooldown,
    horizons: Horizons,
    calibration: Option<CalibrationTable>,
    #[serde(default)]
    detectors: DetectorSettings,
}

impl Text {
    /// The rules and the horizons, checked.
    fn rules(self, version: String, digest: Digest) -> Result<(Rules, Horizons), PolicyError> {
        let rules = Rules {
            version,
            digest,
            tiers: self.tiers,
            fusion: self.fusion,
            cooldown: self.cooldown,
            calibration: self.calibration.as_ref().map(Calibration::of).transpose()?,
            detectors: self.detectors,
        };
        rules.check()?;
        self.horizons.check("horizons")?;
        Ok((rules, self.horizons))
    }
}

/// Reads and checks a policy of a length that may be.
pub(super) fn read(text: &str) -> Result<Policy, PolicyError> {
    let mut document = DeTable::parse(text).map_err(|error| unreadable(text, &error))?;
    let tenants = document.get_mut().remove_entry(TENANTS);
    let fleet: Text = deserialize(&document).map_err(|error| unreadable(text, &error))?;
    let version = fleet.version.clone();
    let digest = Digest(Sha256::digest(text.as_bytes()).into());
    let (rules, horizons) = fleet.rules(version.clone(), digest)?;
    let contradiction = |must| Err(PolicyError::Contradiction { key: "version".to_owned(), must });
    if version.is_empty() || version.len() > VERSION_BYTES_MAX {
        return contradiction("1 to 64 bytes long");
    }
    if tenants.is_some() && version.contains('/') {
        return contradiction(
            "without `/` where there are tenants: a tenant's rules are named VERSION/TENANT",
        );
    }
    let of_tenants = match &tenants {
        None => ByTenant::default(),
        Some((_, tenants)) => {
            Overlay { text, document: &document, version: &version, digest }.all(tenants)?
        }
    };
    Ok(Policy { version, digest, text: text.to_owned(), horizons, fleet: rules, tenants: of_tenants })
}

/// What tenants' tables are laid over.
struct Overlay<'t> {
    text: &'t str,
    document: &'t Spanned<DeTable<'t>>,
    version: &'t str,
    digest: Digest,
}

impl<'t> Overlay<'t> {
    /// The rules of every tenant that the table names.
    fn all(&self, tenants: &Spanned<DeValue<'t>>) -> Result<ByTenant, PolicyError> {
        let Some(tables) = tenants.get_ref().as_table() else {
            return Err(self.refusal(&tenants.span(), "`tenants` must be tables [tenants.NAME]".to_owned()));
        };
        let mut rules = ByTenant::default();
        // In the order of the text, so that the first that is wrong is told of.
        let mut named: Vec<_> = tables.iter().collect();
        named.sort_by_key(|(name, _)| name.span().start);
        for (name, table) in named {
            let id = name.get_ref().as_ref();
            if rules.len() == POLICY_TENANTS_MAX {
                let reason = format!(
                    "there are over {POLICY_TENANTS_MAX} tenants: a policy says something of at most as many; the others \
                     are judged by the fleet's"
                );
                return Err(self.refusal(&name.span(), reason));
            }
            if !is_id(id) {
                let reason = format!(
                    "{id:?} is no tenant's id: it must have 1 to {ID_BYTES_MAX} of the characters a-z, 0-9 and `-`"
                );
                return Err(self.refusal(&name.span(), reason));
            }
            rules.insert(id.to_owned(), Arc::new(self.one(id, &name.span(), table)?));
        }
        Ok(rules)
    }

    /// The rules of one tenant.
    fn one(&self, id: &str, at: &Range<usize>, said: &Spanned<DeValue<'t>>) -> Result<Rules, PolicyError> {
        let Some(tables) = said.get_ref().as_table() else {
            return Err(self.refusal(at, format!("`tenants.{id}` must be a table")));
        };
        for (key, value) in tables {
            let name = key.get_ref().as_ref();
            if !OF_TENANTS.contains(&name) {
                return Err(self.refusal(&key.span(), foreign(id, name)));
            }
            if !value.get_ref().is_table() {
                return Err(self.refusal(&value.span(), format!("`tenants.{id}.{name}` must be a table")));
            }
        }
        let mut document = self.document.clone();
        lay(document.get_mut(), tables);
        let text: Text = deserialize(&document).map_err(|error| {
            let span = error.span().unwrap_or_else(|| at.clone());
            self.refusal(&span, format!("tenant {id}: {}", error.message()))
        })?;
        let rules = text.rules(format!("{}/{id}", self.version), self.digest);
        rules.map(|(rules, _)| rules).map_err(|error| {
            let error = error.within(&format!("{TENANTS}.{id}."));
            let span = error.key().and_then(|key| place_of(tables, key)).unwrap_or_else(|| at.clone());
            self.refusal(&span, error.to_string())
        })
    }

    fn refusal(&self, span: &Range<usize>, reason: String) -> PolicyError {
        PolicyError::Unreadable(placed(self.text, span.start, &reason))
    }
}

/// Why a tenant's table cannot have this in it.
fn foreign(id: &str, name: &str) -> String {
    let may = OF_TENANTS.map(|name| format!("`{name}`")).join(", ");
    match name {
        "horizons" => format!(
            "`horizons` cannot be said of tenant {id} alone: accounts of all tenants share values, and how long those and \
             the accounts behind them are remembered is one for the fleet. A tenant may have {may}"
        ),
        "version" => format!(
            "`version` cannot be said of tenant {id} alone: it names the whole document. A tenant may have {may}"
        ),
        TENANTS => format!("a tenant has no tenants of its own. A tenant may have {may}"),
        _ => format!("unknown table `{name}` of tenant {id}. A tenant may have {may}"),
    }
}

/// Lays tables over others: keys of both that are tables are laid over each other, and of all else the upper
/// one counts.
fn lay<'t>(lower: &mut DeTable<'t>, upper: &DeTable<'t>) {
    for (key, value) in upper {
        let below = lower.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut);
        match (below, value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) => lay(below, above),
            _ => {
                lower.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Where a key stands in a tenant's tables, as far as it is there: `key` is its full name with the tenant's.
fn place_of(tables: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let (mut tables, mut place) = (tables, None);
    for name in key.split('.').skip(2) {
        let Some((known, value)) = tables.get_key_value(name) else { break };
        place = Some(known.span());
        match value.get_ref() {
            DeValue::Table(inner) => tables = inner,
            _ => break,
        }
    }
    place
}

fn deserialize(document: &Spanned<DeTable<'_>>) -> Result<Text, toml::de::Error> {
    Text::deserialize(Deserializer::from(document.clone()))
}

fn unreadable(text: &str, error: &toml::de::Error) -> PolicyError {
    // The error's own rendering quotes the text; a place tells as much.
    PolicyError::Unreadable(placed(text, error.span().map_or(0, |span| span.start), error.message()))
}

/// A reason with the line and the column of the byte that it is about.
fn placed(text: &str, byte: usize, reason: &str) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |part| part.chars().count()) + 1;
    format!("line {line}, column {column}: {reason}")
}

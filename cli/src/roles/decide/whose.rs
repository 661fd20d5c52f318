//! Who is asking: the tenant that a request names, the accounts behind its keys, and the terms on which its
//! tenant is answered.

use super::limits::KEYS_MAX;
use crate::context::Context;
use crate::keys::CollectorKeys;
use crate::settings::FailureMode;
use crate::telemetry::Refused;
#[cfg(test)]
use crate::tenants::Tenants;
use crate::tenants::{Registry, Stranger, Tenant};
use anyhow::{Result, ensure};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error;
use weir_enforcer::answer::bucket::Rate;
use weir_schemas::AccountId;
use weir_schemas::pseudonym::PseudonymKey;

/// Headers in which clients send their keys, in the order in which nginx's log formats look at them.
pub const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Why nobody would know whose a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unclear {
    /// It has more keys than anybody has.
    #[error("a request may have {KEYS_MAX} keys at most")]
    TooManyKeys,
    /// It is said to be of several tenants.
    #[error("a request may be of one tenant only; let the gateway replace what its client says")]
    TooManyTenants,
    /// It is of no tenant of the registry.
    #[error(transparent)]
    Stranger(#[from] Stranger),
}

impl Unclear {
    /// As what it is counted, and told in a word.
    pub fn refused(self) -> Refused {
        match self {
            Self::TooManyKeys | Self::TooManyTenants => Refused::Unclear,
            Self::Stranger(Stranger::Unknown) => Refused::UnknownTenant,
            Self::Stranger(Stranger::Unnamed) => Refused::NoTenant,
        }
    }
}

/// How a tenant's requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What is told where too little is known.
    pub mode: FailureMode,
    /// How often an account may ask that is slowed down.
    pub rate: Rate,
}

/// Whose a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    /// Its tenant.
    pub tenant: Arc<str>,
    /// The accounts behind its keys, each once.
    pub accounts: Vec<AccountId>,
    /// The terms of its tenant.
    pub terms: Terms,
    /// As how many requests it counts: one, unless its gateway says otherwise. None uses nothing up.
    pub hits: u32,
}

/// Whose accounts somebody is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Those of this tenant; of everybody where there is no registry.
    tenant: Option<String>,
    terms: Terms,
}

impl Scope {
    /// Whether this tenant's accounts are told of.
    pub fn has(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }

    /// The terms on which.
    pub fn terms(&self) -> Terms {
        self.terms
    }
}

/// Knows who is asking.
pub struct Askers {
    pseudonyms: PseudonymKey,
    tenants: Arc<Registry>,
    tenant_header: Option<String>,
    /// Of a tenant that chose nothing.
    terms: Terms,
}

impl Askers {
    /// Those that the settings name.
    ///
    /// # Errors
    /// When the registry cannot be used, or nobody could name its tenant.
    pub fn new(context: &Context, keys: &CollectorKeys) -> Result<Self> {
        let settings = &context.settings;
        let (epoch, key) = &keys.pseudonym;
        let tenant_header = settings.decide_tenant_header.as_ref().map(|name| name.to_ascii_lowercase());
        ensure!(
            tenant_header.as_deref().is_none_or(|name| !CREDENTIAL_HEADERS.contains(&name)),
            "decide.tenant_header must be another header than those of keys"
        );
        let tenants = context.tenants()?;
        ensure!(
            tenant_header.is_some() || tenants.now().unnamed().is_some(),
            "with tenants.dir nobody is answered who names no tenant, and there is no way to name one: give decide.tenant_header, \
             the header in which the gateway does; or `tenant`, where all that this server is asked for is of one; or \
             tenants.allow_anonymous"
        );
        let rate = Rate { per_minute: settings.decide_limit_per_minute, burst: settings.decide_limit_burst };
        Ok(Self {
            pseudonyms: PseudonymKey::new(key, *epoch),
            tenants,
            tenant_header,
            terms: Terms { mode: settings.decide_failure_mode, rate },
        })
    }

    /// The header that names the tenant, where the operator trusts one.
    pub fn tenant_header(&self) -> Option<&str> {
        self.tenant_header.as_deref()
    }

    /// Whose a request with these credentials is. One with several keys is of each of them, also where a
    /// proxy on the way has joined them with commas. `tenants` are the values that name its tenant; without
    /// one it is the configured one, if any.
    pub fn asking<'c>(
        &self,
        tenants: impl Iterator<Item = &'c [u8]>,
        credentials: impl Iterator<Item = &'c [u8]>,
    ) -> Result<Asking, Unclear> {
        let known = self.tenants.now();
        let named = only_tenant(tenants, known.unnamed())?;
        let (tenant, chosen) = known.find(named.as_deref())?;
        let keys = keys_of(credentials)?;
        let accounts = keys.iter().map(|key| self.pseudonyms.account(tenant, key)).collect();
        Ok(Asking { tenant: tenant.into(), accounts, terms: self.terms_of(chosen), hits: 1 })
    }

    /// Of whose accounts somebody is told who names the tenant by these values. Where there is no registry
    /// nobody needs to name one.
    pub fn scope<'c>(&self, tenants: impl Iterator<Item = &'c [u8]>) -> Result<Scope, Unclear> {
        let known = self.tenants.now();
        if !known.are_registered() {
            return Ok(Scope { tenant: None, terms: self.terms });
        }
        let named = only_tenant(tenants, known.unnamed())?;
        let (tenant, chosen) = known.find(named.as_deref())?;
        Ok(Scope { tenant: Some(tenant.to_owned()), terms: self.terms_of(chosen) })
    }

    fn terms_of(&self, chosen: &Tenant) -> Terms {
        let Terms { mode, rate } = self.terms;
        Terms {
            mode: chosen.failure_mode.unwrap_or(mode),
            rate: Rate {
                per_minute: chosen.limit_per_minute.unwrap_or(rate.per_minute),
                burst: chosen.limit_burst.unwrap_or(rate.burst),
            },
        }
    }
}

/// A header's value as text, as the collector reads lines: what is not UTF-8 is replaced.
fn text_of(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}

/// The one tenant that these values name, also where a proxy on the way has joined them with commas; what
/// names none is of `unnamed`, and where there is no such tenant, of none.
fn only_tenant<'c>(
    values: impl Iterator<Item = &'c [u8]>,
    unnamed: Option<&str>,
) -> Result<Option<String>, Unclear> {
    let mut only: Option<Option<String>> = None;
    for value in values {
        for name in text_of(value).split(',') {
            let name = weir_collector::tenant_of(name).or(unnamed);
            match &only {
                Some(other) if other.as_deref() != name => return Err(Unclear::TooManyTenants),
                Some(_) => {}
                None => only = Some(name.map(str::to_owned)),
            }
        }
    }
    Ok(only.unwrap_or_else(|| unnamed.map(str::to_owned)))
}

/// The keys in these credentials, as a line's account has them.
fn keys_of<'c>(credentials: impl Iterator<Item = &'c [u8]>) -> Result<BTreeSet<String>, Unclear> {
    let mut keys = BTreeSet::new();
    for credential in credentials.map(text_of) {
        for key in with_parts(&credential).filter_map(weir_collector::account_of) {
            keys.insert(key);
            if keys.len() > KEYS_MAX {
                return Err(Unclear::TooManyKeys);
            }
        }
    }
    Ok(keys)
}

/// A credential, and what stands between its commas where it has any.
fn with_parts(credential: &str) -> impl Iterator<Item = &str> {
    let parts = credential.contains(',').then(|| credential.split(','));
    std::iter::once(credential).chain(parts.into_iter().flatten())
}

#[cfg(test)]
impl Askers {
    /// Everybody, on these terms.
    pub fn of_test(terms: Terms) -> Self {
        let (pseudonyms, tenants) =
            (PseudonymKey::new(&[1; 32], 0), Arc::new(Registry::with(Tenants::of_test("default"))));
        Self { pseudonyms, tenants, tenant_header: None, terms }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests {
    use super::*;

    fn tenant_where(unnamed: Option<&str>, values: &[&str]) -> Result<Option<String>, Unclear> {
        only_tenant(values.iter().map(|value| value.as_bytes()), unnamed)
    }

    fn tenant(values: &[&str]) -> Result<String, Unclear> {
        tenant_where(Some("default"), values).map(Option::unwrap_or_default)
    }

    fn keys(credentials: &[&[u8]]) -> Result<Vec<String>, Unclear> {
        keys_of(credentials.iter().copied()).map(|keys| keys.into_iter().collect())
    }

    #[test]
    fn a_tenant_that_is_not_said_is_the_configured_one_and_two_of_them_are_none() {
        assert_eq!(tenant(&[]).as_deref(), Ok("default"));
        for nothing in ["", " ", "-", " - "] {
            assert_eq!(tenant(&[nothing]).as_deref(), Ok("default"), "{nothing:?}");
        }
        assert_eq!(tenant(&[" acme "]).as_deref(), Ok("acme"), "as the collector reads it");
        assert_eq!(
            tenant(&["acme", "acme,acme"]).as_deref(),
            Ok("acme"),
            "it is one, however often it is said"
        );
        for several in [&["acme", "other"][..], &["acme,other"], &["acme", ""], &["-,acme"]] {
            assert_eq!(tenant(several), Err(Unclear::TooManyTenants), "{several:?}");
        }
        let broken = only_tenant([&b"acm\xff"[..]].into_iter(), Some("default"));
        assert_eq!(broken, Ok(Some("acm\u{fffd}".into())), "bytes that are no text name a tenant too");
    }

    #[test]
    fn a_key_is_found_however_long_or_broken_what_it_came_in_and_each_is_one() {
        let padded = format!("Bearer{}sk-one", " ".repeat(17_000));
        assert_eq!(keys(&[padded.as_bytes()]).unwrap(), ["sk-one"]);
        assert_eq!(keys(&[b"Bearer sk-\xff", b"sk-\xff"]).unwrap(), ["sk-\u{fffd}"]);
        assert_eq!(keys(&[b"Bearer sk-one", b"sk-one", b"bearer sk-one"]).unwrap(), ["sk-one"]);
        assert_eq!(keys(&[b"Bearer", b""]).unwrap(), [""; 0]);
    }

    #[test]
    fn keys_are_counted_once_and_more_than_anybody_has_are_refused() {
        let apart = |count: usize| (0..count).map(|number| format!("k{number}")).collect::<Vec<_>>();
        let found = |keys: &[String]| keys_of(keys.iter().map(|key| key.as_bytes())).map(|keys| keys.len());
        assert_eq!(found(&vec!["k".to_owned(); 1_000]), Ok(1));
        assert_eq!(found(&apart(KEYS_MAX)), Ok(KEYS_MAX));
        assert_eq!(found(&apart(KEYS_MAX + 1)), Err(Unclear::TooManyKeys));
        assert_eq!(found(&[apart(KEYS_MAX).join(",")]), Err(Unclear::TooManyKeys), "the whole is one more");
    }
}

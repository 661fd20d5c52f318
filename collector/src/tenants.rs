//! Of which tenants events may be.

use crate::error::CollectorError;
use crate::exchange::Exchange;
use crate::field::Field;
use crate::limits;
use crate::refusal::Refusal;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use weir_schemas::hex::unhex;

/// Of which tenants events may be. Cheap to clone, and all clones change together.
#[derive(Debug, Clone)]
pub struct Tenants(Arc<RwLock<Arc<Known>>>);

/// Of which tenants events may be at one time.
#[derive(Debug)]
pub(crate) struct Known {
    /// Tenant of what names none; none where that is refused.
    unnamed: Option<String>,
    /// Those that may be named; none where every name is a tenant.
    registered: Option<Registered>,
}

#[derive(Debug)]
struct Registered {
    ids: BTreeSet<String>,
    /// What names begin with that need not be registered: 16 lower-case hex digits follow.
    besides: &'static str,
}

impl Tenants {
    /// Every name is a tenant, and what names none is of `unnamed`.
    pub fn any(unnamed: impl Into<String>) -> Self {
        Self::of_known(Known { unnamed: Some(unnamed.into()), registered: None })
    }

    /// These, and those whose names are `besides` and 16 lower-case hex digits; what names none is of
    /// `unnamed`, and without one refused.
    pub fn registered(
        ids: impl IntoIterator<Item = String>,
        besides: &'static str,
        unnamed: Option<String>,
    ) -> Self {
        let registered = Some(Registered { ids: ids.into_iter().collect(), besides });
        Self::of_known(Known { unnamed, registered })
    }

    fn of_known(known: Known) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(known))))
    }

    /// From now on these, and all clones of these, are as `other` is now.
    pub fn become_like(&self, other: &Self) {
        let known = other.now();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Those of now: what is asked of one exchange is asked of the same.
    pub(crate) fn now(&self) -> Arc<Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses a tenant that is none.
    pub(crate) fn check(&self) -> Result<(), CollectorError> {
        self.now().unnamed.as_deref().map_or(Ok(()), check_tenant)
    }
}

impl Known {
    /// Whose an exchange is. One that names what cannot be read is a stranger's where tenants are registered.
    /// One that was cut is not: who asks at length would go unseen.
    pub(crate) fn of<'t>(&'t self, exchange: &'t Exchange<'_>) -> Result<&'t str, Refusal> {
        let named = exchange.tenant.as_deref();
        let is_unreadable = exchange.unknown.contains(Field::Tenant);
        if self.registered.is_some() && named.is_none() && is_unreadable {
            return Err(Refusal::unknown_tenant());
        }
        let tenant = named.or(self.unnamed.as_deref()).ok_or_else(Refusal::no_tenant)?;
        match &self.registered {
            Some(registered) if !registered.has(tenant) => Err(Refusal::unknown_tenant()),
            _ => Ok(tenant),
        }
    }
}

impl Registered {
    fn has(&self, tenant: &str) -> bool {
        let number = tenant.strip_prefix(self.besides).and_then(unhex::<8>);
        self.ids.contains(tenant) || number.is_some()
    }
}

/// Refuses a tenant that is none.
pub(crate) fn check_tenant(tenant: &str) -> Result<(), CollectorError> {
    if tenant.is_empty() || tenant.len() > limits::TENANT_BYTES_MAX {
        let reason = format!("must have 1 to {} bytes", limits::TENANT_BYTES_MAX);
        return Err(CollectorError::Config { setting: "tenant", reason });
    }
    Ok(())
}

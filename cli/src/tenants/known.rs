//! Of whom requests and events may be at one time.

use super::directory;
use super::error::TenantsError;
use super::keys::Tenant;
use crate::settings::Settings;
use std::collections::BTreeMap;
use thiserror::Error;
use weir_traffic::drill::PREFIX;

/// The tenant of what names none, where nothing else is configured.
const ANONYMOUS: &str = "default";

/// Of whom requests and events may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenants {
    /// By id; none where there is no registry.
    registered: Option<BTreeMap<String, Tenant>>,
    /// Whose that is which names no tenant; none where it is nobody's.
    unnamed: Option<String>,
}

/// Why something is of no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stranger {
    /// It names one that the registry does not have.
    #[error("the tenant of the request is not registered here")]
    Unknown,
    /// It names none.
    #[error("the request names no tenant, and without one nobody is answered here")]
    Unnamed,
}

impl Tenants {
    /// As the settings say.
    ///
    /// # Errors
    /// When there is a registry and any of it is not as it is to be, or the settings name a tenant that it
    /// does not have.
    pub fn of(settings: &Settings) -> Result<Self, TenantsError> {
        let Some(directory) = &settings.tenants_dir else {
            if settings.tenants_allow_anonymous {
                return Err(TenantsError::NoRegistry);
            }
            return Ok(Self { registered: None, unnamed: Some(settings.tenant.clone()) });
        };
        let registered = directory::read(directory)?;
        let is_anonymous = settings.tenant == ANONYMOUS;
        let unnamed = (!is_anonymous || settings.tenants_allow_anonymous).then(|| settings.tenant.clone());
        match unnamed.as_deref() {
            Some(id) if !registered.contains_key(id) => {
                let setting = if is_anonymous { "tenants.allow_anonymous" } else { "tenant" };
                let (id, directory) = (id.to_owned(), directory.clone());
                Err(TenantsError::Unregistered { setting, id, directory })
            }
            _ => Ok(Self { registered: Some(registered), unnamed }),
        }
    }

    /// How many are registered; 0 where there is no registry.
    pub fn count(&self) -> usize {
        self.registered.as_ref().map_or(0, BTreeMap::len)
    }

    /// How many `later` has that are new, how many it has no more, and how many chose otherwise.
    pub fn change_to(&self, later: &Self) -> [usize; 3] {
        let none = BTreeMap::new();
        let [before, after] = [self, later].map(|tenants| tenants.registered.as_ref().unwrap_or(&none));
        let added = after.keys().filter(|id| !before.contains_key(*id)).count();
        let removed = before.keys().filter(|id| !after.contains_key(*id)).count();
        let changed =
            before.iter().filter(|(id, tenant)| after.get(*id).is_some_and(|new| new != *tenant)).count();
        [added, removed, changed]
    }

    /// Whether there is a registry.
    pub fn are_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// Whose that is which names no tenant; none where it is nobody's.
    pub fn unnamed(&self) -> Option<&str> {
        self.unnamed.as_deref()
    }

    /// Of which tenants events may be. A drill is of a tenant of its own that needs no file: who sends it has
    /// put it on the list of who is protected, and a gateway that is asked for it answers as for any
    /// stranger.
    pub fn of_events(&self) -> weir_collector::Tenants {
        match (&self.registered, &self.unnamed) {
            (None, unnamed) => weir_collector::Tenants::any(unnamed.clone().unwrap_or_default()),
            (Some(registered), unnamed) => {
                weir_collector::Tenants::registered(registered.keys().cloned(), PREFIX, unnamed.clone())
            }
        }
    }

    /// The tenant that is `named`, and what it chose; of nothing that is named the one whose that is.
    ///
    /// # Errors
    /// When there is a registry and that is nobody in it.
    pub fn find<'t>(&'t self, named: Option<&'t str>) -> Result<(&'t str, &'t Tenant), Stranger> {
        let id = named.or(self.unnamed()).ok_or(Stranger::Unnamed)?;
        match &self.registered {
            None => Ok((id, &Tenant::CHOSE_NOTHING)),
            Some(registered) => registered.get(id).map(|tenant| (id, tenant)).ok_or(Stranger::Unknown),
        }
    }
}

#[cfg(test)]
impl Tenants {
    /// Without a registry; what names no tenant is of this one.
    pub fn of_test(unnamed: &str) -> Self {
        Self { registered: None, unnamed: Some(unnamed.to_owned()) }
    }
}

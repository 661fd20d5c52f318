//! The registry in force, which follows its directory while the process runs.
//!
//! A change is taken as a whole: all of the directory is read, and what two looks in a row have found counts.
//! So a registry that is being written file by file is not taken halfway, as long as no pause in it is longer
//! than from look to look. One that cannot be used changes nothing: the one before stays in force, and that
//! is told.

use super::error::TenantsError;
use super::known::Tenants;
use super::limits::LOOK_EVERY;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The registry in force.
pub struct Registry {
    current: RwLock<Arc<Tenants>>,
    /// What collectors go by.
    of_events: weir_collector::Tenants,
}

impl Registry {
    /// As the settings say, now.
    ///
    /// # Errors
    /// When there is a registry that cannot be used.
    pub fn read(settings: &Settings) -> Result<Self, TenantsError> {
        Ok(Self::with(Tenants::of(settings)?))
    }

    /// With this one in force.
    pub fn with(tenants: Tenants) -> Self {
        Self { of_events: tenants.of_events(), current: RwLock::new(Arc::new(tenants)) }
    }

    /// The one in force.
    pub fn now(&self) -> Arc<Tenants> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of which tenants events may be, now and after every change.
    pub fn of_events(&self) -> weir_collector::Tenants {
        self.of_events.clone()
    }

    fn take(&self, tenants: Tenants) {
        self.of_events.become_like(&tenants.of_events());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tenants);
    }

    /// Looks at the directory from time to time, in a thread of its own, until the process is told to stop.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn follow(
        self: &Arc<Self>,
        settings: &Settings,
        metrics: Arc<Metrics>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<()> {
        if settings.tenants_dir.is_none() {
            return Ok(());
        }
        metrics.tenants_read(self.now().count());
        let mut follower = Follower::of(self.clone(), settings.clone(), metrics);
        let look = move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK_EVERY);
                follower.look();
            }
        };
        std::thread::Builder::new().name("tenants".into()).spawn(look).map(drop)
    }
}

/// What looks found.
pub struct Follower {
    registry: Arc<Registry>,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// The last of them.
    found: Option<Result<Tenants, TenantsError>>,
    /// Why what lies there was refused, once that was told.
    refused: Option<TenantsError>,
}

impl Follower {
    /// One that has not looked yet.
    pub fn of(registry: Arc<Registry>, settings: Settings, metrics: Arc<Metrics>) -> Self {
        Self { registry, settings, metrics, found: None, refused: None }
    }

    /// Looks once: takes what is there, or tells why not, if the look before found the same.
    pub fn look(&mut self) {
        // A volume that came off shows an empty directory, too.
        let found = Tenants::of(&self.settings).and_then(|tenants| match &self.settings.tenants_dir {
            Some(directory) if tenants.count() == 0 && self.registry.now().count() > 0 => {
                Err(TenantsError::Empty(directory.clone()))
            }
            _ => Ok(tenants),
        });
        let is_settled = self.found.as_ref() == Some(&found);
        let before = self.found.insert(found).clone();
        if !is_settled {
            return;
        }
        match before {
            Ok(tenants) => {
                let in_force = self.registry.now();
                if *in_force != tenants {
                    let change = in_force.change_to(&tenants);
                    let count = tenants.count();
                    self.registry.take(tenants);
                    self.metrics.tenants_taken(count, change);
                } else if self.refused.is_some() {
                    self.metrics.tenants_mended();
                }
                self.refused = None;
            }
            Err(error) if self.refused.as_ref() != Some(&error) => {
                self.metrics.tenants_refused(&error.to_string());
                self.refused = Some(error);
            }
            Err(_) => {}
        }
    }
}

//! The tap as its users see it, whether or not this build can trace.

use crate::attached::Attached;
use crate::config::TapConfig;
use crate::counts::{Counted, Counts, ProbeRuns};
use crate::error::TapError;
use crate::placement::Site;
use crate::process::{Library, Process};
use crate::traps::TrapCosts;
use crate::trial::Trial;
use weir_collector::trace::Heard;

/// Whether this build can trace.
pub fn is_built_in() -> bool {
    imp::is_built_in()
}

/// Whether the kernel lets this thread attach probes to programs, tried without a tap: nothing is traced by
/// it.
///
/// # Errors
/// When this build has no kernel side, or the kernel does not load it.
pub fn try_attaching() -> Result<Trial, TapError> {
    imp::try_attaching()
}

/// What probes cost on this machine, measured on this process without a tap.
///
/// # Errors
/// When this build has no kernel side, or the kernel does not load or attach it.
pub fn trap_costs() -> Result<TrapCosts, TapError> {
    imp::trap_costs()
}

/// Listens to processes. What it attached is detached when it is dropped, or the process ends however that
/// comes about: the kernel holds it by file descriptors.
pub struct Tap(imp::Inner);

impl Tap {
    /// Loads the kernel side.
    ///
    /// # Errors
    /// When this build has none, or the kernel refuses it.
    pub fn open(config: TapConfig) -> Result<Self, TapError> {
        Ok(Self(imp::Inner::open(config)?))
    }

    /// Listens to a process from now on.
    ///
    /// # Errors
    /// When the process ended, or the kernel refuses.
    pub fn attach(&mut self, process: &Process, library: &Library) -> Result<Attached, TapError> {
        self.0.attach(process, library)
    }

    /// The probes that are attached to a process, each with where it was placed.
    pub fn sites_of(&self, process: u32) -> Vec<Site> {
        self.0.sites_of(process)
    }

    /// Those of them for which the kernel refused a better place than the function's entry, each with why.
    pub fn refusals_of(&self, process: u32) -> impl Iterator<Item = (&Site, &str)> {
        self.0.refusals_of(process)
    }

    /// Those that are attached to any process.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.0.sites()
    }

    /// What probes cost on this machine, measured on this process when the tap was opened.
    ///
    /// # Errors
    /// Why it was not measured.
    pub fn costs(&self) -> Result<TrapCosts, &TapError> {
        self.0.costs()
    }

    /// Whether the kernel lets this thread attach probes to programs.
    pub fn try_attaching(&mut self) -> Trial {
        self.0.try_attaching()
    }

    /// Listens no more to a process that ended, and says what was counted of it in all.
    pub fn detach(&mut self, process: &Process) -> Counts {
        self.0.detach(process)
    }

    /// Whether addresses and hellos of clients are known.
    pub fn knows_addresses(&self) -> bool {
        self.0.knows_addresses()
    }

    /// Hands on at most `records_max` of what was heard, and says how many there were.
    pub fn drain(&mut self, records_max: usize, each: &mut dyn FnMut(Heard<'_>)) -> usize {
        self.0.drain(records_max, each)
    }

    /// Waits no longer for hellos of clients that are not whole after so long as it was told: what was heard
    /// of one that no `SSL` has is over, which [`drain`](Self::drain) hands on behind all that was heard
    /// before.
    pub fn let_late_go(&mut self) {
        self.0.let_late_go();
    }

    /// What was counted.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn counted(&self) -> Result<Counted, TapError> {
        self.0.counted()
    }

    /// How often the programs ran, and for how long: noughts where the kernel was told by nobody to measure
    /// it.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn probe_runs(&self) -> Result<Vec<ProbeRuns>, TapError> {
        self.0.probe_runs()
    }

    /// Why the kernel does not measure how long the programs run, where it was to.
    pub fn measures_not_because(&self) -> Option<&str> {
        self.0.measures_not_because()
    }
}

#[cfg(feature = "ebpf")]
use crate::kernel as imp;

#[cfg(not(feature = "ebpf"))]
mod imp {
    use super::{
        Attached, Counted, Counts, Heard, Library, ProbeRuns, Process, Site, TapConfig, TapError, TrapCosts,
        Trial,
    };
    use std::convert::Infallible;

    pub(super) fn is_built_in() -> bool {
        false
    }

    pub(super) fn try_attaching() -> Result<Trial, TapError> {
        Err(TapError::NotBuilt)
    }

    pub(super) fn trap_costs() -> Result<TrapCosts, TapError> {
        Err(TapError::NotBuilt)
    }

    /// There is none.
    pub(super) struct Inner(Infallible);

    impl Inner {
        pub(super) fn open(_: TapConfig) -> Result<Self, TapError> {
            Err(TapError::NotBuilt)
        }

        pub(super) fn attach(&mut self, _: &Process, _: &Library) -> Result<Attached, TapError> {
            match self.0 {}
        }

        pub(super) fn sites_of(&self, _: u32) -> Vec<Site> {
            match self.0 {}
        }

        pub(super) fn refusals_of(&self, _: u32) -> std::vec::IntoIter<(&Site, &str)> {
            match self.0 {}
        }

        pub(super) fn sites(&self) -> std::slice::Iter<'_, Site> {
            match self.0 {}
        }

        pub(super) fn costs(&self) -> Result<TrapCosts, &TapError> {
            match self.0 {}
        }

        pub(super) fn try_attaching(&mut self) -> Trial {
            match self.0 {}
        }

        pub(super) fn detach(&mut self, _: &Process) -> Counts {
            match self.0 {}
        }

        pub(super) fn knows_addresses(&self) -> bool {
            match self.0 {}
        }

        pub(super) fn drain(&mut self, _: usize, _: &mut dyn FnMut(Heard<'_>)) -> usize {
            match self.0 {}
        }

        pub(super) fn let_late_go(&mut self) {
            match self.0 {}
        }

        pub(super) fn counted(&self) -> Result<Counted, TapError> {
            match self.0 {}
        }

        pub(super) fn probe_runs(&self) -> Result<Vec<ProbeRuns>, TapError> {
            match self.0 {}
        }

        pub(super) fn measures_not_because(&self) -> Option<&str> {
            match self.0 {}
        }
    }
}

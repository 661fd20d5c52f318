//! Keeps what tracing costs within its budget.

use crate::cpu;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Instant;
use weir_collector::TraceSource;
use weir_collector::trace::Budget;

/// Looks at what was used, and has fewer accounts kept where that is too much.
pub(super) struct Thrift {
    budget: Budget,
    budget_ppm: u64,
    began: Instant,
    /// How long the probes had run when it was looked at last, in microseconds.
    probes_us: u64,
    metrics: Arc<Metrics>,
    /// That no fewer accounts can be kept is said once.
    is_exceeded: bool,
}

impl Thrift {
    /// Of a budget in millionths of one processor.
    pub(super) fn new(budget_ppm: u64, metrics: Arc<Metrics>) -> Self {
        let budget = Budget::of_ppm(budget_ppm);
        Self { budget, budget_ppm, began: Instant::now(), probes_us: 0, metrics, is_exceeded: false }
    }

    /// Looks, where the probes have run for so long in all, in nanoseconds, as far as that is measured.
    pub(super) fn look(&mut self, probes_ns: u64, source: &mut TraceSource) {
        self.probes_us = probes_ns / 1_000;
        let (now_ms, used_us) = self.now();
        let Some(window) = self.budget.look(now_ms, used_us) else { return };
        if window.sampling != window.before {
            source.sample(window.sampling);
            self.metrics.sampled(&window, self.budget_ppm);
        }
        if window.is_beyond && !self.is_exceeded {
            self.metrics.budget_exceeded(&window, self.budget_ppm);
        }
        self.is_exceeded = window.is_beyond;
    }

    /// Whether nothing may be heard now, so that the budget is held.
    pub(super) fn must_rest(&mut self) -> bool {
        let (now_ms, used_us) = self.now();
        self.budget.must_rest(now_ms, used_us)
    }

    /// The time since it began, in milliseconds, and what was used in all, in microseconds.
    fn now(&self) -> (u64, u64) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (now_ms, cpu::used_us() + self.probes_us)
    }
}

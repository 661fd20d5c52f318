//! Is told of verdicts before they are in the log, and has an alert sent of each whose score is high enough.

use super::outlet::{About, Outlet};
use crate::context::Context;
use crate::telemetry::{Metrics, Unsent};
use anyhow::Result;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_fastpath::{Judged, Role, Word};
use weir_schemas::wire::Wire;
use weir_schemas::{Origin, Tier, Verdict};
use weir_topology::record::Output;
use weir_topology::task::BeforeCommit;
use weir_topology::topic::{StageName, TaskId, Topic};

/// Is told of verdicts, and has alerts sent.
pub struct Sender {
    wire: Arc<Wire>,
    score_min: f64,
    outlet: Arc<Outlet>,
    metrics: Arc<Metrics>,
}

/// Who is told before commits, where `fastpath.send_to` says where alerts go.
///
/// # Errors
/// When the settings say half of it, or the keys cannot be used.
pub fn start(context: &Context, wire: Arc<Wire>) -> Result<Option<Arc<dyn BeforeCommit>>> {
    let Some(outlet) = context.outlet()? else { return Ok(None) };
    outlet.expect_key(Role::Judge);
    Ok(Some(Arc::new(Sender {
        wire,
        score_min: context.settings.fastpath_score_min_permille as f64 / 1_000.0,
        outlet,
        metrics: context.metrics.clone(),
    })))
}

impl BeforeCommit for Sender {
    fn about_to_commit(&self, task: TaskId, outputs: &[Output]) {
        if task.stage != StageName::Account {
            return;
        }
        let payloads = outputs.iter().filter(|output| output.topic == Topic::Verdicts);
        for payload in payloads.filter_map(|output| output.payload.as_deref()) {
            let sent = match self.wire.read::<Verdict>(payload) {
                Ok(verdict) if verdict.score < self.score_min => continue,
                Ok(verdict) => self.send(verdict),
                Err(_) => Err(Unsent::Unwritable),
            };
            if let Err(why) = sent {
                self.metrics.alert_unsent(why);
            }
        }
    }
}

impl Sender {
    fn send(&self, verdict: Verdict) -> Result<(), Unsent> {
        // History never acts.
        if verdict.origin == Origin::Import {
            return Err(Unsent::History);
        }
        // Nobody would say anything of a hold on it: enforcers slow nobody down on missing data.
        if verdict.partial || verdict.tier == Tier::Clear {
            return Err(Unsent::AsksForNothing);
        }
        let against = verdict.signals.iter().filter(|signal| signal.millinats > 0);
        let families: BTreeSet<&str> = against.map(|signal| &*signal.family).collect();
        let word = Word::Verdict(Judged {
            verdict: verdict.verdict_id,
            score: verdict.score,
            witnesses: u32::try_from(families.len()).unwrap_or(u32::MAX),
            families: families.into_iter().map(str::to_owned).collect(),
            policy: Some(verdict.policy_version),
        });
        let about = About {
            account: verdict.account,
            tenant: verdict.tenant,
            event: verdict.events.last().copied().unwrap_or_default(),
            event_ms: verdict.time_ms,
        };
        self.outlet.send(about, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::now_ms;
    use weir_fastpath::limits::EVENT_AGE_MS_MAX;

    /// How many alerts wait to be sent after a verdict was told of.
    fn waiting(change: impl FnOnce(&mut Verdict)) -> usize {
        let (outlet, alerts) = Outlet::of_test();
        let wire = Arc::new(Wire::new());
        let sender =
            Sender { wire: wire.clone(), score_min: 0.9, outlet, metrics: Arc::new(Metrics::default()) };
        let mut verdict =
            Verdict { score: 0.95, tier: Tier::Critical, time_ms: now_ms(), ..Verdict::default() };
        change(&mut verdict);
        let payload = wire.to_bytes(&verdict);
        let output = Output::keyed(Topic::Verdicts, verdict.account.to_key(), payload, verdict.time_ms);
        sender.about_to_commit(TaskId { stage: StageName::Account, partition: 0 }, &[output]);
        alerts.try_iter().count()
    }

    #[test]
    fn an_alert_is_made_of_what_enforcers_slow_accounts_down_on_and_of_nothing_else() {
        assert_eq!(waiting(|_| ()), 1);
        assert_eq!(waiting(|verdict| verdict.score = 0.89), 0);
        assert_eq!(waiting(|verdict| verdict.partial = true), 0, "something was missing to judge by");
        assert_eq!(waiting(|verdict| verdict.tier = Tier::Clear), 0);
        assert_eq!(waiting(|verdict| verdict.origin = Origin::Import), 0);
        assert_eq!(waiting(|verdict| verdict.time_ms -= EVENT_AGE_MS_MAX + 60_000), 0);
    }
}

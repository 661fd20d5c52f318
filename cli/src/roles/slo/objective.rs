//! The objectives, what is asked of each, and when its budget burns: as in
//! `deploy/prometheus/weir-alerts.yml`.

use serde::Serialize;

/// Windows over which it is asked how much was bad, the shortest first.
pub const WINDOWS: [&str; 4] = ["5m", "30m", "1h", "6h"];

/// What a budget is for.
pub const PERIOD: &str = "30d";

/// How fast a budget burns, as places in [`WINDOWS`] of the long and the short window, and the rate that both
/// are over.
const BURNS: [(Burn, usize, usize, f64); 2] = [(Burn::Fast, 2, 0, 14.4), (Burn::Slow, 3, 1, 6.0)];

/// Every objective.
pub const OBJECTIVES: [Objective; 3] = [
    Objective {
        name: "verdicts",
        what: "99 of 100 verdicts within 5 s of their event",
        budget: 0.01,
        measured: Measured::Slow { histogram: "weir_event_to_verdict_seconds", failed: None },
    },
    Objective {
        name: "effects",
        what: "99 of 100 effects within 5 s of the decision on them",
        budget: 0.01,
        measured: Measured::Slow {
            histogram: "weir_decision_to_effect_seconds",
            failed: Some("weir_stage_events_total{cause=\"effects_failed\"}"),
        },
    },
    Objective {
        name: "gateways",
        what: "999 of 1,000 answers to gateways from knowledge",
        budget: 0.001,
        measured: Measured::Kind { counter: "weir_gateway_answers_total", bad: "unknown" },
    },
];

/// What is to be kept.
#[derive(Debug)]
pub struct Objective {
    /// Its name.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// Share that may be bad.
    pub budget: f64,
    measured: Measured,
}

/// By what it is measured.
#[derive(Debug)]
enum Measured {
    /// Bad is what took more than 5 s, and what a counter says never came about, of which there is no time.
    Slow { histogram: &'static str, failed: Option<&'static str> },
    /// Bad is what is of a kind.
    Kind { counter: &'static str, bad: &'static str },
}

/// That a budget is gone long before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Burn {
    /// In two days.
    Fast,
    /// In five days.
    Slow,
}

/// What is to be said of an objective, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its budget burns.
    Burns,
    /// More than all of its budget is gone, however well it is met now.
    Spent,
    /// It is met.
    Kept,
    /// Something was measured once, and too little of late to tell.
    UnmeasuredOfLate,
    /// Nothing was measured.
    Unmeasured,
}

/// How an objective stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// Share that may be bad, 0 to 1.
    pub budget: f64,
    /// Share that was bad in the last 5 minutes, 0 to 1; none where nothing was measured, as below.
    pub bad_5m: Option<f64>,
    /// In the last 30 minutes.
    pub bad_30m: Option<f64>,
    /// In the last hour.
    pub bad_1h: Option<f64>,
    /// In the last 6 hours.
    pub bad_6h: Option<f64>,
    /// Part of the budget of 30 days that is left; below 0 where more than all of it is gone.
    pub budget_left: Option<f64>,
    /// Whether it burns.
    pub burns: Option<Burn>,
    /// What is to be said of it.
    pub outcome: Outcome,
}

impl Objective {
    /// The expression that gives the share that was bad in a window.
    pub fn bad_share(&self, window: &str) -> String {
        match self.measured {
            Measured::Slow { histogram, failed } => {
                let timed = format!("sum(rate({histogram}_count[{window}]))");
                let all = match failed {
                    Some(failed) => format!("({timed} + sum(rate({failed}[{window}])))"),
                    None => timed,
                };
                format!("1 - sum(rate({histogram}_bucket{{le=\"5.0\"}}[{window}])) / {all}")
            }
            Measured::Kind { counter, bad } => {
                format!("sum(rate({counter}{{kind=\"{bad}\"}}[{window}])) / sum(rate({counter}[{window}]))")
            }
        }
    }
}

impl Standing {
    /// How `objective` stands where these shares were bad: in each of [`WINDOWS`], and in [`PERIOD`].
    pub fn of(objective: &Objective, bad: [Option<f64>; WINDOWS.len()], bad_in_period: Option<f64>) -> Self {
        let Objective { name, what, budget, .. } = *objective;
        let is_over = |window: usize, rate: f64| {
            bad.get(window).copied().flatten().is_some_and(|bad| bad > rate * budget)
        };
        let mut burns =
            BURNS.iter().filter(|(_, long, short, rate)| is_over(*long, *rate) && is_over(*short, *rate));
        let burns = burns.next().map(|(burn, ..)| *burn);
        let budget_left = bad_in_period.map(|bad| 1.0 - bad / budget);
        let is_measured = bad.iter().chain([&bad_in_period]).any(Option::is_some);
        // A short window in which nothing was measured is over no rate, and says nothing.
        let is_measured_of_late =
            BURNS.iter().all(|(_, _, short, _)| bad.get(*short).is_some_and(Option::is_some));
        let outcome = match () {
            () if burns.is_some() => Outcome::Burns,
            () if budget_left.is_some_and(|left| left < 0.0) => Outcome::Spent,
            () if is_measured_of_late => Outcome::Kept,
            () if is_measured => Outcome::UnmeasuredOfLate,
            () => Outcome::Unmeasured,
        };
        let [bad_5m, bad_30m, bad_1h, bad_6h] = bad;
        Self { name, what, budget, bad_5m, bad_30m, bad_1h, bad_6h, budget_left, burns, outcome }
    }

    /// How fast its budget burns in each of [`WINDOWS`]: 1 is a budget that lasts as long as it is for.
    pub fn rates(&self) -> [Option<f64>; WINDOWS.len()] {
        let bad = [self.bad_5m, self.bad_30m, self.bad_1h, self.bad_6h];
        bad.map(|bad| bad.map(|bad| bad / self.budget))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_when_a_budget_burns_is_what_the_alerts_say() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/weir-alerts.yml");
        let rules = std::fs::read_to_string(path).unwrap();
        for (objective, recorded) in
            OBJECTIVES.iter().zip(["verdicts_slow", "effects_bad", "gateway_unknown"])
        {
            for window in WINDOWS {
                let bad = objective.bad_share(window);
                let rule = format!("- record: weir:{recorded}:ratio{window}\n        expr: {bad}\n");
                assert!(rules.contains(&rule), "{rule}");
            }
            for (_, long, short, rate) in BURNS {
                let over = |window: usize| {
                    format!("weir:{recorded}:ratio{} > {rate} * {}", WINDOWS[window], objective.budget)
                };
                let alert = format!("expr: {} and {}\n", over(long), over(short));
                assert!(rules.contains(&alert), "{alert}");
            }
        }
    }

    #[test]
    fn a_budget_burns_where_both_windows_of_a_pair_are_over_its_rate() {
        let burns = |bad: [f64; 4]| Standing::of(&OBJECTIVES[0], bad.map(Some), None).burns;
        assert_eq!(burns([0.2, 0.2, 0.2, 0.2]), Some(Burn::Fast));
        assert_eq!(burns([0.145, 0.0, 0.145, 0.0]), Some(Burn::Fast));
        assert_eq!(burns([0.144, 0.07, 0.145, 0.07]), Some(Burn::Slow));
        assert_eq!(burns([0.0, 0.07, 0.2, 0.07]), Some(Burn::Slow), "it was worse, and goes on");
        assert_eq!(burns([0.0, 0.0, 0.2, 0.2]), None, "it is over");
        assert_eq!(burns([1.0, 0.0, 0.0, 0.0]), None, "it has only begun");
        assert_eq!(burns([0.01; 4]), None);
    }

    #[test]
    fn an_objective_is_kept_only_where_its_budget_lasts_and_it_was_measured_of_late() {
        let outcome = |bad, in_period| Standing::of(&OBJECTIVES[0], bad, in_period).outcome;
        assert_eq!(outcome([Some(0.2); 4], Some(0.02)), Outcome::Burns);
        assert_eq!(outcome([Some(0.0); 4], Some(0.0101)), Outcome::Spent);
        assert_eq!(outcome([None; 4], Some(0.0101)), Outcome::Spent, "whatever was measured since");
        assert_eq!(outcome([Some(0.0); 4], Some(0.01)), Outcome::Kept, "all of it is gone, and no more");
        assert_eq!(outcome([Some(0.0); 4], None), Outcome::Kept);
        for bad in [
            [None, Some(0.0), Some(0.2), Some(0.2)],
            [Some(0.0), None, Some(0.2), Some(0.2)],
            [None, None, Some(0.2), Some(0.2)],
            [None; 4],
        ] {
            assert_eq!(outcome(bad, Some(0.001)), Outcome::UnmeasuredOfLate, "{bad:?}");
        }
        assert_eq!(outcome([None; 4], None), Outcome::Unmeasured);
    }

    #[test]
    fn what_is_left_of_a_budget_may_be_less_than_nothing() {
        let left = |bad| Standing::of(&OBJECTIVES[0], [None; 4], Some(bad)).budget_left.unwrap();
        assert!((left(0.0025) - 0.75).abs() < 1e-9 && (left(0.02) + 1.0).abs() < 1e-9);
    }
}

//! `weir slo`: how fast the budgets of the objectives burn, by what a Prometheus has measured.

mod objective;

use crate::output;
use anyhow::{Context as _, Result, bail};
use objective::{Burn, OBJECTIVES, Objective, Outcome, PERIOD, Standing, WINDOWS};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::TlsConfig;
use weir_enforcer::http::agent;

/// Longest time that Prometheus may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How much is shown of what answers and is no Prometheus, in characters.
const SAID_CHARS_MAX: usize = 200;

/// Exit code where a budget burns, or more than all of it is gone.
const BURNING: u8 = 3;

/// Exit code where nothing was measured of late.
const UNMEASURED: u8 = 4;

/// Asks Prometheus about every objective, and prints how each stands.
pub fn run(url: &str, json: bool) -> Result<ExitCode> {
    let prometheus = Prometheus::new(url);
    let standings = OBJECTIVES.iter().map(|objective| prometheus.standing(objective));
    let report = Report { objectives: standings.collect::<Result<_>>()? };
    match json {
        true => print_line!("{}", serde_json::to_string(&report)?),
        false => output::text(&report),
    }
    let is_any = |outcome: Outcome| report.objectives.iter().any(|standing| standing.outcome == outcome);
    Ok(if is_any(Outcome::Burns) || is_any(Outcome::Spent) {
        ExitCode::from(BURNING)
    } else if is_any(Outcome::Kept) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNMEASURED)
    })
}

/// How every objective stands.
#[derive(Serialize)]
struct Report {
    objectives: Vec<Standing>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for standing in &self.objectives {
            writeln!(f, "{:<9} {}", standing.name, standing.what)?;
            let rates = WINDOWS.iter().zip(standing.rates());
            let rates = rates.map(|(window, rate)| match rate {
                Some(rate) => format!("{window} {rate:.1}"),
                None => format!("{window} -"),
            });
            writeln!(f, "          burn rate {}", rates.collect::<Vec<_>>().join(", "))?;
            let left = match standing.budget_left {
                Some(left) => format!("{:.0} % of {PERIOD} left", left * 100.0),
                None => "not known".to_owned(),
            };
            writeln!(f, "          budget    {left}")?;
            let says = match (standing.burns, standing.outcome) {
                (Some(Burn::Fast), _) => "BURNS: gone in two days",
                (Some(Burn::Slow), _) => "BURNS: gone in five days",
                (None, Outcome::Burns | Outcome::Spent) => "SPENT: more than the budget is gone",
                (None, Outcome::Kept) => "kept",
                (None, Outcome::UnmeasuredOfLate) => "nothing was measured of late",
                (None, Outcome::Unmeasured) => "nothing was measured",
            };
            writeln!(f, "          result    {says}")?;
        }
        Ok(())
    }
}

/// A Prometheus.
struct Prometheus {
    url: String,
    agent: Agent,
}

/// What it answers.
#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    /// Seconds since the Unix epoch, and the value as a text.
    value: (f64, String),
}

impl Prometheus {
    fn new(url: &str) -> Self {
        let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
        let agent = agent(&url, ANSWER_MAX, TlsConfig::default());
        Self { url, agent }
    }

    fn standing(&self, objective: &Objective) -> Result<Standing> {
        let mut bad = [None; WINDOWS.len()];
        for (bad, window) in bad.iter_mut().zip(WINDOWS) {
            *bad = self.value(&objective.bad_share(window))?;
        }
        Ok(Standing::of(objective, bad, self.value(&objective.bad_share(PERIOD))?))
    }

    /// The one value of an expression; none where there is none, or no number.
    fn value(&self, expression: &str) -> Result<Option<f64>> {
        let answer = self.agent.get(&self.url).query("query", expression).call();
        let mut answer = answer.with_context(|| format!("Prometheus does not answer at {}", self.url))?;
        let text = answer.body_mut().read_to_string()?;
        let Ok(answer) = serde_json::from_str::<Answer>(&text) else {
            let says: String = text.trim().chars().take(SAID_CHARS_MAX).collect();
            bail!("{} is no Prometheus: it says {says:?}", self.url);
        };
        if answer.status != "success" {
            bail!("Prometheus does not answer {expression}: {}", answer.error);
        }
        let samples = answer.data.map(|data| data.result).unwrap_or_default();
        let value = samples.first().and_then(|sample| sample.value.1.parse::<f64>().ok());
        Ok(value.filter(|value| value.is_finite()))
    }
}

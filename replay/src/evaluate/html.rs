//! The report as one page that holds all it needs.

use super::counts::{Counts, Interval, share};
use super::plot::{Bar, Line, bars, escaped, lines, number};
use super::report::{Population, Report};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1d2433}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d5dae3}\
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.15rem .8rem .15rem 0;text-align:right;\
font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}th{font-weight:600;color:#5a6478}\
svg{width:100%;max-width:46rem;font:12px system-ui,sans-serif;fill:#1d2433}svg.curve{max-width:32rem}\
.good rect{fill:#3a7d5c}.bad rect{fill:#b4472f}.worth rect{fill:#3b6ea8}.good path,.bad path,.worth path{stroke:#1d2433}\
.note{fill:#5a6478}.grid{stroke:#e3e7ee;fill:none}.line{fill:none;stroke-width:2}.a{stroke:#3a7d5c}circle.a{fill:#3a7d5c}\
.b{stroke:#3b6ea8}.c{stroke:#b4472f}.d{stroke:#9aa3b2;stroke-dasharray:4 4}p.lead{font-size:1.05rem}";

/// Countries with fewer honest accounts are not drawn.
const COUNTRY_ACCOUNTS_MIN: u64 = 30;

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Evaluation of {policy}</title>\
             <style>{STYLE}</style><h1>Evaluation of policy {policy}</h1>",
            policy = escaped(&self.policy)
        );
        self.summary(&mut out);
        self.campaign_section(&mut out);
        section(&mut out, "Honest accounts flagged, by population", &people(&self.populations, 0));
        section(
            &mut out,
            "Honest accounts flagged, by country",
            &people(&self.countries, COUNTRY_ACCOUNTS_MIN),
        );
        self.threshold_section(&mut out);
        self.reliability_section(&mut out);
        self.detector_section(&mut out);
        out.push_str("</html>\n");
        out
    }

    fn summary(&self, out: &mut String) {
        let Counts { tp, fp, fn_, tn } = self.accounts;
        let (found, all) = self.campaigns_found();
        let _ = write!(
            out,
            "<p class=\"lead\">{} events of {} accounts, {} of them in {all} campaigns; {} flagged at MEDIUM or above, \
             {fp} of them honest. {found} campaigns found.</p>",
            self.events,
            tp + fp + fn_ + tn,
            tp + fn_,
            tp + fp,
        );
        let mut rows = String::new();
        for (name, interval, part, whole) in [
            ("precision", self.intervals.precision, tp, tp + fp),
            ("recall", self.intervals.recall, tp, tp + fn_),
            ("honest flagged", self.intervals.fpr, fp, fp + tn),
        ] {
            let Interval { share, low, high } = interval;
            let _ =
                write!(rows, "<tr><td>{name}<td>{share:.4}<td>{low:.4} to {high:.4}<td>{part} of {whole}");
        }
        let _ = write!(out, "<table><tr><th><th>share<th>95 % interval<th>counted{rows}</table>");
        let mut rows = String::new();
        for (tier, counts) in &self.tiers {
            let Counts { tp, fp, fn_, .. } = counts;
            let (precision, recall) = (counts.precision(), counts.recall());
            let _ = write!(rows, "<tr><td>{tier}<td>{precision:.4}<td>{recall:.4}<td>{tp}<td>{fp}<td>{fn_}");
        }
        let _ = write!(
            out,
            "<table><tr><th>from tier<th>precision<th>recall<th>campaign<th>honest<th>missed{rows}</table>"
        );
    }

    fn campaign_section(&self, out: &mut String) {
        let rows: Vec<Bar> = self
            .schemes
            .iter()
            .map(|(name, scheme)| {
                let note = format!("{} of {}", scheme.flagged, scheme.accounts);
                bar(name, scheme.flagged, scheme.accounts, note)
            })
            .collect();
        section(out, "Campaign accounts flagged, by kind", &bars(&rows, 1.0, "good"));
        let mut rows = String::new();
        for (name, campaign) in &self.campaigns {
            let median = |before: Option<f64>| before.map_or_else(|| "–".to_owned(), number);
            let _ = write!(
                rows,
                "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.3}<td>{}<td>{}<td>{}<td>{:.3}<td>{}",
                escaped(name),
                campaign.accounts,
                campaign.flagged,
                campaign.assembled.together,
                campaign.assembled.purity,
                median(campaign.requests_before_first_action_median),
                median(campaign.requests_before_high_median),
                median(campaign.requests_before_critical_median),
                share(campaign.requests_let_through, campaign.requests),
                campaign.dollars_per_thousand.map_or_else(String::new, |dollars| format!("{dollars:.2}")),
            );
        }
        let head = "<tr><th>campaign<th>accounts<th>flagged<th>put together<th>purity<th>requests before MEDIUM<th>HIGH<th>CRITICAL<th>let through<th>$ a 1,000";
        section(out, "Requests before each tier, in the middle", &format!("<table>{head}{rows}</table>"));
    }

    fn threshold_section(&self, out: &mut String) {
        let of = |value: fn(&Counts) -> f64| -> Vec<(f64, f64)> {
            self.sweep.iter().map(|point| (point.score, value(&point.accounts))).collect()
        };
        let drawn = [
            Line { name: "precision", class: "b", points: of(Counts::precision), dots: false },
            Line { name: "recall", class: "a", points: of(Counts::recall), dots: false },
            Line { name: "honest flagged", class: "c", points: of(Counts::fpr), dots: false },
        ];
        section(out, "Were accounts flagged from another score", &lines(&drawn, "score", "share"));
        let points = self.sweep.iter().filter(|point| point.accounts.tp + point.accounts.fp > 0);
        let points = points.map(|point| (point.accounts.recall(), point.accounts.precision())).collect();
        let drawn = [Line { name: "each score", class: "b", points, dots: false }];
        section(out, "Precision and recall", &lines(&drawn, "recall", "precision"));
    }

    fn reliability_section(&self, out: &mut String) {
        let Some(reliability) = &self.reliability else { return };
        let points = reliability.bins.iter().map(|bin| (bin.probability, bin.campaigns.share)).collect();
        let drawn = [
            Line { name: "accounts", class: "a", points, dots: true },
            Line { name: "as said", class: "d", points: vec![(0.0, 0.0), (1.0, 1.0)], dots: false },
        ];
        section(
            out,
            "Reliability",
            &lines(&drawn, "probability that was said", "share of campaign accounts"),
        );
        let _ = write!(
            out,
            "<p>Between 0.05 and 0.95 what was said is off by {:.4} on average, over {} accounts.</p>",
            reliability.error, reliability.accounts
        );
    }

    fn detector_section(&self, out: &mut String) {
        let most = self.detectors.values().map(|detector| detector.contribution).fold(0.001, f64::max);
        let rows: Vec<Bar> = self
            .detectors
            .iter()
            .map(|(name, detector)| Bar {
                name: name.clone(),
                value: detector.contribution,
                low: detector.contribution,
                high: detector.contribution,
                note: format!("{} ({} honest)", detector.campaign, detector.honest),
            })
            .collect();
        section(out, "What detectors contribute where they speak of a campaign", &bars(&rows, most, "worth"));
        if self.ablation.is_empty() {
            return;
        }
        let mut rows = String::new();
        for ablation in &self.ablation {
            let lost: i64 = ablation.accounts_lost.values().sum();
            let _ = write!(
                rows,
                "<tr><td>{}<td>{:.4}<td>{:.4}<td>{}<td>{lost}<td>{}",
                escaped(&ablation.without),
                ablation.accounts.precision(),
                ablation.accounts.recall(),
                ablation.accounts.fp,
                escaped(&ablation.campaigns_lost.join(", ")),
            );
        }
        let head = "<tr><th>without<th>precision<th>recall<th>honest<th>accounts lost<th>campaigns lost";
        section(out, "What each detector is worth", &format!("<table>{head}{rows}</table>"));
    }
}

fn section(out: &mut String, title: &str, body: &str) {
    let _ = write!(out, "<h2>{}</h2>{body}", escaped(title));
}

fn bar(name: &str, part: u64, whole: u64, note: String) -> Bar {
    let Interval { low, high, .. } = Interval::of(part, whole);
    Bar { name: name.to_owned(), value: share(part, whole), low, high, note }
}

fn people(groups: &BTreeMap<String, Population>, accounts_min: u64) -> String {
    let rows: Vec<Bar> = groups
        .iter()
        .filter(|(_, group)| group.accounts >= accounts_min)
        .map(|(name, group)| {
            bar(name, group.flagged, group.accounts, format!("{} of {}", group.flagged, group.accounts))
        })
        .collect();
    // Half of the width is what must not happen: intervals of small groups are cut there.
    let most = rows.iter().map(|bar| bar.value).fold(0.05, f64::max);
    bars(&rows, most, "bad")
}

//! The page of a pack, for people: one file, without scripts and without anything from elsewhere.

use super::course::Course;
use serde::Serialize;
use std::fmt::Write as _;

/// Where the records of a pack are from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Name of the deployment.
    pub site: &'a str,
    /// First moment, in processing time.
    pub from_ms: i64,
    /// The moment after the last.
    pub to_ms: i64,
    /// Text of the policy in force at the end of it.
    pub policy: &'a str,
    /// Accounts with a verdict of an event of that time.
    pub accounts_judged: usize,
    /// Actions that were carried out, and those that were not although they were asked for.
    pub carried_out: (usize, usize),
}

/// Nearest-rank figures of some times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Half of them are no more.
    pub p50: i64,
    /// 95 of 100 are.
    pub p95: i64,
    /// 99 of 100 are.
    pub p99: i64,
    /// The least.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// How many there are.
    pub sample_count: usize,
}

impl Figures {
    /// Of these times; none where there are none. The rank is `round(p/100 * (n-1))`.
    pub fn of(times: &[i64]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted[(percent * (sorted.len() - 1) + 50) / 100];
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { p50: rank(50), p95: rank(95), p99: rank(99), min, max, sample_count: sorted.len() })
    }
}

/// The page.
pub fn page(source: &Source<'_>, courses: &[Course], mttd: &Figures, mttr: &Figures) -> String {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Weir: evidence</title>\n<style>body{font:15px \
         system-ui;margin:2rem;max-width:75rem}table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3rem \
         .6rem;text-align:left}td.n{text-align:right}</style>\n<h1>What was done, and on which evidence</h1>\n",
    );
    let _ = writeln!(
        html,
        "<p>{}: effects from {} to {} (milliseconds since 1970, processing time). Accounts are pseudonyms.</p>",
        escaped(source.site),
        source.from_ms,
        source.to_ms
    );
    html += "<table><tr><th></th><th>p50</th><th>p95</th><th>p99</th><th>least</th><th>greatest</th><th>of</th></tr>\n";
    for (name, figures) in [("event to decision, ms", mttd), ("decision to effect, ms", mttr)] {
        let Figures { p50, p95, p99, min, max, sample_count } = figures;
        let _ = write!(html, "<tr><td>{name}</td>");
        for number in [p50, p95, p99, min, max] {
            let _ = write!(html, "<td class=n>{number}</td>");
        }
        let _ = writeln!(html, "<td class=n>{sample_count}</td></tr>");
    }
    html += "</table>\n<h2>Effects</h2>\n<table><tr><th>account</th><th>tenant</th><th>action</th><th>ring</th><th>effect \
             at</th><th>how it ended</th><th>because of</th><th>audit records</th></tr>\n";
    for course in courses {
        let detectors = course.verdict.iter().flat_map(|verdict| &verdict.signals);
        let detectors: Vec<&str> =
            detectors.filter(|signal| signal.millinats > 0).map(|signal| &*signal.detector).collect();
        let ended = course.ended.as_ref().map_or("lasts", |end| end.state.as_str());
        let audited: Vec<String> =
            course.audited.iter().map(|(writer, place)| format!("{writer}:{place}")).collect();
        let cells = [
            course.decided.account.to_string(),
            course.decided.tenant.clone(),
            course.decided.kind.to_string(),
            course.decided.ring.to_string(),
            course.effect_ms().to_string(),
            ended.to_owned(),
            format!("{}; {}", course.decided.reason, detectors.join(", ")),
            audited.join(" "),
        ];
        html += "<tr>";
        for cell in cells {
            let _ = write!(html, "<td>{}</td>", escaped(&cell));
        }
        html += "</tr>\n";
    }
    html += "</table>\n</html>\n";
    html
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() => out += " ",
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_somebody_else_named_is_no_markup() {
        assert_eq!(super::escaped("<a href=\"x\">&\n"), "&lt;a href=&quot;x&quot;&gt;&amp; ");
    }
}

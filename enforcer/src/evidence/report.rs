//! The page of a pack, for people: one file, without scripts and without anything from elsewhere.

use super::course::Course;
use super::pack::{Figures, Source};
use std::fmt::Write as _;

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

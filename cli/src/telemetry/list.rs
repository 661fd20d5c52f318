//! What metrics there are: the list is made of the declarations themselves.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;
use std::fmt::Write as _;
use weir_enforcer::siem::destination::otlp::spans::Declared as Span;

/// What a declared metric is.
pub trait Series {
    /// `counter`, `gauge` or `histogram`.
    const TYPE: &'static str;
    /// What its labels are called.
    const LABELS: &'static [&'static str] = &[];
}

/// A set of labels that knows their names.
pub trait Labelled {
    /// The names, in the order in which they are written.
    const LABELS: &'static [&'static str];
}

impl Series for Counter {
    const TYPE: &'static str = "counter";
}

impl Series for Gauge {
    const TYPE: &'static str = "gauge";
}

impl Series for Histogram {
    const TYPE: &'static str = "histogram";
}

impl<L: Labelled, M: Series, C> Series for Family<L, M, C> {
    const TYPE: &'static str = M::TYPE;
    const LABELS: &'static [&'static str] = L::LABELS;
}

/// A metric as it is declared.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Declared {
    /// Name under which it is scraped; a histogram has it with `_bucket`, `_sum` and `_count` behind.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What its labels are called.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// What values of a name's ending are measured in.
const UNITS: [(&str, &str); 11] = [
    ("_seconds", "seconds"),
    ("_ms", "milliseconds"),
    ("_ns", "nanoseconds"),
    ("process_bytes", "bytes"),
    ("spool_bytes", "bytes"),
    ("spool_bytes_max", "bytes"),
    ("waiting_bytes", "bytes"),
    ("damaged_bytes", "bytes"),
    ("bytes_read", "bytes"),
    ("bytes_lost", "bytes"),
    ("", "count"),
];

impl Declared {
    /// Name of its series, as queries write it.
    pub fn series(&self) -> String {
        let ending = if self.kind == "counter" { "_total" } else { "" };
        format!("weir_{}{ending}", self.name)
    }

    /// What its values are measured in.
    pub fn unit(&self) -> &'static str {
        let of_name = |(ending, unit): &(&str, &'static str)| self.name.ends_with(ending).then_some(*unit);
        UNITS.iter().find_map(of_name).unwrap_or_default()
    }
}

/// The list, as docs/metrics.md has it.
pub fn page(metrics: &[Declared], spans: &[Span]) -> String {
    let mut page = String::from(
        "# Metrics\n\nWhat `/metrics` serves where `metrics_addr` is set. Printed by `weir metrics --list`; `cargo xtask docs` writes \
         this page.\nEvery label but `partition`, and `process` and `name` of traced processes, has its values from a closed set, and \
         every series of\nthose exists from the start, at 0. Of traced processes 64 have series of their own while they are \
         traced; all others are `process` 0.\n\n| metric | type | unit | labels | what it tells |\n|---|---|---|---|---|\n",
    );
    for metric in metrics {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (series, labels) = (metric.series(), labels.join(", "));
        let _ = writeln!(
            page,
            "| `{series}` | {} | {} | {labels} | {} |",
            metric.kind,
            metric.unit(),
            metric.help
        );
    }
    page += "\n## Spans\n\nWhat a collector of OpenTelemetry's traces is told where `export.otlp_url` is set \
             ([how](exports.md#opentelemetry)). The trace is the verdict's id.\n\n| span | attributes | what it tells |\n|---|---|---|\n";
    for span in spans {
        let attributes: Vec<_> = span.attributes.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| `{}` | {} | {} |", span.name, attributes.join(", "), span.help);
    }
    page
}

/// The list for programs.
pub fn json(metrics: &[Declared]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        series: String,
        unit: &'a str,
        #[serde(flatten)]
        declared: Declared,
    }
    let line = |metric: &Declared| Line { series: metric.series(), unit: metric.unit(), declared: *metric };
    serde_json::to_string_pretty(&metrics.iter().map(line).collect::<Vec<_>>())
}

//! Metrics in the OpenMetrics text format, as `/metrics` serves them. Read here because what is served is our
//! own, of which only numbers by name and labels are wanted.

use std::collections::BTreeMap;

/// The labels of a series, by their names.
pub type Labels = BTreeMap<String, String>;

/// What `/metrics` said at one time: each series by its name and labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading(BTreeMap<(String, Labels), f64>);

impl Reading {
    /// Reads what was served; none where a line of it is none of this format.
    pub fn of(text: &str) -> Option<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(series).collect::<Option<_>>().map(Self)
    }

    /// Whether the process tells of any series of this name.
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// All series of a name, and their values.
    pub fn named(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let first = (name.to_owned(), Labels::new());
        let from = self.0.range(first..).take_while(move |((own, _), _)| own == name);
        from.map(|((_, labels), value)| (labels, *value))
    }

    /// One of them, where there is one.
    pub fn value(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.0.get(&(name.to_owned(), labels.clone())).copied()
    }
}

/// `NAME{LABEL="VALUE",…} NUMBER …`
fn series(line: &str) -> Option<((String, Labels), f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(((name.to_owned(), labels), value))
}

/// The labels behind the brace, and what follows them.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = unquoted(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
}

/// What stands before the closing quote, as it was before it was escaped, and what stands behind.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use weir_tap::Counts;

    #[test]
    fn whatever_a_process_is_called_it_is_read_as_it_was_served() {
        for name in ["nginx", "a \"b\", c=\"}", "back\\slash\nline", ""] {
            let metrics = Metrics::new();
            metrics.process_heard(7, name, &Counts { received: 3, ..Counts::default() });
            let reading = Reading::of(&metrics.render()).unwrap();
            let labels = [("process", "7"), ("name", name), ("way", "received")];
            let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
            assert_eq!(
                reading.value("weir_collector_process_messages_total", &labels),
                Some(3.0),
                "{name:?}"
            );
            assert!(reading.has("weir_build_info") && !reading.has("weir_build"));
        }
    }

    #[test]
    fn what_is_no_metric_is_not_taken_for_one() {
        for text in ["<html>", "a{b=\"c", "a{b} 1", "a{b=\"c\"} many", "a", "a{b=\"\\"] {
            assert_eq!(Reading::of(text), None, "{text}");
        }
        assert_eq!(Reading::of("# HELP a b\n# EOF\n"), Some(Reading::default()));
    }
}

//! One line on a terminal while sources are read: how fast, how far behind, and what of them was not read as
//! it stood.

use crate::output;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use weir_collector::Collector;

/// How long events are counted for a rate.
const RATE_OVER: Duration = Duration::from_secs(2);

/// The bar on the terminal, beside which log lines are written.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// What there is to say of the sources that are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sensing {
    /// Events.
    pub events: u64,
    /// Lines, or parts of them, that were refused.
    pub refused: u64,
    /// Events of lines with bytes that are not UTF-8.
    pub mended: u64,
    /// Times that lines may have been lost.
    pub losses: u64,
    /// Bytes that were not read yet, where that is known.
    pub behind_bytes: Option<u64>,
    /// The formats that were taken, of files.
    pub formats: String,
}

impl Sensing {
    /// What a collector has come to.
    pub fn of(collector: &Collector<'_>) -> Self {
        let totals = collector.totals();
        let formats: Vec<&str> = totals.formats.iter().map(String::as_str).collect();
        Self {
            events: totals.events,
            refused: totals.refused,
            mended: totals.mended,
            losses: totals.losses,
            behind_bytes: collector.behind_bytes(),
            formats: formats.join(", "),
        }
    }

    /// The line of it, at this rate.
    pub fn line(&self, per_second: u64) -> String {
        let format = if self.formats.is_empty() { String::new() } else { format!("{}: ", self.formats) };
        let behind =
            self.behind_bytes.map_or(String::new(), |bytes| format!(", {} behind", HumanBytes(bytes)));
        let lost = match self.losses {
            0 => "none lost".to_owned(),
            1 => "a loss feared".to_owned(),
            losses => format!("{} losses feared", HumanCount(losses)),
        };
        format!(
            "{format}{} events, {} a second{behind}; {} refused, {} mended, {lost}",
            HumanCount(self.events),
            HumanCount(per_second),
            HumanCount(self.refused),
            HumanCount(self.mended),
        )
    }
}

/// Events a second, over the last moments.
#[derive(Default)]
pub struct Rate {
    from: Option<(Duration, u64)>,
    per_second: u64,
}

impl Rate {
    /// The rate, when there are so many events at this moment.
    pub fn at(&mut self, now: Duration, events: u64) -> u64 {
        let (from, before) = *self.from.get_or_insert((now, events));
        let elapsed = now.saturating_sub(from);
        if elapsed >= RATE_OVER {
            self.per_second = (events.saturating_sub(before) as f64 / elapsed.as_secs_f64()).round() as u64;
            self.from = Some((now, events));
        }
        self.per_second
    }
}

/// The line on a terminal; nothing where standard error is none.
pub struct Status {
    bar: Option<ProgressBar>,
    started: Instant,
    rate: Rate,
}

impl Status {
    /// A line that says nothing yet.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(spinner);
        Self { bar, started: Instant::now(), rate: Rate::default() }
    }

    /// Says how it stands, and what else there is to say.
    pub fn show(&mut self, sensing: &Sensing, more: &str) {
        if let Some(bar) = &self.bar {
            let rate = self.rate.at(self.started.elapsed(), sensing.events);
            bar.set_message(format!("{}{more}", sensing.line(rate)));
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Writes a line of output above.
    pub fn println(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::in_passing(text)),
            None => output::in_passing(text),
        }
    }
}

fn spinner() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    BAR.get_or_init(|| bar.clone());
    bar
}

/// Standard error for log lines, which do not run into the line of a [`Status`]. Where nobody takes them
/// (journald starts anew, a pipe's reader has gone) they are lost, and the role goes on: the layer above
/// would panic.
pub struct Logs;

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let write = || std::io::stderr().write(bytes);
        let written = match BAR.get().filter(|bar| !bar.is_finished()) {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        Ok(written.unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_line_says_what_was_read_and_what_was_not() {
        let read = Sensing {
            events: 1_204_000,
            refused: 12,
            mended: 3,
            losses: 0,
            behind_bytes: Some(3_400_000),
            formats: "litellm, weir".into(),
        };
        let lost = Sensing { losses: 2, ..read.clone() };
        let pushed = Sensing { events: 7, losses: 1, ..Sensing::default() };
        let lines = [read.line(5_310), lost.line(0), pushed.line(1), Sensing::default().line(0)];
        expect![[r#"
            litellm, weir: 1,204,000 events, 5,310 a second, 3.24 MiB behind; 12 refused, 3 mended, none lost
            litellm, weir: 1,204,000 events, 0 a second, 3.24 MiB behind; 12 refused, 3 mended, 2 losses feared
            7 events, 1 a second; 0 refused, 0 mended, a loss feared
            0 events, 0 a second; 0 refused, 0 mended, none lost"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_rate_is_that_of_the_last_moments() {
        let mut rate = Rate::default();
        let at = Duration::from_secs;
        let rates = [(0, 0), (1, 900), (2, 2_000), (3, 2_000), (4, 2_000), (14, 2_500)];
        let rates = rates.map(|(second, events)| rate.at(at(second), events));
        assert_eq!(rates, [0, 0, 1_000, 1_000, 0, 50]);
    }
}

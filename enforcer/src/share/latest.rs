//! When sources last changed what they say of an indicator, so that a bundle which is older than what was
//! taken brings nothing back.
//!
//! Kept beside the indicators, because of what a source took back nothing is left there. Text, a line each:
//!
//! ```text
//! weir-indicators-latest 1
//! source <TAB> id <TAB> changed_ms <TAB> until_ms
//! end 1
//! ```

use super::received::{LeftOut, Received, Refused};
use crate::limits::{LATEST_KEPT_MS, LATEST_MAX};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use thiserror::Error;
use weir_schemas::indicators::{ID_BYTES_MAX, SOURCE_BYTES_MAX, is_name};

/// Name and version of the format.
const HEAD: &str = "weir-indicators-latest 1";

/// What was taken last of each source and id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latest(BTreeMap<(String, String), Change>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    /// When its source changed it; the end of time where the source revoked it for good.
    changed_ms: i64,
    /// From when on nothing older can hold any longer, so that it need not be known.
    until_ms: i64,
}

/// Why a text is not what [`Latest`] writes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {0} is not as it was written")]
pub struct Spoiled(usize);

impl Latest {
    /// Takes out of `received` what its source changed since, and notes the rest.
    ///
    /// # Errors
    /// When the source changed all of it since.
    pub fn admit(&mut self, received: &mut Received, source: &str, now_ms: i64) -> Result<(), Refused> {
        let older = |changed_ms: i64, id: &str| {
            self.0.get(&(source.to_owned(), id.to_owned())).is_some_and(|known| changed_ms < known.changed_ms)
        };
        let before = received.told.len();
        received.told.retain(|id, changed_ms| !older(*changed_ms, id));
        let left_out = (before - received.told.len()) as u64;
        if left_out > 0 {
            if received.told.is_empty() {
                return Err(Refused::Older { indicators: left_out, source_name: source.to_owned() });
            }
            received.indicators.retain(|indicator| received.told.contains_key(&indicator.id));
            *received.left_out.entry(LeftOut::Older).or_default() += left_out;
        }
        self.0.retain(|_, change| change.until_ms > now_ms);
        for (id, changed_ms) in &received.told {
            let until_ms = (*changed_ms).min(now_ms).saturating_add(LATEST_KEPT_MS);
            let change = Change { changed_ms: *changed_ms, until_ms };
            self.0.insert((source.to_owned(), id.clone()), change);
        }
        // No source crowds the others out.
        self.keep_to(LATEST_MAX / 2, |of| of == source);
        self.keep_to(LATEST_MAX, |_| true);
        Ok(())
    }

    /// Forgets what a source said: whoever has its key next begins anew. How many ids that were.
    pub fn forget(&mut self, source: &str) -> usize {
        let before = self.0.len();
        self.0.retain(|(of, _), _| of != source);
        before - self.0.len()
    }

    /// Forgets those, of the sources that are meant, of which the least older could hold.
    fn keep_to(&mut self, most: usize, is_meant: impl Fn(&str) -> bool) {
        let meant = self.0.iter().filter(|((source, _), _)| is_meant(source));
        let mut keys: Vec<_> = meant.map(|(key, change)| (change.until_ms, key.clone())).collect();
        keys.sort_unstable();
        for (_, key) in keys.iter().take(keys.len().saturating_sub(most)) {
            self.0.remove(key);
        }
    }

    /// The text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for ((source, id), Change { changed_ms, until_ms }) in &self.0 {
            let _ = writeln!(text, "{source}\t{id}\t{changed_ms}\t{until_ms}");
        }
        let _ = writeln!(text, "end {}", self.0.len());
        text
    }

    /// What a text says, all of it or nothing.
    ///
    /// # Errors
    /// Names the first line that is not as it was written.
    pub fn parse(text: &str) -> Result<Self, Spoiled> {
        let mut lines = text.lines().zip(1..);
        if lines.next().map(|(head, _)| head) != Some(HEAD) {
            return Err(Spoiled(1));
        }
        let mut latest = BTreeMap::new();
        while let Some((line, number)) = lines.next() {
            let spoiled = Spoiled(number);
            if let Some(count) = line.strip_prefix("end ") {
                let is_whole = count == latest.len().to_string() && lines.next().is_none();
                return if is_whole { Ok(Self(latest)) } else { Err(spoiled) };
            }
            let [source, id, changed_ms, until_ms] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(spoiled);
            };
            let (Ok(changed_ms), Ok(until_ms)) = (changed_ms.parse(), until_ms.parse()) else {
                return Err(spoiled);
            };
            let is_named = is_name(source, SOURCE_BYTES_MAX) && is_name(id, ID_BYTES_MAX);
            if !is_named || latest.len() >= LATEST_MAX {
                return Err(spoiled);
            }
            latest.insert((source.to_owned(), id.to_owned()), Change { changed_ms, until_ms });
        }
        Err(Spoiled(text.lines().count() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use weir_schemas::indicators::{Indicator, Pattern};

    const DAY_MS: i64 = 86_400_000;

    /// A bundle that speaks of these ids, each changed then; of those of the end of time it takes back what
    /// it said.
    fn received(told: &[(&str, i64)]) -> Received {
        let indicator = |id: &str| Indicator {
            pattern: Pattern::Address(IpAddr::from([192, 0, 2, 7])),
            from_ms: 0,
            until_ms: DAY_MS,
            trust_permille: 500,
            source: "partner".into(),
            id: id.into(),
        };
        let holds = told.iter().filter(|(_, changed_ms)| *changed_ms < i64::MAX);
        Received {
            indicators: holds.map(|(id, _)| indicator(id)).collect(),
            told: told.iter().map(|(id, changed_ms)| ((*id).to_owned(), *changed_ms)).collect(),
            ..Received::default()
        }
    }

    /// The ids that are taken of a bundle of a source, at a time.
    fn admit(latest: &mut Latest, source: &str, told: &[(&str, i64)], now_ms: i64) -> Vec<String> {
        let mut received = received(told);
        match latest.admit(&mut received, source, now_ms) {
            Ok(()) => received.indicators.into_iter().map(|indicator| indicator.id).collect(),
            Err(refused) => vec![refused.to_string()],
        }
    }

    #[test]
    fn an_older_bundle_brings_nothing_back_that_its_source_changed_or_revoked_since() {
        let mut latest = Latest::default();
        assert_eq!(admit(&mut latest, "partner", &[("a", 10), ("b", 10), ("c", 10)], 20), ["a", "b", "c"]);
        assert_eq!(admit(&mut latest, "partner", &[("a", 11), ("b", i64::MAX)], 20), ["a"]);
        // The first again, with one that nobody spoke of since.
        let mut again = received(&[("a", 10), ("b", 10), ("c", 10)]);
        latest.admit(&mut again, "partner", 21).unwrap();
        let ids: Vec<_> = again.indicators.iter().map(|indicator| indicator.id.as_str()).collect();
        assert_eq!((ids, again.left_out), (vec!["c"], [(LeftOut::Older, 2)].into()));
        let refused =
            "it is older than what was taken: partner changed or took back each of its 2 indicators since";
        assert_eq!(admit(&mut latest, "partner", &[("a", 10), ("b", 12)], 21), [refused]);
        // The same bundle twice changes nothing, and what others say of the same id is theirs.
        assert_eq!(admit(&mut latest, "partner", &[("a", 11)], 22), ["a"]);
        assert_eq!(admit(&mut latest, "other", &[("a", 10), ("b", 10)], 22), ["a", "b"]);
    }

    #[test]
    fn it_is_known_for_as_long_as_something_older_could_hold_and_no_longer() {
        let mut latest = Latest::default();
        admit(&mut latest, "partner", &[("a", 10), ("b", i64::MAX)], 20);
        let end_ms = 20 + LATEST_KEPT_MS;
        admit(&mut latest, "partner", &[("c", 30)], end_ms - 1);
        let kept = |latest: &Latest| latest.0.keys().map(|(_, id)| id.clone()).collect::<Vec<_>>();
        assert_eq!(kept(&latest), ["b", "c"]);
        admit(&mut latest, "partner", &[("c", 30)], end_ms);
        assert_eq!(kept(&latest), ["c"]);
        admit(&mut latest, "partner", &[("d", 31), ("e", 29)], end_ms);
        latest.keep_to(2, |_| true);
        assert_eq!(kept(&latest), ["c", "d"]);
        admit(&mut latest, "other", &[("a", 1), ("b", 2)], end_ms);
        latest.keep_to(1, |of| of == "partner");
        assert_eq!(kept(&latest), ["a", "b", "d"], "of others nothing is forgotten");
        assert_eq!((latest.forget("other"), latest.forget("other")), (2, 0));
        assert_eq!(kept(&latest), ["d"]);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_half_of_it_or_another_file_is_refused() {
        let mut latest = Latest::default();
        admit(&mut latest, "partner", &[("a", 10), ("b", i64::MAX)], 20);
        let text = latest.to_text();
        assert_eq!(Latest::parse(&text), Ok(latest));
        assert_eq!(Latest::parse(&Latest::default().to_text()), Ok(Latest::default()));
        for (spoiled, line) in [
            (String::new(), 1),
            (text.replace("latest 1", "latest 2"), 1),
            (text.replace("end 2\n", ""), 4),
            (text.replace("end 2", "end 3"), 4),
            (text.replacen('\t', " ", 1), 2),
            (text.replace("\t10\t", "\tten\t"), 2),
            (text.clone() + "more", 4),
        ] {
            assert_eq!(Latest::parse(&spoiled), Err(Spoiled(line)), "{spoiled:?}");
        }
    }
}

//! What is kept of header names and their order.

use crate::exchange::HeaderNames;
use crate::limits::HEADERS_MAX;
use weir_schemas::HeaderFeatures;

/// Names in a browser's order, as Chrome sends them over HTTP/1.1.
const BROWSER: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "sec-ch-ua-platform",
    "authorization",
    "user-agent",
    "sec-ch-ua",
    "content-type",
    "sec-ch-ua-mobile",
    "accept",
    "origin",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "referer",
    "accept-encoding",
    "accept-language",
    "cookie",
];

/// Names in the orders of scripts: Python's requests, and httpx under an API client.
const SCRIPTS: [&[&str]; 2] = [
    &[
        "host",
        "user-agent",
        "accept-encoding",
        "accept",
        "connection",
        "authorization",
        "cookie",
        "content-length",
        "content-type",
    ],
    &[
        "host",
        "accept-encoding",
        "connection",
        "authorization",
        "accept",
        "content-type",
        "user-agent",
        "content-length",
    ],
];

/// Features of header names in their order; none where there are no names.
pub fn of_headers(names: &HeaderNames<'_>) -> Option<HeaderFeatures> {
    match names {
        HeaderNames::Joined(names) => collect(names.split(',').map(str::trim)),
        HeaderNames::List(names) => collect(names.iter().map(|name| name.trim())),
    }
}

fn collect<'n>(names: impl Iterator<Item = &'n str>) -> Option<HeaderFeatures> {
    let mut features = HeaderFeatures::default();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut seen = Seen::default();
    for name in names.filter(|name| !name.is_empty()).take(HEADERS_MAX) {
        features.count += 1;
        for byte in name.bytes().map(|byte| byte.to_ascii_lowercase()).chain([b',']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        features.has_accept |= is("accept");
        features.has_accept_language |= is("accept-language");
        features.has_accept_encoding |= is("accept-encoding");
        features.has_proxy |= is("via")
            || is("forwarded")
            || is("x-real-ip")
            || is("proxy-connection")
            || name.get(..12).is_some_and(|head| head.eq_ignore_ascii_case("x-forwarded-"));
        seen.add(name);
    }
    features.order_hash = hash as i64;
    features.browser_affinity_permille = seen.affinity_permille();
    (features.count > 0).then_some(features)
}

/// The ranks, in each known order, of the names that were seen and that it has.
#[derive(Default)]
struct Seen {
    browser: Ranks,
    scripts: [Ranks; 2],
}

impl Seen {
    fn add(&mut self, name: &str) {
        self.browser.add(BROWSER, name);
        for (ranks, order) in self.scripts.iter_mut().zip(SCRIPTS) {
            ranks.add(order, name);
        }
    }

    fn affinity_permille(&self) -> i32 {
        let script = self.scripts.iter().map(Ranks::tau_permille).max().unwrap_or(0);
        ((self.browser.tau_permille() - script + 1000) / 2).clamp(0, 1000)
    }
}

/// Ranks in the order in which their names were seen; each name once.
#[derive(Default)]
struct Ranks {
    ranks: [u8; 32],
    count: usize,
}

impl Ranks {
    fn add(&mut self, order: &[&str], name: &str) {
        let Some(rank) = order.iter().position(|other| name.eq_ignore_ascii_case(other)) else { return };
        let rank = rank as u8;
        if self.count < self.ranks.len() && !self.ranks[..self.count].contains(&rank) {
            self.ranks[self.count] = rank;
            self.count += 1;
        }
    }

    /// Kendall's tau between the order seen and the known one, in thousandths; 0 below two names.
    fn tau_permille(&self) -> i32 {
        let ranks = &self.ranks[..self.count];
        let pairs = (self.count * self.count.saturating_sub(1) / 2) as i32;
        if pairs == 0 {
            return 0;
        }
        let later =
            |index: usize| ranks[index + 1..].iter().filter(move |rank| **rank > ranks[index]).count();
        let concordant = (0..self.count).map(later).sum::<usize>() as i32;
        (2 * concordant - pairs) * 1000 / pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(names: &str, expected: Expect) {
        let shown = of_headers(&HeaderNames::Joined(names.into())).map(|f| {
            (
                f.count,
                f.browser_affinity_permille,
                [f.has_accept, f.has_accept_language, f.has_accept_encoding, f.has_proxy],
            )
        });
        expected.assert_eq(&format!("{shown:?}"));
    }

    #[test]
    fn a_browsers_order_is_told_from_a_scripts() {
        check(
            "Host,Connection,Content-Length,sec-ch-ua,Content-Type,User-Agent,Accept,Origin,Sec-Fetch-Mode,Referer,Accept-Encoding,Accept-Language",
            expect!["Some((12, 946, [true, true, true, false]))"],
        );
        check(
            "host,accept-encoding,connection,authorization,accept,content-type,user-agent,x-stainless-lang,content-length",
            expect!["Some((9, 35, [true, false, true, false]))"],
        );
        check(
            "host,user-agent,accept,x-forwarded-for",
            expect!["Some((4, 500, [true, false, false, true]))"],
        );
        check("", expect!["None"]);
        check("ünïcode-härders,x-forwarded,", expect!["Some((2, 500, [false, false, false, false]))"]);
    }

    #[test]
    fn the_order_counts_and_the_case_does_not() {
        let hash = |names: &str| of_headers(&HeaderNames::Joined(names.into())).unwrap().order_hash;
        assert_eq!(hash("Host,Accept"), hash("host, accept"));
        assert_ne!(hash("host,accept"), hash("accept,host"));
        assert_eq!(
            of_headers(&HeaderNames::List(vec!["Host".into(), "accept".into()])),
            of_headers(&HeaderNames::Joined("host,accept".into()))
        );
    }

    #[test]
    fn no_more_names_than_the_limit_are_looked_at() {
        let names = "accept,".repeat(1_000);
        assert_eq!(of_headers(&HeaderNames::Joined(names.into())).unwrap().count, HEADERS_MAX as i32);
    }
}

//! `fingerprint`: the client is not what it says it is.
//!
//! *Evidence*: share of requests whose user agent claims a browser while TLS or HTTP/2 shows a
//! library (strong), or while the header order is a script's (weak: a web app passes its user's agent
//! on from a server); number of TLS stacks behind the account. *Missing* when no request had a user
//! agent beside a transport fingerprint or header features. *Cost*: two prefix tables, one hash of
//! a short text, O(1). *Evasion*: a TLS-impersonating client with a browser's header order. *Source*:
//! FoxIO's JA4 notation, Akamai's HTTP/2 fingerprint (Black Hat EU 2017), Glasswally's worker of
//! the same name, without its lists of JA3 that browsers randomise since 2023 and without countries.

use super::client::{Family, claimed, shown};
use crate::detector::{AccountView, Detector, Notes, Opinion, Seen};
use crate::measure::{Share, confidence, quick_hash, ramp};

detector_settings! {
    /// Browser affinity of the header order, in thousandths, below which it is not a browser's.
    affinity_permille_max: i32 = 0 ..= 1000,
    /// TLS stacks of one account from which they are many.
    stacks_min: u32 = 2 ..= 4,
}

const STACKS_MAX: usize = 4;

/// See [`crate::detectors::fingerprint`].
pub struct Fingerprint;

/// What is remembered of an account's clients: 28 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Browser claimed, and the transport known: was it a library's?
    transport: Share,
    /// Browser claimed, and header features known: was the order a script's?
    headers: Share,
    /// Requests with telemetry that could contradict the user agent.
    comparable: Share,
    /// Hashes of the first TLS hellos, all different; zero is free.
    stacks: [u32; STACKS_MAX],
}
persist_fields!(State { transport, headers, comparable, stacks });

impl Detector for Fingerprint {
    const NAME: &'static str = "fingerprint";
    const CLAIM: &'static str = "The client contradicts itself: it says browser and behaves like a script.";
    const STATE_VERSION: u8 = 1;
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.stacks[0].into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: &AccountView<'_>, settings: &Settings) {
        let Seen::Request(request) = seen else { return };
        if let Some(hello) = request.ja4.or(request.ja3) {
            let hash = quick_hash(hello, 1) as u32 | 1;
            if let Some(slot) = state.stacks.iter_mut().find(|slot| **slot == hash || **slot == 0) {
                *slot = hash;
            }
        }
        let Some(agent) = request.user_agent else { return };
        let transport = shown(request);
        if transport == Family::Unknown && request.headers.is_none() {
            return;
        }
        state.comparable.note(true);
        if claimed(agent) != Family::Browser {
            return;
        }
        if transport != Family::Unknown {
            state.transport.note(transport == Family::Script);
        }
        if let Some(headers) = &request.headers {
            let foreign = headers.browser_affinity_permille < settings.affinity_permille_max
                || !headers.has_accept_language
                || !headers.has_accept_encoding;
            state.headers.note(foreign);
        }
    }

    fn judge(state: &State, _: &AccountView<'_>, settings: &Settings, notes: &mut Notes) -> Option<Opinion> {
        let compared = state.comparable.total();
        if compared == 0 {
            return None;
        }
        // A whole stream that contradicts itself; a few odd requests are a proxy or an update.
        let transport = 0.9 * ramp(state.transport.value(), 0.1, 0.7);
        let headers = 0.35 * ramp(state.headers.value(), 0.3, 0.9);
        let stacks = state.stacks.iter().filter(|slot| **slot != 0).count() as u32;
        let many = if stacks >= settings.stacks_min { 0.3 } else { 0.0 };
        if transport > 0.0 {
            notes.share("browser_agent_over_script_transport_share", state.transport.value());
        }
        if headers > 0.0 {
            notes.share("browser_agent_with_script_headers_share", state.headers.value());
        }
        if many > 0.0 {
            notes.note("tls_stacks", stacks);
        }
        let score = 1.0 - (1.0 - transport.max(headers)) * (1.0 - many);
        Some(Opinion { score, confidence: confidence(compared, 10) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;
    use weir_schemas::HeaderFeatures;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36";
    const CHROME_JA4: &str = "t13d1516h2_8daaf6152771_02713d6af862";
    const PYTHON_JA4: &str = "t13d1812h1_85036bcba153_b26ce05bbdd6";

    fn headers(affinity: i32, languages: bool) -> Option<HeaderFeatures> {
        Some(HeaderFeatures {
            browser_affinity_permille: affinity,
            has_accept_language: languages,
            has_accept_encoding: true,
            ..Default::default()
        })
    }

    #[test]
    fn a_browser_agent_over_a_python_hello_scores() {
        check::<Fingerprint>(
            Traffic::every_ms(1_000, 60, |request, _| {
                request.user_agent = Some(CHROME);
                request.ja4 = Some(PYTHON_JA4);
            }),
            expect!["score 0.900 confidence 0.857; browser_agent_over_script_transport_share 1.000"],
        );
    }

    #[test]
    fn a_heavy_user_of_a_real_browser_does_not() {
        check::<Fingerprint>(
            Traffic::every_ms(1_000, 400, |request, _| {
                request.user_agent = Some(CHROME);
                request.ja4 = Some(CHROME_JA4);
                request.headers = headers(900, true);
            }),
            expect!["score 0.000 confidence 0.976"],
        );
    }

    #[test]
    fn an_sdk_that_says_it_is_one_does_not() {
        check::<Fingerprint>(
            Traffic::every_ms(500, 400, |request, _| {
                request.user_agent = Some("OpenAI/Python 1.40.0");
                request.ja4 = Some(PYTHON_JA4);
                request.headers = headers(100, false);
            }),
            expect!["score 0.000 confidence 0.976"],
        );
    }

    #[test]
    fn a_web_app_that_passes_its_users_agent_on_is_a_weak_sign_only() {
        check::<Fingerprint>(
            Traffic::every_ms(9_000, 60, |request, _| {
                request.user_agent = Some(CHROME);
                request.headers = headers(250, true);
            }),
            expect!["score 0.350 confidence 0.857; browser_agent_with_script_headers_share 1.000"],
        );
    }

    #[test]
    fn many_tls_stacks_behind_one_account_add_to_it() {
        const HELLOS: [&str; 4] = ["t13d0102h2_a_b", "t13d0202h2_a_b", "t13d0302h2_a_b", CHROME_JA4];
        check::<Fingerprint>(
            Traffic::every_ms(9_000, 60, |request, index| {
                request.user_agent = Some("harbor/1.0");
                request.ja4 = Some(HELLOS[index % 4]);
                request.headers = headers(500, true);
            }),
            expect!["score 0.300 confidence 0.857; tls_stacks 4"],
        );
    }

    #[test]
    fn without_telemetry_it_is_missing() {
        check::<Fingerprint>(Traffic::every_ms(100, 900, |_, _| ()), expect!["missing"]);
        check::<Fingerprint>(
            Traffic::every_ms(100, 9, |request, _| request.user_agent = Some(CHROME)),
            expect!["missing"],
        );
    }
}

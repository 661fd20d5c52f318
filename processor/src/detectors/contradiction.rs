//! `contradiction`: the client is not what it says it is.
//!
//! *Evidence*: share of requests whose user agent claims a browser while TLS or HTTP/2 shows a library
//! (strong), or while the header order is a script's (weak: a web app passes its user's agent on from a
//! server). A company's inspecting proxy does the same for people, so for a person's rhythm it says next to
//! nothing. *Missing* when no request had a user agent beside a transport fingerprint or header features.
//! *Cost*: two prefix tables, O(1). *Evasion*: a TLS-impersonating client with a browser's header order.
//! *Price*: a maintained fork of a client. *Source*: FoxIO's JA4 notation, Akamai's HTTP/2 fingerprint (Black
//! Hat EU 2017), FP-Inconsistent.

use super::client::{Family as Client, claimed, shown};
use super::rhythm;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::measure::Share;
use crate::nats::{Millinats, line};

detector_settings! {
    /// Browser affinity of the header order, in thousandths, below which it is not a browser's.
    affinity_permille_max: i32 = 0 ..= 1000,
}

/// See [`crate::detectors::contradiction`].
pub struct Contradiction;

/// What is remembered of an account's clients: 12 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Browser claimed, and the transport known: was it a library's?
    transport: Share,
    /// Browser claimed, and header features known: was the order a script's?
    headers: Share,
    /// Requests with telemetry that could contradict the user agent.
    comparable: Share,
}
persist_fields!(State { transport, headers, comparable });

/// Share of a browser's requests over a library's transport, in thousandths.
const TRANSPORT: [(i64, Millinats); 2] = [(100, 0), (700, 2_500)];

/// Share of a browser's requests with a script's headers, in thousandths.
const HEADERS: [(i64, Millinats); 2] = [(300, 0), (900, 700)];

impl Detector for Contradiction {
    const NAME: &'static str = "contradiction";
    const CLAIM: &'static str = "The client contradicts itself: it says browser and behaves like a script.";
    const FAMILY: Family = Family::Client;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs {
        needs: &[&["user_agent"], &["ja4", "h2", "headers"]],
        uses: &[&["ja4", "h2"], &["headers"]],
    };
    type State = State;
    type Settings = Settings;

    fn touch(_: &State) -> u64 {
        0
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: i64, settings: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(agent) = request.user_agent else { return };
        let transport = shown(request);
        if transport == Client::Unknown && request.headers.is_none() {
            return;
        }
        state.comparable.note(true);
        if claimed(agent) != Client::Browser {
            return;
        }
        if transport != Client::Unknown {
            state.transport.note(transport == Client::Script);
        }
        if let Some(headers) = &request.headers {
            let foreign = headers.browser_affinity_permille < settings.affinity_permille_max
                || !headers.has_accept_language
                || !headers.has_accept_encoding;
            state.headers.note(foreign);
        }
    }

    fn judge(state: &State, account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        if state.comparable.total() < 8 {
            return None;
        }
        let transport = line(&TRANSPORT, state.transport.permille().into());
        let headers = line(&HEADERS, state.headers.permille().into());
        notes.milli("browser_agent_over_script_transport_share", state.transport.permille().into());
        notes.milli("browser_agent_with_script_headers_share", state.headers.permille().into());
        let said = transport.max(headers);
        Some(if rhythm::may_be_person(account) { said / 5 } else { said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;
    use weir_schemas::{HeaderFeatures, Request};

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36";
    const CHROME_JA4: &str = "t13d1516h2_8daaf6152771_02713d6af862";
    const PYTHON_JA4: &str = "t13d1812h1_85036bcba153_b26ce05bbdd6";

    /// Requests every minute, all day.
    fn traffic(shape: impl Fn(&mut Request<'static>)) -> Traffic {
        Traffic::every_ms(60_000, 1_440, move |request, _| shape(request))
    }

    #[test]
    fn a_browser_agent_over_a_python_hello_speaks_against_an_account() {
        let shape = |request: &mut Request<'static>| {
            (request.user_agent, request.ja4) = (Some(CHROME), Some(PYTHON_JA4));
        };
        check::<Contradiction>(
            traffic(shape),
            expect![
                "2.5 nats; browser_agent_over_script_transport_share 1.000; browser_agent_with_script_headers_share 0.000"
            ],
        );
    }

    #[test]
    fn for_a_person_behind_an_inspecting_proxy_it_says_next_to_nothing() {
        let paces = [20_000, 40_000, 90_000, 5 * 3_600_000];
        let traffic = Traffic::uneven_ms(&paces, 40, |request, _| {
            (request.user_agent, request.ja4) = (Some(CHROME), Some(PYTHON_JA4));
        });
        check::<Contradiction>(
            traffic,
            expect![
                "0.5 nats; browser_agent_over_script_transport_share 1.000; browser_agent_with_script_headers_share 0.000"
            ],
        );
    }

    #[test]
    fn a_web_app_that_passes_its_users_agent_on_says_little() {
        let shape = |request: &mut Request<'static>| {
            request.user_agent = Some(CHROME);
            request.headers = Some(HeaderFeatures { browser_affinity_permille: 20, ..Default::default() });
        };
        check::<Contradiction>(
            traffic(shape),
            expect![
                "0.7 nats; browser_agent_over_script_transport_share 0.000; browser_agent_with_script_headers_share 1.000"
            ],
        );
    }

    #[test]
    fn a_browser_is_no_contradiction() {
        let shape = |request: &mut Request<'static>| {
            (request.user_agent, request.ja4) = (Some(CHROME), Some(CHROME_JA4));
        };
        check::<Contradiction>(
            traffic(shape),
            expect![
                "0.0 nats; browser_agent_over_script_transport_share 0.000; browser_agent_with_script_headers_share 0.000"
            ],
        );
    }

    #[test]
    fn without_anything_to_compare_it_is_missing() {
        check::<Contradiction>(traffic(|request| request.user_agent = Some(CHROME)), expect!["missing"]);
    }
}

//! `asn`: requests come from a hosting provider's network.
//!
//! Weak alone, because honest servers live there too; stronger when the client claims to be a browser,
//! which has no business in a data centre. *Evidence*: share of requests by class of the network's
//! organisation, share of those that claim a browser. Countries are not looked at. *Missing* without
//! the organisation's name. *Cost*: the name is looked up in the table only when it differs from
//! the one before. *Evasion*: residential proxies. *Source*: Glasswally's `asn_classifier`.

use super::client::{Family, claimed};
use crate::detector::{AccountView, Detector, Notes, Opinion, Seen};
use crate::measure::{Share, confidence, quick_hash};

detector_settings! {}

/// Parts of organisations' names, in lower case, that say what kind of network it is.
const HOSTING: &[(&str, Class)] = &[
    ("bulletproof", Class::Bulletproof),
    ("aeza", Class::Bulletproof),
    ("stark industries", Class::Bulletproof),
    ("proton66", Class::Bulletproof),
    ("prospero", Class::Bulletproof),
    ("chang way", Class::Bulletproof),
    ("vps", Class::Vps),
    ("ovh", Class::Vps),
    ("hetzner", Class::Vps),
    ("digitalocean", Class::Vps),
    ("linode", Class::Vps),
    ("akamai connected", Class::Vps),
    ("vultr", Class::Vps),
    ("choopa", Class::Vps),
    ("contabo", Class::Vps),
    ("scaleway", Class::Vps),
    ("leaseweb", Class::Vps),
    ("m247", Class::Vps),
    ("datacamp", Class::Vps),
    ("hostinger", Class::Vps),
    ("ionos", Class::Vps),
    ("racknerd", Class::Vps),
    ("colocrossing", Class::Vps),
    ("kamatera", Class::Vps),
    ("upcloud", Class::Vps),
    ("amazon", Class::Cloud),
    ("aws", Class::Cloud),
    ("google cloud", Class::Cloud),
    ("microsoft", Class::Cloud),
    ("azure", Class::Cloud),
    ("oracle", Class::Cloud),
    ("alibaba", Class::Cloud),
    ("tencent", Class::Cloud),
    ("huawei cloud", Class::Cloud),
    ("cloud", Class::Cloud),
    ("hosting", Class::Cloud),
    ("datacenter", Class::Cloud),
    ("data center", Class::Cloud),
    ("colo", Class::Cloud),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Other = 0,
    Cloud = 1,
    Vps = 2,
    Bulletproof = 3,
}

fn class_of(organisation: &str) -> Class {
    let lower = organisation.to_ascii_lowercase();
    HOSTING.iter().find(|(part, _)| lower.contains(part)).map_or(Class::Other, |(_, class)| *class)
}

/// See [`crate::detectors::asn`].
pub struct Asn;

/// What is remembered of an account's networks: 24 bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Hash of the last organisation, and its class.
    last: u32,
    class: u8,
    hosting: Share,
    vps: Share,
    bulletproof: Share,
    browser: Share,
}
persist_fields!(State { last, class, hosting, vps, bulletproof, browser });

impl Detector for Asn {
    const NAME: &'static str = "asn";
    const CLAIM: &'static str = "The requests come from a data centre, all the more telling for a browser.";
    const STATE_VERSION: u8 = 1;
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.last.into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, _: &AccountView<'_>, _: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(organisation) = request.asn_org else { return };
        let hash = quick_hash(organisation, 3) as u32 | 1;
        if hash != state.last {
            (state.last, state.class) = (hash, class_of(organisation) as u8);
        }
        let hosted = state.class != Class::Other as u8;
        state.hosting.note(hosted);
        state.vps.note(state.class >= Class::Vps as u8);
        state.bulletproof.note(state.class == Class::Bulletproof as u8);
        state
            .browser
            .note(hosted && request.user_agent.is_some_and(|agent| claimed(agent) == Family::Browser));
    }

    fn judge(state: &State, _: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Opinion> {
        let requests = state.hosting.total();
        if requests == 0 {
            return None;
        }
        let (hosting, vps) = (state.hosting.value(), state.vps.value());
        let (bulletproof, browser) = (state.bulletproof.value(), state.browser.value());
        let network = 0.2 * hosting + 0.2 * vps + 0.3 * bulletproof;
        let score = (network + 0.3 * browser).min(1.0);
        if hosting > 0.0 {
            notes.share("hosting_share", hosting);
            notes.share("vps_share", vps);
            notes.share("bulletproof_share", bulletproof);
            notes.share("browser_in_hosting_share", browser);
        }
        Some(Opinion { score, confidence: confidence(requests, 10) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check};
    use expect_test::expect;

    #[test]
    fn a_browser_in_a_vps_scores() {
        check::<Asn>(
            Traffic::every_ms(1_000, 90, |request, _| {
                request.asn_org = Some("Example VPS");
                request.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64) Firefox/127.0");
            }),
            expect![
                "score 0.700 confidence 0.900; hosting_share 1.000; vps_share 1.000; bulletproof_share 0.000; browser_in_hosting_share 1.000"
            ],
        );
    }

    #[test]
    fn a_heavy_honest_server_in_a_cloud_hardly_does() {
        check::<Asn>(
            Traffic::every_ms(100, 500, |request, _| {
                request.asn_org = Some("AMAZON-02");
                request.user_agent = Some("OpenAI/Python 1.40.0");
            }),
            expect![
                "score 0.200 confidence 0.980; hosting_share 1.000; vps_share 0.000; bulletproof_share 0.000; browser_in_hosting_share 0.000"
            ],
        );
    }

    #[test]
    fn a_home_does_not_whatever_its_country() {
        check::<Asn>(
            Traffic::every_ms(1_000, 90, |request, index| {
                request.asn_org = Some("Example Fibre");
                request.country = Some(if index % 2 == 0 { "CN" } else { "SE" });
            }),
            expect!["score 0.000 confidence 0.900"],
        );
    }

    #[test]
    fn without_an_organisation_it_is_missing() {
        check::<Asn>(Traffic::every_ms(100, 900, |_, _| ()), expect!["missing"]);
    }
}

//! `proxies`: requests come out of ever new networks, as they do through rotating proxies.
//!
//! *Evidence*: different networks (a /24, a /48) within a day of UTC, and different operators of networks.
//! People are in a few places of one or two operators; a platform has many networks and is one operator.
//! *Missing* while an account has been seen in one network. *Cost*: 16 bytes, and 40 more for who was seen in
//! another network. *Evasion*: one address for each account, or few. *Price*: a static residential address,
//! dollars a month, and then `network` and `kin` see who shares its network. Nobody can be framed by it: it
//! takes the victim's key. *Source*: FP-Inconsistent (rotating residential proxies of bot services);
//! BotSniffer.

use super::kin::is_application;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::measure::{quick_hash, short};
use crate::nats::{Millinats, line, ln};
use weir_schemas::Request;

detector_settings! {}

/// See [`crate::detectors::proxies`].
pub struct Proxies;

/// Different networks within a day, and what they say: who travels by train, or changes his exit all day, has
/// been seen in a score of them.
const NETWORKS: [(i64, Millinats); 4] = [(16, 0), (24, 2_000), (40, 4_000), (80, 5_000)];

/// Different operators within a day, and what they say: at home, at work, on the way, and one exit.
const OPERATORS: [(i64, Millinats); 4] = [(4, 0), (6, 2_500), (8, 5_500), (10, 7_500)];

/// What is left of [`NETWORKS`], in thousandths, where all are of one operator: a platform that runs
/// functions has as many.
const ONE_OPERATOR_PERMILLE: i64 = 200;

/// The same where the source does not tell operators.
const UNKNOWN_OPERATORS_PERMILLE: i64 = 400;

/// The most that is said of an application: where its users hold its key, its networks are theirs.
const APPLICATION: Millinats = 1_000;

const DAY_MS: i64 = 24 * 3_600_000;

/// Where an account was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Its first network, in part; 0 for none.
    first: u32,
    /// From its second network on.
    days: Option<Box<Days>>,
}
persist_fields!(State { first, days });

/// The latest day of UTC, and the one before it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Days {
    /// Number of the latest day since the Unix epoch.
    latest: i64,
    today: Places,
    yesterday: Places,
}
persist_fields!(Days { latest, today, yesterday });

/// Different networks and operators, by linear counting with 64 bits each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Places {
    networks: u64,
    operators: u64,
}
persist_fields!(Places { networks, operators });

impl State {
    fn note(&mut self, request: &Request<'_>, now_ms: i64) {
        let Some(subnet) = request.subnet else { return };
        let network = short(&subnet.0).max(1);
        if self.first == 0 {
            self.first = network;
        }
        if self.days.is_none() && network == self.first {
            return;
        }
        let first = self.first;
        let days = self.days.get_or_insert_with(|| {
            let mut days = Box::new(Days { latest: now_ms.div_euclid(DAY_MS), ..Days::default() });
            days.today.networks = bit(u64::from(first));
            days
        });
        days.advance(now_ms.div_euclid(DAY_MS));
        days.today.networks |= bit(u64::from(network));
        let number = request.asn.filter(|asn| *asn != 0).map(|asn| quick_hash("operator", asn as u64));
        if let Some(operator) = number.or(request.asn_org.map(|name| quick_hash(name, 31))) {
            days.today.operators |= bit(operator);
        }
    }
}

impl Days {
    /// Begins `day` where it is later than the latest. What comes late counts for the latest.
    fn advance(&mut self, day: i64) {
        if day <= self.latest {
            return;
        }
        self.yesterday = if day == self.latest + 1 { self.today } else { Places::default() };
        (self.latest, self.today) = (day, Places::default());
    }
}

/// The bit of a hash.
fn bit(hash: u64) -> u64 {
    1 << (hash & 63)
}

/// About how many were counted: right to a fifth up to a hundred.
fn counted(bits: u64) -> i64 {
    let empty = u64::from(bits.count_zeros()).max(1);
    (64 * i64::from(ln(64) - ln(empty)) + 500) / 1_000
}

impl Places {
    /// What a day says; nothing is held against who has one network alone.
    fn say(self) -> Millinats {
        let by_operators = line(&OPERATORS, counted(self.operators));
        let left_permille = match self.operators.count_ones() {
            0 => UNKNOWN_OPERATORS_PERMILLE,
            1 => ONE_OPERATOR_PERMILLE,
            _ => 1_000,
        };
        let by_networks = i64::from(line(&NETWORKS, counted(self.networks))) * left_permille / 1_000;
        by_operators.max(by_networks as Millinats)
    }
}

impl Detector for Proxies {
    const NAME: &'static str = "proxies";
    const CLAIM: &'static str = "Its requests come out of ever new networks, as through rotating proxies.";
    const FAMILY: Family = Family::Network;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["address"]], uses: &[&["asn", "asn_org"]] };
    type State = State;
    type Settings = Settings;

    fn touch(state: &State) -> u64 {
        state.first.into()
    }

    fn observe(state: &mut State, seen: Seen<'_>, now_ms: i64, _: &Settings) {
        if let Seen::Request(request) = seen {
            state.note(request, now_ms);
        }
    }

    fn judge(state: &State, account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let days = state.days.as_ref()?;
        let most = if days.today.say() >= days.yesterday.say() { days.today } else { days.yesterday };
        notes.note("networks_within_a_day", counted(most.networks));
        notes.note("operators_within_a_day", counted(most.operators));
        let said = most.say();
        Some(if is_application(account) { said.min(APPLICATION) } else { said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, hash, prompt};
    use expect_test::expect;

    /// Requests every five minutes that go round so many networks of so many operators.
    fn traffic(networks: usize, operators: usize) -> Traffic {
        Traffic::every_ms(300_000, 200, move |request, index| {
            request.subnet = Some(hash(&format!("net {}", index % networks)));
            request.asn = (operators > 0).then(|| 64_500 + (index % networks % operators.max(1)) as i64);
        })
    }

    #[test]
    fn a_new_network_for_each_request_speaks_against_an_account() {
        check::<Proxies>(
            traffic(200, 16),
            expect!["7.5 nats; networks_within_a_day 55; operators_within_a_day 15"],
        );
    }

    #[test]
    fn a_score_of_requests_is_enough_where_each_has_an_operator_of_its_own() {
        let few = Traffic::every_ms(3_000_000, 20, |request, index| {
            request.subnet = Some(hash(&format!("net {index}")));
            request.asn = Some(64_500 + index as i64);
        });
        check::<Proxies>(few, expect!["7.5 nats; networks_within_a_day 16; operators_within_a_day 12"]);
    }

    #[test]
    fn many_addresses_of_two_operators_say_nearly_as_much() {
        check::<Proxies>(
            traffic(100, 2),
            expect!["5.0 nats; networks_within_a_day 119; operators_within_a_day 2"],
        );
    }

    #[test]
    fn who_is_on_the_way_has_a_few_networks() {
        check::<Proxies>(
            traffic(12, 3),
            expect!["0.0 nats; networks_within_a_day 12; operators_within_a_day 3"],
        );
    }

    #[test]
    fn a_platform_has_many_networks_and_is_one_operator() {
        check::<Proxies>(
            traffic(120, 1),
            expect!["1.0 nats; networks_within_a_day 133; operators_within_a_day 1"],
        );
    }

    #[test]
    fn where_operators_are_not_told_networks_say_less() {
        check::<Proxies>(
            traffic(120, 0),
            expect!["2.0 nats; networks_within_a_day 133; operators_within_a_day 0"],
        );
    }

    #[test]
    fn an_application_whose_users_hold_its_key_has_their_networks() {
        let application = Traffic::every_ms(300_000, 200, |request, index| {
            request.subnet = Some(hash(&format!("net {index}")));
            request.asn = Some(64_500 + index as i64 % 16);
            request.prompt = Some(prompt("shape", &format!("text {}", index % 20), 0));
            request.preamble = Some(hash("You are a shop's assistant."));
            request.max_tokens = Some(128);
        });
        check::<Proxies>(
            application,
            expect!["1.0 nats; networks_within_a_day 55; operators_within_a_day 15"],
        );
    }

    #[test]
    fn a_week_of_places_is_not_a_day_of_them() {
        // Four networks of two operators a day, for ten days: no day has more.
        let journey = Traffic::every_ms(3_600_000, 240, |request, index| {
            request.subnet = Some(hash(&format!("net {} {}", index / 24, index % 4)));
            request.asn = Some(64_500 + (index / 24 * 2 + index % 2) as i64);
        });
        check::<Proxies>(journey, expect!["0.0 nats; networks_within_a_day 4; operators_within_a_day 2"]);
    }

    #[test]
    fn one_network_or_none_tells_nothing() {
        check::<Proxies>(traffic(1, 1), expect!["missing"]);
        check::<Proxies>(Traffic::every_ms(300_000, 200, |_, _| ()), expect!["missing"]);
    }
}

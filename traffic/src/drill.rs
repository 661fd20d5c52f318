//! A campaign and customers to send to a system that has real ones.
//!
//! Accounts are of a tenant of their own, under ids of their own. Addresses, networks, payment methods,
//! organisations, fingerprints of TLS and preambles are replaced by values that no customer has, each by one
//! of its own, so that what is shared within the drill stays shared. What every client of a kind shows (its
//! `User-Agent`, JA4, the order of its headers), and what is asked (prompts, their openings and themes,
//! limits of answers) stays: customers may have that in common with a drill.

use crate::access::Address;
use crate::care::{Care, Measures};
use crate::clients::push_hex;
use crate::exchange::Exchange;
use crate::places::Network;
use crate::random::mixed;
use crate::scenario::{Name, Plan};
use crate::simulate;
use crate::stream::Stream;
use crate::write::write_line_of;
use std::fmt::Write as _;

/// What the tenants and the accounts of all drills begin with.
pub const PREFIX: &str = "weir-drill-";

/// 240.0.0.0/4, which nobody has (RFC 1112): no customer comes from there.
const ADDRESSES: u32 = 0xf000_0000;

/// Networks of 256 addresses in it, without the last, where the address of everybody is.
const SUBNETS: u64 = (1 << 20) - 1;

/// Organisation of all networks of a drill.
const ORGANISATION: &str = "weir drill";

/// First of the numbers for networks that are nobody's (RFC 6996), and how many there are.
const NETWORKS: (u32, u64) = (64_512, 1_023);

/// Parts of a drill, each a world with a seed of its own: accounts of one seed have the same ids.
const CAMPAIGN: u64 = 1;
const HONEST: u64 = 2;

/// Hours that the lines of a drill are spread over, by their own times.
const HOURS: f64 = 12.0;

/// When the day ends that every drill is of, moved to when it is sent: 20:00 UTC of a Wednesday. On a
/// Sunday half of the customers would not be there, and a drill would be another test than the day before.
const DAY_END_MS: i64 = 1_795_636_800_000;

/// What a drill is moved by is a multiple of it: what runs at full hours does so still.
const HOUR_MS: i64 = 3_600_000;

/// Whether a tenant is a drill's.
pub fn is_drill(tenant: &str) -> bool {
    tenant.starts_with(PREFIX)
}

/// What a drill consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drill {
    /// Number of this drill, which no other has: its tenant, its accounts and their values are made of it.
    pub number: u64,
    /// What is asked, by whom and when: the same seed gives the same requests under any number.
    pub seed: u64,
    /// Accounts of the campaign.
    pub campaign_accounts: u32,
    /// Customers who behave, about.
    pub honest_accounts: u32,
}

/// The lines of a drill, in order of time.
pub struct Lines {
    drill: Drill,
    tenant: String,
    campaign: Ahead,
    honest: Ahead,
    later_ms: i64,
}

/// A stream, and the exchange of it that is next.
struct Ahead {
    stream: Stream,
    next: Option<Exchange>,
}

impl Drill {
    /// Its tenant, which is what its accounts begin with too.
    pub fn tenant(&self) -> String {
        let mut tenant = PREFIX.to_owned();
        push_hex(self.number, 16, &mut tenant);
        tenant
    }

    /// Its lines, of the hours before `end_ms`: the same ones at any time of any day, up to an hour earlier.
    pub fn lines(&self, end_ms: i64) -> Lines {
        let start_ms = DAY_END_MS - (HOURS * 3.6e6) as i64;
        let stream = |part, name, accounts| simulate(&self.plan(part, name, accounts), start_ms, None);
        Lines {
            drill: *self,
            tenant: self.tenant(),
            campaign: Ahead::of(stream(
                CAMPAIGN,
                Name::Hydra(self.campaign_accounts),
                self.campaign_accounts,
            )),
            honest: Ahead::of(stream(HONEST, Name::Honest, self.honest_accounts)),
            later_ms: (end_ms - DAY_END_MS).div_euclid(HOUR_MS) * HOUR_MS,
        }
    }

    fn plan(&self, part: u64, name: Name, accounts: u32) -> Plan {
        Plan {
            name,
            seed: mixed(&[self.seed, part]),
            accounts,
            campaign_share: 0.0,
            care: Some(Care::Naive),
            measures: Measures::default(),
            hours: HOURS,
            scale: 1.0,
        }
    }

    /// A number of this drill that stands for another.
    fn own(&self, parts: &[u64]) -> u64 {
        mixed(&[self.number, mixed(parts)])
    }

    /// Takes from an exchange what another customer could have too.
    fn make_own(&self, exchange: &mut Exchange) {
        let Address { ip, network, country } = exchange.address;
        let subnet = self.own(&[u64::from(ip >> 8)]) % SUBNETS;
        let asn = NETWORKS.0 + (self.own(&[u64::from(network.asn)]) % NETWORKS.1) as u32;
        let ip = ADDRESSES + ((subnet as u32) << 8) + (ip & 0xff);
        exchange.address = Address { ip, network: Network { asn, org: ORGANISATION }, country };
        exchange.payment = exchange.payment.map(|payment| self.own(&[payment, 1]));
        exchange.org = exchange.org.map(|org| self.own(&[org, 2]));
        exchange.account = self.own(&[exchange.account, 3]);
        exchange.id = exchange.id.map(|half| self.own(&[half, 6]));
        let ja3 = exchange.shown.ja3.bytes().fold(0, |state, byte| mixed(&[state, u64::from(byte)]));
        exchange.shown.ja3.clear();
        [4, 5].into_iter().for_each(|half| push_hex(self.own(&[ja3, half]), 16, &mut exchange.shown.ja3));
        let system = &mut exchange.said.system;
        if !system.is_empty() {
            let _ = write!(system, " ({})", self.tenant());
        }
    }
}

impl Ahead {
    fn of(stream: Stream) -> Self {
        let mut ahead = Self { stream, next: None };
        ahead.step();
        ahead
    }

    fn step(&mut self) -> Option<Exchange> {
        let next = self.stream.next_exchange().cloned();
        std::mem::replace(&mut self.next, next)
    }

    fn time_ms(&self) -> i64 {
        self.next.as_ref().map_or(i64::MAX, |exchange| exchange.time_ms)
    }
}

impl Lines {
    /// How many there are.
    pub fn count(mut self) -> u64 {
        let mut lines = 0;
        while self.step().is_some() {
            lines += 1;
        }
        lines
    }

    /// Appends the next line, with its line break; false after the last.
    pub fn write_next(&mut self, out: &mut String) -> bool {
        let Some(mut exchange) = self.step() else { return false };
        self.drill.make_own(&mut exchange);
        write_line_of(&self.tenant, &format!("{}-", self.tenant), &exchange, out);
        true
    }

    fn step(&mut self) -> Option<Exchange> {
        let earlier = match self.campaign.time_ms() <= self.honest.time_ms() {
            true => &mut self.campaign,
            false => &mut self.honest,
        };
        let mut exchange = earlier.step()?;
        exchange.time_ms += self.later_ms;
        Some(exchange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    const END_MS: i64 = 1_800_000_000_000;

    fn of(number: u64) -> Drill {
        Drill { number, seed: 5, campaign_accounts: 12, honest_accounts: 60 }
    }

    fn lines(number: u64) -> Vec<String> {
        let mut lines = of(number).lines(END_MS);
        let mut text = String::new();
        while lines.write_next(&mut text) {}
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn its_lines_are_known_before_any_is_written() {
        assert_eq!(of(1).lines(END_MS).count(), lines(1).len() as u64);
    }

    /// The values of a string field, or of a number, as they are written.
    fn values(lines: &[String], field: &str) -> BTreeSet<String> {
        let key = format!("\"{field}\":");
        let value = |line: &String| {
            let rest = &line[line.find(&key)? + key.len()..];
            match rest.strip_prefix('"') {
                Some(text) => Some(text[..text.find('"')?].to_owned()),
                None => Some(rest[..rest.find([',', '}'])?].to_owned()),
            }
        };
        lines.iter().filter_map(value).filter(|value| value != "null").collect()
    }

    #[test]
    fn two_drills_of_one_seed_have_no_account_or_value_in_common_and_addresses_are_nobodys() {
        let (first, second) = (lines(1), lines(2));
        for field in ["account", "tenant", "payment", "org", "ja3", "system_prompt", "id"] {
            let (first, second) = (values(&first, field), values(&second, field));
            assert!(!first.is_empty(), "{field}");
            assert!(first.is_disjoint(&second), "{field}");
        }
        for account in values(&first, "account") {
            assert!(account.starts_with("weir-drill-0000000000000001-"), "{account}");
        }
        assert_eq!(values(&first, "tenant"), BTreeSet::from(["weir-drill-0000000000000001".to_owned()]));
        for address in values(&first, "ip") {
            let octets = address.parse::<Ipv4Addr>().unwrap().octets();
            assert!(octets[0] >= 240 && octets[..3] != [255; 3], "{address}");
        }
        for asn in values(&first, "asn") {
            assert!((64_512..=65_534).contains(&asn.parse::<u32>().unwrap()), "{asn}");
        }
    }

    #[test]
    fn it_has_the_same_lines_on_any_day_at_any_hour_and_all_are_of_the_hours_before() {
        // Each line without its own time, and that time from the full hour before the end.
        let lines_to = |end_ms: i64| {
            let (mut lines, mut all) = (of(1).lines(end_ms), Vec::new());
            while let Some(mut exchange) = lines.step() {
                assert!((end_ms - 13 * HOUR_MS..end_ms).contains(&exchange.time_ms), "{}", exchange.time_ms);
                let before_ms = end_ms.div_euclid(HOUR_MS) * HOUR_MS - exchange.time_ms;
                exchange.time_ms = 0;
                let mut line = String::new();
                write_line_of("drill", "", &exchange, &mut line);
                all.push((before_ms, line));
            }
            all
        };
        let first = lines_to(END_MS);
        assert!(!first.is_empty());
        // Every weekday, at another hour and second each.
        for day in 1..8 {
            assert!(lines_to(END_MS + day * 89_999_999) == first, "day {day}");
        }
    }

    #[test]
    fn it_is_the_same_again_in_order_of_time_with_the_campaign_labelled() {
        let first = lines(7);
        assert_eq!(first, lines(7));
        let times: Vec<&str> =
            first.iter().map(|line| &line[line.find("\"time\"").unwrap()..][..36]).collect();
        assert!(times.is_sorted());
        let labelled: Vec<String> =
            first.iter().filter(|line| line.contains("\"label\":\"")).cloned().collect();
        let honest: Vec<String> = first.iter().filter(|line| !labelled.contains(line)).cloned().collect();
        let (campaign, honest) = (values(&labelled, "account"), values(&honest, "account"));
        assert_eq!(campaign.len(), 12);
        assert!(honest.len() > 40);
        assert!(campaign.is_disjoint(&honest), "nobody is of the campaign and behaves");
        let payments = values(&labelled, "payment").len();
        assert!((1..12).contains(&payments), "what the campaign shares stays shared: {payments}");
    }
}

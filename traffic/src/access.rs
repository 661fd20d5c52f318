//! The network that an account's requests come from.

use crate::places::{COUNTRIES, HOSTERS, Network, any_address, any_country, carrier_address};
use crate::random::Random;

/// How an account reaches the API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Access {
    /// One address: a server, an office, a class room.
    Fixed(Address),
    /// A home: the provider gives another address of its network every few days.
    Home {
        /// Address of the first lease.
        first: Address,
        /// Days of a lease.
        lease_days: u32,
        /// Which home.
        home: u64,
    },
    /// A telephone: an address of the carrier's pool, another one in every session, shared with strangers.
    Carrier {
        /// The carrier's network and country.
        of: Address,
        /// Addresses of the pool.
        pool: u32,
    },
    /// Rented exits in homes all over the world; another one for every request, or for every session.
    Proxies {
        /// Which seller.
        seller: u64,
        /// Exits that it has.
        exits: u32,
        /// Whether a session keeps its exit.
        sticky: bool,
    },
}

/// An address and the network that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// IPv4 address.
    pub ip: u32,
    /// Its network.
    pub network: Network,
    /// ISO 3166 code of its country.
    pub country: &'static str,
}

impl Access {
    /// A home in this country.
    pub fn home(country: u8, random: &mut Random) -> Self {
        let first = home_address(country, random);
        Self::Home { first, lease_days: random.between(1, 30) as u32, home: random.bits() }
    }

    /// A telephone in this country.
    pub fn carrier(country: u8, pool: u32, random: &mut Random) -> Self {
        Self::Carrier { of: home_address(country, random), pool }
    }

    /// A rented server.
    pub fn server(random: &mut Random) -> Self {
        // The big ones have most customers.
        let hoster = random.zipf(HOSTERS.len() as u64) as usize;
        Self::server_at(HOSTERS[hoster], random)
    }

    /// A server at this hoster.
    pub fn server_at(network: Network, random: &mut Random) -> Self {
        let country = *random.pick(&["US", "US", "US", "DE", "IE", "SG"]);
        Self::Fixed(Address { ip: any_address(network, random), network, country })
    }

    /// One address in this country that many leave through.
    pub fn shared(country: u8, random: &mut Random) -> Self {
        Self::Fixed(home_address(country, random))
    }

    /// Where a request comes from. `session` differs between sessions, `request` between requests.
    pub fn address(self, now_ms: i64, session: u64, request: u64) -> Address {
        match self {
            Self::Fixed(address) => address,
            Self::Home { first, lease_days, home } => {
                let lease = now_ms / (i64::from(lease_days) * 86_400_000);
                Address { ip: any_address(first.network, &mut Random::of(&[home, lease as u64])), ..first }
            }
            Self::Carrier { of, pool } => {
                let exit = Random::of(&[session]).below(u64::from(pool.max(1)));
                Address { ip: carrier_address(of.network, exit), ..of }
            }
            Self::Proxies { seller, exits, sticky } => {
                let exit =
                    Random::of(&[if sticky { session } else { request }]).below(u64::from(exits.max(1)));
                let mut random = Random::of(&[seller, exit]);
                let country = any_country(&mut random);
                home_address(country, &mut random)
            }
        }
    }
}

fn home_address(country: u8, random: &mut Random) -> Address {
    let country = &COUNTRIES[usize::from(country)];
    let network = *random.pick(country.networks);
    Address { ip: any_address(network, random), network, country: country.code }
}

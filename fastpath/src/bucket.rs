//! How much is listened to: buckets of tokens. Of an address, before anybody has proved anything, in a table
//! that nobody can make grow; of a sender that has proved who it is.

use crate::limits::{ADDRESS_BURST, ADDRESS_PER_SECOND, ADDRESSES_MAX, SENDER_BURST, SENDER_PER_SECOND};
use std::collections::HashMap;
use std::net::IpAddr;

/// Tokens of somebody, in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    tokens: u64,
    filled_ms: i64,
}

impl Bucket {
    fn full(burst: u32, now_ms: i64) -> Self {
        Self { tokens: u64::from(burst) * 1_000, filled_ms: now_ms }
    }

    /// A sender's, with all of its burst.
    pub fn of_sender(now_ms: i64) -> Self {
        Self::full(SENDER_BURST, now_ms)
    }

    /// Takes a sender's token; false where there is none.
    pub fn takes_of_sender(&mut self, now_ms: i64) -> bool {
        self.takes(SENDER_BURST, SENDER_PER_SECOND, now_ms)
    }

    fn takes(&mut self, burst: u32, per_second: u32, now_ms: i64) -> bool {
        // A token a second is one thousandth a millisecond. A clock that runs back fills nothing.
        let passed_ms = u64::try_from(now_ms.saturating_sub(self.filled_ms)).unwrap_or(0);
        let filled = self.tokens.saturating_add(passed_ms.saturating_mul(per_second.into()));
        self.tokens = filled.min(u64::from(burst) * 1_000);
        // From there on, so that a clock that was set back fills again.
        self.filled_ms = now_ms;
        let Some(left) = self.tokens.checked_sub(1_000) else { return false };
        self.tokens = left;
        true
    }
}

/// The buckets of addresses. Two tables, of which the older is thrown away when the younger is full: who
/// speaks is in the younger, and whoever makes up addresses pushes nobody out who speaks but for a moment,
/// after which all of its burst is there.
#[derive(Debug, Default)]
pub struct Addresses {
    young: HashMap<IpAddr, Bucket>,
    old: HashMap<IpAddr, Bucket>,
}

impl Addresses {
    /// Takes a token of an address; false where it has none. Of IPv6 a network of 64 bits is one address.
    pub fn takes(&mut self, address: IpAddr, now_ms: i64) -> bool {
        let address = one_of(address);
        if !self.young.contains_key(&address) {
            let bucket = self.old.remove(&address).unwrap_or_else(|| Bucket::full(ADDRESS_BURST, now_ms));
            if self.young.len() >= ADDRESSES_MAX / 2 {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(address, bucket);
        }
        let bucket = self.young.get_mut(&address);
        bucket.is_none_or(|bucket| bucket.takes(ADDRESS_BURST, ADDRESS_PER_SECOND, now_ms))
    }

    /// Number of addresses that are counted.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn one_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut bytes = address.octets();
            bytes[8..].fill(0);
            IpAddr::V6(bytes.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn of_two_hundred_at_once_a_sender_has_a_hundred_let_through_and_fifty_a_second_later() {
        let mut bucket = Bucket::of_sender(0);
        let mut pass = |now_ms: i64| (0..200).filter(|_| bucket.takes_of_sender(now_ms)).count();
        assert_eq!((pass(0), pass(1_000), pass(500), pass(1_500)), (100, 50, 0, 50));
    }

    #[test]
    fn made_up_addresses_do_not_make_the_table_grow_and_push_nobody_out_who_speaks() {
        let mut addresses = Addresses::default();
        let real = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let mut passed = 0;
        for number in 0..100_000u32 {
            assert!(addresses.takes(IpAddr::V4(Ipv4Addr::from(0xc000_0000 | number)), 0));
            if number % 100 == 0 {
                passed += u32::from(addresses.takes(real, 0));
            }
            assert!(addresses.len() <= ADDRESSES_MAX + 1, "{}", addresses.len());
        }
        assert_eq!(passed, 1_000);
        // It had used up half of its burst, and that was not forgotten.
        let left = (0..5_000).filter(|_| addresses.takes(real, 0)).count();
        assert_eq!(left as u32, ADDRESS_BURST - 1_000);
    }

    #[test]
    fn one_network_of_ipv6_is_one_address_and_so_is_ipv4_within_it() {
        let mut addresses = Addresses::default();
        let of = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 1, 2, 3, last));
        let passed = (0..3_000).filter(|last| addresses.takes(of(*last), 0)).count();
        assert_eq!((passed as u32, addresses.len()), (ADDRESS_BURST, 1));
        let v4 = Ipv4Addr::new(192, 0, 2, 1);
        assert!(addresses.takes(IpAddr::V4(v4), 0) && addresses.takes(IpAddr::V6(v4.to_ipv6_mapped()), 0));
        assert_eq!(addresses.len(), 2);
    }
}

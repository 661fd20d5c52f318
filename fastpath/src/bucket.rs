//! How much is listened to: buckets of tokens. Of an address, before anybody has proved anything, in tables
//! that nobody can make grow; of a sender that has proved who it is.
//!
//! An address from which something was believed has a bucket of its own, so that no neighbour uses it up. All
//! others are strangers: those of one network have one bucket together, and of all strangers together no more
//! signatures are checked than a few thousand, because networks cost nothing to make up.

use crate::limits::{
    ADDRESS_BURST, ADDRESS_PER_SECOND, BELIEVED_MAX, NETWORK_BITS, NETWORKS_MAX, SENDER_BURST,
    SENDER_PER_SECOND, STRANGERS_BURST, STRANGERS_PER_SECOND,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// Who sends, as far as its address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Something was believed that came from there.
    Believed,
    /// Nothing was, or too long ago.
    Stranger,
}

/// The buckets of addresses. Strangers' networks are in two tables, of which the older is thrown away when
/// the younger is full: who speaks is in the younger, and whoever makes up addresses pushes nobody out who
/// speaks but for a moment, after which all of its burst is there.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Those that were believed, and when they spoke last. Only what is signed adds one.
    believed: HashMap<IpAddr, (Bucket, i64)>,
    young: HashMap<IpAddr, Bucket>,
    old: HashMap<IpAddr, Bucket>,
    /// Signatures that are checked for strangers; none before the first.
    checks: Option<Bucket>,
}

impl Addresses {
    /// Takes a token of an address, or of its network where it is a stranger's; none where there is none.
    pub fn takes(&mut self, address: IpAddr, now_ms: i64) -> Option<Whose> {
        let address = address.to_canonical();
        if let Some((bucket, last_ms)) = self.believed.get_mut(&address) {
            *last_ms = now_ms;
            return bucket.takes(ADDRESS_BURST, ADDRESS_PER_SECOND, now_ms).then_some(Whose::Believed);
        }
        let network = network_of(address);
        if !self.young.contains_key(&network) {
            let bucket = self.old.remove(&network).unwrap_or_else(|| Bucket::full(ADDRESS_BURST, now_ms));
            if self.young.len() >= NETWORKS_MAX / 2 {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(network, bucket);
        }
        let bucket = self.young.get_mut(&network)?;
        bucket.takes(ADDRESS_BURST, ADDRESS_PER_SECOND, now_ms).then_some(Whose::Stranger)
    }

    /// Takes a token of the signatures that are checked for strangers; false where there is none.
    pub fn may_check(&mut self, whose: Whose, now_ms: i64) -> bool {
        if whose == Whose::Believed {
            return true;
        }
        let checks = self.checks.get_or_insert_with(|| Bucket::full(STRANGERS_BURST, now_ms));
        checks.takes(STRANGERS_BURST, STRANGERS_PER_SECOND, now_ms)
    }

    /// Notes that something was believed that came from there: it is no stranger from now on.
    pub fn believe(&mut self, address: IpAddr, now_ms: i64) {
        let address = address.to_canonical();
        if self.believed.contains_key(&address) {
            return;
        }
        if self.believed.len() >= BELIEVED_MAX {
            let silent = self.believed.iter().min_by_key(|(_, (_, last_ms))| *last_ms);
            if let Some(address) = silent.map(|(address, _)| *address) {
                self.believed.remove(&address);
            }
        }
        self.believed.insert(address, (Bucket::full(ADDRESS_BURST, now_ms), now_ms));
    }

    /// Number of addresses and networks that are counted.
    pub fn len(&self) -> usize {
        self.believed.len() + self.young.len() + self.old.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    let (v4_bits, v6_bits) = NETWORK_BITS;
    match address {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (u32::BITS - v4_bits))))
        }
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (u128::BITS - v6_bits))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_hundred_at_once_a_sender_has_a_hundred_let_through_and_fifty_a_second_later() {
        let mut bucket = Bucket::of_sender(0);
        let mut pass = |now_ms: i64| (0..200).filter(|_| bucket.takes_of_sender(now_ms)).count();
        assert_eq!((pass(0), pass(1_000), pass(500), pass(1_500)), (100, 50, 0, 50));
    }

    fn v4(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }

    #[test]
    fn made_up_networks_do_not_make_the_table_grow_and_push_nobody_out_who_speaks() {
        let mut addresses = Addresses::default();
        let real = v4(0x0a00_0001);
        let mut passed = 0;
        for number in 0..100_000u32 {
            assert_eq!(addresses.takes(v4(0xc000_0000 | (number << 8)), 0), Some(Whose::Stranger));
            if number % 100 == 0 {
                passed += u32::from(addresses.takes(real, 0).is_some());
            }
            assert!(addresses.len() <= NETWORKS_MAX + 1, "{}", addresses.len());
        }
        assert_eq!(passed, 1_000);
        // It had used up half of its burst, and that was not forgotten.
        let left = (0..5_000).filter(|_| addresses.takes(real, 0).is_some()).count();
        assert_eq!(left as u32, ADDRESS_BURST - 1_000);
    }

    #[test]
    fn strangers_of_one_network_have_one_bucket_together_whichever_of_its_addresses_they_use() {
        let mut addresses = Addresses::default();
        let of_v6 = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 1, 2, 3, last));
        let passed = (0..3_000).filter(|last| addresses.takes(of_v6(*last), 0).is_some()).count();
        assert_eq!((passed as u32, addresses.len()), (ADDRESS_BURST, 1));
        let of_v4 = |number: u32| v4(0xc000_0200 | (number % 256));
        let passed = (0..3_000).filter(|number| addresses.takes(of_v4(*number), 0).is_some()).count();
        assert_eq!((passed as u32, addresses.len()), (ADDRESS_BURST, 2));
        let within = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_eq!(addresses.takes(within, 0), None, "IPv4 within IPv6 is the same");
        let beside = [v4(0xc000_0300), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 1, 2, 3, 4))];
        assert_eq!(beside.map(|address| addresses.takes(address, 0)), [Some(Whose::Stranger); 2]);
    }

    #[test]
    fn who_was_believed_has_a_bucket_of_its_own_that_no_neighbour_uses_up() {
        for (here, neighbour) in [
            (v4(0x0a00_0001), v4(0x0a00_0002)),
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()),
        ] {
            let mut addresses = Addresses::default();
            addresses.believe(here, 0);
            let passed = (0..3_000).filter(|_| addresses.takes(neighbour, 0).is_some()).count();
            assert_eq!(passed as u32, ADDRESS_BURST);
            let own: Vec<_> = (0..=ADDRESS_BURST).map(|_| addresses.takes(here, 0)).collect();
            assert_eq!((own[0], own[own.len() - 1]), (Some(Whose::Believed), None), "{here}");
            assert_eq!(own.iter().flatten().count() as u32, ADDRESS_BURST);
            addresses.believe(here, 0);
            assert_eq!(addresses.takes(here, 0), None, "to be believed again fills nothing");
        }
    }

    #[test]
    fn no_more_addresses_are_believed_than_may_be_and_the_one_that_is_silent_longest_goes() {
        let mut addresses = Addresses::default();
        let count = BELIEVED_MAX as u32;
        (0..count).for_each(|number| addresses.believe(v4(number), i64::from(number)));
        assert_eq!(addresses.takes(v4(0), 1_000_000), Some(Whose::Believed));
        addresses.believe(v4(count), 1_000_001);
        assert_eq!(addresses.len(), BELIEVED_MAX);
        let whose = [0, 1, 2, count].map(|number| addresses.takes(v4(number), 1_000_002));
        let (believed, stranger) = (Some(Whose::Believed), Some(Whose::Stranger));
        assert_eq!(whose, [believed, stranger, believed, believed]);
    }

    #[test]
    fn of_all_strangers_together_no_more_signatures_are_checked_than_may_be() {
        let mut addresses = Addresses::default();
        let mut checks =
            |whose, now_ms| (0..5_000).filter(|_| addresses.may_check(whose, now_ms)).count() as u32;
        assert_eq!(checks(Whose::Stranger, 0), STRANGERS_BURST);
        assert_eq!(checks(Whose::Believed, 0), 5_000);
        assert_eq!(checks(Whose::Stranger, 500), STRANGERS_PER_SECOND / 2);
    }
}

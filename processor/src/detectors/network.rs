//! `network`: accounts that do the same come from the same network.
//!
//! *Evidence*: accounts alike (see `kin`) share an address or a subnet, and are no small minority there; a
//! carrier's address has many users and few that are alike, a platform's has applications that are. *Missing*
//! while the cluster stage has said nothing of a network. *Cost*: at most twenty-four words. *Evasion*:
//! residential proxies. *Price*: dollars a gigabyte. *Source*: SynchroTrap.

use super::kin::{is_application, strongest};
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};
use weir_schemas::LinkKind;

detector_settings! {}

/// See [`crate::detectors::network`].
pub struct Network;

/// Alike accounts in thousandths, and what their common network says.
const ALIKE: [(i64, Millinats); 3] = [(400, 0), (1_000, 1_500), (6_000, 2_500)];

impl Detector for Network {
    const NAME: &'static str = "network";
    const CLAIM: &'static str = "Accounts that do the same come from the same network.";
    const FAMILY: Family = Family::Network;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["address"]], uses: &[] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let hosted = if is_application(account) { 250 } else { 1_000 };
        strongest(
            account,
            &[LinkKind::Address, LinkKind::Subnet],
            (notes, "alike_accounts_of_the_network"),
            |word, permille| {
                i64::from(line(&ALIKE, word.alike_milli.into())) * permille / 1_000 * hosted / 1_000
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster};
    use expect_test::expect;
    use weir_schemas::Cluster;

    fn program() -> Traffic {
        Traffic::every_ms(2_000, 400, |_, _| ())
    }

    #[test]
    fn accounts_that_do_the_same_and_share_it_speak_against_each_other() {
        check::<Network>(
            program().told(vec![cluster(LinkKind::Subnet, "one", 2)]),
            expect!["1.5 nats; alike_accounts_of_the_network 1.000"],
        );
        check::<Network>(
            program().told(vec![cluster(LinkKind::Subnet, "one", 9)]),
            expect!["2.5 nats; alike_accounts_of_the_network 8.000"],
        );
    }

    #[test]
    fn a_small_minority_of_many_that_share_it_says_nothing() {
        let word = Cluster { share_permille: 60, ..cluster(LinkKind::Subnet, "popular", 5) };
        check::<Network>(
            program().told(vec![word]),
            expect!["0.0 nats; alike_accounts_of_the_network 4.000"],
        );
    }

    #[test]
    fn one_declared_owner_explains_it() {
        let word = Cluster { same_org_permille: 1_000, ..cluster(LinkKind::Subnet, "company", 20) };
        check::<Network>(
            program().told(vec![word]),
            expect!["0.0 nats; alike_accounts_of_the_network 19.000"],
        );
    }

    #[test]
    fn another_kind_of_value_is_not_looked_at() {
        check::<Network>(program().told(vec![cluster(LinkKind::Program, "client", 5)]), expect!["missing"]);
    }
}

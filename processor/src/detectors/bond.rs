//! `bond`: accounts that do the same are paid for by the same means.
//!
//! *Evidence*: accounts alike (see `kin`) share a payment method without one declared owner; more so when
//! they declare different organisations. *Missing* while the cluster stage has said nothing of a payment
//! method. *Cost*: at most twenty-four words. *Evasion*: a payment method of its own for each account.
//! *Price*: that many cards. *Source*: Glasswally's `hydra` by idea.

use super::kin::strongest;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};
use weir_schemas::LinkKind;

detector_settings! {}

/// See [`crate::detectors::bond`].
pub struct Bond;

/// Alike accounts in thousandths, and what their common payment says.
const ALIKE: [(i64, Millinats); 3] = [(400, 0), (1_000, 3_000), (4_000, 4_000)];

/// What it adds that they declare different organisations.
const CONTRADICTION: Millinats = 1_000;

impl Detector for Bond {
    const NAME: &'static str = "bond";
    const CLAIM: &'static str = "Accounts that do the same are paid for by the same means.";
    const FAMILY: Family = Family::Payment;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["payment"]], uses: &[&["org"]] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        strongest(
            account,
            &[LinkKind::Payment],
            (notes, "alike_accounts_of_the_payment_method"),
            |word, permille| {
                let contradiction = if word.contradicts_itself() { CONTRADICTION } else { 0 };
                i64::from(line(&ALIKE, word.alike_milli.into()) + contradiction) * permille / 1_000
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
        check::<Bond>(
            program().told(vec![cluster(LinkKind::Payment, "one", 2)]),
            expect!["3.0 nats; alike_accounts_of_the_payment_method 1.000"],
        );
        check::<Bond>(
            program().told(vec![cluster(LinkKind::Payment, "one", 9)]),
            expect!["4.0 nats; alike_accounts_of_the_payment_method 8.000"],
        );
    }

    #[test]
    fn different_organisations_that_pay_together_say_more() {
        let word = Cluster { other_org_permille: 1_000, ..cluster(LinkKind::Payment, "card", 5) };
        check::<Bond>(
            program().told(vec![word]),
            expect!["5.0 nats; alike_accounts_of_the_payment_method 4.000"],
        );
    }

    #[test]
    fn a_small_minority_of_many_that_share_it_says_nothing() {
        let word = Cluster { share_permille: 60, ..cluster(LinkKind::Payment, "popular", 5) };
        check::<Bond>(
            program().told(vec![word]),
            expect!["0.0 nats; alike_accounts_of_the_payment_method 4.000"],
        );
    }

    #[test]
    fn one_declared_owner_explains_it() {
        let word = Cluster { same_org_permille: 1_000, ..cluster(LinkKind::Payment, "company", 20) };
        check::<Bond>(
            program().told(vec![word]),
            expect!["0.0 nats; alike_accounts_of_the_payment_method 19.000"],
        );
    }

    #[test]
    fn another_kind_of_value_is_not_looked_at() {
        check::<Bond>(program().told(vec![cluster(LinkKind::Program, "client", 5)]), expect!["missing"]);
    }
}

//! `kin`: others that share a value with the account do what it does, far beyond chance.
//!
//! *Evidence*: the cluster stage's words: how many others are like the account, card against card, and how
//! many would be by chance. The account is measured by its own card, so what its neighbours do is never held against
//! it: who is unlike them is no kin. One declared owner explains it. People are alike by nature, and one
//! benchmark is run by many strangers in one afternoon: of those only a little counts. *Missing* while the cluster stage has said
//! nothing. *Cost*: at most eight words. *Evasion*: pace, length, novelty, hours and limits of each
//! account drawn apart. *Price*: accounts spread over a factor of ten in volume, most of them below what they could
//! take. *Source*: CatchSync, BotSniffer, SynchroTrap; validated networks for counting against chance.

use super::rhythm;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Settings as _};
use crate::nats::{Millinats, ONE};
use crate::words::Word;
use weir_schemas::LinkKind;

detector_settings! {
    /// The most for an account whose rhythm is a person's, and for a likeness by what anybody can share while the
    /// rhythm is no machine's.
    person_nats_max: f64 = 0 ..= 20,
}

/// See [`crate::detectors::kin`].
pub struct Kin;

/// What the rhythm must say for a likeness by what anybody can share to count in full.
const MACHINE: Millinats = 1_000;

/// Whether anybody can share a value with strangers: a client, its settings, a text from a public page.
fn is_public(kind: LinkKind) -> bool {
    !matches!(kind, LinkKind::Payment | LinkKind::Org | LinkKind::Subnet | LinkKind::Address)
}

/// Whether the rhythm leaves no doubt that a machine is at work.
pub(super) fn is_machine(account: &AccountView<'_>) -> bool {
    rhythm::reading(account).is_some_and(|said| said >= MACHINE)
}

/// How much of a word's evidence is left: by who answers for the alike, and by how much there is to judge by.
pub(super) fn weighed(word: &Word, account: &AccountView<'_>, nats: Millinats) -> Millinats {
    if word.is_owned() {
        return 0;
    }
    let customers = if word.are_customers() { 300 } else { 1_000 };
    (i64::from(nats) * account.maturity_permille() / 1_000 * customers / 1_000) as Millinats
}

/// What the strongest of these words says, by `nats` of a word and how much of it is left in thousandths. Each is noted
/// by how many are alike.
pub(super) fn strongest(
    account: &AccountView<'_>,
    kinds: &[LinkKind],
    (notes, note): (&mut Notes, &'static str),
    nats: impl Fn(&Word, i64) -> i64,
) -> Option<Millinats> {
    let mut most = None;
    for (word, permille) in bond(account, kinds) {
        notes.milli(note, word.alike_milli.into());
        most = most.max(Some(weighed(word, account, nats(word, permille) as Millinats)));
    }
    most
}

impl Detector for Kin {
    const NAME: &'static str = "kin";
    const CLAIM: &'static str = "Others that share something with it do exactly what it does.";
    const FAMILY: Family = Family::Kin;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs {
        needs: &[&["payment", "address", "preamble", "prompt"]],
        uses: &[&["payment"], &["address"], &["preamble"], &["prompt"], &["org"]],
    };
    type State = ();
    type Settings = Settings;

    fn judge(
        (): &(),
        account: &AccountView<'_>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Millinats> {
        let rhythm = rhythm::reading(account).unwrap_or(0);
        let person_most = crate::policy::milli(settings.person_nats_max);
        let (mut most, mut said) = (None, 0);
        for word in account.profile.words.at(account.now_ms) {
            let may_be_person = rhythm <= rhythm::PERSON || is_public(word.kind()) && rhythm < MACHINE;
            let cap = if may_be_person { settings.most().min(person_most) } else { settings.most() };
            let nats = weighed(word, account, word.alike_millinats().min(cap));
            if most.is_none() || nats > said {
                (most, said) = (Some(word), nats);
            }
        }
        let word = most?;
        notes.note("alike_by", word.kind());
        notes.milli("alike_accounts", word.alike_milli.into());
        notes.note("sharing_accounts", word.members);
        Some(said)
    }
}

/// A word that is evidence of its own besides the likeness: more than half of an account is alike, and the alike are
/// no small minority of those who share the value.
pub(super) fn bond<'a>(
    account: &AccountView<'a>,
    kinds: &'a [LinkKind],
) -> impl Iterator<Item = (&'a Word, i64)> + use<'a> {
    let words = account.profile.words.at(account.now_ms);
    words.filter(|word| kinds.contains(&word.kind()) && word.alike_milli >= 500).map(|word| {
        let share = i64::from(word.share_permille);
        let told = (share - 100).clamp(0, 300) * 1_000 / 300;
        let surprise = (ONE as i64).min(i64::from(word.alike_millinats()) * ONE as i64 / 3_000);
        (word, told * surprise / ONE as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster};
    use expect_test::expect;
    use weir_schemas::Cluster;

    /// A program that ran for a quarter of an hour.
    fn program() -> Traffic {
        Traffic::every_ms(2_000, 400, |_, _| ())
    }

    #[test]
    fn others_that_do_the_same_speak_against_an_account() {
        check::<Kin>(
            program().told(vec![cluster(LinkKind::Subnet, "net", 3)]),
            expect!["7.0 nats; alike_by SUBNET; alike_accounts 2.000; sharing_accounts 3"],
        );
    }

    #[test]
    fn one_declared_owner_explains_it_and_so_in_part_do_many_customers() {
        let owned = Cluster { same_org_permille: 1_000, ..cluster(LinkKind::Subnet, "net", 30) };
        check::<Kin>(
            program().told(vec![owned.clone()]),
            expect!["0.0 nats; alike_by SUBNET; alike_accounts 29.000; sharing_accounts 30"],
        );
        let customers = Cluster {
            same_org_permille: 0,
            other_org_permille: 1_000,
            other_payment_permille: 1_000,
            ..owned
        };
        check::<Kin>(
            program().told(vec![customers]),
            expect!["2.1 nats; alike_by SUBNET; alike_accounts 29.000; sharing_accounts 30"],
        );
    }

    #[test]
    fn a_benchmark_that_strangers_run_counts_little() {
        check::<Kin>(
            program().told(vec![cluster(LinkKind::Program, "harness", 12)]),
            expect!["3.0 nats; alike_by PROGRAM; alike_accounts 11.000; sharing_accounts 12"],
        );
    }

    #[test]
    fn a_class_that_hands_in_its_homework_counts_little() {
        let paces = [40_000, 150_000, 90_000, 20_000, 200_000];
        let homework = Traffic::uneven_ms(&paces, 14, |_, _| ());
        check::<Kin>(
            homework.told(vec![cluster(LinkKind::Subnet, "school", 30)]),
            expect!["1.0 nats; alike_by SUBNET; alike_accounts 29.000; sharing_accounts 30"],
        );
    }

    #[test]
    fn while_nothing_was_said_it_is_missing() {
        check::<Kin>(program(), expect!["missing"]);
    }
}

//! `payer`: one owner, whom no organisation answers for, has several accounts that harvest.
//!
//! *Evidence*: of the accounts without a declared organisation that one means of payment pays for, how many
//! take long answers to ever new texts (see `harvest`), as this one does, however differently they go about
//! it; and their share. A family, an agency or a class that shares a card does many things; who buys accounts
//! to take one model's answers home does one. The same of a declared organisation of which hardly any two
//! accounts pay by the same means: a customer has one invoice, and such an organisation answers for nobody.
//! *Missing* while the cluster stage has said nothing of an owner, and where an organisation is declared that
//! is not so divided. *Cost*: one link more a round (two for an account with an organisation), a word (two
//! after another card), and a value for each card and each organisation. *Evasion*: a card for each two
//! accounts, without an organisation, or with a system prompt or a person's hours; as many accounts that do
//! not harvest on the same card; or an organisation declared for each. *Price*: that many cards, on names of
//! their own, or the operator's verification. *Source*: disclosures of 2026-02 (accounts by the hundred on
//! few means of payment); `detection.md`, "one declared owner is judged as one account".

use super::{harvest, rhythm};
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, left_of, line};
use crate::words::Word;

detector_settings! {}

/// See [`crate::detectors::payer`].
pub struct Payer;

/// Other accounts of the owner that harvest, in thousandths, and what they say: one may be the same
/// customer's second key.
const OTHERS: [(i64, Millinats); 5] =
    [(500, 0), (1_000, 400), (2_000, 5_000), (4_000, 6_000), (8_000, 7_000)];

/// Their share of the owner's other accounts, in thousandths, and how much of it is left.
const SHARE: [(i64, Millinats); 2] = [(400, 0), (700, 1_000)];

/// Accounts that pay by it, and how much of it is left: what hundreds pay by is an invoice or a voucher, and
/// nobody's card.
const POPULAR: [(i64, Millinats); 2] = [(64, 1_000), (128, 0)];

/// Age in minutes, and how much of it is left: a team that works one evening has one card and one task.
const AGE: [(i64, Millinats); 2] = [(180, 0), (480, 1_000)];

/// Whether what a divided organisation's accounts ask says nothing of this one: a team's members, and their
/// coding agents, may take long answers to ever new texts, and each have put a card of their own.
fn is_of_team(word: &Word, account: &AccountView<'_>) -> bool {
    let is_agent = account.profile.behaviour.preamble.value() != 0;
    word.is_divided() && (is_agent || rhythm::is_person(account))
}

/// What a word says to an account.
fn says(word: &Word, account: &AccountView<'_>) -> Millinats {
    if is_of_team(word, account) {
        return 0;
    }
    // Who works one evening under one organisation has one card, not each his own.
    let by_age = if word.is_divided() { 1_000 } else { line(&AGE, account.age_ms / 60_000) };
    let left_permille = [
        line(&SHARE, word.share_permille.into()),
        line(&POPULAR, word.members.into()),
        by_age,
        account.maturity_permille() as i32,
    ];
    left_of(line(&OTHERS, word.alike_milli.into()).into(), left_permille)
}

impl Detector for Payer {
    const NAME: &'static str = "payer";
    const CLAIM: &'static str =
        "Several accounts of one owner harvest, and no organisation answers for them.";
    const FAMILY: Family = Family::Payment;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs =
        Inputs { needs: &[&["payment"], &["prompt"]], uses: &[&["org"], &["max_tokens"], &["preamble"]] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        // A declared organisation answers, unless nearly each of its accounts pays by means of its own.
        let has_org = account.profile.behaviour.org.value() != 0;
        let words = account.profile.words.at(account.now_ms);
        let words = words.filter(|word| word.is_of_owner() && word.is_divided() == has_org);
        let (said, word) = words.map(|word| (says(word, account), word)).max_by_key(|(said, _)| *said)?;
        if !harvest::is_told(account) {
            return Some(0);
        }
        notes.milli("accounts_of_the_owner_that_harvest", word.alike_milli.into());
        notes.note("accounts_of_the_owner", word.members);
        Some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster, hash, prompt};
    use expect_test::expect;
    use weir_schemas::{Cluster, LinkKind};

    /// Long answers to ever new texts, every five minutes of a day.
    fn harvest(limit: i64, count: usize) -> Traffic {
        Traffic::every_ms(300_000, count, move |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
            request.max_tokens = Some(limit);
        })
    }

    #[test]
    fn several_accounts_of_one_means_that_harvest_speak_against_each_other() {
        check::<Payer>(
            harvest(4_096, 288).told(vec![cluster(LinkKind::Org, "card", 2)]),
            expect!["0.4 nats; accounts_of_the_owner_that_harvest 1.000; accounts_of_the_owner 2"],
        );
        check::<Payer>(
            harvest(4_096, 288).told(vec![cluster(LinkKind::Org, "card", 3)]),
            expect!["5.0 nats; accounts_of_the_owner_that_harvest 2.000; accounts_of_the_owner 3"],
        );
        check::<Payer>(
            harvest(4_096, 288).told(vec![cluster(LinkKind::Org, "card", 20)]),
            expect!["7.0 nats; accounts_of_the_owner_that_harvest 19.000; accounts_of_the_owner 20"],
        );
    }

    /// The same under a declared organisation.
    fn declared(preamble: Option<&'static str>) -> Traffic {
        Traffic::every_ms(300_000, 288, move |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
            request.max_tokens = Some(4_096);
            request.org = Some(hash("org"));
            request.preamble = preamble.map(hash);
        })
    }

    #[test]
    fn an_organisation_answers_unless_each_of_its_accounts_pays_by_means_of_its_own() {
        let whole = cluster(LinkKind::Org, "org", 20);
        check::<Payer>(declared(None).told(vec![whole.clone()]), expect!["missing"]);
        let divided = Cluster { other_payment_permille: 1_000, ..whole };
        check::<Payer>(
            declared(None).told(vec![divided.clone()]),
            expect!["7.0 nats; accounts_of_the_owner_that_harvest 19.000; accounts_of_the_owner 20"],
        );
        check::<Payer>(
            declared(Some("you are a coding agent")).told(vec![divided]),
            expect!["0.0 nats; accounts_of_the_owner_that_harvest 19.000; accounts_of_the_owner 20"],
        );
    }

    #[test]
    fn a_few_of_an_agency_that_harvest_say_nothing() {
        let few = Cluster {
            compared: 19,
            alike_milli: 4_000,
            share_permille: 200,
            ..cluster(LinkKind::Org, "card", 20)
        };
        check::<Payer>(
            harvest(4_096, 288).told(vec![few]),
            expect!["0.0 nats; accounts_of_the_owner_that_harvest 4.000; accounts_of_the_owner 20"],
        );
    }

    #[test]
    fn who_does_not_harvest_has_no_part_in_it() {
        check::<Payer>(harvest(256, 288).told(vec![cluster(LinkKind::Org, "card", 9)]), expect!["0.0 nats"]);
    }

    #[test]
    fn a_team_that_works_one_evening_says_little() {
        let evening = Traffic::uneven_ms(&[40_000, 150_000, 90_000, 400_000], 100, |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
            request.max_tokens = Some(4_096);
        });
        check::<Payer>(
            evening.told(vec![cluster(LinkKind::Org, "card", 5)]),
            expect!["1.9 nats; accounts_of_the_owner_that_harvest 4.000; accounts_of_the_owner 5"],
        );
    }

    #[test]
    fn what_hundreds_pay_by_is_nobodys_card_and_the_word_that_says_most_counts() {
        let invoice = Cluster { compared: 63, alike_milli: 60_000, ..cluster(LinkKind::Org, "invoice", 400) };
        check::<Payer>(
            harvest(4_096, 288).told(vec![invoice.clone()]),
            expect!["0.0 nats; accounts_of_the_owner_that_harvest 60.000; accounts_of_the_owner 400"],
        );
        let both = vec![cluster(LinkKind::Org, "card", 5), invoice];
        check::<Payer>(
            harvest(4_096, 288).told(both),
            expect!["6.0 nats; accounts_of_the_owner_that_harvest 4.000; accounts_of_the_owner 5"],
        );
    }

    #[test]
    fn where_an_organisation_is_declared_it_is_missing() {
        let declared = Traffic::every_ms(300_000, 288, |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
            request.max_tokens = Some(4_096);
            request.org = Some(hash("org"));
        });
        check::<Payer>(declared.told(vec![cluster(LinkKind::Org, "card", 9)]), expect!["missing"]);
    }

    #[test]
    fn while_nothing_was_said_of_an_owner_it_is_missing() {
        check::<Payer>(harvest(4_096, 288), expect!["missing"]);
        check::<Payer>(
            harvest(4_096, 288).told(vec![cluster(LinkKind::Payment, "card", 9)]),
            expect!["missing"],
        );
    }
}

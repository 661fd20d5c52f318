//! `disguise`: others say that they are browsers, and are the same library.
//!
//! *Evidence*: of the accounts that mostly come with a browser's name over one library's transport, as this
//! one does (see `contradiction`), how many pay by other means, without an organisation of their own. A
//! company's inspecting proxy stands before an organisation, and what looks for viruses before persons: who
//! may be one is left alone. Who passes on its users' names pays for all of them. *Missing* for whom nobody
//! lies alike. *Cost*: one link more a round for an account that lies, and one word. *Evasion*: an honest
//! user agent, or a client of its own for each account; one means of payment; without an organisation, a
//! person's hours. *Price*: a browser to drive, for each account; nothing for a user agent that says what the
//! client is, which then is a program like others. Framing: who lies with the library of an honest customer
//! that lies adds to what is said of it, but not of one with a week of history, and of nobody who tells the
//! truth. *Source*: FP-Inconsistent; JA4 as what bots have in common (FoxIO).

use super::kin::MACHINE;
use super::rhythm;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, left_of, line};
use crate::words::Word;

detector_settings! {}

/// See [`crate::detectors::disguise`].
pub struct Disguise;

/// Others that lie alike, in thousandths, and what they say: two may be of one tool.
const OTHERS: [(i64, Millinats); 4] = [(2_000, 0), (3_000, 1_500), (6_000, 4_000), (12_000, 6_000)];

/// Accounts that lie alike, and how much of it is left: what hundreds come with is a tool that anybody has.
const POPULAR: [(i64, Millinats); 2] = [(64, 1_000), (256, 0)];

/// What a word says.
fn says(word: &Word) -> Millinats {
    left_of(line(&OTHERS, word.apart_milli().into()).into(), [line(&POPULAR, word.members.into())])
}

/// Whether it may be a person whose TLS a proxy opens, or what looks for viruses: no organisation answers for
/// it, and nothing shows that a machine is at work.
fn may_be_person(account: &AccountView<'_>) -> bool {
    let is_machine = rhythm::reading(account).is_some_and(|said| said >= MACHINE) || account.is_even();
    account.profile.behaviour.org.value() == 0 && !is_machine
}

impl Detector for Disguise {
    const NAME: &'static str = "disguise";
    const CLAIM: &'static str = "Others say that they are browsers too, and are the same library.";
    const FAMILY: Family = Family::Client;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs =
        Inputs { needs: &[&["user_agent"], &["ja4", "h2"]], uses: &[&["payment"], &["org"]] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let words = account.profile.words.at(account.now_ms);
        let word = words.filter(|word| word.is_of_disguise()).max_by_key(|word| says(word))?;
        notes.milli("others_in_the_same_disguise", word.apart_milli().into());
        notes.note("accounts_in_the_same_disguise", word.members);
        Some(if may_be_person(account) { 0 } else { says(word) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster, hash};
    use expect_test::expect;
    use weir_schemas::{Cluster, LinkKind};

    fn apart(members: i32) -> Cluster {
        Cluster { other_payment_permille: 1_000, ..cluster(LinkKind::Tls, "library", members) }
    }

    fn program() -> Traffic {
        Traffic::every_ms(60_000, 400, |_, _| ())
    }

    /// Sittings of a person.
    fn person(org: Option<&'static str>) -> Traffic {
        let paces = [20_000, 40_000, 90_000, 5 * 3_600_000];
        Traffic::uneven_ms(&paces, 40, move |request, _| request.org = org.map(hash))
    }

    #[test]
    fn a_score_that_lie_alike_and_pay_apart_speak_against_a_program_and_hundreds_have_a_tool() {
        check::<Disguise>(
            program().told(vec![apart(3)]),
            expect!["0.0 nats; others_in_the_same_disguise 2.000; accounts_in_the_same_disguise 3"],
        );
        check::<Disguise>(
            program().told(vec![apart(5)]),
            expect!["2.3 nats; others_in_the_same_disguise 4.000; accounts_in_the_same_disguise 5"],
        );
        check::<Disguise>(
            program().told(vec![apart(40)]),
            expect!["6.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
    }

    #[test]
    fn those_whom_one_pays_for_are_its_users_and_those_of_organisations_answer_for_themselves() {
        let users = Cluster { other_payment_permille: 0, ..apart(40) };
        check::<Disguise>(
            program().told(vec![users]),
            expect!["0.0 nats; others_in_the_same_disguise 0.000; accounts_in_the_same_disguise 40"],
        );
        let companies = Cluster { other_org_permille: 1_000, ..apart(40) };
        check::<Disguise>(
            program().told(vec![companies]),
            expect!["0.0 nats; others_in_the_same_disguise 0.000; accounts_in_the_same_disguise 40"],
        );
    }

    #[test]
    fn who_may_be_a_person_is_left_alone_unless_an_organisation_answers_for_it() {
        check::<Disguise>(
            person(None).told(vec![apart(40)]),
            expect!["0.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
        check::<Disguise>(
            person(Some("org")).told(vec![apart(40)]),
            expect!["6.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
        let newcomer = Traffic::uneven_ms(&[20_000, 40_000, 90_000], 20, |_, _| ());
        check::<Disguise>(
            newcomer.told(vec![apart(40)]),
            expect!["0.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
    }

    #[test]
    fn what_else_is_shared_is_no_disguise() {
        check::<Disguise>(program().told(vec![cluster(LinkKind::Program, "client", 40)]), expect!["missing"]);
    }
}

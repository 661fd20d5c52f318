//! `opening`: others begin their prompts in the same words, never with the same text, and do it alike.
//!
//! *Evidence*: of the accounts whose prompts begin in the same words, how many are like the account, card
//! against card, against how many are not. Of strangers who say the same one in eight is. Who asks for the
//! same *texts* counts as unlike, and one declared owner explains it. It says less while nothing besides
//! content links the accounts, because who wants a customer suspected can copy both. *Missing* while the
//! cluster stage has said nothing of an opening. *Cost*: a list of sixteen hashes, four links a round.
//! *Evasion*: a stock of words of its own for each account. *Price*: a paraphraser's tokens. *Source*:
//! MinHash grouping of near texts; CatchSync.

use super::theme::{Enough, counted};
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};
use crate::words::Word;
use weir_schemas::LinkKind;

detector_settings! {}

/// What the count of those alike comes to, as counted on the worlds for development of docs/detection.md.
const CALIBRATED: [(i64, Millinats); 5] =
    [(300, 0), (1_000, 2_500), (2_000, 5_000), (3_000, 7_000), (4_000, 8_000)];

/// The most that it says while nothing besides what they ask links the accounts: how prompts begin and their
/// pace can be copied by anybody, and a person whose are copied is not to be spoken of for that.
const ALONE: Millinats = 6_000;

/// Who begins in the same words is known by few of them.
const ENOUGH: Enough = Enough { requests: 16, age_ms: 4 * 3_600_000, alike_milli: 6_000 };

/// See [`crate::detectors::opening`].
pub struct Opening;

/// The word on the opening of which those alike count most, and what they come to; none where the cluster
/// stage said nothing of an opening, or one declared owner explains it.
pub(super) fn most_alike<'a>(account: &AccountView<'a>) -> Option<(i64, &'a Word)> {
    let words = account.profile.words.at(account.now_ms);
    words
        .filter(|word| word.kind() == LinkKind::Opening && !word.is_owned())
        .map(|word| (counted(word, account, &ENOUGH), word))
        .max_by_key(|(counted, word)| (*counted, word.alike_milli))
}

impl Detector for Opening {
    const NAME: &'static str = "opening";
    const CLAIM: &'static str =
        "Others begin their prompts in the same words and do it alike, and never ask for the same text.";
    const FAMILY: Family = Family::Theme;
    const INPUTS: Inputs = Inputs { needs: &[&["prompt"]], uses: &[&["preamble"]] };
    const STATE_VERSION: u8 = 1;
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let (counted, word) = most_alike(account)?;
        notes.milli("alike_accounts_of_the_opening", word.alike_milli.into());
        notes.note("accounts_of_the_opening", word.compared());
        let is_linked = account.profile.words.is_linked_beyond_content(account.now_ms);
        Some(line(&CALIBRATED, counted).min(if is_linked { Millinats::MAX } else { ALONE }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster};
    use expect_test::expect;
    use weir_schemas::Cluster;

    /// A person's day of few questions.
    fn few() -> Traffic {
        Traffic::every_ms(1_800_000, 18, |_, _| ())
    }

    fn word(compared: i32, alike_milli: i32) -> Cluster {
        let word = cluster(LinkKind::Opening, "explain in full", compared + 1);
        Cluster { compared, alike_milli, chance_millinats: -2_000, ..word }
    }

    #[test]
    fn accounts_that_begin_in_the_same_words_and_do_the_same_speak_against_each_other() {
        check::<Opening>(
            few().told(vec![word(14, 8_000), cluster(LinkKind::Payment, "card", 4)]),
            expect!["6.5 nats; alike_accounts_of_the_opening 8.000; accounts_of_the_opening 14"],
        );
        check::<Opening>(
            few().told(vec![word(4, 3_200)]),
            expect!["0.0 nats; alike_accounts_of_the_opening 3.200; accounts_of_the_opening 4"],
        );
    }

    #[test]
    fn what_anybody_can_copy_says_less_alone() {
        check::<Opening>(
            few().told(vec![word(14, 8_000)]),
            expect!["6.0 nats; alike_accounts_of_the_opening 8.000; accounts_of_the_opening 14"],
        );
    }

    #[test]
    fn an_opening_that_many_have_who_are_not_alike_says_nothing() {
        check::<Opening>(
            few().told(vec![word(30, 9_000)]),
            expect!["0.0 nats; alike_accounts_of_the_opening 9.000; accounts_of_the_opening 30"],
        );
    }

    #[test]
    fn one_declared_owner_explains_it_and_so_in_part_do_many_customers() {
        let owned = Cluster { same_org_permille: 1_000, ..word(14, 8_000) };
        check::<Opening>(few().told(vec![owned]), expect!["missing"]);
        let customers =
            Cluster { other_org_permille: 1_000, other_payment_permille: 1_000, ..word(14, 8_000) };
        check::<Opening>(
            few().told(vec![customers]),
            expect!["1.9 nats; alike_accounts_of_the_opening 8.000; accounts_of_the_opening 14"],
        );
    }

    #[test]
    fn a_direction_of_what_is_asked_for_is_not_looked_at() {
        check::<Opening>(few().told(vec![cluster(LinkKind::Theme, "direction", 5)]), expect!["missing"]);
    }
}

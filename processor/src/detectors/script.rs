//! `script`: accounts that do the same say the same.
//!
//! *Evidence*: accounts alike (see `kin`) share a system prompt, a template or the words with which prompts
//! begin. Popular ones are shared by many that are not alike, and say nothing; one benchmark is run by many
//! strangers, so little of it counts unless a machine harvests. How prompts begin is another family's
//! evidence, and anybody can copy it: here it counts only where something besides content links the accounts.
//! *Missing* while the cluster stage has said nothing of a text. *Cost*: at most twenty-four words.
//! *Evasion*: other words for each account. *Price*: a paraphraser's tokens. *Source*: MinHash and SimHash
//! grouping of near texts.

use super::kin::{is_harvest, strongest};
use super::opening;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};
use weir_schemas::LinkKind;

detector_settings! {}

/// See [`crate::detectors::script`].
pub struct Script;

/// Alike accounts in thousandths, and what their common text says.
const ALIKE: [(i64, Millinats); 3] = [(400, 0), (1_000, 1_500), (5_000, 2_500)];

/// The count of those alike who begin in the same words, and what it says that they do.
const OPENINGS: [(i64, Millinats); 2] = [(1_000, 0), (3_000, 2_000)];

/// What openings in common say; none where the cluster stage said nothing of one, or nothing else links the
/// account: what one likeness says of an account is not to be two families' evidence.
fn by_openings(account: &AccountView<'_>, notes: &mut Notes) -> Option<Millinats> {
    if !account.profile.words.is_linked_beyond_content(account.now_ms) {
        return None;
    }
    let (counted, word) = opening::most_alike(account)?;
    notes.milli("alike_accounts_of_the_opening", word.alike_milli.into());
    Some(line(&OPENINGS, counted))
}

impl Detector for Script {
    const NAME: &'static str = "script";
    const CLAIM: &'static str = "Accounts that do the same say the same.";
    const FAMILY: Family = Family::Script;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs = Inputs { needs: &[&["preamble", "prompt"]], uses: &[&["preamble"], &["prompt"]] };
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let public = if is_harvest(account) { 1_000 } else { 250 };
        let by_texts = strongest(
            account,
            &[LinkKind::Preamble, LinkKind::Template],
            (notes, "alike_accounts_of_the_text"),
            |word, permille| {
                i64::from(line(&ALIKE, word.alike_milli.into())) * permille / 1_000 * public / 1_000
            },
        );
        by_texts.max(by_openings(account, notes))
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
        check::<Script>(
            program().told(vec![cluster(LinkKind::Template, "one", 2)]),
            expect!["0.4 nats; alike_accounts_of_the_text 1.000"],
        );
        check::<Script>(
            program().told(vec![cluster(LinkKind::Template, "one", 9)]),
            expect!["0.6 nats; alike_accounts_of_the_text 8.000"],
        );
    }

    #[test]
    fn a_small_minority_of_many_that_share_it_says_nothing() {
        let word = Cluster { share_permille: 60, ..cluster(LinkKind::Template, "popular", 5) };
        check::<Script>(program().told(vec![word]), expect!["0.0 nats; alike_accounts_of_the_text 4.000"]);
    }

    #[test]
    fn one_declared_owner_explains_it() {
        let word = Cluster { same_org_permille: 1_000, ..cluster(LinkKind::Template, "company", 20) };
        check::<Script>(program().told(vec![word]), expect!["0.0 nats; alike_accounts_of_the_text 19.000"]);
    }

    #[test]
    fn another_kind_of_value_is_not_looked_at() {
        check::<Script>(program().told(vec![cluster(LinkKind::Program, "client", 5)]), expect!["missing"]);
    }
}

//! `theme`: others ask for the same kind of thing, never for the same text, and do it alike.
//!
//! *Evidence*: of the accounts that ask in one direction (the mean of what their texts mean, in whatever
//! words and language), how many are like the account, card against card, whether their rhythms look like a
//! person's or a machine's, against how many are not. Of people who do one job one in eight is; those who ask
//! for the same *texts*, as a class with one homework does, count as unlike. One declared owner explains it.
//! *Missing* while the cluster stage has said nothing of a direction: before ten texts, and for applications,
//! which have a system prompt. *Cost*: 64 additions a text, six links a round. *Evasion*: as many honest
//! texts as stolen ones, of another theme for each account; or pace, length and volume of each account drawn
//! apart. *Price*: half of the budget; or a factor of ten in volume. *Source*: MMD and SEAT over groups
//! instead of clients; CatchSync; validated networks for lists that are divided.

use crate::detector::{AccountView, Detector, Family, Inputs, Notes};
use crate::nats::{Millinats, line};
use crate::words::Word;
use weir_schemas::LinkKind;

detector_settings! {}

/// What one account that is alike says, and one of the theme that is not: half of the accounts of one hand
/// are alike where they are held against each other (some have few requests, some were told long ago), and
/// one in eight of those who do one job.
const ALIKE: i64 = 1_300;
const UNLIKE: i64 = -800;
/// What it costs that the best of six cells, or of four openings, is chosen.
const CHOICE: i64 = 1_500;
/// The share of those compared that are alike, in thousandths, and the most that a count comes to: of one
/// trade more than one in eight may be alike, and in a large fleet a count makes that look sure. So what is
/// said grows with their share, however many they are.
const MOST_BY_SHARE: [(i64, Millinats); 2] = [(450, 0), (800, 8_000)];
/// What that comes to, as counted on the worlds for development of docs/detection.md: far fewer honest
/// accounts reach it than the count alone would have it.
const CALIBRATED: [(i64, Millinats); 5] =
    [(300, 0), (1_000, 2_000), (2_000, 4_500), (3_000, 7_000), (4_000, 8_000)];

/// See [`crate::detectors::theme`].
pub struct Theme;

impl Detector for Theme {
    const NAME: &'static str = "theme";
    const CLAIM: &'static str =
        "Others ask for the same kind of thing and do it alike, and never ask for the same text.";
    const FAMILY: Family = Family::Theme;
    const INPUTS: Inputs = Inputs { needs: &[&["prompt"]], uses: &[&["preamble"]] };
    const STATE_VERSION: u8 = 1;
    type State = ();
    type Settings = Settings;

    fn judge((): &(), account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        let words = account.profile.words.at(account.now_ms).filter(|word| word.kind() == LinkKind::Theme);
        let (nats, word) = words
            .filter(|word| !word.is_owned())
            .map(|word| (line(&CALIBRATED, counted(word, account, &ENOUGH)), word))
            .max_by_key(|(nats, word)| (*nats, word.alike_milli))?;
        notes.milli("alike_accounts_of_the_theme", word.alike_milli.into());
        notes.note("accounts_of_the_theme", word.compared());
        Some(nats)
    }
}

/// From when on a likeness counts in full.
pub(super) struct Enough {
    pub(super) requests: i64,
    /// A class, or a benchmark that strangers run, is over before.
    pub(super) age_ms: i64,
    /// Those alike: a few strangers of one job are so now and then.
    pub(super) alike_milli: i64,
}

/// A direction needs many texts to be known well.
const ENOUGH: Enough = Enough { requests: 64, age_ms: 12 * 3_600_000, alike_milli: 0 };

/// What a word of those who ask for one kind of thing comes to, by the count of those alike.
pub(super) fn counted(word: &Word, account: &AccountView<'_>, enough: &Enough) -> i64 {
    let asked = i64::from(account.profile.behaviour.requests).min(enough.requests);
    let ripe_permille = (account.age_ms.max(0) / (enough.age_ms / 1_000)).min(1_000);
    let alike = i64::from(word.alike_milli);
    let unlike = (i64::from(word.compared()) * 1_000 - alike).max(0);
    let lacking = (enough.alike_milli - alike).max(0);
    let share_permille = alike / i64::from(word.compared()).max(1);
    let most = i64::from(line(&MOST_BY_SHARE, share_permille));
    let said = ((alike * ALIKE + (unlike + lacking) * UNLIKE) / 1_000 - CHOICE).min(most);
    let said = said * asked / enough.requests * ripe_permille / 1_000;
    // Each of the alike is a customer of its own who is answered for.
    if word.are_customers() { said * 3 / 10 } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster};
    use expect_test::expect;
    use weir_schemas::Cluster;

    /// A program that asks every ten minutes of a day.
    fn program() -> Traffic {
        Traffic::every_ms(600_000, 144, |_, _| ())
    }

    fn word(compared: i32, alike_milli: i32) -> Cluster {
        let word = cluster(LinkKind::Theme, "direction", compared + 1);
        Cluster { compared, alike_milli, chance_millinats: -2_000, ..word }
    }

    #[test]
    fn accounts_that_do_the_same_for_one_theme_speak_against_each_other() {
        check::<Theme>(
            program().told(vec![word(13, 8_500)]),
            expect!["8.0 nats; alike_accounts_of_the_theme 8.500; accounts_of_the_theme 13"],
        );
    }

    #[test]
    fn people_who_do_one_job_are_alike_now_and_then() {
        // However many they are: fewer than nine in twenty say nothing.
        check::<Theme>(
            program().told(vec![word(24, 11_000)]),
            expect!["0.0 nats; alike_accounts_of_the_theme 11.000; accounts_of_the_theme 24"],
        );
        check::<Theme>(
            program().told(vec![word(28, 5_000)]),
            expect!["0.0 nats; alike_accounts_of_the_theme 5.000; accounts_of_the_theme 28"],
        );
    }

    #[test]
    fn a_benchmark_that_is_over_within_the_hour_says_little() {
        let benchmark = Traffic::every_ms(2_000, 400, |_, _| ());
        check::<Theme>(
            benchmark.told(vec![word(3, 3_000)]),
            expect!["0.0 nats; alike_accounts_of_the_theme 3.000; accounts_of_the_theme 3"],
        );
    }

    #[test]
    fn one_declared_owner_explains_it() {
        let owned = Cluster { same_org_permille: 1_000, ..word(13, 8_500) };
        check::<Theme>(program().told(vec![owned]), expect!["missing"]);
    }

    #[test]
    fn another_kind_of_value_is_not_looked_at() {
        check::<Theme>(program().told(vec![cluster(LinkKind::Program, "client", 5)]), expect!["missing"]);
    }
}

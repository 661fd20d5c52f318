//! `kin`: others that share a value with the account do what it does, far beyond chance.
//!
//! *Evidence*: the cluster stage's words: how many others are like the account, card against card, and how
//! many would be by chance. The account is measured by its own card, so what its neighbours do is never held
//! against it: who is unlike them is no kin. One declared owner explains it. People are alike by nature; so
//! are the programs of strangers that run one benchmark or one template of a workflow tool: of those only a
//! little counts. *Missing* while the cluster stage has said nothing. *Cost*: at most twenty-four words.
//! *Evasion*: pace, length, novelty, hours and limits of each account drawn apart. *Price*: accounts spread
//! over a factor of ten in volume, most of them below what they could take. *Source*: CatchSync, BotSniffer,
//! SynchroTrap; validated networks for counting against chance.

use super::{harvest, rhythm};
use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Settings as _};
use crate::nats::{Millinats, ONE, line};
use crate::words::Word;
use weir_schemas::LinkKind;

detector_settings! {
    /// The most for an account whose rhythm is a person's, and for a likeness by what anybody can share
    /// unless a machine harvests.
    person_nats_max: f64 = 0 ..= 20,
}

/// See [`crate::detectors::kin`].
pub struct Kin;

/// What must be said of what it asks besides: who explains a little at length, day and night, may be a tutor.
const HARVEST: Millinats = 1_000;

/// What must be said of what it asks for strangers' likeness to it not to be that of one workflow tool's
/// customers.
const SMALL: Millinats = 600;

/// The alike among those who share a text, a network or a card, in thousandths, and how much of it is left:
/// among many users of one template, and many guests of one event, some do the same work.
const DOMINANCE: [(i64, Millinats); 2] = [(100, 0), (300, 1_000)];

/// Time from which it is seen whether an account sleeps.
const EVENING_MS: i64 = 15 * 3_600_000;

/// Requests of a person, and how much more a likeness to others who pay by the same means says: people who
/// ask a little are alike by nature, people who ask hundreds of things are so in one class or at one event,
/// but do not share a card.
const KNOWN_WELL: [(i64, Millinats); 2] = [(64, 0), (256, 2_000)];

/// Alike accounts in thousandths that run what anybody can run, and how much more their likeness says where
/// they are no small part of those who run it: in a large fleet many benchmarks are run.
const STRANGERS: [(i64, Millinats); 3] = [(3_000, 0), (8_000, 1_000), (16_000, 1_500)];

/// Whether strangers share a value as a matter of course: a client, its settings, a text from a public page,
/// the network of a platform or of the place where they meet.
fn is_public(kind: LinkKind, account: &AccountView<'_>) -> bool {
    match kind {
        LinkKind::Payment | LinkKind::Org => false,
        LinkKind::Subnet | LinkKind::Address => is_application(account) || may_sit_together(account),
        _ => true,
    }
}

/// Whether it worked for no more than an evening: a class or an event has one network and one task, and
/// nobody in it has had a night to sleep.
fn may_sit_together(account: &AccountView<'_>) -> bool {
    account.age_ms < EVENING_MS && !account.is_even()
}

/// Whether what it asks speaks for an application: under a system prompt, with short answers, or the same
/// again and again.
pub(super) fn is_application(account: &AccountView<'_>) -> bool {
    harvest::reading(account).is_some_and(|said| said < 0)
}

/// Limit of an answer in tokens up to which it teaches little.
const SHORT: u32 = 512;

/// Whether it is as one application is under several keys: it does the same under each, for short answers
/// under a system prompt, or passes on what many people type. What a card pays for without one may be a
/// probe.
fn is_under_several_keys(account: &AccountView<'_>) -> bool {
    let behaviour = &account.profile.behaviour;
    let has_short_answers = (1..=SHORT).contains(&behaviour.limit.value());
    let is_service = behaviour.preamble.value() != 0 && has_short_answers && is_application(account);
    is_service || harvest::passes_on(account)
}

/// Whether a machine is at work beyond doubt, and takes long answers to ever new texts: only then is it no
/// chance that strangers do the same with what anybody can share. One template of a workflow tool, one
/// benchmark, one public preamble make programs of strangers alike in everything that they do.
pub(super) fn is_harvest(account: &AccountView<'_>) -> bool {
    rhythm::is_machine(account) && harvest::reading(account).is_none_or(|said| said >= HARVEST)
}

/// The most that a word says: little where people are alike by nature, or strangers' programs are.
fn most_of(word: &Word, account: &AccountView<'_>, settings: &Settings) -> Millinats {
    let little = crate::section::milli(settings.person_nats_max);
    if rhythm::is_person(account) {
        let is_paid_together = word.kind() == LinkKind::Payment && !is_application(account);
        let known_well = line(&KNOWN_WELL, account.profile.behaviour.requests.into());
        return if is_paid_together { little + known_well } else { little };
    }
    if word.kind() == LinkKind::Payment && is_under_several_keys(account) {
        return little;
    }
    if !is_public(word.kind(), account) || is_harvest(account) {
        return settings.most();
    }
    // A benchmark is run by a few strangers at a time, an application's template by any number, and a
    // workflow tool's by any number of small programs.
    match harvest::reading(account) {
        Some(said) if said < 0 => little / 2,
        Some(said) if said < SMALL => little * 2 / 3,
        _ => {
            let more = i64::from(line(&STRANGERS, word.alike_milli.into()));
            little + (more * i64::from(line(&DOMINANCE, word.share_permille.into())) / 1_000) as Millinats
        }
    }
}

/// How much of a word's evidence is left: by who answers for the alike, and by how much there is to judge by.
pub(super) fn weighed(word: &Word, account: &AccountView<'_>, nats: Millinats) -> Millinats {
    if word.is_owned() {
        return 0;
    }
    let customers = if word.are_customers() { 300 } else { 1_000 };
    (i64::from(nats) * account.maturity_permille() / 1_000 * customers / 1_000) as Millinats
}

/// What the strongest of these words says, by `nats` of a word and how much of it is left in thousandths.
/// Each is noted by how many are alike.
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
        let (mut most, mut said) = (None, 0);
        // Those of one theme, and of one owner, are another family's, and less unlikely to be alike.
        let words = account.profile.words.at(account.now_ms);
        for word in words.filter(|word| word.is_of_conduct()) {
            // Everybody has a client and a limit: of those many share one, and chance has been counted.
            let is_anybodys = matches!(word.kind(), LinkKind::Program | LinkKind::Habit);
            let dominance = if is_anybodys { 1_000 } else { line(&DOMINANCE, word.share_permille.into()) };
            let cap = settings.most().min(most_of(word, account, settings));
            let nats = i64::from(word.alike_millinats.min(cap)) * i64::from(dominance) / 1_000;
            let nats = weighed(word, account, nats as Millinats);
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

/// A word that is evidence of its own besides the likeness: more than half of an account is alike, and the
/// alike are no small minority of those who share the value.
pub(super) fn bond<'a>(
    account: &AccountView<'a>,
    kinds: &'a [LinkKind],
) -> impl Iterator<Item = (&'a Word, i64)> + use<'a> {
    let words = account.profile.words.at(account.now_ms);
    words.filter(|word| kinds.contains(&word.kind()) && word.alike_milli >= 500).map(|word| {
        let share = i64::from(word.share_permille);
        let told = (share - 100).clamp(0, 300) * 1_000 / 300;
        let surprise = (ONE as i64).min(i64::from(word.alike_millinats) * ONE as i64 / 3_000);
        (word, told * surprise / ONE as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Traffic, check, cluster, hash, prompt};
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
            expect!["4.2 nats; alike_by PROGRAM; alike_accounts 11.000; sharing_accounts 12"],
        );
    }

    #[test]
    fn the_more_strangers_are_alike_the_more_it_counts_unless_they_are_few_of_those_who_run_it() {
        let harness = cluster(LinkKind::Program, "harness", 30);
        check::<Kin>(
            program().told(vec![harness.clone()]),
            expect!["4.5 nats; alike_by PROGRAM; alike_accounts 29.000; sharing_accounts 30"],
        );
        check::<Kin>(
            program().told(vec![Cluster { share_permille: 100, ..harness }]),
            expect!["3.0 nats; alike_by PROGRAM; alike_accounts 29.000; sharing_accounts 30"],
        );
    }

    /// A machine that asks day and night, under a limit and perhaps a system prompt.
    fn day_and_night(limit: i64, preamble: Option<&'static str>) -> Traffic {
        let paces: Vec<i64> = (0..30).map(|index| 1_000 * (3 + index * index % 290)).collect();
        Traffic::uneven_ms(&paces, 900, move |request, index| {
            request.prompt = Some(prompt("shape", &format!("text {index}"), 0));
            request.max_tokens = Some(limit);
            request.preamble = preamble.map(hash);
        })
    }

    #[test]
    fn one_template_of_a_workflow_tool_on_one_platform_counts_little_and_a_harvest_does_not() {
        let workflow = |kind| day_and_night(256, Some("summarise")).told(vec![cluster(kind, "shared", 12)]);
        check::<Kin>(
            workflow(LinkKind::Subnet),
            expect!["1.5 nats; alike_by SUBNET; alike_accounts 11.000; sharing_accounts 12"],
        );
        check::<Kin>(
            workflow(LinkKind::Template),
            expect!["1.5 nats; alike_by TEMPLATE; alike_accounts 11.000; sharing_accounts 12"],
        );
        check::<Kin>(
            workflow(LinkKind::Payment),
            expect!["3.0 nats; alike_by PAYMENT; alike_accounts 11.000; sharing_accounts 12"],
        );
        let harvest = day_and_night(4_096, None).told(vec![cluster(LinkKind::Template, "shared", 12)]);
        check::<Kin>(
            harvest,
            expect!["7.0 nats; alike_by TEMPLATE; alike_accounts 11.000; sharing_accounts 12"],
        );
    }

    #[test]
    fn a_few_of_many_users_of_a_template_are_alike_by_chance() {
        let popular = Cluster { share_permille: 90, ..cluster(LinkKind::Template, "popular", 5) };
        check::<Kin>(
            day_and_night(4_096, None).told(vec![popular]),
            expect!["0.0 nats; alike_by TEMPLATE; alike_accounts 4.000; sharing_accounts 5"],
        );
    }

    #[test]
    fn people_who_ask_hundreds_of_things_are_less_alike_by_nature() {
        let person = |times| {
            let mut paces: Vec<i64> = (0..60).map(|index| 1_000 * (5 + index * 37 % 160)).collect();
            paces.push(9 * 3_600_000);
            Traffic::uneven_ms(&paces, times, |_, _| ()).told(vec![cluster(LinkKind::Subnet, "net", 9)])
        };
        check::<Kin>(
            person(64),
            expect!["2.0 nats; alike_by SUBNET; alike_accounts 8.000; sharing_accounts 9"],
        );
        check::<Kin>(
            person(300),
            expect!["3.0 nats; alike_by SUBNET; alike_accounts 8.000; sharing_accounts 9"],
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

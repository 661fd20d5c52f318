//! `disguise`: others say that they are browsers, and are the same library.
//!
//! *Evidence*: of the accounts that mostly say they are browsers over one library's hello, as this one does
//! (see `contradiction`), how many pay by other means. Those of a declared organisation are held against each
//! other alone: a company has one invoice, and its inspecting proxy stands before nobody else. What looks for
//! viruses stands before persons: who may be one is left alone. Who passes on its users' names pays for all
//! of them. *Missing* for who does not lie, or whom nobody lies like. *Cost*: a counter, and for an account
//! that lies one link more a round and one word. *Evasion*: an honest user agent, or a hello of its own for
//! each account; one means of payment; without an organisation, or with one in the first hours, a person's
//! hours. *Price*: nothing for a user agent that says what the client is, which then is a program like
//! others, nor for another order of ciphers in each account. Framing: who lies with the library of an honest
//! customer without an organisation that lies adds to what is said of it, but not of one twice as old that
//! has a week of history, and of nobody who tells the truth. *Source*: FP-Inconsistent; JA4 as what bots
//! have in common (FoxIO).

use super::client::{Family as Client, claimed, shown};
use super::rhythm;
use crate::detector::{AccountView, Detector, Family, Inputs, Notes, Seen};
use crate::measure::{Common, Share, quick_hash};
use crate::nats::{Millinats, left_of, line};
use crate::words::Word;
use weir_schemas::Request;

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

/// Requests whose client is known, below which nothing is a disguise.
const KNOWN_MIN: u32 = 8;

/// Time after which a person's rhythm has shown.
const WORKDAY_MS: i64 = 8 * 3_600_000;

/// What is remembered of an account's clients.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Requests with a user agent and a transport that is known: did one say browser and the other library?
    lies: Share,
    /// The hello behind the lies, in part.
    library: Common,
}
persist_fields!(State { lies, library });

impl State {
    /// The library that the account mostly hides behind a browser's name; none where it mostly does not.
    pub fn library(&self) -> Option<u32> {
        let is_disguised = self.lies.total() >= KNOWN_MIN && self.lies.hits() * 2 >= self.lies.total();
        is_disguised.then(|| self.library.value())
    }
}

/// The hello, or where there is none the HTTP/2 settings, in part.
fn library(request: &Request<'_>) -> u32 {
    request.ja4.or(request.h2).map_or(0, |shown| quick_hash(shown, 23) as u32)
}

/// Whether it may be a person whose TLS a proxy opens, or what looks for viruses: nothing shows that a
/// machine is at work, and no organisation is declared, or its hours are a person's or not known yet.
pub(super) fn may_be_person(account: &AccountView<'_>) -> bool {
    if rhythm::is_machine(account) || account.is_even() {
        return false;
    }
    let has_org = account.profile.behaviour.org.value() != 0;
    !has_org || account.age_ms < WORKDAY_MS || rhythm::may_be_person(account)
}

impl Detector for Disguise {
    const NAME: &'static str = "disguise";
    const CLAIM: &'static str = "Others say that they are browsers too, and are the same library.";
    const FAMILY: Family = Family::Client;
    const STATE_VERSION: u8 = 1;
    const INPUTS: Inputs =
        Inputs { needs: &[&["user_agent"], &["ja4", "h2"]], uses: &[&["payment"], &["org"]] };
    type State = State;
    type Settings = Settings;

    fn observe(state: &mut State, seen: Seen<'_>, _: i64, _: &Settings) {
        let Seen::Request(request) = seen else { return };
        let Some(agent) = request.user_agent else { return };
        let transport = shown(request);
        if transport == Client::Unknown {
            return;
        }
        let is_lie = claimed(agent) == Client::Browser && transport == Client::Script;
        state.lies.note(is_lie);
        if is_lie {
            state.library.note(library(request));
        }
    }

    fn judge(state: &State, account: &AccountView<'_>, _: &Settings, notes: &mut Notes) -> Option<Millinats> {
        state.library()?;
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

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36";
    const LIBRARY: &str = "t13d1812h1_85036bcba153_b26ce05bbdd6";

    fn apart(members: i32) -> Cluster {
        Cluster { other_payment_permille: 1_000, ..cluster(LinkKind::Tls, "library", members) }
    }

    fn lie(request: &mut Request<'static>) {
        (request.user_agent, request.ja4) = (Some(CHROME), Some(LIBRARY));
    }

    fn program() -> Traffic {
        Traffic::every_ms(60_000, 400, |request, _| lie(request))
    }

    /// Sittings of a person.
    fn person(times: usize, org: Option<&'static str>) -> Traffic {
        Traffic::uneven_ms(&[20_000, 40_000, 90_000, 5 * 3_600_000], times, move |request, _| {
            lie(request);
            request.org = org.map(hash);
        })
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
        check::<Disguise>(
            program().told(vec![apart(300)]),
            expect!["0.0 nats; others_in_the_same_disguise 299.000; accounts_in_the_same_disguise 300"],
        );
    }

    #[test]
    fn those_whom_one_pays_for_are_its_users() {
        let users = Cluster { other_payment_permille: 0, ..apart(40) };
        check::<Disguise>(
            program().told(vec![users]),
            expect!["0.0 nats; others_in_the_same_disguise 0.000; accounts_in_the_same_disguise 40"],
        );
    }

    #[test]
    fn who_may_be_a_person_is_left_alone_under_an_organisation_too() {
        check::<Disguise>(
            person(40, None).told(vec![apart(40)]),
            expect!["0.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
        check::<Disguise>(
            person(40, Some("org")).told(vec![apart(40)]),
            expect!["0.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
        let colleague = |hours: usize| {
            Traffic::uneven_ms(&[20_000, 40_000, 90_000], hours * 72, |request, _| {
                lie(request);
                request.org = Some(hash("org"));
            })
        };
        check::<Disguise>(
            colleague(2).told(vec![apart(40)]),
            expect!["0.0 nats; others_in_the_same_disguise 39.000; accounts_in_the_same_disguise 40"],
        );
    }

    #[test]
    fn who_mostly_tells_the_truth_is_in_no_disguise() {
        let honest = Traffic::every_ms(60_000, 400, |request, index| {
            lie(request);
            if index % 5 > 1 {
                request.user_agent = Some("python-httpx/0.27.2");
            }
        });
        check::<Disguise>(honest.told(vec![apart(40)]), expect!["missing"]);
    }

    #[test]
    fn what_else_is_shared_is_no_disguise() {
        check::<Disguise>(program().told(vec![cluster(LinkKind::Program, "client", 40)]), expect!["missing"]);
    }
}

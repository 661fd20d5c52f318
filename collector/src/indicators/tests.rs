use super::*;
use crate::config::CollectorConfig;
use crate::event::EventWriter;
use crate::limits::{CANARY_WORDS_MAX, TRIPWIRE_ACCOUNTS_MAX};
use crate::privacy::Pseudonymizer;
use crate::seal::Sealer;
use expect_test::expect;
use std::borrow::Cow;
use std::fs;
use tempfile::TempDir;
use weir_schemas::codec::Record as _;
use weir_schemas::indicators::{CANARY_SOURCE, Canary, Indicator, Pattern, to_text};
use weir_schemas::wire::{Wire, split};
use weir_schemas::{Body, Event, EventId, IndicatorKind};

const NOW_MS: i64 = 1_795_242_700_000;

/// What was told, a line each.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Telemetry for Heard {
    fn indicators_loaded(&self, count: u64) {
        self.note(format!("loaded {count}"));
    }

    fn indicators_refused(&self, _: &str, reason: &str) {
        self.note(format!("refused: {reason}"));
    }

    fn indicator_met(&self, kind: &'static str) {
        self.note(format!("met {kind}"));
    }
}

/// Who is told of tripwires.
#[derive(Default)]
struct Rung(Mutex<Vec<Tripped>>);

impl Rung {
    fn take(&self) -> Vec<Tripped> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Alarm for Rung {
    fn tripped(&self, tripped: Tripped) {
        self.0.lock().unwrap().push(tripped);
    }
}

/// A file of indicators, what compares with it, and a writer of events.
struct Place {
    directory: TempDir,
    heard: Arc<Heard>,
    writer: EventWriter,
    now_ms: i64,
}

fn indicator(kind: IndicatorKind, value: &str, trust_permille: u16) -> Indicator {
    let pattern = Pattern::parse(kind, value).unwrap();
    let (from_ms, until_ms) = (NOW_MS - 86_400_000, NOW_MS + 86_400_000);
    let id = format!("{kind}-{trust_permille}");
    Indicator { pattern, from_ms, until_ms, trust_permille, source: "partner".into(), id }
}

/// A token that the operator planted.
fn planted(name: &str, token: &str) -> Indicator {
    let pattern = Pattern::Canary(Canary::of(token).unwrap());
    let (source, id) = (CANARY_SOURCE.to_owned(), name.to_owned());
    let (from_ms, until_ms) = (NOW_MS - 86_400_000, NOW_MS + 86_400_000);
    Indicator { pattern, from_ms, until_ms, trust_permille: 1_000, source, id }
}

impl Place {
    /// Tells of what is trusted so far, too.
    fn telling(mut self, trust_permille_min: u16) -> (Self, Arc<Rung>) {
        let rung = Arc::<Rung>::default();
        let path = self.directory.path().join("indicators");
        let (heard, alarm) = (self.heard.clone(), rung.clone());
        self.writer.watch(Tripwires::telling(path, heard, alarm, trust_permille_min, NOW_MS));
        (self, rung)
    }

    fn of(indicators: &[Indicator]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("indicators"), to_text(indicators)).unwrap();
        Self::open(directory)
    }

    fn open(directory: TempDir) -> Self {
        let heard = Arc::new(Heard::default());
        let config = CollectorConfig::new("/var/log/access.jsonl", "node-1");
        let keys = Pseudonymizer::new([1; 32], 2);
        let sealer = Sealer::new(3, &[4; 32], [5; 32]).unwrap();
        let mut writer = EventWriter::new(&config, keys, sealer, Arc::new(Wire::new()));
        writer.watch(Tripwires::open(directory.path().join("indicators"), heard.clone(), NOW_MS));
        Self { directory, heard, writer, now_ms: NOW_MS }
    }

    /// Writes another file in the place of the one that is there.
    fn replace(&self, text: &str) {
        let aside = self.directory.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.directory.path().join("indicators")).unwrap();
    }

    /// What the event of a request says that it met.
    fn met(&mut self, exchange: &Exchange<'_>) -> String {
        let output = self.writer.write(exchange, EventId([5; 16]), self.now_ms).unwrap();
        let payload = output.payload.unwrap();
        let event = Event::decode(split(&payload).unwrap().1).unwrap();
        let Body::Request(request) = event.body else { panic!("it is a request") };
        let shown = request.indicators.iter().map(|hit| {
            format!(
                "{} {} {} of {}, {}",
                hit.kind, hit.trust_permille, hit.indicator, hit.source, hit.accounts
            )
        });
        shown.collect::<Vec<_>>().join("; ")
    }
}

fn exchange(account: &str) -> Exchange<'static> {
    Exchange::new(Cow::Owned(account.to_owned()), NOW_MS)
}

fn from(account: &str, address: &str) -> Exchange<'static> {
    Exchange { address: Some(address.parse().unwrap()), ..exchange(account) }
}

#[test]
fn a_request_is_compared_by_all_that_it_tells_and_its_event_says_nothing_of_that() {
    let raw = [
        indicator(IndicatorKind::Address, "192.0.2.7", 900),
        indicator(IndicatorKind::Network, "192.0.2.0/24", 100),
        indicator(IndicatorKind::Network, "2001:db8::/48", 200),
        indicator(IndicatorKind::Asn, "64500", 300),
        indicator(IndicatorKind::Ja3, "e7d705a3286e19ea42f587b344ee6865", 400),
        indicator(IndicatorKind::Ja4, "t13d1516h2_8daaf6152771_b186095e22b6", 500),
        indicator(IndicatorKind::UserAgent, "evil/1.0", 600),
    ];
    let mut place = Place::of(&raw);
    assert_eq!(place.heard.take(), ["loaded 7"]);
    assert_eq!(
        place.met(&from("a", "::ffff:192.0.2.7")),
        "ADDRESS 900 ADDRESS-900 of partner, 1; NETWORK 100 NETWORK-100 of partner, 1"
    );
    assert_eq!(place.heard.take(), ["met ADDRESS", "met NETWORK"]);
    assert_eq!(place.met(&from("a", "192.0.2.8")), "NETWORK 100 NETWORK-100 of partner, 1");
    assert_eq!(place.met(&from("a", "2001:db8:0:ffff::1")), "NETWORK 200 NETWORK-200 of partner, 1");
    assert_eq!(place.met(&from("a", "192.0.3.7")), "");
    let told = Exchange {
        asn: Some(64_500),
        ja3: Some("e7d705a3286e19ea42f587b344ee6865".into()),
        ja4: Some("t13d1516h2_8daaf6152771_b186095e22b6".into()),
        user_agent: Some("evil/1.0".into()),
        ..exchange("a")
    };
    expect![[r#"USER_AGENT 600 USER_AGENT-600 of partner, 1; JA4 500 JA4-500 of partner, 1; JA3 400 JA3-400 of partner, 1; ASN 300 ASN-300 of partner, 1"#]]
        .assert_eq(&place.met(&told));
    // Of more than four those of least trust are left out.
    let all = Exchange { address: Some("192.0.2.7".parse().unwrap()), ..told };
    expect![[r#"ADDRESS 900 ADDRESS-900 of partner, 1; USER_AGENT 600 USER_AGENT-600 of partner, 1; JA4 500 JA4-500 of partner, 1; JA3 400 JA3-400 of partner, 1"#]]
        .assert_eq(&place.met(&all));
}

#[test]
fn what_another_deployment_with_the_same_key_shared_is_met_by_its_hash() {
    let mut keys = Pseudonymizer::new([1; 32], 2);
    let (address, subnet) = keys.address("192.0.2.7".parse().unwrap());
    let payment = keys.value(crate::privacy::ValueKind::Payment, b"card");
    let mut place = Place::of(&[
        indicator(IndicatorKind::KeyedAddress, &address.to_string(), 300),
        indicator(IndicatorKind::KeyedSubnet, &subnet.to_string(), 200),
        indicator(IndicatorKind::KeyedPayment, &payment.to_string(), 100),
    ]);
    let paid = Exchange { payment: Some("card".into()), ..from("a", "192.0.2.7") };
    expect![[r#"KEYED_ADDRESS 300 KEYED_ADDRESS-300 of partner, 1; KEYED_SUBNET 200 KEYED_SUBNET-200 of partner, 1; KEYED_PAYMENT 100 KEYED_PAYMENT-100 of partner, 1"#]]
        .assert_eq(&place.met(&paid));
}

#[test]
fn an_indicator_holds_neither_before_its_time_nor_after_it() {
    let mut place = Place::of(&[indicator(IndicatorKind::Address, "192.0.2.7", 900)]);
    let at = |time_ms| Exchange { time_ms, ..from("a", "192.0.2.7") };
    let day_ms = 86_400_000;
    assert_eq!(place.met(&at(NOW_MS - day_ms - 1)), "", "history from before it");
    assert_ne!(place.met(&at(NOW_MS - day_ms)), "");
    place.now_ms = NOW_MS + day_ms;
    assert_eq!(place.met(&at(NOW_MS + day_ms)), "");
    assert_eq!(place.met(&at(NOW_MS)), "", "nobody answers for it any longer");
}

#[test]
fn every_event_says_how_many_accounts_came_with_the_value() {
    let mut place = Place::of(&[indicator(IndicatorKind::Network, "192.0.2.0/24", 900)]);
    let counts: Vec<String> = (0..200)
        .map(|number| place.met(&from(&format!("a{number}"), &format!("192.0.2.{number}"))))
        .map(|met| met.rsplit(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!((counts[0].as_str(), counts[20].as_str(), counts[199].as_str()), ("1", "21", "64"));
}

#[test]
fn a_file_that_is_replaced_is_read_anew_and_one_that_is_broken_changes_nothing() {
    let mut place = Place::open(tempfile::tempdir().unwrap());
    assert_eq!(place.heard.take(), Vec::<String>::new(), "nothing was imported yet");
    let look = |place: &mut Place| {
        place.now_ms += 1_000;
        let met = !place.met(&from("a", "192.0.2.7")).is_empty();
        let told = place.heard.take();
        (met, told.into_iter().filter(|line| !line.starts_with("met")).collect::<Vec<_>>().join(", "))
    };
    assert_eq!(look(&mut place), (false, String::new()));
    let text = to_text(&[indicator(IndicatorKind::Address, "192.0.2.7", 900)]);
    place.replace(&text);
    // It is looked at once a second.
    place.now_ms += 999 - 1_000;
    assert_eq!(look(&mut place), (false, String::new()));
    assert_eq!(look(&mut place), (true, "loaded 1".into()));
    place.replace(&text[..text.len() - 6]);
    assert_eq!(look(&mut place), (true, "refused: its end is missing: it is not whole".into()));
    assert_eq!(look(&mut place), (true, String::new()), "it is told once");
    place.replace(&to_text(&[]));
    assert_eq!(look(&mut place), (false, "loaded 0".into()));
    place.replace(&text);
    assert_eq!(look(&mut place), (true, "loaded 1".into()));
    fs::remove_file(place.directory.path().join("indicators")).unwrap();
    assert_eq!(look(&mut place), (false, "loaded 0".into()));
}

#[test]
fn a_file_that_could_not_be_opened_is_tried_again_though_it_is_the_same() {
    let mut place = Place::open(tempfile::tempdir().unwrap());
    let at = place.directory.path().join("indicators");
    // A directory opens, and cannot be read.
    fs::create_dir(&at).unwrap();
    place.now_ms += 1_000;
    assert_eq!(place.met(&from("a", "192.0.2.7")), "");
    assert_eq!(place.heard.take(), ["refused: Is a directory (os error 21)"]);
    place.now_ms += 1_000;
    place.met(&from("a", "192.0.2.7"));
    assert_eq!(place.heard.take(), Vec::<String>::new(), "it is told once");
    fs::remove_dir(&at).unwrap();
    place.replace(&to_text(&[indicator(IndicatorKind::Address, "192.0.2.7", 900)]));
    place.now_ms += 1_000;
    assert_ne!(place.met(&from("a", "192.0.2.7")), "");
}

#[test]
fn what_many_come_with_crowds_out_nothing_that_tells() {
    let named = |id: usize| Indicator {
        id: format!("exit-{id}"),
        ..indicator(IndicatorKind::Address, "192.0.2.7", 900)
    };
    let others: Vec<Indicator> =
        (0..9).map(|source| Indicator { source: format!("s{source}"), ..named(0) }).collect();
    let mut all: Vec<Indicator> = (0..50).map(named).chain(others).collect();
    all.push(indicator(IndicatorKind::Ja3, "e7d705a3286e19ea42f587b344ee6865", 800));
    let mut place = Place::of(&all);
    (0..20).for_each(|number| drop(place.met(&from(&format!("a{number}"), "192.0.2.7"))));
    let ja3 = Some("E7D705A3286E19EA42F587B344EE6865".into());
    let met = place.met(&Exchange { ja3, ..from("b", "192.0.2.7") });
    // And of one source an address counts once, however often it is named.
    expect![[r#"JA3 800 JA3-800 of partner, 1; ADDRESS 900 exit-0 of partner, 21; ADDRESS 900 exit-0 of s0, 21; ADDRESS 900 exit-0 of s1, 21"#]]
        .assert_eq(&met);
}

const TOKEN: &str = "weir-0123456789abcdef";

fn asks(account: &str, prompt: &str) -> Exchange<'static> {
    Exchange { prompt: Some(Cow::Owned(prompt.to_owned())), ..exchange(account) }
}

#[test]
fn a_planted_token_is_met_wherever_it_stands_as_a_word_and_neither_as_a_part_of_one_nor_cut() {
    let mut place = Place::of(&[planted("handbook", TOKEN)]);
    let met = "OTHER 1000 handbook of canary, 1";
    for prompt in [TOKEN.to_owned(), format!("what is {TOKEN}?"), format!("\"{TOKEN}\",\n ä{TOKEN}ö")] {
        assert_eq!(place.met(&asks("a", &prompt)), met, "{prompt}");
    }
    for prompt in [format!("{TOKEN}0"), format!("_{TOKEN}"), TOKEN[1..].to_owned(), TOKEN.to_uppercase()] {
        assert_eq!(place.met(&asks("a", &prompt)), "", "{prompt}");
    }
    let before = Exchange { prompt_before: Some(TOKEN.into()), ..asks("a", "go on") };
    let system = Exchange { system_prompt: Some(TOKEN.into()), ..asks("a", "hello") };
    assert_eq!((place.met(&before), place.met(&system)), (met.to_owned(), met.to_owned()));
    // Another length is not so much as hashed, and what stands behind very many words of its length is not.
    let many = format!("{} {TOKEN}", vec!["w".repeat(TOKEN.len()); CANARY_WORDS_MAX].join(" "));
    assert_eq!(place.met(&asks("a", &many)), "");
    let others = format!("{} {TOKEN}", vec!["w".repeat(TOKEN.len() + 1); CANARY_WORDS_MAX].join(" "));
    assert_eq!(place.met(&asks("a", &others)), met);
}

#[test]
fn of_a_planted_token_neither_the_file_nor_the_event_nor_the_word_says_anything_but_its_name() {
    let (mut place, rung) = Place::of(&[planted("handbook", TOKEN)]).telling(1_000);
    let text = fs::read_to_string(place.directory.path().join("indicators")).unwrap();
    let output = place.writer.write(&asks("a", TOKEN), EventId([5; 16]), NOW_MS).unwrap();
    let payload = output.payload.unwrap();
    let has = |bytes: &[u8]| bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
    assert!(!has(text.as_bytes()) && !has(&payload) && !has(format!("{:?}", rung.take()).as_bytes()));
}

#[test]
fn who_is_to_know_at_once_is_told_whose_request_it_was_once_however_much_it_met() {
    let address = indicator(IndicatorKind::Address, "192.0.2.7", 900);
    let (mut place, rung) = Place::of(&[address, planted("handbook", TOKEN)]).telling(800);
    place.met(&from("a", "192.0.2.7"));
    let account = Pseudonymizer::new([1; 32], 2).account("default", "a");
    let told = Tripped {
        event: EventId([5; 16]),
        event_ms: NOW_MS,
        account,
        tenant: "default".into(),
        is_canary: false,
    };
    assert_eq!(rung.take(), std::slice::from_ref(&told));
    place.met(&Exchange { prompt: Some(TOKEN.into()), ..from("a", "192.0.2.7") });
    assert_eq!(rung.take(), [Tripped { is_canary: true, ..told }]);
    place.met(&from("a", "192.0.2.8"));
    assert_eq!(rung.take(), []);
}

#[test]
fn nobody_is_told_at_once_of_what_is_trusted_little_or_many_who_are_honest_may_come_with() {
    let many = [
        indicator(IndicatorKind::Network, "192.0.2.0/24", 1_000),
        indicator(IndicatorKind::Asn, "64500", 1_000),
        indicator(IndicatorKind::Ja3, "e7d705a3286e19ea42f587b344ee6865", 1_000),
        indicator(IndicatorKind::Ja4, "t13d1516h2_8daaf6152771_b186095e22b6", 1_000),
        indicator(IndicatorKind::UserAgent, "evil/1.0", 1_000),
    ];
    let little = indicator(IndicatorKind::Address, "192.0.2.8", 799);
    let shared = indicator(IndicatorKind::Address, "198.51.100.1", 1_000);
    let all: Vec<Indicator> = many.into_iter().chain([little, shared]).collect();
    let (mut place, rung) = Place::of(&all).telling(800);
    let told = Exchange {
        asn: Some(64_500),
        ja3: Some("e7d705a3286e19ea42f587b344ee6865".into()),
        ja4: Some("t13d1516h2_8daaf6152771_b186095e22b6".into()),
        user_agent: Some("evil/1.0".into()),
        ..from("a", "192.0.2.7")
    };
    assert_eq!(place.met(&told).matches(';').count(), 3, "its event says so");
    assert_ne!(place.met(&from("a", "192.0.2.8")), "");
    assert_eq!(rung.take(), []);
    // A household is told of, and an office is not.
    for number in 0..10 {
        place.met(&from(&format!("account-{number}"), "198.51.100.1"));
    }
    assert_eq!(rung.take().len() as i32, TRIPWIRE_ACCOUNTS_MAX);
}

#[test]
fn of_history_nobody_is_told_at_once() {
    let (mut place, rung) = Place::of(&[planted("handbook", TOKEN)]).telling(800);
    let mut config = CollectorConfig::new("/var/log/access.jsonl", "node-1");
    config.mode = crate::config::Mode::Import;
    let sealer = Sealer::new(3, &[4; 32], [5; 32]).unwrap();
    let keys = Pseudonymizer::new([1; 32], 2);
    place.writer = EventWriter::new(&config, keys, sealer, Arc::new(Wire::new()));
    let path = place.directory.path().join("indicators");
    place.writer.watch(Tripwires::telling(path, place.heard.clone(), rung.clone(), 800, NOW_MS));
    assert_eq!(place.met(&asks("a", TOKEN)), "OTHER 1000 handbook of canary, 1");
    assert_eq!(rung.take(), []);
}

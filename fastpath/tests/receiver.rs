//! What is believed of what comes, and what is not.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_fastpath::limits::{BOOTS_MAX, IDLE_MS, NETWORKS_MAX, SENDER_BURST, STRANGERS_BURST};
use weir_fastpath::{Alert, Cause, Judged, Keys, Receiver, Tripwire, Word};
use weir_schemas::{AccountId, EventId, VerdictId};

const NOW_MS: i64 = 1_795_837_502_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Key 1 of judge-1 until a minute from now, key 2 of judge-2, key 3 of judge-1 from a minute ago on; key 4
/// by which judge-1 tells of tripwires.
fn keys() -> Keys {
    let key = |id: u8, digit: char, from: &str, to: &str, sender: &str| {
        let secret: String = std::iter::repeat_n(digit, 64).collect();
        format!(
            "[[key]]\nid = {id}\nsecret = \"{secret}\"\nnot_before = \"{from}\"\nnot_after = \"{to}\"\n\
             senders = [\"{sender}\"]\n"
        )
    };
    let (long_ago, far) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let text = key(1, '1', long_ago, "2026-11-28T03:46:02Z", "judge-1")
        + &key(2, '2', long_ago, far, "judge-2")
        + &key(3, '3', "2026-11-28T03:44:02Z", far, "judge-1")
        + &key(4, '4', long_ago, far, "judge-1")
        + "role = \"collector\"\n";
    Keys::parse(&text).unwrap()
}

fn alert(node: &str, boot_epoch: u64, sequence: u32) -> Alert {
    Alert {
        node: node.into(),
        event_ms: NOW_MS - 200,
        sequence,
        boot_epoch,
        event: EventId([1; 16]),
        account: AccountId([3; 16]),
        tenant: "acme".into(),
        word: Word::Verdict(Judged {
            verdict: VerdictId([2; 16]),
            score: 0.95,
            witnesses: 2,
            families: vec!["coverage".into(), "volume".into()],
            policy: Some("builtin-9".into()),
        }),
    }
}

fn packet(keys: &Keys, key: u8, alert: &Alert, sent_ms: i64) -> Vec<u8> {
    alert.encode(keys.get(key).unwrap(), sent_ms, 0x1234_5678).unwrap()
}

fn cause(receiver: &mut Receiver, packet: &[u8], keys: &Keys, now_ms: i64) -> Option<Cause> {
    receiver.take(packet, HERE, keys, now_ms).err()
}

#[test]
fn no_datagram_with_one_byte_changed_is_believed_and_none_changes_what_is_known_of_senders() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let whole = packet(&keys, 1, &alert("judge-1", 1, 1), NOW_MS);
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[at] ^= change;
            assert!(receiver.take(&broken, HERE, &keys, NOW_MS).is_err(), "byte {at} by {change:#x}");
        }
        // So that the address has its tokens.
        receiver = Receiver::default();
    }
    assert_eq!(receiver.len().1, 0);
    let believed = receiver.take(&whole, HERE, &keys, NOW_MS + 3).unwrap();
    assert_eq!((believed.alert, believed.behind_ms), (alert("judge-1", 1, 1), 3));
}

#[test]
fn a_key_is_of_its_own_senders_and_good_in_its_own_time() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let mut say = |key, node: &str, sequence, now_ms| {
        let alert = Alert { event_ms: now_ms, ..alert(node, 1, sequence) };
        cause(&mut receiver, &packet(&keys, key, &alert, now_ms), &keys, now_ms)
    };
    assert_eq!(say(2, "judge-1", 1, NOW_MS), Some(Cause::InvalidSender), "the key of another node");
    assert_eq!(say(1, "judge-9", 1, NOW_MS), Some(Cause::InvalidSender), "a node that nobody named");
    assert_eq!(say(2, "judge-2", 1, NOW_MS), None);
    // Both keys of judge-1 are good for two minutes, then the new one alone.
    assert_eq!(say(3, "judge-1", 1, NOW_MS - 61_000), Some(Cause::KeyNotGood), "not yet");
    assert_eq!(say(1, "judge-1", 1, NOW_MS), None);
    assert_eq!(say(3, "judge-1", 2, NOW_MS), None);
    assert_eq!(say(1, "judge-1", 3, NOW_MS + 59_000), None);
    assert_eq!(say(1, "judge-1", 4, NOW_MS + 61_000), Some(Cause::KeyNotGood), "no longer");
    assert_eq!(say(3, "judge-1", 4, NOW_MS + 61_000), None);
    let mut unknown = packet(&keys, 1, &alert("judge-1", 1, 9), NOW_MS);
    unknown[26] = 77;
    assert_eq!(cause(&mut Receiver::default(), &unknown, &keys, NOW_MS), Some(Cause::UnknownKey));
}

#[test]
fn by_a_collectors_key_a_tripwire_is_told_and_no_verdict_and_by_a_judges_the_other_way_round() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let tripped =
        |sequence| Alert { word: Word::Tripwire(Tripwire::Indicator), ..alert("judge-1", 1, sequence) };
    let mut say = |key, alert: &Alert| receiver.take(&packet(&keys, key, alert, NOW_MS), HERE, &keys, NOW_MS);
    assert_eq!(say(4, &alert("judge-1", 1, 1)).err(), Some(Cause::InvalidRole), "it judges nobody");
    assert_eq!(say(1, &tripped(1)).err(), Some(Cause::InvalidRole));
    assert_eq!(say(4, &tripped(1)).unwrap().alert, tripped(1));
    assert_eq!(say(1, &alert("judge-1", 1, 1)).unwrap().alert, alert("judge-1", 1, 1), "counts are apart");
    assert_eq!(say(4, &Alert { node: "judge-2".into(), ..tripped(2) }).err(), Some(Cause::InvalidSender));
}

#[test]
fn however_many_tripwires_a_node_tells_of_its_verdicts_are_heard() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    for sequence in 0..=SENDER_BURST {
        let tripped = Alert { word: Word::Tripwire(Tripwire::Canary), ..alert("judge-1", 1, sequence) };
        let heard = cause(&mut receiver, &packet(&keys, 4, &tripped, NOW_MS), &keys, NOW_MS);
        assert_eq!(heard, (sequence == SENDER_BURST).then_some(Cause::SenderLimited), "{sequence}");
    }
    let verdict = alert("judge-1", 1, 1);
    assert_eq!(cause(&mut receiver, &packet(&keys, 1, &verdict, NOW_MS), &keys, NOW_MS), None);
}

#[test]
fn five_seconds_are_fresh_and_more_are_stale_either_way() {
    let keys = keys();
    for (off_ms, expected) in
        [(4_900, None), (-4_900, None), (5_100, Some(Cause::Stale)), (-5_100, Some(Cause::Stale))]
    {
        let packet = packet(&keys, 1, &alert("judge-1", 1, 1), NOW_MS + off_ms);
        assert_eq!(cause(&mut Receiver::default(), &packet, &keys, NOW_MS), expected, "{off_ms}");
    }
    for (age_ms, expected) in
        [(60_000, None), (60_001, Some(Cause::Late)), (-5_000, None), (-5_001, Some(Cause::Late))]
    {
        let old = Alert { event_ms: NOW_MS - age_ms, ..alert("judge-1", 1, 1) };
        let packet = packet(&keys, 1, &old, NOW_MS);
        assert_eq!(cause(&mut Receiver::default(), &packet, &keys, NOW_MS), expected, "{age_ms}");
    }
}

#[test]
fn copies_are_duplicates_and_what_was_recorded_is_a_replay() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let sent = packet(&keys, 1, &alert("judge-1", 1, 1), NOW_MS);
    let came =
        [0, 2, 6, 1_000, 1_001, 5_000, 5_001].map(|ms| cause(&mut receiver, &sent, &keys, NOW_MS + ms));
    let (copy, again, stale) = (Some(Cause::Duplicate), Some(Cause::Replay), Some(Cause::Stale));
    assert_eq!(came, [None, copy, copy, copy, again, again, stale]);
}

#[test]
fn of_a_burst_of_two_hundred_a_hundred_pass_and_copies_of_the_others_may_later() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let packets: Vec<_> = (0..200).map(|n| packet(&keys, 1, &alert("judge-1", 1, n), NOW_MS)).collect();
    let pass = |receiver: &mut Receiver, now_ms| {
        packets.iter().filter(|packet| receiver.take(packet, HERE, &keys, now_ms).is_ok()).count()
    };
    assert_eq!(pass(&mut receiver, NOW_MS), SENDER_BURST as usize);
    assert_eq!(pass(&mut receiver, NOW_MS + 1_000), 50);
    assert_eq!(pass(&mut receiver, NOW_MS + 2_000), 50);
    assert_eq!(pass(&mut receiver, NOW_MS + 3_000), 0, "all were heard");
}

#[test]
fn a_hundred_thousand_made_up_networks_cost_no_memory_and_few_signatures_and_keep_no_sender_from_being_heard()
{
    let (keys, mut receiver) = (keys(), Receiver::default());
    // In form, fresh, and of a key that there is: nothing but the signature says that it is forged.
    let mut forged = packet(&keys, 1, &alert("judge-1", 1, 1), NOW_MS);
    *forged.last_mut().unwrap() ^= 1;
    let sender = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let mut refused: BTreeMap<&str, u32> = BTreeMap::new();
    for number in 0..100_000u32 {
        if number % 1_000 == 0 {
            let real = packet(&keys, 1, &alert("judge-1", 1, number), NOW_MS);
            assert!(receiver.take(&real, sender, &keys, NOW_MS).is_ok(), "{number}");
        }
        let address = IpAddr::V4(Ipv4Addr::from(0xc000_0000 | (number << 8)));
        let cause = receiver.take(&forged, address, &keys, NOW_MS).unwrap_err();
        *refused.entry(cause.as_str()).or_default() += 1;
    }
    // The sender was a stranger once.
    let checked = STRANGERS_BURST - 1;
    let expected = [("invalid_hmac", checked), ("strangers_limited", 100_000 - checked)];
    assert_eq!(refused, BTreeMap::from(expected));
    let (addresses, processes) = receiver.len();
    assert!(addresses <= NETWORKS_MAX + 2 && processes == 1, "{addresses} {processes}");
    // A sender that begins is heard when the flood is over.
    let begins = |sequence, now_ms| packet(&keys, 2, &alert("judge-2", 1, sequence), now_ms);
    let new = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));
    let during = receiver.take(&begins(1, NOW_MS), new, &keys, NOW_MS);
    assert_eq!(during, Err(Cause::StrangersLimited));
    assert!(receiver.take(&begins(1, NOW_MS), new, &keys, NOW_MS + 6).is_ok(), "its copy");
}

#[test]
fn what_is_of_no_form_or_key_takes_nothing_from_the_signatures_that_are_checked_for_strangers() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let stale = packet(&keys, 1, &alert("judge-1", 1, 1), NOW_MS - 10_000);
    for number in 0..2 * STRANGERS_BURST {
        let address = IpAddr::V4(Ipv4Addr::from(0xc000_0000 | (number << 8)));
        let expected = if number % 2 == 0 { Cause::Stale } else { Cause::InvalidMagic };
        let packet = if number % 2 == 0 { stale.clone() } else { vec![0; 100] };
        assert_eq!(receiver.take(&packet, address, &keys, NOW_MS), Err(expected));
    }
    let real = packet(&keys, 1, &alert("judge-1", 1, 2), NOW_MS);
    assert!(receiver.take(&real, HERE, &keys, NOW_MS).is_ok());
}

#[test]
fn whoever_has_the_network_of_a_sender_keeps_it_from_being_heard_no_longer_once_it_was() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let of = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
    let real = |sequence| packet(&keys, 1, &alert("judge-1", 1, sequence), NOW_MS);
    let flood = |receiver: &mut Receiver| {
        (0..3_000u16)
            .map(|number| receiver.take(&[0; 100], of(number + 2), &keys, NOW_MS).unwrap_err())
            .last()
    };
    assert!(receiver.take(&real(1), of(1), &keys, NOW_MS).is_ok());
    assert_eq!(flood(&mut receiver), Some(Cause::AddressLimited));
    assert!(receiver.take(&real(2), of(1), &keys, NOW_MS).is_ok());
    assert_eq!(cause_of(&mut receiver, &real(3), of(2), &keys), Some(Cause::AddressLimited), "a stranger's");
    // One that nobody believed yet has no more than its network.
    let mut receiver = Receiver::default();
    flood(&mut receiver);
    assert_eq!(cause_of(&mut receiver, &real(1), of(1), &keys), Some(Cause::AddressLimited));
}

fn cause_of(receiver: &mut Receiver, packet: &[u8], address: IpAddr, keys: &Keys) -> Option<Cause> {
    receiver.take(packet, address, keys, NOW_MS).err()
}

#[test]
fn an_address_that_sends_too_much_is_not_listened_to_and_others_are() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let causes: Vec<_> = (0..3_000).map(|_| cause(&mut receiver, &[0; 100], &keys, NOW_MS)).collect();
    assert_eq!(causes.iter().filter(|cause| **cause == Some(Cause::InvalidMagic)).count(), 2_000);
    assert_eq!(causes.last(), Some(&Some(Cause::AddressLimited)));
    let real = packet(&keys, 1, &alert("judge-1", 1, 1), NOW_MS);
    let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert!(receiver.take(&real, other, &keys, NOW_MS).is_ok());
}

#[test]
fn more_processes_of_a_node_than_are_told_apart_wait_until_one_is_silent() {
    let (keys, mut receiver) = (keys(), Receiver::default());
    let mut say = |boot, sequence, now_ms| {
        let alert = Alert { event_ms: now_ms, ..alert("judge-2", boot, sequence) };
        cause(&mut receiver, &packet(&keys, 2, &alert, now_ms), &keys, now_ms)
    };
    for boot in 0..BOOTS_MAX as u64 {
        assert_eq!(say(boot, 1, NOW_MS), None);
    }
    assert_eq!(say(99, 1, NOW_MS), Some(Cause::Crowded));
    assert_eq!(say(99, 1, NOW_MS + IDLE_MS - 1), Some(Cause::Crowded));
    assert_eq!(say(99, 1, NOW_MS + IDLE_MS), None);
}

/// An alert as it is sent: by which process, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sent(u64, u32);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A process that ends and one that begins anew, counts that wrap, three copies each, one datagram of ten
    /// lost and one of twenty moved by up to 256 places: every alert that came at all is believed once.
    #[test]
    fn every_alert_that_comes_is_believed_once(
        first in prop_oneof![any::<u32>(), (u32::MAX - 120)..=u32::MAX],
        counts in (1..160u32, 1..160u32),
        fates in prop::collection::vec((0..100u8, 1..=256usize), 960),
    ) {
        let (keys, mut receiver) = (keys(), Receiver::default());
        let of = |boot: u64, first: u32, count: u32| {
            (0..count).flat_map(move |n| [Sent(boot, first.wrapping_add(n)); 3])
        };
        let sent: Vec<Sent> = of(1, first, counts.0).chain(of(2, 1, counts.1)).collect();
        let mut came: Vec<(usize, Sent)> = Vec::new();
        for (place, (sent, (fate, by))) in sent.iter().zip(&fates).enumerate() {
            match fate {
                0..10 => {}
                10..15 => came.push((place + by, *sent)),
                _ => came.push((place, *sent)),
            }
        }
        came.sort_by_key(|(place, _)| *place);
        let mut believed: BTreeMap<Sent, u32> = BTreeMap::new();
        for (index, (_, sent)) in came.iter().enumerate() {
            // At half of what a sender may say a second.
            let now_ms = NOW_MS + index as i64 * 40;
            let alert = Alert { event_ms: now_ms, ..alert("judge-2", sent.0, sent.1) };
            let datagram = packet(&keys, 2, &alert, now_ms);
            match receiver.take(&datagram, HERE, &keys, now_ms) {
                Ok(heard) => {
                    prop_assert_eq!(Sent(heard.alert.boot_epoch, heard.alert.sequence), *sent);
                    *believed.entry(*sent).or_default() += 1;
                }
                Err(cause) => prop_assert!(matches!(cause, Cause::Duplicate | Cause::Replay), "{:?}", cause),
            }
        }
        let expected: BTreeMap<Sent, u32> = came.iter().map(|(_, sent)| (*sent, 1)).collect();
        prop_assert_eq!(believed, expected);
    }
}

#[test]
fn what_was_sent_before_a_receiver_began_is_not_believed_and_a_clock_that_is_set_back_deafens_nobody() {
    let (keys, mut receiver) = (keys(), Receiver::since(NOW_MS));
    let sent = |sequence, sent_ms| packet(&keys, 2, &alert("judge-2", 1, sequence), sent_ms);
    assert_eq!(cause(&mut receiver, &sent(1, NOW_MS - 1), &keys, NOW_MS), Some(Cause::Stale));
    assert_eq!(cause(&mut receiver, &sent(1, NOW_MS), &keys, NOW_MS), None);

    // As many processes as are told apart, heard by a clock that was an hour ahead.
    let (mut receiver, ahead_ms) = (Receiver::default(), 3_600_000);
    let of_boot = |boot: u64, now_ms: i64| {
        let alert = Alert { event_ms: now_ms, ..alert("judge-2", boot, 1) };
        packet(&keys, 2, &alert, now_ms)
    };
    for boot in 0..BOOTS_MAX as u64 {
        let then_ms = NOW_MS + ahead_ms;
        assert_eq!(cause(&mut receiver, &of_boot(boot, then_ms), &keys, then_ms), None);
    }
    let another = BOOTS_MAX as u64;
    assert_eq!(cause(&mut receiver, &of_boot(another, NOW_MS), &keys, NOW_MS), None);
}

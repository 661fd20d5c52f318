use super::*;
use crate::evidence::certificate::enveloped;
use crate::share::{Shared, Tlp};
use crate::testing::campaign;
use ed25519_dalek::SigningKey;
use serde_json::json;

/// When the campaign of the tests was last seen, and what it was last changed at.
const NOW_MS: i64 = 2_000;
const DAY_MS: i64 = 86_400_000;
const SECRET: [u8; 32] = [9; 32];

fn source() -> Source {
    let public_key = SigningKey::from_bytes(&SECRET).verifying_key().to_bytes();
    Source { name: "partner".into(), public_key, trust_permille: 600, life_ms: 30 * DAY_MS }
}

/// A bundle of STIX with these indicators, in an envelope.
fn stix(objects: Value, secret: &[u8; 32]) -> Vec<u8> {
    let bundle = json!({"type": "bundle", "id": "bundle--1", "objects": objects});
    serde_json::to_vec(&enveloped(stix::PAYLOAD_TYPE, bundle.to_string().as_bytes(), secret)).unwrap()
}

/// An indicator of one address, changed.
fn indicator(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "type": "indicator", "id": "indicator--1", "pattern": "[ipv4-addr:value = '192.0.2.7']",
        "pattern_type": "stix", "valid_from": "1970-01-01T00:00:01Z", "modified": "1970-01-01T00:00:02.000Z",
    });
    change(&mut object);
    object
}

fn left_out(change: impl FnOnce(&mut Value)) -> Vec<(LeftOut, u64)> {
    // Beside one that is good, so that something holds.
    let sound = indicator(|object| object["id"] = "indicator--2".into());
    let received = read(&stix(json!([indicator(change), sound]), &SECRET), &source(), NOW_MS).unwrap();
    assert_eq!(received.indicators.len(), 1);
    received.left_out.into_iter().collect()
}

#[test]
fn what_another_deployment_shares_is_read_and_both_its_forms_tell_the_same() {
    let campaign = campaign(1);
    let shared = Shared { campaign: &campaign, members: campaign.members.iter().collect() };
    let lines = lines::signed(std::slice::from_ref(&shared), "Example Ltd", Tlp::Amber, &SECRET).unwrap();
    let bundle = stix::bundle(&[shared], "Example Ltd", Tlp::Amber).to_string();
    let bundle = serde_json::to_vec(&enveloped(stix::PAYLOAD_TYPE, bundle.as_bytes(), &SECRET)).unwrap();
    let received = read(&lines, &source(), NOW_MS).unwrap();
    assert_eq!(received, read(&bundle, &source(), NOW_MS).unwrap());
    let [told] = &received.indicators[..] else { panic!("{received:?}") };
    assert_eq!(told.pattern.to_string(), "07070707070707070707070707070707");
    assert_eq!((told.pattern.is_keyed(), told.source.as_str(), told.trust_permille), (true, "partner", 600));
    assert_eq!((told.from_ms, told.until_ms), (1_000, 2_000 + 30 * DAY_MS));
}

#[test]
fn an_indicator_counts_for_no_more_than_its_source_and_lasts_no_longer_than_either_says() {
    let of = |change: &dyn Fn(&mut Value)| {
        let received = read(&stix(json!([indicator(change)]), &SECRET), &source(), NOW_MS).unwrap();
        (received.indicators[0].trust_permille, received.indicators[0].until_ms)
    };
    assert_eq!(of(&|_| ()), (600, 2_000 + 30 * DAY_MS));
    assert_eq!(of(&|object| object["confidence"] = 50.into()).0, 300);
    assert_eq!(of(&|object| object["confidence"] = 5_000.into()).0, 600);
    assert_eq!(of(&|object| object["valid_until"] = "1970-01-02T00:00:00Z".into()).1, DAY_MS);
    assert_eq!(of(&|object| object["valid_until"] = "2200-01-02T00:00:00Z".into()).1, 2_000 + 30 * DAY_MS);
}

#[test]
fn what_cannot_be_compared_or_does_not_hold_is_left_out_and_counted() {
    assert_eq!(
        left_out(|object| object["pattern"] = "[file:name = 'x']".into()),
        [(LeftOut::Unsupported, 1)]
    );
    assert_eq!(left_out(|object| object["pattern_type"] = "yara".into()), [(LeftOut::Unsupported, 1)]);
    assert_eq!(
        left_out(|object| object["pattern"] = "[ipv4-addr:value = '0.0.0.0/0']".into()),
        [(LeftOut::TooWide, 1)]
    );
    assert_eq!(left_out(|object| object["id"] = "a b".into()), [(LeftOut::Malformed, 1)]);
    assert_eq!(left_out(|object| object["modified"] = Value::Null), [(LeftOut::Malformed, 1)]);
    assert_eq!(left_out(|object| object["valid_until"] = "soon".into()), [(LeftOut::Malformed, 1)]);
    assert_eq!(
        left_out(|object| object["valid_until"] = "1970-01-01T00:00:02Z".into()),
        [(LeftOut::Ended, 1)]
    );
    assert_eq!(left_out(|object| object["modified"] = "2200-01-01T00:00:00Z".into()), [(LeftOut::Future, 1)]);
    assert_eq!(left_out(|object| object["confidence"] = 0.into()), [(LeftOut::Untrusted, 1)]);
    assert_eq!(left_out(|object| object["confidence"] = "15".into()), [(LeftOut::Malformed, 1)]);
    assert_eq!(left_out(|object| object["valid_until"] = 7.into()), [(LeftOut::Malformed, 1)]);
    assert_eq!(
        left_out(|object| object["indicator_types"] = json!(["anonymization", "benign"])),
        [(LeftOut::Benign, 1)]
    );
}

/// The ids of which a bundle says something, and the values that hold of them.
fn told(objects: Value) -> (Vec<String>, Vec<String>) {
    let received = read(&stix(objects, &SECRET), &source(), NOW_MS + 2_000).unwrap();
    let values = received.indicators.iter().map(|indicator| indicator.pattern.to_string());
    (received.told.keys().cloned().collect(), values.collect())
}

#[test]
fn what_a_source_takes_back_is_named_and_holds_no_more() {
    let taken_back = (vec!["indicator--1".to_owned()], Vec::new());
    for change in [
        ("revoked", json!(true)),
        ("valid_until", json!("1970-01-01T00:00:03Z")),
        ("confidence", json!(0)),
        ("indicator_types", json!(["benign"])),
        ("pattern_type", json!("yara")),
    ] {
        let changed = indicator(|object| {
            object["modified"] = "1970-01-01T00:00:03Z".into();
            object[change.0] = change.1.clone();
        });
        // Beside what it said before, in either order.
        assert_eq!(told(json!([changed, indicator(|_| ())])), taken_back, "{change:?}");
        assert_eq!(told(json!([indicator(|_| ()), changed])), taken_back, "{change:?}");
    }
}

#[test]
fn of_several_words_on_an_id_the_latest_counts_wherever_it_stands() {
    let corrected = indicator(|object| {
        object["modified"] = "1970-01-01T00:00:03Z".into();
        object["pattern"] = "[ipv4-addr:value = '192.0.2.8']".into();
    });
    let expected = (vec!["indicator--1".to_owned()], vec!["192.0.2.8".to_owned()]);
    assert_eq!(told(json!([corrected, indicator(|_| ())])), expected);
    assert_eq!(told(json!([indicator(|_| ()), corrected])), expected);
}

#[test]
fn what_is_forged_unsigned_expired_oversized_or_of_an_unknown_source_is_refused_by_name() {
    let refused = |bytes: &[u8], now_ms| read(bytes, &source(), now_ms).unwrap_err();
    let sound = stix(json!([indicator(|_| ())]), &SECRET);
    let mut forged: Value = serde_json::from_slice(&sound).unwrap();
    forged["payload"] = BASE64.encode(b"{}").into();
    let name = || "partner".to_owned();
    assert_eq!(
        refused(forged.to_string().as_bytes(), NOW_MS),
        Refused::Forged { line: 1, source_name: name() }
    );
    // One line that is forged takes all others with it.
    let both = [&sound[..], b"\n", forged.to_string().as_bytes()].concat();
    assert_eq!(refused(&both, NOW_MS), Refused::Forged { line: 2, source_name: name() });
    // The same signature for another kind of payload.
    let retyped = String::from_utf8(sound.clone()).unwrap().replace(stix::PAYLOAD_TYPE, lines::PAYLOAD_TYPE);
    assert_eq!(refused(retyped.as_bytes(), NOW_MS), Refused::Forged { line: 1, source_name: name() });
    let other = stix(json!([indicator(|_| ())]), &[8; 32]);
    assert!(matches!(refused(&other, NOW_MS), Refused::Unknown { line: 1, .. }));
    // Who names the source's key has to have it.
    let mut named: Value = serde_json::from_slice(&other).unwrap();
    named["signatures"][0]["keyid"] = weir_schemas::hex::hex(&source().public_key).into();
    assert_eq!(
        refused(named.to_string().as_bytes(), NOW_MS),
        Refused::Forged { line: 1, source_name: name() }
    );
    let bare = json!({"type": "bundle", "objects": [indicator(|_| ())]}).to_string();
    assert_eq!(refused(bare.as_bytes(), NOW_MS), Refused::Unsigned { line: 1 });
    assert_eq!(refused(&sound, NOW_MS + 30 * DAY_MS), Refused::Expired { indicators: 1 });
    assert_eq!(refused(b"\n", NOW_MS), Refused::Empty);
    assert_eq!(refused(&vec![b' '; RECEIVED_BYTES_MAX + 1], NOW_MS), Refused::Oversized);
    assert_eq!(refused(&[b"\n".repeat(RECEIVED_LINES_MAX), sound].concat(), NOW_MS), Refused::Oversized);
    let list: Vec<String> = (0..=RECEIVED_INDICATORS_MAX)
        .map(|n| format!("'10.{}.{}.{}'", n >> 16, n >> 8 & 255, n & 255))
        .collect();
    let list = format!("[ipv4-addr:value IN ({})]", list.join(","));
    let many = stix(json!([indicator(|object| object["pattern"] = list.into())]), &SECRET);
    assert_eq!(refused(&many, NOW_MS), Refused::Oversized);
    let foreign = serde_json::to_vec(&enveloped("text/plain", b"{}", &SECRET)).unwrap();
    assert!(matches!(refused(&foreign, NOW_MS), Refused::Foreign { line: 1, .. }));
    let empty = serde_json::to_vec(&enveloped(lines::PAYLOAD_TYPE, b"{}", &SECRET)).unwrap();
    assert!(matches!(refused(&empty, NOW_MS), Refused::Foreign { line: 1, .. }));
}

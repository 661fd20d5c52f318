#![allow(clippy::unwrap_used)] // A test may fail loudly.

use super::*;
use expect_test::expect;

const ALICE: [u8; 32] = [1; 32];
const BOB: [u8; 32] = [2; 32];
const MALLORY: [u8; 32] = [3; 32];
const NOW_MS: i64 = 1_754_300_000_000;

fn header(counter: u64, issued_s: u64, expires_s: u64) -> Header {
    Header { counter, audience: "test".into(), issued_s, expires_s, enforces: false }
}

fn signed(header: Header, seeds: &[[u8; 32]]) -> Bundle {
    let mut bundle = Bundle::new(header, "version = \"one\"\n---\nrest".into()).unwrap();
    seeds.iter().for_each(|seed| bundle.sign(seed));
    bundle
}

fn trust() -> Trust {
    Trust::new("test", [public_of(&ALICE), public_of(&BOB)]).unwrap()
}

fn admit(bundle: &Bundle) -> Result<Bundle, Distrust> {
    trust().admit(&bundle.to_text(), NOW_MS, 0)
}

#[test]
fn a_bundle_reads_as_it_was_written_and_its_text_may_have_lines_of_its_own() {
    let bundle = signed(header(5, 1_754_300_000, 0), &[ALICE, BOB]);
    assert_eq!(Bundle::parse(&bundle.to_text()), Ok(bundle.clone()));
    assert_eq!(admit(&bundle), Ok(bundle.clone()));
    assert_eq!(Bundle::policy_in(&bundle.to_text()).unwrap(), bundle.text);
    assert_eq!(Bundle::policy_in("version = 1").unwrap(), "version = 1");
    let text = bundle.to_text();
    let head = text.split("signature").next().unwrap();
    expect![[r#"
        WEIR-POLICY-BUNDLE-V1
        counter: 5
        audience: test
        issued_s: 1754300000
        expires_s: 0
        enforces: false
        policy_sha256: 0b34c82f4ae4a35e42a71534184e4c7a1b38b6b6bc29a7c0d9aee691b245d2f6
    "#]]
    .assert_eq(head);
}

#[test]
fn digits_that_move_from_one_field_to_the_next_make_another_message() {
    // The digits of these pairs are the same when they are written one after the other.
    for (before, after) in [
        (header(1, 1_754_300_000, 0), header(117, 54_300_000, 0)),
        (header(5, 1_754_300_000, 1_785_836_000), header(5, 1_754_300_000_178_583_600, 0)),
    ] {
        let good = signed(before.clone(), &[ALICE]);
        assert_eq!(admit(&good), Ok(good.clone()));
        let split_anew = Bundle { header: after.clone(), ..good.clone() };
        let digits = |header: &Header| format!("{}{}{}", header.counter, header.issued_s, header.expires_s);
        assert_eq!(digits(&before), digits(&after));
        let error = admit(&split_anew).unwrap_err();
        assert_eq!(error, Distrust::BadSignature(hex(&public_of(&ALICE))), "{after:?}");
        assert_ne!(good.message(), split_anew.message());
    }
}

#[test]
fn no_field_can_be_changed_after_it_was_signed() {
    let good = signed(header(5, 1_754_300_000, 0), &[ALICE, BOB]);
    let changed = |change: fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        admit(&bundle).unwrap_err()
    };
    let bad = Distrust::BadSignature(hex(&public_of(&ALICE)));
    assert_eq!(changed(|bundle| bundle.header.counter = 6), bad);
    assert_eq!(changed(|bundle| bundle.header.issued_s -= 1), bad);
    assert_eq!(changed(|bundle| bundle.header.expires_s = 1_900_000_000), bad);
    assert_eq!(changed(|bundle| bundle.header.enforces = true), bad);
    assert_eq!(changed(|bundle| bundle.text.push(' ')), bad);
    assert_eq!(
        changed(|bundle| bundle.header.audience = "tests".into()).to_string(),
        "it is meant for tests, and this is test"
    );
    let other = Trust::new("tests", [public_of(&ALICE), public_of(&BOB)]).unwrap();
    let renamed =
        Bundle { header: Header { audience: "tests".into(), ..good.header.clone() }, ..good.clone() };
    assert_eq!(other.admit(&renamed.to_text(), NOW_MS, 0), Err(bad));
}

#[test]
fn who_acts_needs_two_people_and_one_person_does_not_count_twice() {
    let enforcing = Header { enforces: true, ..header(5, 1_754_300_000, 0) };
    let by = |seeds: &[[u8; 32]]| admit(&signed(enforcing.clone(), seeds)).map(drop);
    assert_eq!(by(&[]), Err(Distrust::TooFew { found: 0, needed: 2 }));
    assert_eq!(by(&[ALICE]), Err(Distrust::TooFew { found: 1, needed: 2 }));
    assert_eq!(by(&[ALICE, ALICE]), Err(Distrust::TooFew { found: 1, needed: 2 }));
    assert_eq!(by(&[ALICE, BOB]), Ok(()));
    assert_eq!(by(&[ALICE, BOB, MALLORY]), Err(Distrust::UnknownSigner(hex(&public_of(&MALLORY)))));
    let mut twice = signed(enforcing, &[ALICE]);
    twice.signatures.push(twice.signatures[0].clone());
    assert_eq!(admit(&twice), Err(Distrust::SameSigner(hex(&public_of(&ALICE)))));
    assert_eq!(
        admit(&signed(header(5, 1_754_300_000, 0), &[])),
        Err(Distrust::TooFew { found: 0, needed: 1 })
    );
}

#[test]
fn an_older_bundle_does_not_come_back_and_none_after_its_time_or_before_it() {
    let at = |bundle: &Bundle, ms: i64, reached: u64| trust().admit(&bundle.to_text(), ms, reached).map(drop);
    let bundle = signed(header(5, 1_754_300_000, 1_754_300_600), &[BOB]);
    assert_eq!(at(&bundle, NOW_MS, 4), Ok(()));
    assert_eq!(at(&bundle, NOW_MS, 5), Err(Distrust::RolledBack { found: 5, reached: 5 }));
    assert_eq!(at(&bundle, NOW_MS, u64::MAX), Err(Distrust::RolledBack { found: 5, reached: u64::MAX }));
    assert_eq!(at(&bundle, 1_754_300_600_999, 4), Ok(()));
    let over = Distrust::Expired { expires_s: 1_754_300_600, published_s: 1_754_300_601 };
    assert_eq!(at(&bundle, 1_754_300_601_000, 4), Err(over));
    assert_eq!(at(&bundle, NOW_MS - 300_000, 4), Ok(()));
    let early = Distrust::Future { issued_s: 1_754_300_000, published_s: 1_754_299_699 };
    assert_eq!(at(&bundle, NOW_MS - 300_001, 4), Err(early));
    assert!(matches!(at(&bundle, i64::MIN, 4), Err(Distrust::Future { .. })));
}

#[test]
fn a_bundle_has_one_spelling() {
    let text = signed(header(5, 1_754_300_000, 0), &[ALICE]).to_text();
    let refused = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        Bundle::parse(&changed).unwrap_err().to_string()
    };
    let spelling = BundleError::Spelling.to_string();
    assert_eq!(refused("counter: 5", "counter: 05"), spelling);
    assert_eq!(refused("counter: 5", "counter: +5"), spelling);
    assert_eq!(
        refused("policy_sha256: 0b3", "policy_sha256: \u{ff17}"),
        "line 7 is not `policy_sha256: 64 hex digits`"
    );
    assert_eq!(refused("\ncounter", "\r\ncounter"), spelling);
    assert_eq!(refused("counter: 5", "counter: 0"), "a counter is at least 1");
    assert_eq!(refused("counter: 5", "counter: 5\ncounter: 6"), "line 3 is not `audience: NAME`");
    assert_eq!(refused("enforces: false", "enforces: no"), "line 6 is not `enforces: true or false`");
    assert_eq!(refused("enforces: false\n", ""), "line 6 is not `enforces: true or false`");
    assert_eq!(refused("audience: test", "audience: Test"), "an audience is 1 to 64 of a-z, 0-9 and -");
    assert_eq!(
        refused("signature: ", "grant: all\nsignature: "),
        "line 8 is not `signature: 64 hex digits, a space, 128 hex digits`"
    );
    assert_eq!(refused("rest", "tser"), "policy_sha256 is not the digest of its text");
    assert_eq!(Bundle::parse(&format!(" {text}")), Err(BundleError::Magic));
    assert_eq!(Bundle::parse(&text.replace("---\n", "--- \n")), Err(BundleError::Endless));
    assert_eq!(Bundle::parse(MAGIC), Err(BundleError::Endless));
    let long = text.replacen("counter", &format!("x{}\ncounter", "y".repeat(5_000)), 1);
    assert_eq!(Bundle::parse(&long), Err(BundleError::Endless));
    let mut many = signed(header(5, 1_754_300_000, 0), &[]);
    (0..9).for_each(|seed| many.sign(&[seed; 32]));
    assert_eq!(Bundle::parse(&many.to_text()), Err(BundleError::Signatures));
}

#[test]
fn nobody_takes_the_place_of_all_bundles_that_are_to_come() {
    let admit = |counter, reached| {
        let text = signed(header(counter, 1_754_300_000, 0), &[ALICE]).to_text();
        trust().admit(&text, NOW_MS, reached).map(|bundle| bundle.header.counter)
    };
    let now = u64::try_from(NOW_MS / 1_000).unwrap();
    assert_eq!(admit(now + 300, 7), Ok(now + 300), "a counter is a second, by default");
    assert_eq!(admit(u64::MAX, 7), Err(Distrust::Leap { found: u64::MAX, most: now + 300 }));
    assert_eq!(admit(2 * now + 1_000, 2 * now), Ok(2 * now + 1_000), "those of another kind go on");
    assert_eq!(
        admit(2 * now + 1_001, 2 * now),
        Err(Distrust::Leap { found: 2 * now + 1_001, most: 2 * now + 1_000 })
    );
}

#[test]
fn a_trust_store_without_keys_or_with_bad_ones_is_none() {
    let alice = public_of(&ALICE);
    assert_eq!(Trust::new("test", []), Err(TrustError::Empty));
    assert_eq!(Trust::new("test", [alice, alice]), Err(TrustError::Twice(hex(&alice))));
    // The neutral element: a signature by it can be made for any text.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert_eq!(Trust::new("test", [weak]), Err(TrustError::Weak(hex(&weak))));
    assert!(matches!(Trust::new("Test", [alice]), Err(TrustError::Audience(_))));
    let digest = |audience: &str, seeds: &[[u8; 32]]| {
        Trust::new(audience, seeds.iter().map(public_of)).unwrap().digest()
    };
    assert_eq!(digest("test", &[ALICE, BOB]), digest("test", &[BOB, ALICE]));
    assert_ne!(digest("test", &[ALICE, BOB]), digest("test", &[ALICE]));
    assert_ne!(digest("test", &[ALICE]), digest("tes", &[ALICE]));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_a_panic_and_a_bundle_only_as_it_is_written(text in "(?s).{0,400}") {
        let text = format!("{MAGIC}\ncounter: 1\n{text}");
        if let Ok(bundle) = Bundle::parse(&text) {
            assert_eq!(bundle.to_text(), text);
        }
    }

    #[test]
    fn one_changed_byte_is_never_admitted(at in 0usize..600, bit in 0u32..8) {
        let text = signed(header(5, 1_754_300_000, 0), &[ALICE]).to_text();
        let mut bytes = text.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(trust().admit(&changed, NOW_MS, 0).is_err(), "{changed}");
        }
    }
}

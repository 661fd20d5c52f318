//! What may be acted on where policies are signed.

use super::*;
use crate::charter::CHARTER_KEY;
use weir_schemas::bundle::{Bundle, Header, Trust, public_of};

const POLICY: &str = "version = \"mine\"\n";

fn trusting() -> Rig {
    let trust = Trust::new("weir", [public_of(&[1; 32]), public_of(&[2; 32])]).unwrap();
    let rig = Rig { trust: Some(Arc::new(trust)), ..Rig::new(1) };
    rig.put_control(&posture("enforce"));
    rig
}

fn bundle(counter: u64, enforces: bool, seeds: &[[u8; 32]]) -> Bundle {
    let header = Header { counter, audience: "weir".into(), issued_s: 0, expires_s: 0, enforces };
    let mut bundle = Bundle::new(header, POLICY.into()).unwrap();
    seeds.iter().for_each(|seed| bundle.sign(seed));
    bundle
}

fn put(rig: &Rig, body: &str) {
    rig.put_control(&control(ControlKind::Policy, "policy", body));
}

/// A verdict by the policy of the bundles.
fn by_it(number: u32, minute: i64) -> Verdict {
    let policy_digest = bundle(1, false, &[]).policy_digest();
    Verdict { policy_digest, ..verdict(number, minute, Tier::Critical) }
}

fn said(rig: &Rig) -> String {
    let told = audits(&rig.log).into_iter();
    let told = told.filter(|a| matches!(a.kind, AuditKind::Operator | AuditKind::Refusal));
    told.map(|a| format!("{} {}: {}\n", a.kind, a.outcome, a.reason)).collect()
}

#[test]
fn verdicts_are_acted_on_by_a_bundle_of_two_signatures_and_by_no_other_policy() {
    let (one, both) = ([[1; 32]].as_slice(), [[1; 32], [2; 32]].as_slice());
    let rig = trusting();
    rig.enforce_live(&[by_it(1, 0)]);
    put(&rig, POLICY);
    put(&rig, &bundle(5, true, one).to_text());
    rig.enforce_live(&[by_it(2, 1)]);
    put(&rig, &bundle(6, false, one).to_text());
    rig.enforce_live(&[by_it(3, 2)]);
    put(&rig, &bundle(7, true, both).to_text());
    rig.enforce_live(&[by_it(4, 3), verdict(5, 4, Tier::Critical)]);
    // Two processes that are configured alike; and one who would have the one before back.
    put(&rig, &bundle(7, true, both).to_text());
    put(&rig, &bundle(6, false, one).to_text());
    rig.enforce_live(&[by_it(6, 5)]);
    put(&rig, &bundle(8, false, both).to_text());
    rig.enforce_live(&[by_it(7, 6)]);
    let decided = actions(&rig.log).into_iter();
    let decided = decided.filter(|a| matches!(a.state, ActionState::Pending | ActionState::Withheld));
    let decided: Vec<String> = decided.map(|a| format!("{} {}: {}\n", a.kind, a.state, a.reason)).collect();
    expect![[r#"
        SUSPEND WITHHELD: the policy may not enforce: it takes a bundle of two signatures
        SUSPEND WITHHELD: the policy may not enforce: it takes a bundle of two signatures
        SUSPEND WITHHELD: the policy may not enforce: it takes a bundle of two signatures
        SUSPEND PENDING: tier CRITICAL, score 0.900
        SUSPEND WITHHELD: the policy may not enforce: it takes a bundle of two signatures
        SUSPEND PENDING: tier CRITICAL, score 0.900
        SUSPEND WITHHELD: the policy may not enforce: it takes a bundle of two signatures
    "#]]
    .assert_eq(&decided.concat());
    expect![[r#"
        OPERATOR posture_changed: posture audit gives way to enforce
        REFUSAL refused: the policy is not trusted: it is not signed, and only signed policies are put in force here (`weir policy sign`)
        REFUSAL refused: the policy is not trusted: it has 1 signatures and needs 2
        OPERATOR policy_admitted: bundle 6 of policy 729f764b8ac78fd93726cf263f4b423d2a974fcf8d51a33c4c54adba35194923, signed by 1: verdicts by it may not be acted on
        OPERATOR policy_admitted: bundle 7 of policy 729f764b8ac78fd93726cf263f4b423d2a974fcf8d51a33c4c54adba35194923, signed by 2: verdicts by it may be acted on
        REFUSAL refused: the policy is not trusted: its counter is 6, and one of 7 was in force: sign it anew with a greater one
        OPERATOR policy_admitted: bundle 8 of policy 729f764b8ac78fd93726cf263f4b423d2a974fcf8d51a33c4c54adba35194923, signed by 2: verdicts by it may not be acted on
    "#]].assert_eq(&said(&rig));
    sound(&entries(&rig.log));
    assert!(rig.log.all(Topic::Dlq).is_empty(), "the account stage writes the letter");
}

#[test]
fn who_is_given_a_trust_store_is_another_judge_and_damaged_counters_are_not_gone_on_from() {
    let stage = || EnforcerStage::new(keys(), Arc::new(Wire::new()));
    let trust = trusting().trust;
    let empty = batch(&[], 1);
    assert_eq!(stage().judge(&empty).trust, None);
    assert!(stage().with_policy_trust(trust.clone()).judge(&empty).trust.is_some());
    for body in ["", "x\n", "7\nno digest\n"] {
        let mut stage = stage().with_policy_trust(trust.clone());
        assert!(stage.restore(CHARTER_KEY, STATE_FORMAT, body.as_bytes()).is_err(), "{body:?}");
    }
}

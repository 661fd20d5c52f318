//! Stages on arbitrary records and arbitrary state: nothing panics, and every record is judged or
//! dead-lettered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use weir_enforcer::chain::{AuditKey, AuditKeys};
use weir_enforcer::stage::EnforcerStage;
use weir_processor::account::AccountStage;
use weir_processor::cluster::ClusterStage;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::*;
use weir_topology::record::Records;
use weir_topology::stage::{Batch, InputBatch, Stage};
use weir_topology::topic::Topic;

static WIRE: LazyLock<Arc<Wire>> = LazyLock::new(|| Arc::new(Wire::new()));
static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(Policy::builtin()));

/// Half of the records get a valid frame, so that the fuzzer need not find the fingerprint.
fn framed(fingerprint: u64, datum: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xC3, 0x01];
    bytes.extend(fingerprint.to_le_bytes());
    bytes.extend(datum);
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, split, rest @ ..] = bytes else { return };
    let (key, body) = rest.split_at(usize::from(*split).min(rest.len()));
    let inputs: [(Topic, u64); 3];
    let mut stage: Box<dyn Stage> = match choice % 3 {
        0 => {
            inputs = [
                (Topic::Control, Control::FINGERPRINT),
                (Topic::Clusters, Cluster::FINGERPRINT),
                (Topic::Events, Event::FINGERPRINT),
            ];
            Box::new(AccountStage::new(WIRE.clone(), POLICY.clone()))
        }
        1 => {
            inputs = [
                (Topic::Control, Control::FINGERPRINT),
                (Topic::Links, Link::FINGERPRINT),
                (Topic::Links, 0),
            ];
            Box::new(ClusterStage::new(WIRE.clone(), POLICY.clone()))
        }
        _ => {
            inputs = [
                (Topic::Control, Control::FINGERPRINT),
                (Topic::Verdicts, Verdict::FINGERPRINT),
                (Topic::Verdicts, 0),
            ];
            Box::new(EnforcerStage::new(AuditKeys::new(AuditKey::new("k", &[1; 32])), WIRE.clone()))
        }
    };
    let _ = stage.restore(key, stage.state_format(), body);
    let batch = inputs.map(|(topic, fingerprint)| {
        let mut records = Records::default();
        records.push(1, 1, key, Some(&framed(fingerprint, body)), []);
        records.push(2, 2, key, Some(body), [("weir-label", &b"x"[..])]);
        records.push(3, 3, key, None, []);
        InputBatch { topic, partition: 0, records }
    });
    let batch = Batch { epoch: 1, partition: 0, clock_ms: 0, taken_ms: Some(0), inputs: batch.into() };
    let effects = stage.step(&batch);
    assert_eq!(effects.judged + effects.dead_lettered, batch.len() as u64);
    for change in stage.take_changes() {
        if let Some(body) = change.body {
            stage
                .restore(&change.key, stage.state_format(), &body)
                .expect("a stage takes its own entry back");
        }
    }
});

//! Every record's decoder, and the frames around them: what decodes encodes to the same bytes, and
//! nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use weir_schemas::wire::{Wire, split};
use weir_schemas::*;

static WIRE: LazyLock<Wire> = LazyLock::new(|| Wire::with_history().expect("the history is readable"));

/// A number may be written longer than it needs to be, so the bytes may differ once; not twice.
macro_rules! round_trip {
    ($record:ty, $datum:expr) => {
        if let Ok(record) = <$record>::decode($datum) {
            let encoded = record.to_datum();
            let again = <$record>::decode(&encoded).expect("what was encoded decodes").to_datum();
            assert!(again == encoded, "{} does not come back", <$record>::NAME);
        }
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, datum)) = bytes.split_first() else { return };
    match choice % 16 {
        0 => round_trip!(Event<'_>, datum),
        1 => round_trip!(Link, datum),
        2 => round_trip!(Cluster, datum),
        3 => round_trip!(Verdict, datum),
        4 => round_trip!(Action, datum),
        5 => round_trip!(Audit, datum),
        6 => round_trip!(Control, datum),
        7 => round_trip!(Epoch, datum),
        8 => round_trip!(State, datum),
        9 => round_trip!(DeadLetter, datum),
        10 => round_trip!(AuditEntry, datum),
        11 => round_trip!(Identity, datum),
        12 => round_trip!(ActionOutcome, datum),
        13 => round_trip!(Standing, datum),
        14 => drop(WIRE.read::<Verdict>(datum)),
        _ => drop(split(datum)),
    }
});

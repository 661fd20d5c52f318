//! The label sets of the metrics, each of closed sets.

use super::list::Labelled;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::fmt::Write as _;

/// A label from a closed set: what its type's `as_str` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Closed(pub &'static str);

impl EncodeLabelValue for Closed {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0)
    }
}

/// Declares label sets, and what their labels are called.
macro_rules! label_sets {
    ($($(#[$doc:meta])+ $name:ident { $($label:ident: $type:ty),+ })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name {
            $(pub $label: $type,)+
        }

        impl Labelled for $name {
            const LABELS: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    )+};
}

label_sets! {
    /// One of the stages.
    StageLabel { stage: Closed }
    /// A task: as many series as there are partitions.
    TaskLabels { stage: Closed, partition: u32 }
    /// How a task of a stage began.
    StartLabels { stage: Closed, start: Closed }
    /// What a stage counted.
    CauseLabels { stage: Closed, cause: Closed }
    /// An invariant that a stage's epoch broke.
    InvariantLabels { stage: Closed, invariant: Closed }
    /// One of a closed set that the metric's own words name.
    Kind { kind: Closed }
    /// One of the detectors.
    DetectorLabel { detector: Closed }
    /// A field of a request.
    FieldLabel { field: Closed }
    /// What a request to the listener brought, and how it was answered.
    RequestLabels { content: Closed, status: Closed }
    /// What a gateway was told, and how it asked.
    GatewayLabels { kind: Closed, transport: Closed }
    /// A kind of action, and what became of it.
    ActionLabels { kind: Closed, state: Closed }
    /// Who is told by the export.
    DestinationLabel { destination: Closed }
    /// Why who is told was not.
    DestinationCause { destination: Closed, cause: Closed }
    /// A process that is traced, and which way its messages go.
    ProcessWay { process: u32, name: String, way: Closed }
    /// A process that is traced, and why something of it was not heard.
    ProcessCause { process: u32, name: String, cause: Closed }
    /// A program of the kernel side.
    ProbeLabel { probe: Closed }
    /// A program of the kernel side, and where it was placed.
    PlacementLabels { probe: Closed, placement: Closed }
    /// What a probe makes a call pay for.
    TrapLabel { trap: Closed }
    /// What runs here.
    BuildLabels { version: Closed, judge: i64 }
}

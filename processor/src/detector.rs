//! What a detector is, and which there are. A detector is one file under [`crate::detectors`] and one
//! line in the registry below; its settings are a table of the policy with the same name.
//!
//! A detector has two halves. `observe` folds one event into a small state; `judge` reads that state
//! and says how strongly it points to extraction. `judge` changes nothing, so it can be asked at any
//! event and once more, with an open notebook, when a verdict is emitted: evidence is formatted
//! only then.

use crate::persist::{Damage, Persist, take};
use crate::policy::{PolicyError, Section};
pub use crate::profile::{AccountView, Seen};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use weir_schemas::Evidence;

/// A detector: what it looks at, and what it makes of it.
pub trait Detector {
    /// Name in policies, verdicts and documents.
    const NAME: &'static str;
    /// What it claims when it scores, in one sentence for an analyst.
    const CLAIM: &'static str;
    /// What it remembers of an account: small, of fixed or bounded size.
    type State: Default + Persist;
    /// Its thresholds, from the policy.
    type Settings: Settings;

    /// Reads a word of the state, wherever in it: see [`crate::store::Store::touch`].
    fn touch(state: &Self::State) -> u64;

    /// Folds an event into the state; O(1).
    fn observe(state: &mut Self::State, seen: Seen<'_>, account: &AccountView<'_>, settings: &Self::Settings);

    /// The detector's opinion of the account as it stands; none where there is nothing to judge by,
    /// which is not the same as a score of zero. Reasons go to `notes`.
    fn judge(
        state: &Self::State,
        account: &AccountView<'_>,
        settings: &Self::Settings,
        notes: &mut Notes,
    ) -> Option<Opinion>;
}

/// What a detector thinks of an account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    /// How strongly the evidence points to extraction, 0 to 1.
    pub score: f64,
    /// How much evidence there is, 0 to 1. Fusion applies it; a detector does not.
    pub confidence: f64,
}

/// The settings that every detector has, whatever its thresholds.
pub trait Settings: Section + DeserializeOwned + Clone + PartialEq + std::fmt::Debug {
    /// Whether it is asked at all.
    fn enabled(&self) -> bool;
    /// The most that it can contribute alone.
    fn weight(&self) -> f64;
}

/// Where a detector writes its reasons: closed for all but the judgements that become verdicts.
#[derive(Debug, Default)]
pub struct Notes {
    open: bool,
    items: Vec<Evidence>,
}

impl Notes {
    /// A notebook that keeps what is written.
    pub fn open() -> Self {
        Self { open: true, items: Vec::new() }
    }

    /// A notebook that keeps nothing and formats nothing.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Writes a reason: what was observed, in snake_case with its unit last, and its value.
    #[inline]
    pub fn note(&mut self, name: &'static str, value: impl Display) {
        if self.open {
            self.items.push(Evidence { name: name.to_owned(), value: value.to_string() });
        }
    }

    /// Writes a share between 0 and 1.
    #[inline]
    pub fn share(&mut self, name: &'static str, value: f64) {
        self.note(name, format_args!("{value:.3}"));
    }

    /// What was written, in order.
    pub fn into_items(self) -> Vec<Evidence> {
        self.items
    }
}

/// Runs a detector and catches its panic: a fault of one detector costs its signal, never the event.
fn guard<T>(run: impl FnOnce() -> T) -> Result<T, Fault> {
    // The state that `run` may leave half changed is replaced by the caller, so nothing torn is seen.
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| Fault)
}

/// A detector panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault;

/// Declares the detectors: a tag that stays with the detector for ever, and its type. The tag marks
/// its state in state entries, so that entries from before a detector was added, or after one was
/// removed, can still be read.
macro_rules! registry {
    ($($tag:literal $name:ident: $detector:ty),+ $(,)?) => {
        /// Number of detectors.
        pub const COUNT: usize = [$($tag),+].len();

        /// Names of the detectors, in the registry's order.
        pub const NAMES: [&str; COUNT] = [$(<$detector>::NAME),+];

        /// What each detector claims when it scores.
        pub const CLAIMS: [&str; COUNT] = [$(<$detector>::CLAIM),+];

        /// What the detectors remember of an account.
        #[derive(Default)]
        pub struct States {
            $(
                #[doc = concat!("State of `", stringify!($name), "`.")]
                pub $name: <$detector as Detector>::State,
            )+
        }

        /// The detectors' tables of a policy.
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct DetectorSettings {
            $(
                #[doc = concat!("Table `detectors.", stringify!($name), "`.")]
                pub $name: <$detector as Detector>::Settings,
            )+
        }

        impl DetectorSettings {
            /// Refuses values out of range.
            pub fn check(&self) -> Result<(), PolicyError> {
                $(self.$name.check(concat!("detectors.", stringify!($name)))?;)+
                Ok(())
            }

            /// Weight of each detector; none where it is switched off.
            #[inline]
            pub fn weights(&self) -> [Option<f64>; COUNT] {
                [$(self.$name.enabled().then(|| self.$name.weight())),+]
            }
        }

        impl States {
            /// Reads a word of every state.
            pub fn touch(&self) -> u64 {
                [$(<$detector>::touch(&self.$name)),+].into_iter().fold(0, u64::wrapping_add)
            }

            /// Shows an event to every detector; returns the number that failed on it. A detector that
            /// fails forgets what it knew of the account.
            #[inline]
            pub fn observe(
                &mut self,
                seen: Seen<'_>,
                account: &AccountView<'_>,
                settings: &DetectorSettings,
                fault: FaultHook,
            ) -> u64 {
                let mut faults = 0;
                $(
                    if settings.$name.enabled() {
                        let run = || {
                            fault.check(<$detector>::NAME);
                            <$detector>::observe(&mut self.$name, seen, account, &settings.$name);
                        };
                        if guard(run).is_err() {
                            self.$name = Default::default();
                            faults += 1;
                        }
                    }
                )+
                faults
            }

            /// Asks every detector for its opinion.
            #[inline]
            pub fn judge(
                &self,
                account: &AccountView<'_>,
                settings: &DetectorSettings,
            ) -> ([Option<Opinion>; COUNT], u64) {
                let mut faults = 0;
                let opinions = [$(
                    if settings.$name.enabled() {
                        let run = || {
                            <$detector>::judge(&self.$name, account, &settings.$name, &mut Notes::closed())
                        };
                        guard(run).unwrap_or_else(|_| { faults += 1; None })
                    } else {
                        None
                    }
                ),+];
                (opinions, faults)
            }

            /// The reasons of each detector for its opinion.
            pub fn explain(
                &self,
                account: &AccountView<'_>,
                settings: &DetectorSettings,
            ) -> [Vec<Evidence>; COUNT] {
                [$({
                    let run = || {
                        let mut notes = Notes::open();
                        <$detector>::judge(&self.$name, account, &settings.$name, &mut notes);
                        notes.into_items()
                    };
                    guard(run).unwrap_or_default()
                }),+]
            }
        }

        impl Persist for States {
            fn save(&self, out: &mut Vec<u8>) {
                COUNT.save(out);
                let mut body = Vec::new();
                $(
                    body.clear();
                    self.$name.save(&mut body);
                    ($tag as u8).save(out);
                    body.len().save(out);
                    out.extend_from_slice(&body);
                )+
            }

            fn load(input: &mut &[u8]) -> Result<Self, Damage> {
                let mut states = Self::default();
                for _ in 0..usize::load(input)? {
                    let tag = u8::load(input)?;
                    let length = usize::load(input)?;
                    let mut body = take(input, length)?;
                    match tag {
                        $($tag => states.$name = Persist::load(&mut body)?,)+
                        // A detector that is no more.
                        _ => body = &[],
                    }
                    if !body.is_empty() {
                        return Err(Damage("a detector's state is longer than its format"));
                    }
                }
                Ok(states)
            }
        }
    };
}

/// Lets a test make one detector fail; nothing at all outside tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultHook {
    #[cfg(test)]
    pub(crate) detector: Option<&'static str>,
}

impl FaultHook {
    #[inline]
    fn check(self, _detector: &str) {
        #[cfg(test)]
        assert_ne!(self.detector, Some(_detector), "a fault that a test asked for");
    }
}

use crate::detectors::{Asn, Cot, Fingerprint, Hydra, Pivot, Velocity};

registry! {
    1 fingerprint: Fingerprint,
    2 velocity: Velocity,
    3 cot: Cot,
    4 pivot: Pivot,
    5 asn: Asn,
    6 hydra: Hydra,
}

/// Place of `hydra` in the registry: its word is left out of an account's *own* suspicion, so that
/// accounts cannot make each other suspicious in a circle.
pub const HYDRA: usize = 5;
const _: () = assert!(matches!(NAMES[HYDRA].as_bytes(), b"hydra"));

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_state_of_a_removed_detector_is_passed_over() {
        let mut out = Vec::new();
        2usize.save(&mut out);
        out.extend_from_slice(&[99, 3, 9, 9, 9]);
        let mut pivot = Vec::new();
        crate::detectors::pivot::State::default().save(&mut pivot);
        out.push(4);
        pivot.len().save(&mut out);
        out.extend_from_slice(&pivot);
        let mut input = &out[..];
        assert!(States::load(&mut input).is_ok());
        assert!(input.is_empty());
    }

    #[test]
    fn an_entry_from_before_a_detector_was_added_is_read() {
        let mut out = Vec::new();
        0usize.save(&mut out);
        assert!(States::load(&mut &out[..]).is_ok());
    }

    #[test]
    fn a_state_that_is_too_long_is_refused() {
        let states = States::load(&mut &[1u8, 5, 40, 0, 0, 0][..]);
        expect!["it ends too early"].assert_eq(&states.err().unwrap().to_string());
    }
}

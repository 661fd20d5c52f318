//! What a detector is, and which there are. A detector is one file under [`crate::detectors`] and one
//! line in the registry below; its settings are a table of the policy with the same name.
//!
//! A detector has two halves. `observe` folds one event into a small state; `judge` reads that state and the
//! account's counts, and says how much likelier they are of extraction than of honest use: a log-likelihood
//! ratio in thousandths of a nat, negative where they speak for the account. `judge` changes nothing, so it
//! can be asked at any event and once more, with an open notebook, when a verdict is emitted: evidence is
//! formatted only then. Detectors of one [`Family`] look at one thing from several sides, so they share a
//! cap.

use crate::nats::Millinats;
use crate::persist::{Damage, Persist, take};
pub use crate::profile::{AccountView, Seen};
use crate::section::{PolicyError, Section};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use weir_schemas::Evidence;

/// A detector: what it looks at, and what it makes of it.
pub trait Detector {
    /// Name in policies, verdicts and documents.
    const NAME: &'static str;
    /// What it claims when it speaks against an account, in one sentence for an analyst.
    const CLAIM: &'static str;
    /// What its evidence is evidence of.
    const FAMILY: Family;
    /// Version of the encoding of its state. Raise it when that changes: a build that does not know a version
    /// forgets what the detector knew of the account, and nothing else of it.
    const STATE_VERSION: u8;
    /// What it looks at besides accounts and times.
    const INPUTS: Inputs;
    /// What it remembers of an account: small, of fixed or bounded size.
    type State: Default + Persist;
    /// Its thresholds, from the policy.
    type Settings: Settings;

    /// Reads a word of the state, wherever in it: see [`crate::store::Store::touch`]. Nothing where none is
    /// kept.
    fn touch(_: &Self::State) -> u64 {
        0
    }

    /// Folds an event into the state, at the account's clock; O(1). Nothing where none is kept.
    fn observe(_: &mut Self::State, _: Seen<'_>, _now_ms: i64, _: &Self::Settings) {}

    /// The detector's evidence on the account as it stands; none where there is nothing to judge by,
    /// which is not the same as zero. Reasons go to `notes`.
    fn judge(
        state: &Self::State,
        account: &AccountView<'_>,
        settings: &Self::Settings,
        notes: &mut Notes,
    ) -> Option<Millinats>;
}

/// A family of evidence: what is likely to be wrong together is in one family, and has one cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// How the account keeps time.
    Timing,
    /// What it asks for.
    Content,
    /// How much it takes home.
    Volume,
    /// One text under many limits.
    Probing,
    /// What its client is.
    Client,
    /// Others do the same.
    Kin,
    /// Others that do the same are paid for by the same means.
    Payment,
    /// Others that do the same come from the same network, or it comes from ever new ones.
    Network,
    /// Others that do the same say the same.
    Script,
    /// Who answers for the account.
    Owner,
    /// Others that do the same ask for the same kind of thing.
    Theme,
    /// What others told of it.
    Hearsay,
}

impl Family {
    /// All of them, in their order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Timing,
        Self::Content,
        Self::Volume,
        Self::Probing,
        Self::Client,
        Self::Kin,
        Self::Payment,
        Self::Network,
        Self::Script,
        Self::Owner,
        Self::Theme,
        Self::Hearsay,
    ];

    /// Number of families.
    pub const COUNT: usize = 12;

    /// Whether it looks at more than what strangers of one trade have in common and anybody can copy: hours,
    /// texts, and a likeness in them. CRITICAL needs one that does.
    pub const fn is_ground(self) -> bool {
        matches!(self, Self::Volume | Self::Probing | Self::Client | Self::Payment | Self::Network)
    }

    /// Whether it is of what was seen here. What others tell moves the log-odds, and is never one of the
    /// families that must speak: they may be wrong, or lie.
    pub const fn is_witness(self) -> bool {
        !matches!(self, Self::Hearsay)
    }

    /// Name in policies, verdicts and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timing => "timing",
            Self::Content => "content",
            Self::Volume => "volume",
            Self::Probing => "probing",
            Self::Client => "client",
            Self::Kin => "kin",
            Self::Payment => "payment",
            Self::Network => "network",
            Self::Script => "script",
            Self::Owner => "owner",
            Self::Theme => "theme",
            Self::Hearsay => "hearsay",
        }
    }
}

/// Fields of events that a detector looks at, by their names in the schema, in groups of which one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// Where one of these groups is never known, it is silent.
    pub needs: &'static [&'static [&'static str]],
    /// These make it surer.
    pub uses: &'static [&'static [&'static str]],
}

/// The settings that every detector has, whatever its thresholds.
pub trait Settings: Section + DeserializeOwned + Clone + PartialEq + std::fmt::Debug {
    /// Whether it is asked at all.
    fn enabled(&self) -> bool;
    /// The most that it can contribute, for or against an account, in thousandths of a nat.
    fn most(&self) -> Millinats;
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

    /// Writes thousandths as a number with three decimals.
    #[inline]
    pub fn milli(&mut self, name: &'static str, value: i64) {
        let sign = if value < 0 { "-" } else { "" };
        self.note(name, format_args!("{sign}{}.{:03}", value.abs() / 1_000, value.abs() % 1_000));
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

/// How often something happened to each detector, in the registry's order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts(pub [u32; COUNT]);

impl Counts {
    /// Whether nothing happened.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; COUNT]
    }

    /// Names of the detectors to which something happened, and how often.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.0.map(u64::from)).filter(|(_, count)| *count > 0)
    }
}

/// The settings of a detector that is asked.
#[inline]
fn on<S: Settings>(settings: &Option<S>) -> Option<&S> {
    settings.as_ref().filter(|settings| settings.enabled())
}

/// Declares the detectors: a tag that stays with the detector for ever, and its type. The tag marks
/// its state in state entries, so that entries from before a detector was added, or after one was
/// removed, can still be read.
macro_rules! registry {
    ($($tag:literal $name:ident: $detector:ty),+ $(,)?) => {
        /// Number of detectors.
        pub const COUNT: usize = [$($tag),+].len();

        /// Names of the detectors, in the registry's order.
        pub const NAMES: [&str; COUNT] = [$(<$detector>::NAME),+];

        /// Their families.
        pub const FAMILIES: [Family; COUNT] = [$(<$detector>::FAMILY),+];

        /// What each detector claims when it speaks against an account.
        pub const CLAIMS: [&str; COUNT] = [$(<$detector>::CLAIM),+];

        /// What each detector looks at.
        pub const INPUTS: [Inputs; COUNT] = [$(<$detector>::INPUTS),+];

        /// What the detectors remember of an account.
        #[derive(Default)]
        pub struct States {
            $(
                #[doc = concat!("State of `", stringify!($name), "`.")]
                pub $name: <$detector as Detector>::State,
            )+
        }

        /// The detectors' tables of a policy.
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct DetectorSettings {
            $(
                #[doc = concat!("Table `detectors.", stringify!($name), "`; the detector is off without.")]
                pub $name: Option<<$detector as Detector>::Settings>,
            )+
        }

        impl DetectorSettings {
            /// Refuses values out of range.
            pub fn check(&self) -> Result<(), PolicyError> {
                $(
                    if let Some(settings) = &self.$name {
                        settings.check(concat!("detectors.", stringify!($name)))?;
                    }
                )+
                Ok(())
            }

            /// The most that each detector can contribute; none where it is switched off.
            #[inline]
            pub fn most(&self) -> [Option<Millinats>; COUNT] {
                [$(on(&self.$name).map(Settings::most)),+]
            }
        }

        impl States {
            /// Reads a word of every state.
            pub fn touch(&self) -> u64 {
                [$(<$detector>::touch(&self.$name)),+].into_iter().fold(0, u64::wrapping_add)
            }

            /// Shows an event to every detector; says which failed on it. A detector that fails forgets
            /// what it knew of the account.
            #[inline]
            pub fn observe(
                &mut self,
                seen: Seen<'_>,
                now_ms: i64,
                settings: &DetectorSettings,
                fault: FaultHook,
            ) -> Counts {
                let (mut faults, mut index) = (Counts::default(), 0);
                $(
                    if let Some(settings) = on(&settings.$name) {
                        let run = || {
                            fault.check(<$detector>::NAME);
                            <$detector>::observe(&mut self.$name, seen, now_ms, settings);
                        };
                        if guard(run).is_err() {
                            self.$name = Default::default();
                            faults.0[index] += 1;
                        }
                    }
                    index += 1;
                )+
                debug_assert_eq!(index, COUNT);
                faults
            }

            /// Asks every detector for its evidence, and says which failed.
            #[inline]
            pub fn judge(
                &self,
                account: &AccountView<'_>,
                settings: &DetectorSettings,
            ) -> ([Option<Millinats>; COUNT], Counts) {
                let (mut faults, mut evidence, mut index) = (Counts::default(), [None; COUNT], 0);
                $(
                    if let Some(settings) = on(&settings.$name) {
                        let run =
                            || <$detector>::judge(&self.$name, account, settings, &mut Notes::closed());
                        evidence[index] = guard(run).unwrap_or_else(|_| {
                            faults.0[index] += 1;
                            None
                        });
                    }
                    index += 1;
                )+
                debug_assert_eq!(index, COUNT);
                (evidence, faults)
            }

            /// The reasons of each detector for its evidence.
            pub fn explain(
                &self,
                account: &AccountView<'_>,
                settings: &DetectorSettings,
            ) -> [Vec<Evidence>; COUNT] {
                [$({
                    let run = || {
                        let mut notes = Notes::open();
                        if let Some(settings) = on(&settings.$name) {
                            <$detector>::judge(&self.$name, account, settings, &mut notes);
                        }
                        notes.into_items()
                    };
                    guard(run).unwrap_or_default()
                }),+]
            }

            /// Appends the encoding: for each detector its tag, the version and length of its state, and the
            /// state.
            pub(crate) fn save(&self, out: &mut Vec<u8>) {
                COUNT.save(out);
                let mut body = Vec::new();
                $(
                    body.clear();
                    self.$name.save(&mut body);
                    ($tag as u8).save(out);
                    <$detector>::STATE_VERSION.save(out);
                    body.len().save(out);
                    out.extend_from_slice(&body);
                )+
            }

            /// Reads the encoding from the front of `input`. A detector that this build does not have is
            /// passed over, one that is not there knows nothing yet, and a version that this build does not
            /// know is counted in `forgotten`: that detector begins anew with the account.
            pub(crate) fn load(input: &mut &[u8], forgotten: &mut Counts) -> Result<Self, Damage> {
                let mut states = Self::default();
                for _ in 0..usize::load(input)? {
                    let (tag, version) = (u8::load(input)?, u8::load(input)?);
                    let length = usize::load(input)?;
                    let mut body = take(input, length)?;
                    let mut index = 0;
                    $(
                        if tag == $tag {
                            if version == <$detector>::STATE_VERSION {
                                states.$name = Persist::load(&mut body)?;
                                if !body.is_empty() {
                                    return Err(Damage("a detector's state is longer than its format"));
                                }
                            } else {
                                forgotten.0[index] += 1;
                            }
                        }
                        index += 1;
                    )+
                    debug_assert_eq!(index, COUNT);
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

use crate::detectors::{
    Bond, Contradiction, Disguise, Elicitation, Harvest, Indicator, Kin, Network, Opening, Owner, Payer,
    Probing, Proxies, Rhythm, Script, Theme, Whale,
};

// 1 to 6 were detectors of scores, and 17 was `switch`.
registry! {
    7 rhythm: Rhythm,
    8 harvest: Harvest,
    9 elicitation: Elicitation,
    10 whale: Whale,
    11 probing: Probing,
    12 contradiction: Contradiction,
    13 kin: Kin,
    14 bond: Bond,
    15 network: Network,
    16 script: Script,
    18 owner: Owner,
    19 theme: Theme,
    20 opening: Opening,
    21 proxies: Proxies,
    22 payer: Payer,
    23 indicator: Indicator,
    24 disguise: Disguise,
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn what_detectors_look_at_is_in_the_schema_of_events() {
        let schema: String = <weir_schemas::Event<'_> as weir_schemas::codec::Record>::SCHEMA
            .chars()
            .filter(|char| !char.is_whitespace())
            .collect();
        for (name, inputs) in NAMES.iter().zip(&INPUTS) {
            for field in inputs.needs.iter().chain(inputs.uses).flat_map(|group| *group) {
                assert!(schema.contains(&format!("\"name\":\"{field}\"")), "{name}: {field}");
            }
        }
    }

    #[test]
    fn a_state_of_a_removed_detector_is_passed_over() {
        let mut out = Vec::new();
        2usize.save(&mut out);
        out.extend_from_slice(&[99, 7, 3, 9, 9, 9]);
        let mut probing = Vec::new();
        crate::detectors::probing::State::default().save(&mut probing);
        out.extend([11, Probing::STATE_VERSION]);
        probing.len().save(&mut out);
        out.extend_from_slice(&probing);
        let (mut input, mut forgotten) = (&out[..], Counts::default());
        assert!(States::load(&mut input, &mut forgotten).is_ok());
        assert!(input.is_empty() && forgotten.is_empty());
    }

    /// States in which two detectors know something, as a build writes them whose `probing` has version
    /// `probing`.
    fn saved(probing: u8) -> Vec<u8> {
        let mut states = States::default();
        let settings = crate::policy::Policy::builtin().fleet().detectors.clone();
        let mut profile = crate::profile::Profile::new(crate::fixture::START_MS);
        let prompt = Some(crate::fixture::prompt("shape", "text", 1));
        let request = weir_schemas::Request { max_tokens: Some(64), prompt, ..Default::default() };
        profile.observe(crate::fixture::START_MS, 1, Seen::Request(&request));
        states.observe(Seen::Request(&request), profile.clock_ms, &settings, FaultHook::default());
        let mut out = Vec::new();
        states.save(&mut out);
        let mut section = vec![11, Probing::STATE_VERSION];
        let mut body = Vec::new();
        states.probing.save(&mut body);
        body.len().save(&mut section);
        section.extend(body);
        let at = out.windows(section.len()).position(|window| window == section).unwrap();
        out[at + 1] = probing;
        out
    }

    #[test]
    fn a_state_of_a_version_that_is_not_known_costs_that_detectors_memory_alone() {
        let (known, other) = (saved(Probing::STATE_VERSION), saved(Probing::STATE_VERSION + 1));
        let (mut none, mut one) = (Counts::default(), Counts::default());
        let known = States::load(&mut &known[..], &mut none).unwrap();
        let other = States::load(&mut &other[..], &mut one).unwrap();
        assert_eq!(none.named().collect::<Vec<_>>(), []);
        assert_eq!(one.named().collect::<Vec<_>>(), [("probing", 1)]);
        assert_ne!(known.probing, other.probing);
        assert_eq!(other.probing, Default::default());
        assert_eq!(known.elicitation, other.elicitation);
    }

    #[test]
    fn an_entry_from_before_a_detector_was_added_is_read() {
        let mut out = Vec::new();
        0usize.save(&mut out);
        assert!(States::load(&mut &out[..], &mut Counts::default()).is_ok());
    }

    #[test]
    fn a_state_that_is_too_long_is_refused() {
        let states = States::load(&mut &[1u8, 11, 1, 40, 0, 0, 0][..], &mut Counts::default());
        expect!["it ends too early"].assert_eq(&states.err().unwrap().to_string());
    }
}

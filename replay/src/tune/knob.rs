//! What tuning may change of a policy: its numbers, where each stands, and which values are tried. Of a
//! policy
//! that has tenants these are the fleet's; what a tenant has otherwise stays.

use crate::document::{self, put};
use crate::limits::{CAPS_HEARD_MILLINATS, NATS_MAX_MILLINATS};
use toml_edit::{DocumentMut, Item, Value};
use weir_processor::detector::NAMES;
use weir_processor::policy::Policy;

/// Steps that are tried from a value in nats, in thousandths, the smallest first.
const NATS_STEPS: [i32; 8] = [-500, 500, -1_000, 1_000, -2_000, 2_000, -4_000, 4_000];

/// Steps from a score.
const SCORE_STEPS: [i32; 6] = [-10, 10, -50, 50, -100, 100];

/// Detectors that read their own cap: what they say under another is known only by asking them. One that is
/// missing here is taken for cut at its cap, and the evaluation of a candidate tells.
const READ_THEIR_CAPS: [&str; 1] = ["kin"];

/// A number of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knob {
    /// The most that a detector contributes, by its place in the registry; 0 is off.
    Detector(usize),
    /// A number of the table `fusion`, in nats.
    Fusion(&'static str),
    /// The score from which a tier holds.
    Tier(&'static str),
}

impl Knob {
    /// Every number that tuning may change of this policy, as it stands. What the policy does not name stays
    /// off.
    pub fn of(document: &DocumentMut) -> Vec<Self> {
        let detectors = (0..NAMES.len()).map(Self::Detector);
        let fusion =
            ["prior_nats", "family_nats_max", "speaks_from_nats", "alone_nats"].into_iter().map(Self::Fusion);
        let tiers = ["medium", "high", "critical"].into_iter().map(Self::Tier);
        let all = detectors.chain(fusion).chain(tiers);
        all.filter(|knob| knob.item(document).is_some()).collect()
    }

    /// Whether it is the cap of a detector that reads it.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Detector(index) if READ_THEIR_CAPS.contains(&NAMES[index]))
    }

    /// Its name in the policy.
    pub fn name(self) -> String {
        let [tables @ .., key] = self.path();
        tables
            .into_iter()
            .filter(|table| !table.is_empty())
            .map(|table| format!("{table}."))
            .collect::<String>()
            + key
    }

    fn path(self) -> [&'static str; 3] {
        match self {
            Self::Detector(index) => ["detectors", NAMES[index], "nats_max"],
            Self::Fusion(key) => ["", "fusion", key],
            Self::Tier(key) => ["", "tiers", key],
        }
    }

    fn item(self, document: &DocumentMut) -> Option<&Item> {
        self.path()
            .into_iter()
            .filter(|key| !key.is_empty())
            .try_fold(document.as_item(), |item, key| item.get(key))
    }

    /// Its value in thousandths.
    pub fn value(self, document: &DocumentMut) -> i32 {
        let of = |item: &Item| item.as_float().or_else(|| Some(item.as_integer()? as f64));
        let value = self.item(document).and_then(of).unwrap_or(0.0);
        match self {
            Self::Detector(index) if !is_on(document, NAMES[index]) => 0,
            _ => (value * 1_000.0).round() as i32,
        }
    }

    /// Writes a value, in thousandths; what stands around it stays.
    pub fn set(self, document: &mut DocumentMut, thousandths: i32) {
        if let Self::Detector(index) = self {
            let enabled = ["detectors", NAMES[index], "enabled"];
            put(document, &enabled, Value::from(thousandths > 0));
            if thousandths == 0 {
                return;
            }
        }
        let path = self.path();
        let keys: Vec<&str> = path.into_iter().filter(|key| !key.is_empty()).collect();
        put(document, &keys, Value::from(f64::from(thousandths) / 1_000.0));
    }

    /// The values that are tried in the place of `now`: a weight is never less than nothing, and nothing
    /// leaves what a policy may say. `origin` is the value in force.
    pub fn tried(self, now: i32, origin: i32) -> Vec<i32> {
        let stepped = |steps: &[i32], least: i32, most: i32| {
            steps.iter().map(|step| (now + step).clamp(least, most)).collect::<Vec<_>>()
        };
        let mut values = match self {
            Self::Detector(_) if self.is_read() => CAPS_HEARD_MILLINATS.to_vec(),
            Self::Detector(_) => stepped(&NATS_STEPS, 0, NATS_MAX_MILLINATS),
            Self::Fusion("prior_nats") => stepped(&NATS_STEPS, -NATS_MAX_MILLINATS, NATS_MAX_MILLINATS),
            Self::Fusion("speaks_from_nats") => stepped(&NATS_STEPS[..4], 100, NATS_MAX_MILLINATS),
            Self::Fusion("family_nats_max") => stepped(&NATS_STEPS, 1_000, NATS_MAX_MILLINATS),
            Self::Fusion(_) => stepped(&NATS_STEPS, 0, 5 * NATS_MAX_MILLINATS),
            Self::Tier(_) => stepped(&SCORE_STEPS, 10, 1_000),
        };
        values.push(origin);
        if matches!(self, Self::Detector(_)) {
            values.push(0);
        }
        let mut seen = vec![now];
        values.retain(|value| {
            let is_new = !seen.contains(value);
            seen.push(*value);
            is_new
        });
        values
    }
}

fn is_on(document: &DocumentMut, detector: &str) -> bool {
    let table = document.get("detectors").and_then(|detectors| detectors.get(detector));
    table.and_then(|table| table.get("enabled")).and_then(Item::as_bool) == Some(true)
}

/// A policy's numbers, in thousandths, in the order of its knobs.
pub type Draft = Vec<i32>;

/// A policy that is being tuned: what may change, and what it is made from.
#[derive(Debug, Clone)]
pub struct Bank {
    document: DocumentMut,
    /// What may change.
    pub knobs: Vec<Knob>,
    /// The values in force.
    pub origin: Draft,
}

impl Bank {
    /// The numbers of a policy.
    pub fn new(policy: &Policy) -> Self {
        let document = document::of(policy);
        let knobs = Knob::of(&document);
        let origin = knobs.iter().map(|knob| knob.value(&document)).collect();
        Self { document, knobs, origin }
    }

    /// The text of a draft; `version` names it.
    pub fn text(&self, draft: &Draft, version: Option<&str>) -> String {
        let mut document = self.document.clone();
        for ((knob, value), origin) in self.knobs.iter().zip(draft).zip(&self.origin) {
            if value != origin {
                knob.set(&mut document, *value);
            }
        }
        if let Some(version) = version {
            put(&mut document, &["version"], Value::from(version));
        }
        document.to_string()
    }

    /// A draft as a policy; none where it contradicts itself.
    pub fn policy(&self, draft: &Draft) -> Option<Policy> {
        Policy::parse(&self.text(draft, None)).ok()
    }

    /// What a draft changes: each knob with the value in force and the new one.
    pub fn changes(&self, draft: &Draft) -> impl Iterator<Item = (Knob, i32, i32)> {
        let values = self.knobs.iter().zip(&self.origin).zip(draft);
        values.map(|((knob, from), to)| (*knob, *from, *to)).filter(|(_, from, to)| from != to)
    }

    /// The document, to make other policies of it.
    pub(super) fn document(&self) -> DocumentMut {
        self.document.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_draft_is_the_same_text_but_for_its_numbers() {
        let policy = Policy::builtin();
        let bank = Bank::new(&policy);
        assert_eq!(bank.text(&bank.origin, None), policy.text);
        let mut draft = bank.origin.clone();
        for (knob, value) in bank.knobs.iter().zip(&mut draft) {
            match knob.name().as_str() {
                "detectors.whale.nats_max" => *value = 0,
                "detectors.kin.nats_max" => *value = 12_000,
                "fusion.prior_nats" => *value = -6_500,
                "tiers.medium" => *value = 340,
                _ => {}
            }
        }
        let text = bank.text(&draft, Some("mine"));
        let lines = policy.text.lines().zip(text.lines()).filter(|(from, to)| from != to);
        let changed: Vec<String> = lines.map(|(from, to)| format!("{from} -> {to}\n")).collect();
        expect![[r#"
            version = "builtin-10" -> version = "mine"
            medium = 0.35 -> medium = 0.34
            prior_nats = -6.75 -> prior_nats = -6.5
            enabled = true -> enabled = false
            nats_max = 7.0 -> nats_max = 12.0
        "#]]
        .assert_eq(&changed.concat());
        assert_eq!(Bank::new(&Policy::parse(&text).unwrap()).origin, draft);
    }

    #[test]
    fn no_weight_is_tried_below_nothing_and_nothing_that_a_policy_may_not_say() {
        let bank = Bank::new(&Policy::builtin());
        for (index, knob) in bank.knobs.iter().enumerate() {
            for start in [bank.origin[index], 0, 100, 20_000] {
                for value in knob.tried(start, bank.origin[index]) {
                    let mut draft = bank.origin.clone();
                    draft[index] = value;
                    let refused = Policy::parse(&bank.text(&draft, None)).err();
                    let is_order =
                        refused.as_ref().is_some_and(|error| error.to_string().contains("rising order"));
                    assert!(refused.is_none() || is_order, "{} = {value}: {refused:?}", knob.name());
                    assert!(value >= 0 || knob.name() == "fusion.prior_nats", "{} = {value}", knob.name());
                }
            }
        }
    }
}

//! The policy: what a detection engineer decides. One TOML text, checked as a whole before it counts.
//!
//! What a policy does not name is off: a detector's table that is not there means that the detector is not
//! asked, so that a policy means under a newer build, which has more detectors, what it meant under the one
//! that it was written for. Every key of a table that is there is required and unknown tables and keys are
//! refused, so that a misspelt key is not silently a default. A key that is added to a table later must be
//! optional, and its absence mean what the table meant before. The policy that comes with Weir is
//! `policy/default.toml`; start a new one from a copy of it.
//!
//! Accounts of most tenants are judged by the same [`Rules`], the fleet's. A policy may say of single tenants
//! what is otherwise: [`Policy::of`] gives the rules of each.

mod by_tenant;
mod rules;
mod text;

pub use rules::Rules;
pub use text::OF_TENANTS;

use crate::limits::POLICY_BYTES_MAX;
use crate::section::PolicyError;
use by_tenant::ByTenant;
use std::sync::Arc;
use weir_schemas::Digest;
use weir_schemas::bundle::Bundle;

const BUILTIN: &str = include_str!("../policy/default.toml");

section! {
    /// Scores from which each tier holds. The score is a map of the log-odds as they are summed, whatever
    /// they proved to be.
    pub struct Tiers {
        /// From here on MEDIUM.
        medium: f64 = 0.01 ..= 1,
        /// From here on HIGH.
        high: f64 = 0.01 ..= 1,
        /// From here on CRITICAL.
        critical: f64 = 0.01 ..= 1,
    }
}

section! {
    /// How evidence becomes one score.
    pub struct Fusion {
        /// Log-odds of extraction before any evidence, in nats.
        prior_nats: f64 = -20 ..= 20,
        /// The most that a family of detectors can contribute, for or against an account, in nats.
        family_nats_max: f64 = 0 ..= 20,
        /// Evidence from which a family counts as speaking against an account, in nats.
        speaks_from_nats: f64 = 0.001 ..= 20,
        /// Evidence of one family, in nats, that is enough for MEDIUM when no other speaks.
        alone_nats: f64 = 0 ..= 100,
    }
}

section! {
    /// How long a verdict of a tier is not repeated, and how long a tier is held before a lower one
    /// is said. A higher tier is always said at once.
    pub struct Cooldown {
        /// Seconds at MEDIUM.
        medium_s: u32 = 0 ..= 604800,
        /// Seconds at HIGH.
        high_s: u32 = 0 ..= 604800,
        /// Seconds at CRITICAL.
        critical_s: u32 = 0 ..= 604800,
    }
}

section! {
    /// How long what is idle is remembered.
    pub struct Horizons {
        /// Hours after which an idle account is new again. More than the longest window.
        account_h: u32 = 25 ..= 720,
        /// Hours after which a shared value that nobody is newly seen with is new again.
        value_h: u32 = 1 ..= 2160,
    }
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Name that its author gave it.
    pub version: String,
    /// SHA-256 of its text: what a verdict is bound to.
    pub digest: Digest,
    /// The text itself.
    pub text: String,
    /// Table `horizons`, which is one for all tenants.
    pub horizons: Horizons,
    fleet: Rules,
    tenants: ByTenant,
}

impl Policy {
    /// Reads and checks a policy.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::Unreadable(format!(
                "it has {} bytes, over the limit of {POLICY_BYTES_MAX}",
                text.len()
            )));
        }
        text::read(text)
    }

    /// Reads a policy as it is published: by itself, or in a bundle, whose signatures are not looked at.
    pub fn published(body: &str) -> Result<Self, PolicyError> {
        let text = Bundle::policy_in(body).map_err(|error| PolicyError::Unreadable(error.to_string()))?;
        Self::parse(&text)
    }

    /// The policy that comes with Weir.
    pub fn builtin() -> Self {
        // A test parses the same text, so a build whose own policy is broken does not pass.
        #[allow(clippy::expect_used)]
        Self::parse(BUILTIN).expect("policy/default.toml is a policy")
    }

    /// Its text, as a detection engineer reads it.
    pub fn builtin_text() -> &'static str {
        BUILTIN
    }

    /// What accounts of this tenant are judged by.
    #[inline]
    pub fn of(&self, tenant: &str) -> &Rules {
        // Where nothing is said of any tenant, nothing is looked up.
        if self.tenants.is_empty() {
            return &self.fleet;
        }
        self.tenants.get(tenant).map_or(&self.fleet, Arc::as_ref)
    }

    /// What accounts are judged by of whose tenant it says nothing.
    pub fn fleet(&self) -> &Rules {
        &self.fleet
    }

    /// The tenants of which it says something, in the order of their ids.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut ids: Vec<&str> = self.tenants.keys().map(String::as_str).collect();
        ids.sort_unstable();
        ids.into_iter()
    }

    /// How long an idle account is remembered, in milliseconds.
    pub fn account_horizon_ms(&self) -> i64 {
        i64::from(self.horizons.account_h) * 3_600_000
    }

    /// How long an idle value is remembered, in milliseconds.
    pub fn value_horizon_ms(&self) -> i64 {
        i64::from(self.horizons.value_h) * 3_600_000
    }
}

/// The version of the policy itself, where that of a verdict names the rules of its tenant.
pub fn version_of<'v>(rules: &'v str, tenant: &str) -> &'v str {
    rules.strip_suffix(tenant).and_then(|rest| rest.strip_suffix('/')).unwrap_or(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::{DetectorSettings, NAMES};
    use crate::limits::POLICY_TENANTS_MAX;
    use expect_test::{Expect, expect};
    use weir_schemas::Tier;

    fn check(from: &str, to: &str, expected: Expect) {
        let text = BUILTIN.replacen(from, to, 1);
        assert_ne!(text, BUILTIN, "{from:?} is not in the policy");
        expected.assert_eq(&Policy::parse(&text).expect_err("refused").to_string());
    }

    #[test]
    fn the_builtin_policy_is_a_policy() {
        let policy = Policy::builtin();
        assert_eq!(Policy::parse(&policy.text).unwrap(), policy);
        assert_eq!(policy.fleet().tier_of(0.35), Tier::Medium);
        assert_eq!(policy.fleet().tier_of(0.349_999), Tier::Clear);
        assert_eq!(policy.fleet().tier_of(0.55), Tier::High);
        assert_eq!(policy.fleet().tier_of(0.72), Tier::Critical);
    }

    #[test]
    fn a_policy_that_says_what_it_may_not_is_refused_with_the_key() {
        check(
            "critical = 0.72",
            "critical = 1.72",
            expect!["policy key tiers.critical is 1.72; allowed is 0.01 to 1"],
        );
        check("high = 0.55", "high = nan", expect!["policy key tiers.high is NaN; allowed is 0.01 to 1"]);
        check(
            "medium = 0.35",
            "medium = 0.6",
            expect!["policy key tiers must be in rising order: medium, high, critical"],
        );
        check(
            "account_h = 48",
            "account_h = 24",
            expect!["policy key horizons.account_h is 24; allowed is 25 to 720"],
        );
    }

    #[test]
    fn a_misspelt_or_missing_key_is_named() {
        let misspelt =
            Policy::parse(&BUILTIN.replacen("prior_nats", "prior_nuts", 1)).unwrap_err().to_string();
        assert!(misspelt.contains("unknown field `prior_nuts`"), "{misspelt}");
        let missing = Policy::parse(&BUILTIN.replacen("account_h = 48", "", 1)).unwrap_err().to_string();
        assert!(missing.contains("missing field `account_h`"), "{missing}");
    }

    /// The builtin policy without the tables of some detectors, as it was before there were any of these.
    fn without(tables: &[&str]) -> String {
        let (head, rest) = BUILTIN.split_once("[detectors.").unwrap();
        let kept =
            rest.split("[detectors.").filter(|table| !tables.iter().any(|name| table.starts_with(name)));
        kept.fold(head.to_owned(), |text, table| text + "[detectors." + table)
    }

    #[test]
    fn a_detector_that_a_policy_does_not_name_is_off() {
        let policy = Policy::parse(&without(&["script", "kin"])).unwrap();
        assert_eq!((&policy.fleet().detectors.script, &policy.fleet().detectors.kin), (&None, &None));
        let off = NAMES.map(|name| matches!(name, "script" | "kin"));
        assert_eq!(policy.fleet().detectors.most().map(|most| most.is_none()), off);
        let none = without(&NAMES);
        assert_eq!(Policy::parse(&none).unwrap().fleet().detectors, DetectorSettings::default());
    }

    #[test]
    fn a_table_that_this_build_does_not_know_is_refused_and_so_is_half_a_table() {
        let unknown = Policy::parse(&(BUILTIN.to_owned() + "[detectors.later]\nenabled = true\n"));
        let unknown = unknown.unwrap_err().to_string();
        assert!(unknown.contains("unknown field `later`"), "{unknown}");
        let half =
            Policy::parse(&BUILTIN.replacen("[detectors.owner]\nenabled = true\n", "[detectors.owner]\n", 1));
        let half = half.unwrap_err().to_string();
        assert!(half.contains("missing field `enabled`"), "{half}");
    }

    #[test]
    fn another_text_has_another_digest() {
        let policy = Policy::parse(&format!("{BUILTIN}\n# a remark\n")).unwrap();
        assert_ne!(policy.digest, Policy::builtin().digest);
    }

    /// The built-in policy with what is said of tenants after it.
    fn with_tenants(said: &str) -> Result<Policy, PolicyError> {
        Policy::parse(&format!("{BUILTIN}{said}"))
    }

    /// What is refused of a text that follows the built-in policy, by the lines of that text.
    fn check_tenants(said: &str, expected: Expect) {
        let lines = BUILTIN.matches('\n').count();
        let refused = with_tenants(said).expect_err("refused").to_string();
        let rest = refused.strip_prefix("the policy cannot be read: line ").expect("it says where");
        let (line, rest) = rest.split_once(',').expect("a line and a column");
        let line = line.parse::<usize>().expect("a line") - lines;
        expected.assert_eq(&format!("line {line},{rest}"));
    }

    #[test]
    fn a_tenant_has_the_fleets_rules_but_for_what_is_said_of_it() {
        let said = r#"
[tenants.acme.tiers]
high = 0.5
[tenants.acme.detectors]
elicitation.enabled = false
kin = { nats_max = 3 }
[tenants.acme.cooldown]
critical_s = 60
[tenants.beta.fusion]
prior_nats = -5.0
[tenants.beta.calibration]
points_nats = [[0.0, 0.0], [1.0, 2.0]]
"#;
        let policy = with_tenants(said).unwrap();
        assert_eq!(policy.tenants().collect::<Vec<_>>(), ["acme", "beta"]);
        let (fleet, acme, beta) = (policy.fleet(), policy.of("acme"), policy.of("beta"));
        assert_eq!(policy.of("gamma"), fleet);
        assert_eq!(fleet.tiers, Policy::builtin().fleet().tiers);
        assert_eq!((acme.tiers.medium, acme.tiers.high, acme.tiers.critical), (0.35, 0.5, 0.72));
        assert_eq!((acme.cooldown_ms(Tier::Critical), acme.cooldown_ms(Tier::High)), (60_000, 1_800_000));
        assert_eq!((&acme.fusion, &acme.calibration), (&fleet.fusion, &fleet.calibration));
        let cap = |rules: &Rules, name| {
            rules.detectors.most()[NAMES.iter().position(|known| *known == name).unwrap()]
        };
        assert_eq!(
            (cap(acme, "elicitation"), cap(acme, "kin"), cap(acme, "bond")),
            (None, Some(3_000), Some(5_000))
        );
        assert_eq!((beta.prior(), beta.calibrated(500)), (-5_000, 1_000));
        assert_eq!((&beta.tiers, &beta.detectors), (&fleet.tiers, &fleet.detectors));
        let names = [fleet, acme, beta].map(|rules| (rules.version.as_str(), rules.digest));
        let expected = ["builtin-10", "builtin-10/acme", "builtin-10/beta"].map(|name| (name, policy.digest));
        assert_eq!(names, expected, "one digest covers all of it");
        assert_eq!(version_of("builtin-10/acme", "acme"), "builtin-10");
        assert_eq!(
            (version_of("builtin-10", "acme"), version_of("builtin-10", "8")),
            ("builtin-10", "builtin-10")
        );
    }

    #[test]
    fn what_all_tenants_share_cannot_be_said_of_one() {
        check_tenants(
            "[tenants.acme.horizons]\naccount_h = 72\n",
            expect![
                "line 1, column 15: `horizons` cannot be said of tenant acme alone: accounts of all tenants share values, and how long those and the accounts behind them are remembered is one for the fleet. A tenant may have `tiers`, `fusion`, `cooldown`, `calibration`, `detectors`"
            ],
        );
        check_tenants(
            "[tenants.acme]\nversion = 'mine'\n",
            expect![
                "line 2, column 1: `version` cannot be said of tenant acme alone: it names the whole document. A tenant may have `tiers`, `fusion`, `cooldown`, `calibration`, `detectors`"
            ],
        );
        check_tenants(
            "[tenants.acme.tenants.beta.tiers]\nhigh = 0.5\n",
            expect![
                "line 1, column 15: a tenant has no tenants of its own. A tenant may have `tiers`, `fusion`, `cooldown`, `calibration`, `detectors`"
            ],
        );
    }

    #[test]
    fn what_a_tenant_may_not_say_is_refused_with_line_and_column() {
        check_tenants(
            "[tenants.acme]\nteers.high = 0.5\n",
            expect![
                "line 2, column 1: unknown table `teers` of tenant acme. A tenant may have `tiers`, `fusion`, `cooldown`, `calibration`, `detectors`"
            ],
        );
        check_tenants(
            "[tenants.acme.tiers]\n  hihg = 0.5\n",
            expect![
                "line 2, column 3: tenant acme: unknown field `hihg`, expected one of `medium`, `high`, `critical`"
            ],
        );
        check_tenants(
            "[tenants.acme.detectors.kine]\nenabled = false\n",
            expect![
                "line 1, column 25: tenant acme: unknown field `kine`, expected one of `rhythm`, `harvest`, `elicitation`, `whale`, `probing`, `contradiction`, `kin`, `bond`, `network`, `script`, `owner`, `theme`, `opening`, `proxies`, `payer`, `indicator`, `disguise`"
            ],
        );
        check_tenants(
            "[tenants.acme.tiers]\nhigh = 'no'\n",
            expect![[r#"line 2, column 8: tenant acme: invalid type: string "no", expected f64"#]],
        );
        check_tenants(
            "\n[tenants.acme.tiers]\nmedium = 0.3\ncritical = 1.72\n",
            expect!["line 4, column 1: policy key tenants.acme.tiers.critical is 1.72; allowed is 0.01 to 1"],
        );
        check_tenants(
            "[tenants.acme]\ndetectors.kin.nats_max = 21\n",
            expect![
                "line 2, column 15: policy key tenants.acme.detectors.kin.nats_max is 21; allowed is 0 to 20"
            ],
        );
        check_tenants(
            "[tenants.acme]\n[tenants.acme.tiers]\nmedium = 0.6\n",
            expect![
                "line 2, column 15: policy key tenants.acme.tiers must be in rising order: medium, high, critical"
            ],
        );
        check_tenants(
            "[tenants.acme.calibration]\npoints_nats = [[0.0, 0.0]]\n",
            expect![
                "line 2, column 1: policy key tenants.acme.calibration.points_nats must be 2 to 16 pairs"
            ],
        );
        check_tenants(
            "[tenants.acme]\ntiers = 3\n",
            expect!["line 2, column 9: `tenants.acme.tiers` must be a table"],
        );
        check_tenants(
            "[tenants]\nacme = true\n",
            expect!["line 2, column 1: `tenants.acme` must be a table"],
        );
    }

    #[test]
    fn a_tenant_has_a_name_that_a_registry_could_have() {
        for name in ["Acme", "acme corp", "a.b", "", "ä"] {
            let refused = with_tenants(&format!("[tenants.\"{name}\".tiers]\nhigh = 0.5\n")).unwrap_err();
            let lines = BUILTIN.matches('\n').count() + 1;
            let expected = format!(
                "the policy cannot be read: line {lines}, column 10: {name:?} is no tenant's id: it must have 1 to 64 of the \
                 characters a-z, 0-9 and `-`"
            );
            assert_eq!(refused.to_string(), expected);
        }
    }

    #[test]
    fn more_tenants_than_a_task_keeps_are_refused_with_the_first_that_is_too_many() {
        let many = |count: usize| {
            (0..count).map(|at| format!("[tenants.t{at}.tiers]\nhigh = 0.5\n")).collect::<String>()
        };
        let most = with_tenants(&many(POLICY_TENANTS_MAX)).unwrap();
        assert_eq!(most.tenants().len(), POLICY_TENANTS_MAX);
        check_tenants(
            &many(POLICY_TENANTS_MAX + 1),
            expect![
                "line 513, column 10: there are over 256 tenants: a policy says something of at most as many; the others are judged by the fleet's"
            ],
        );
    }

    #[test]
    fn a_version_has_no_slash_where_a_tenants_rules_are_named_by_one() {
        let text = BUILTIN.replacen("builtin-10", "mine/3", 1);
        assert_eq!(Policy::parse(&text).unwrap().version, "mine/3");
        let refused = Policy::parse(&(text + "[tenants.acme]\n")).unwrap_err().to_string();
        expect!["policy key version must be without `/` where there are tenants: a tenant's rules are named VERSION/TENANT"]
            .assert_eq(&refused);
    }

    #[test]
    fn a_detector_that_only_a_tenant_has_needs_a_whole_table() {
        let fleet = without(&["script"]);
        let whole = Policy::parse(
            &(fleet.clone() + "[tenants.acme.detectors.script]\nenabled = true\nnats_max = 1.0\n"),
        );
        let whole = whole.unwrap();
        assert_eq!(whole.fleet().detectors.script, None);
        assert_eq!(whole.of("acme").detectors.script.as_ref().unwrap().nats_max, 1.0);
        let half = Policy::parse(&(fleet + "[tenants.acme.detectors.script]\nenabled = true\n"));
        let half = half.unwrap_err().to_string();
        assert!(half.ends_with("tenant acme: missing field `nats_max`"), "{half}");
    }
}

//! Whoever is judged by a tenant's rules is judged as a policy of these rules alone would judge everybody.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod support;

use proptest::prelude::*;
use std::fmt::Write as _;
use support::pipeline::{Run, STRAIGHT, run};
use support::scenario::{Arrival, parse};
use weir_processor::detector::NAMES;
use weir_processor::policy::Policy;
use weir_schemas::wire::Wire;
use weir_schemas::{Digest, Event, Record as _, Verdict, VerdictId};

const TENANTS: [&str; 3] = ["strict", "lenient", "other"];

/// A key of a policy, and the value that it is given.
type Said = (String, String);

/// The built-in policy in which some keys have other values.
fn whole(said: &[Said]) -> Policy {
    let mut table: toml::Table = Policy::builtin_text().parse().unwrap();
    for (key, value) in said {
        let (path, last) = key.rsplit_once('.').unwrap();
        let mut inner = &mut table;
        for name in path.split('.') {
            inner = inner[name].as_table_mut().unwrap();
        }
        let value: toml::Table = format!("value = {value}").parse().unwrap();
        *inner.get_mut(last).unwrap() = value["value"].clone();
    }
    Policy::parse(&table.to_string()).unwrap()
}

/// The built-in policy with such values for the first two tenants.
fn with_tenants(said: &[Vec<Said>; 2]) -> Policy {
    let mut text = Policy::builtin_text().to_owned();
    for (tenant, said) in TENANTS.iter().zip(said) {
        let _ = writeln!(text, "[tenants.{tenant}]");
        for (key, value) in said {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    Policy::parse(&text).unwrap()
}

/// Values that a tenant may have of its own.
fn said() -> impl Strategy<Value = Vec<Said>> {
    let tiers = (0.2..0.35f64, 0.4..0.6f64, 0.65..0.95f64);
    let fusion = (-9.0..-3.0f64, 2.0..12.0f64, 0.1..3.0f64, 1.0..20.0f64);
    let cooldown = (60..4_000u32, 60..2_000u32, 60..1_000u32);
    let detectors = prop::collection::btree_map(0..NAMES.len(), prop::option::of(0.0..12.0f64), 0..6);
    (tiers, fusion, cooldown, detectors).prop_map(|(tiers, fusion, cooldown, detectors)| {
        let mut said: Vec<Said> = vec![
            ("tiers.medium".into(), format!("{:.3}", tiers.0)),
            ("tiers.high".into(), format!("{:.3}", tiers.1)),
            ("tiers.critical".into(), format!("{:.3}", tiers.2)),
            ("fusion.prior_nats".into(), format!("{:.3}", fusion.0)),
            ("fusion.family_nats_max".into(), format!("{:.3}", fusion.1)),
            ("fusion.speaks_from_nats".into(), format!("{:.3}", fusion.2)),
            ("fusion.alone_nats".into(), format!("{:.3}", fusion.3)),
            ("cooldown.medium_s".into(), cooldown.0.to_string()),
            ("cooldown.high_s".into(), cooldown.1.to_string()),
            ("cooldown.critical_s".into(), cooldown.2.to_string()),
        ];
        said.extend(detectors.into_iter().map(|(at, most)| match most {
            None => (format!("detectors.{}.enabled", NAMES[at]), "false".into()),
            Some(most) => (format!("detectors.{}.nats_max", NAMES[at]), format!("{most:.3}")),
        }));
        said
    })
}

/// The accounts of a scenario as customers of the tenants, by turns that `seed` shifts.
fn of_tenants(arrivals: &[Arrival], seed: u8) -> Vec<Arrival> {
    let wire = Wire::new();
    let moved = arrivals.iter().map(|arrival| {
        let datum = wire.datum::<Event<'_>>(&arrival.payload).unwrap();
        let mut event = Event::decode(&datum).unwrap();
        event.tenant = TENANTS[usize::from(arrival.account.0[0].wrapping_add(seed)) % TENANTS.len()];
        Arrival { payload: wire.to_bytes(&event), ..arrival.clone() }
    });
    moved.collect()
}

/// What was said of a tenant's accounts, but for the name of who said it.
fn of_tenant(run: &Run, tenant: &str) -> Vec<Verdict> {
    let verdicts = run.verdicts.iter().filter(|verdict| verdict.tenant == tenant).cloned();
    let nameless = verdicts.map(|verdict| Verdict {
        verdict_id: VerdictId::default(),
        policy_version: String::new(),
        policy_digest: Digest::default(),
        ..verdict
    });
    nameless.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_tenants_accounts_are_judged_as_by_a_policy_of_its_rules_alone(
        strict in said(), lenient in said(), seed: u8,
        file in prop::sample::select(vec![
            include_str!("golden/bystanders.txt"),
            include_str!("golden/campaign.txt"),
            include_str!("golden/payer.txt"),
        ]),
    ) {
        let scenario = parse(file.split("\n---- what Weir says ----\n").next().unwrap());
        let arrivals = of_tenants(&scenario.arrivals, seed);
        let said = [strict, lenient];
        let policy = with_tenants(&said);
        let (name, digest) = (policy.version.clone(), policy.digest);
        let mixed = run(&policy, &arrivals, STRAIGHT);
        for verdict in &mixed.verdicts {
            let of_its_own = TENANTS[..2].contains(&verdict.tenant.as_str());
            let expected = if of_its_own { format!("{name}/{}", verdict.tenant) } else { name.clone() };
            prop_assert_eq!((&verdict.policy_version, verdict.policy_digest), (&expected, digest));
        }
        let [strict, lenient] = said.map(|said| whole(&said));
        for (tenant, alone) in TENANTS.into_iter().zip([strict, lenient, Policy::builtin()]) {
            let alone = run(&alone, &arrivals, STRAIGHT);
            prop_assert_eq!(of_tenant(&mixed, tenant), of_tenant(&alone, tenant), "{}", tenant);
            // What accounts share does not know who judges whom.
            prop_assert_eq!((mixed.links, mixed.clusters), (alone.links, alone.clusters));
        }
    }
}

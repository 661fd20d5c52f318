//! A policy's text as a document that can be changed: by key for everybody, and into what one of its tenants
//! is judged by.

use toml_edit::{DocumentMut, Item, TableLike, Value};
use weir_processor::policy::Policy;
use weir_processor::section::PolicyError;

/// The table of tenants.
const TENANTS: &str = "tenants";

/// The text of a policy, which is TOML, or it would be none.
pub(crate) fn of(policy: &Policy) -> DocumentMut {
    policy.text.parse().unwrap_or_default()
}

/// The policy that judges everybody as this one judges a tenant: the fleet's text with the tenant's values in
/// it. Of a tenant of which nothing is said it is the fleet's, and the first line says so.
pub fn of_tenant(policy: &Policy, tenant: &str) -> String {
    let mut document = of(policy);
    let tenants = document.remove(TENANTS);
    let said = tenants.as_ref().and_then(|tenants| tenants.get(tenant)).and_then(Item::as_table_like);
    let Some(said) = said else {
        return format!(
            "# Policy {} says nothing of tenant {tenant}: it is the fleet's.\n{document}",
            policy.version
        );
    };
    lay(document.as_table_mut(), said);
    format!("# What policy {} is for tenant {tenant}.\n{document}", policy.version)
}

/// Lays a table over another: where both have a table of one name, that is laid over the other, and of all
/// else the upper one counts. Remarks of the lower stay.
fn lay(lower: &mut dyn TableLike, upper: &dyn TableLike) {
    for (key, item) in upper.iter() {
        let below = lower.get_mut(key);
        match (below, item.as_table_like()) {
            (Some(below), Some(above)) if below.is_table_like() => {
                if let Some(below) = below.as_table_like_mut() {
                    lay(below, above);
                }
            }
            (Some(below), _) => replace(below, item.clone()),
            (None, _) => {
                lower.insert(key, item.clone());
            }
        }
    }
}

/// The policy with other values for everybody: of the fleet's, and wherever a tenant has values of its own.
///
/// # Errors
/// When that is no policy.
pub fn changed<V: Into<Value> + Clone>(
    policy: &Policy,
    values: &[(&[&str], V)],
) -> Result<Policy, PolicyError> {
    let mut document = of(policy);
    for (path, value) in values {
        put(&mut document, path, value.clone().into());
        for tenant in policy.tenants() {
            put(&mut document, &[&[TENANTS, tenant], *path].concat(), value.clone().into());
        }
    }
    Policy::parse(&document.to_string())
}

/// Puts a value in the place of another, with the blanks and remarks that stand around that. Where there is
/// none, nothing is done.
pub(crate) fn put(document: &mut DocumentMut, path: &[&str], value: Value) {
    let mut item = document.as_item_mut();
    for key in path {
        let Some(inner) = item.get_mut(key) else { return };
        item = inner;
    }
    replace(item, Item::Value(value));
}

fn replace(item: &mut Item, mut by: Item) {
    if let (Some(old), Some(new)) = (item.as_value(), by.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    *item = by;
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use weir_processor::detector::NAMES;

    const TENANTS_SAID: &str = r#"
# Acme pays for a second look.
[tenants.acme.tiers]
medium = 0.4 # they asked
[tenants.acme.detectors]
whale.nats_max = 2
kin = { person_nats_max = 1.0 }
[tenants.beta.detectors.owner]
enabled = false
[tenants.beta.calibration]
points_nats = [[0.0, 0.0], [1.0, 1.0]]
"#;

    fn policy() -> Policy {
        Policy::parse(&(Policy::builtin_text().to_owned() + TENANTS_SAID)).unwrap()
    }

    #[test]
    fn a_tenants_policy_is_the_fleets_text_with_its_values() {
        let policy = policy();
        let text = of_tenant(&policy, "acme");
        let lines = Policy::builtin_text().lines().zip(text.lines().skip(1));
        let other: Vec<String> =
            lines.filter(|(from, to)| from != to).map(|(from, to)| format!("{from} -> {to}\n")).collect();
        expect![[r#"
            medium = 0.35 -> medium = 0.4
            nats_max = 6.0 -> nats_max = 2
            person_nats_max = 3.0 -> person_nats_max = 1.0
        "#]]
        .assert_eq(&other.concat());
        expect!["# What policy builtin-10 is for tenant acme."].assert_eq(text.lines().next().unwrap());
        let of_nobody = of_tenant(&policy, "gamma");
        let (first, rest) = of_nobody.split_once('\n').unwrap();
        assert_eq!(first, "# Policy builtin-10 says nothing of tenant gamma: it is the fleet's.");
        assert_eq!(rest.trim_end(), Policy::builtin_text().trim_end());
    }

    #[test]
    fn it_judges_everybody_as_the_policy_judges_the_tenant() {
        let policy = policy();
        for tenant in ["acme", "beta", "gamma"] {
            let whole = Policy::parse(&of_tenant(&policy, tenant)).unwrap();
            assert_eq!(whole.tenants().len(), 0);
            assert_eq!(whole.horizons, policy.horizons);
            let (alone, of_it) = (whole.of(tenant), policy.of(tenant));
            assert_eq!(
                (&alone.tiers, &alone.fusion, &alone.cooldown),
                (&of_it.tiers, &of_it.fusion, &of_it.cooldown)
            );
            assert_eq!(
                (&alone.calibration, &alone.detectors),
                (&of_it.calibration, &of_it.detectors),
                "{tenant}"
            );
        }
    }

    #[test]
    fn what_is_changed_is_changed_for_tenants_that_have_values_of_their_own_too() {
        let policy = policy();
        let medium = changed(&policy, &[(&["tiers", "medium"], 0.01)]).unwrap();
        let tiers = ["acme", "beta", "gamma"].map(|tenant| medium.of(tenant).tiers.medium);
        assert_eq!(tiers, [0.01; 3]);
        let without = changed(&policy, &[(&["detectors", "kin", "enabled"], false)]).unwrap();
        let kin = NAMES.iter().position(|name| *name == "kin").unwrap();
        assert!(
            ["acme", "beta", "gamma"].iter().all(|tenant| without.of(tenant).detectors.most()[kin].is_none())
        );
        assert_eq!(without.of("acme").tiers.medium, 0.4);
    }
}

//! `weir policy sign | verify | diff`: a policy's text, who vouches for it, and what it changes.

use crate::context::{Context, now_ms};
use crate::keys;
use crate::roles::policy::{read_new_policy, read_policy};
use crate::times::second_of;
use crate::trust;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_processor::policy::Policy;
use weir_replay::document::of_tenant;
use weir_schemas::Digest;
use weir_schemas::bundle::{Bundle, Header};

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// What is said of a policy that is signed for the first time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its counter; the time of signing in seconds when not given.
    pub counter: Option<u64>,
    /// Days until it can no longer be put in force.
    pub expires_days: Option<u64>,
    /// Whether verdicts by it may be acted on.
    pub enforces: bool,
}

/// `weir policy sign FILE`: the bundle with one more signature for each key. A file that is a bundle keeps
/// its terms.
pub fn sign(context: &Context, path: &Path, keys: &[PathBuf], terms: &Terms) -> Result<String> {
    let (_, text) = read_new_policy(path)?;
    if Bundle::is_meant(&text) {
        ensure!(
            *terms == Terms::default(),
            "{} is signed already: its counter, its expiry and whether it enforces stand in what was signed",
            path.display()
        );
        return signed(Bundle::parse(&text)?, keys);
    }
    signed(bundle_of(context, text, terms)?, keys)
}

/// An earlier text as a new bundle, with a counter above `reached`.
pub fn sign_anew(
    context: &Context,
    text: &str,
    reached: u64,
    keys: &[PathBuf],
    terms: &Terms,
) -> Result<String> {
    ensure!(
        !keys.is_empty(),
        "policies are signed here, and an older bundle does not come back: give the key of each signer (--key), or \
         sign what `weir policy show VERSION` prints and `weir policy apply` it"
    );
    let counter = terms.counter.unwrap_or_else(|| now_s().max(reached.saturating_add(1)));
    signed(bundle_of(context, text.to_owned(), &Terms { counter: Some(counter), ..terms.clone() })?, keys)
}

fn bundle_of(context: &Context, text: String, terms: &Terms) -> Result<Bundle> {
    let issued_s = now_s();
    let expires = |days: u64| issued_s.saturating_add(days.saturating_mul(DAY_S));
    let header = Header {
        counter: terms.counter.unwrap_or(issued_s),
        audience: context.settings.policy_audience.clone(),
        issued_s,
        expires_s: terms.expires_days.map_or(0, expires),
        enforces: terms.enforces,
    };
    Ok(Bundle::new(header, text)?)
}

fn signed(mut bundle: Bundle, keys: &[PathBuf]) -> Result<String> {
    for path in keys {
        bundle.sign(&*keys::read_person(path)?);
    }
    let text = bundle.to_text();
    // What could not be read back would be refused everywhere.
    Bundle::parse(&text)?;
    Ok(text)
}

fn now_s() -> u64 {
    u64::try_from(now_ms() / 1_000).unwrap_or(0)
}

/// `weir policy verify BUNDLE`: whether it would be put in force, as far as that can be told without the log.
pub fn verify(context: &Context, path: &Path) -> Result<ExitCode> {
    let (Some(trusted), Some(directory)) = (context.trust()?, &context.settings.policy_trust) else {
        bail!("policy_trust is not set: give the directory with the public keys of those who may sign");
    };
    let (policy, text) = read_policy(path)?;
    let bundle = trusted
        .vouched(&text, now_ms())
        .with_context(|| format!("the bundle {} is refused", path.display()))?;
    let Header { counter, audience, issued_s, expires_s, enforces } = &bundle.header;
    let time = |seconds: u64| second_of(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000));
    let expires = if *expires_s == 0 { "never".to_owned() } else { time(*expires_s) };
    let enforces = if *enforces { "yes" } else { "no: verdicts by it are not acted on" };
    print_line!("policy    {}, digest {}", policy.version, policy.digest);
    print_line!("counter   {counter}");
    print_line!("audience  {audience}");
    print_line!("issued    {}", time(*issued_s));
    print_line!("expires   {expires}");
    print_line!("enforces  {enforces}");
    let names: BTreeMap<[u8; 32], String> =
        trust::signers(directory)?.into_iter().map(|(name, key)| (key, name)).collect();
    for signature in &bundle.signatures {
        let name = names.get(&signature.key).map_or("?", String::as_str);
        print_line!("signed    by {name} ({})", Digest(signature.key));
    }
    Ok(ExitCode::SUCCESS)
}

/// `weir policy diff ONE OTHER`: key by key, what the other says otherwise; of a tenant what that comes to
/// for
/// it. Exits with 1 where they differ.
pub fn diff(one: &Policy, other: &Policy, tenant: Option<&str>) -> Result<ExitCode> {
    let text = |policy: &Policy| match tenant {
        None => policy.text.clone(),
        Some(tenant) => of_tenant(policy, tenant),
    };
    let (one, other) = (keys_of(&text(one))?, keys_of(&text(other))?);
    let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let mut code = ExitCode::SUCCESS;
    for name in names {
        let (before, after) = (one.get(name), other.get(name));
        if before == after {
            continue;
        }
        code = ExitCode::FAILURE;
        before.iter().for_each(|value| print_line!("-{name} = {value}"));
        after.iter().for_each(|value| print_line!("+{name} = {value}"));
    }
    Ok(code)
}

/// Every key by its full name, with its value as TOML has it.
fn keys_of(text: &str) -> Result<BTreeMap<String, String>> {
    fn flatten(prefix: &str, table: &toml::Table, keys: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            match value {
                toml::Value::Table(inner) => flatten(&format!("{name}."), inner, keys),
                value => {
                    keys.insert(name, value.to_string());
                }
            }
        }
    }
    let mut keys = BTreeMap::new();
    flatten("", &text.parse()?, &mut keys);
    Ok(keys)
}

//! `weir indicators`: what is taken from others, and who took it.
//!
//! All of it is in one directory, `indicators_dir`: `sources/NAME.toml` says whom the operator believes and
//! how far, `indicators` is what collectors read, `latest` when each source last changed what it says of an
//! id, and `changes.jsonl` has a line for everything that was tried, written before it is done.

use crate::context::{Context, now_ms};
use crate::keys::{random, read_sign};
use crate::output;
use crate::roles::audit_proof::sign_store;
use crate::trust;
use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use weir_enforcer::evidence::certificate::enveloped;
use weir_enforcer::limits::RECEIVED_BYTES_MAX;
use weir_enforcer::share::latest::Latest;
use weir_enforcer::share::received::{self, Received, Source};
use weir_enforcer::share::stix;
use weir_schemas::hex::{hex, unhex};
use weir_schemas::indicators::{
    CANARY_BYTES, CANARY_SOURCE, Canary, FILE_NAME, ID_BYTES_MAX, INDICATORS_MAX, Indicator, Pattern,
    SOURCE_BYTES_MAX, is_name, parse, to_text,
};
use weir_topology::lock_file::{HoldError, hold};

/// The file that says what was done.
const CHANGES: &str = "changes.jsonl";

/// The file that says when sources last changed what they say.
const LATEST: &str = "latest";

/// Most indicators of one source, so that none leaves no room for others.
const SOURCE_INDICATORS_MAX: usize = INDICATORS_MAX / 2;

/// Longest file of a source, in bytes.
const SOURCE_FILE_BYTES_MAX: u64 = 64 << 10;

/// Longest life of an indicator that a source may be given, in days.
const LIFE_DAYS_MAX: u32 = 365;

const DAY_MS: i64 = 86_400_000;

/// A source's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    /// The Ed25519 key that the source signs with, 64 hex digits.
    public_key: String,
    /// How far it is believed, 0 to 1.
    trust: f64,
    /// How long an indicator of it lasts at most after it was last changed.
    life_days_max: u32,
}

/// Which indicators are taken away.
pub enum Removed {
    /// All of a source.
    Source(String),
    /// Those of an id.
    Id(String),
    /// Those that have ended.
    Ended,
}

/// A line of what was done: who did what, and what came of it.
#[derive(Debug, Serialize)]
struct Change<'c> {
    time_ms: i64,
    node: String,
    /// The user of the operating system who ran the command.
    uid: u32,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'c str>,
    /// Key that the source's file names.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    taken: usize,
    taken_away: usize,
    left_out: BTreeMap<&'static str, u64>,
    /// Indicators that there are then.
    indicators: usize,
}

/// The directory, held by this process.
struct Store {
    directory: PathBuf,
    node: String,
    _lock: File,
}

/// Takes the indicators of a bundle.
pub fn import(context: &Context, bundle: &Path, name: &str) -> Result<ExitCode> {
    ensure!(
        name != CANARY_SOURCE,
        "{CANARY_SOURCE} is the name of tokens that were planted here: give the source another one"
    );
    let store = Store::open(context)?;
    let source = source_of(&store.directory, name)?;
    let bytes = read_bounded(bundle, RECEIVED_BYTES_MAX as u64 + 1)?;
    let now_ms = now_ms();
    let mut change = Change {
        source: Some(name),
        public_key: Some(hex(&source.public_key)),
        bundle_sha256: Some(hex(&Sha256::digest(&bytes))),
        ..store.change("import", now_ms)?
    };
    let taken = received::read(&bytes, &source, now_ms).map_err(anyhow::Error::from);
    let taken = taken.and_then(|mut received| {
        let (before, mut latest) = (store.read()?, store.latest()?);
        latest.admit(&mut received, name, now_ms)?;
        let (after, taken_away) = merged(before, &received, name, now_ms);
        let of_source = after.iter().filter(|indicator| indicator.source == name).count();
        ensure!(
            of_source <= SOURCE_INDICATORS_MAX && after.len() <= INDICATORS_MAX,
            "it is oversized: with it {name} would have {of_source} indicators of at most {SOURCE_INDICATORS_MAX}, and all \
             sources {} of at most {INDICATORS_MAX}",
            after.len()
        );
        change.taken_away = taken_away;
        Ok((received, after, latest))
    });
    let (received, after, latest) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            change.refused = Some(error.to_string());
            change.indicators = store.read().map_or(0, |indicators| indicators.len());
            store.note(&change)?;
            return Err(error.context(format!("nothing of {} is taken", bundle.display())));
        }
    };
    change.taken = received.indicators.len();
    change.left_out = received.left_out.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    change.indicators = after.len();
    store.note(&change)?;
    // First: where this ends in between, the same bundle may be taken again, and none that is older.
    store.write(LATEST, &latest.to_text())?;
    store.write(FILE_NAME, &to_text(&after))?;
    print_line!(
        "Took {} indicators of {name}; {} are there, and collectors compare with them within a second.",
        change.taken,
        after.len()
    );
    for (why, count) in &change.left_out {
        print_line!("Left out {count}: {why}.");
    }
    let keyed = received.indicators.iter().filter(|indicator| indicator.pattern.is_keyed()).count();
    if keyed > 0 {
        print_line!(
            "{keyed} of them are keyed hashes: they are met only where the pseudonym key is that of {name}'s deployment."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Has a token looked for in the text of prompts: a new one, which is printed, or one that is there.
pub fn plant(context: &Context, name: &str, token: Option<&str>, days: u16) -> Result<ExitCode> {
    ensure!(
        is_name(name, ID_BYTES_MAX),
        "{name:?} is no name of a token: it has 1 to {ID_BYTES_MAX} letters, digits or signs, without spaces"
    );
    let made = hex(random()?.as_slice());
    let token = token.unwrap_or(&made);
    let canary = Canary::of(token).with_context(|| {
        let (min, max) = (CANARY_BYTES.start(), CANARY_BYTES.end());
        format!(
            "the token is none: it must have {min} to {max} letters, digits, `-` and `_`, and nothing else"
        )
    })?;
    let store = Store::open(context)?;
    let (now_ms, mut indicators) = (now_ms(), store.read()?);
    let pattern = Pattern::Canary(canary);
    let is_there = |indicator: &Indicator| {
        indicator.source == CANARY_SOURCE && (indicator.id == name || indicator.pattern == pattern)
    };
    ensure!(
        !indicators.iter().any(is_there),
        "a token of that name, or that token, was planted before: `weir indicators remove --id {name}` takes it away"
    );
    ensure!(
        indicators.len() < INDICATORS_MAX,
        "there are {INDICATORS_MAX} indicators, and no room for one more: `weir indicators expire` takes those away \
         that have ended"
    );
    let (source, id) = (CANARY_SOURCE.to_owned(), name.to_owned());
    let until_ms = now_ms + i64::from(days) * DAY_MS;
    indicators.push(Indicator { pattern, from_ms: now_ms, until_ms, trust_permille: 1_000, source, id });
    let change = Change {
        source: Some(CANARY_SOURCE),
        id: Some(name),
        taken: 1,
        indicators: indicators.len(),
        ..store.change("plant", now_ms)?
    };
    store.note(&change)?;
    store.write(FILE_NAME, &to_text(&indicators))?;
    print_line!("{token}");
    Ok(ExitCode::SUCCESS)
}

/// What is there once a bundle was taken, and how many are there no more. What has ended goes, and so does
/// what the source said before of what it speaks of now.
fn merged(before: Vec<Indicator>, received: &Received, source: &str, now_ms: i64) -> (Vec<Indicator>, usize) {
    let key =
        |indicator: &Indicator| (indicator.source.clone(), indicator.id.clone(), indicator.pattern.clone());
    let stays = |indicator: &Indicator| {
        let is_told_anew = indicator.source == source && received.told.contains_key(&indicator.id);
        indicator.until_ms > now_ms && !is_told_anew
    };
    let known: BTreeSet<_> = before.iter().map(key).collect();
    let mut all: BTreeMap<_, _> =
        before.into_iter().filter(stays).map(|indicator| (key(&indicator), indicator)).collect();
    for indicator in &received.indicators {
        all.insert(key(indicator), indicator.clone());
    }
    let taken_away = known.iter().filter(|key| !all.contains_key(key)).count();
    (all.into_values().collect(), taken_away)
}

/// Prints what requests are compared with.
pub fn list(context: &Context, as_json: bool) -> Result<ExitCode> {
    let indicators = read_file(&directory_of(context)?.join(FILE_NAME))?;
    let now_ms = now_ms();
    if as_json {
        for Indicator { pattern, from_ms, until_ms, trust_permille, source, id } in &indicators {
            print_line!(
                "{}",
                json!({
                    "kind": pattern.kind().as_str(), "value": pattern.to_string(), "source": source, "id": id,
                    "trust_permille": trust_permille, "from_ms": from_ms, "until_ms": until_ms,
                    "has_ended": *until_ms <= now_ms,
                })
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for Indicator { pattern, until_ms, trust_permille, source, id, .. } in &indicators {
        let left = match until_ms - now_ms {
            left_ms if left_ms <= 0 => "ended".to_owned(),
            left_ms => format!("{} d", left_ms / DAY_MS),
        };
        let trust = f64::from(*trust_permille) / 1e3;
        let (kind, value) = (pattern.kind().as_str(), pattern.to_string());
        text += &format!("{source:<20}  {trust:<5}  {left:<6}  {kind:<14}  {value:<40}  {id}\n");
    }
    if text.is_empty() {
        text = "There are none.\n".to_owned();
    }
    output::text(text);
    Ok(ExitCode::SUCCESS)
}

/// Takes indicators away.
pub fn remove(context: &Context, which: &Removed) -> Result<ExitCode> {
    let store = Store::open(context)?;
    let (now_ms, mut indicators) = (now_ms(), store.read()?);
    let before = indicators.len();
    let mut change = store.change("remove", now_ms)?;
    let (mut latest, mut forgotten) = (store.latest()?, 0);
    match which {
        Removed::Source(source) => {
            indicators.retain(|indicator| indicator.source != *source);
            // What a key that was stolen said must not bind whoever has the source's next one.
            forgotten = latest.forget(source);
            change.source = Some(source);
        }
        Removed::Id(id) => {
            indicators.retain(|indicator| indicator.id != *id);
            change.id = Some(id);
        }
        Removed::Ended => {
            indicators.retain(|indicator| indicator.until_ms > now_ms);
            change.what = "expire";
        }
    }
    change.taken_away = before - indicators.len();
    change.indicators = indicators.len();
    if change.taken_away == 0 && forgotten == 0 && !matches!(which, Removed::Ended) {
        bail!("no indicator is of that source or id: `weir indicators list` prints all");
    }
    store.note(&change)?;
    store.write(FILE_NAME, &to_text(&indicators))?;
    if forgotten > 0 {
        store.write(LATEST, &latest.to_text())?;
    }
    print_line!("Took {} away; {} are there.", change.taken_away, indicators.len());
    Ok(ExitCode::SUCCESS)
}

/// Prints a bundle of STIX in an envelope that the operator's key signs.
pub fn sign(context: &Context, bundle: &Path, sign_keys: Option<&Path>) -> Result<ExitCode> {
    let secret = read_sign(&sign_store(context, sign_keys)?)?;
    let bytes = read_bounded(bundle, RECEIVED_BYTES_MAX as u64 + 1)?;
    ensure!(
        bytes.len() <= RECEIVED_BYTES_MAX,
        "{} has more than {RECEIVED_BYTES_MAX} bytes: divide it",
        bundle.display()
    );
    let stix: serde_json::Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no bundle of STIX", bundle.display()))?;
    ensure!(stix["type"] == "bundle", "{} is no bundle of STIX: its type says so", bundle.display());
    print_line!("{}", enveloped(stix::PAYLOAD_TYPE, &bytes, &secret));
    Ok(ExitCode::SUCCESS)
}

fn directory_of(context: &Context) -> Result<PathBuf> {
    let directory = context.settings.indicators_dir.clone();
    directory
        .context("indicators_dir is not set: give --indicators-dir DIR, the directory of others' indicators")
}

/// A source as its file says.
fn source_of(directory: &Path, name: &str) -> Result<Source> {
    ensure!(
        is_name(name, SOURCE_BYTES_MAX) && !name.contains('/') && !name.starts_with('.'),
        "{name:?} is no name of a source: it has 1 to {SOURCE_BYTES_MAX} letters, digits or signs, without spaces and `/`"
    );
    let (sources, path) = (directory.join("sources"), directory.join("sources").join(format!("{name}.toml")));
    ensure!(
        path.exists(),
        "{name} is an unknown source: nobody believes what it signs until {} names its key, its trust and how long its \
         indicators last",
        path.display()
    );
    for place in [&sources, &path] {
        trust::check(place)?;
    }
    let text = String::from_utf8(read_bounded(&path, SOURCE_FILE_BYTES_MAX)?);
    let at = || format!("{} says of no source how far it is believed", path.display());
    let file: SourceFile = toml::from_str(&text.with_context(at)?).with_context(at)?;
    let public_key = unhex::<32>(&file.public_key);
    let public_key =
        public_key.with_context(|| format!("{}: public_key must be 64 hex digits", path.display()))?;
    ensure!((0.0..=1.0).contains(&file.trust), "{}: trust must be 0 to 1", path.display());
    ensure!(
        (1..=LIFE_DAYS_MAX).contains(&file.life_days_max),
        "{}: life_days_max must be 1 to {LIFE_DAYS_MAX}",
        path.display()
    );
    Ok(Source {
        name: name.to_owned(),
        public_key,
        trust_permille: (file.trust * 1e3).round() as u16,
        life_ms: i64::from(file.life_days_max) * DAY_MS,
    })
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(cannot)?.take(bytes_max).read_to_end(&mut bytes).with_context(cannot)?;
    Ok(bytes)
}

/// What is there; nothing before the first import.
fn read_file(path: &Path) -> Result<Vec<Indicator>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    parse(&text).with_context(|| {
        format!("{} is no file of indicators: remove it, and import their bundles again", path.display())
    })
}

impl Store {
    fn open(context: &Context) -> Result<Self> {
        let directory = directory_of(context)?;
        let cannot = || format!("cannot use {}", directory.display());
        fs::create_dir_all(&directory).with_context(cannot)?;
        trust::check(&directory)?;
        let path = directory.join("lock");
        let lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let lock = match hold(lock.with_context(cannot)?) {
            Ok(lock) => lock,
            Err(HoldError::Held(holder)) => {
                bail!("{holder} changes {}: try again when it has ended", directory.display())
            }
            Err(HoldError::File(error)) => return Err(error).with_context(cannot),
        };
        Ok(Self { directory, node: context.node(), _lock: lock })
    }

    fn read(&self) -> Result<Vec<Indicator>> {
        read_file(&self.directory.join(FILE_NAME))
    }

    fn change(&self, what: &'static str, time_ms: i64) -> Result<Change<'static>> {
        Ok(Change {
            time_ms,
            node: self.node.clone(),
            uid: fs::metadata("/proc/self").context("cannot tell who runs this")?.uid(),
            what,
            source: None,
            id: None,
            public_key: None,
            bundle_sha256: None,
            refused: None,
            taken: 0,
            taken_away: 0,
            left_out: BTreeMap::new(),
            indicators: 0,
        })
    }

    /// Writes down what is to be done, before it is.
    fn note(&self, change: &Change<'_>) -> Result<()> {
        let path = self.directory.join(CHANGES);
        let cannot = || format!("nothing is changed, because {} cannot be written", path.display());
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o640).open(&path).with_context(cannot)?;
        let line = serde_json::to_string(change)? + "\n";
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)
    }

    /// Nothing before the first import.
    fn latest(&self) -> Result<Latest> {
        let path = self.directory.join(LATEST);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Latest::default()),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        Latest::parse(&text).with_context(|| {
            format!(
                "{} is spoiled: remove it, and older bundles are told from newer ones from then on",
                path.display()
            )
        })
    }

    /// Puts this in the place of what a file holds, whole or not at all.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        let cannot = || format!("cannot write {}", path.display());
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).with_context(cannot)?;
        file.write_all(text.as_bytes()).with_context(cannot)?;
        file.as_file().set_permissions(Permissions::from_mode(0o640)).with_context(cannot)?;
        file.as_file().sync_all().with_context(cannot)?;
        file.persist(&path).with_context(cannot)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).with_context(cannot)
    }
}

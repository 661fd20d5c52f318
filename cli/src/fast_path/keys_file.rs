//! The file of keys, read again when it changes: a key is rotated without a restart.

use super::limits::KEYS_LOOK_EVERY;
use crate::keys::{ensure_private, random, write_secret_text};
use crate::telemetry::Metrics;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use weir_fastpath::limits::KEYS_FILE_BYTES_MAX;
use weir_fastpath::{Keys, Role};
use weir_schemas::hex::hex;
use zeroize::Zeroizing;

/// How long a key that is replaced stays good beside its successor, in hours: until every node has the new
/// file.
const OVERLAP_HOURS: i64 = 24;

/// Keys that are as their file was last, as long as that could be used.
pub struct KeysFile {
    path: PathBuf,
    keys: RwLock<Arc<Keys>>,
}

impl KeysFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When others can read it, or any of it is wrong.
    pub fn open(path: &Path, metrics: &Metrics) -> Result<Arc<Self>> {
        let keys = read(path)?.1;
        metrics.fast_path_keys_read(keys.len());
        Ok(Arc::new(Self { path: path.to_owned(), keys: RwLock::new(Arc::new(keys)) }))
    }

    /// The keys in force.
    pub fn now(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the file from time to time, in a thread of its own, until the process is told to stop. A file
    /// that cannot be used is told of, and the keys of before stay.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn follow(self: &Arc<Self>, metrics: Arc<Metrics>, stop: Arc<AtomicBool>) -> std::io::Result<()> {
        let file = self.clone();
        let mut last: Option<Zeroizing<String>> = None;
        let mut refused: Option<String> = None;
        let look = move || {
            while !stop.load(Ordering::Relaxed) {
                match read(&file.path) {
                    Ok((text, keys)) => {
                        if last.as_ref() != Some(&text) || refused.is_some() {
                            metrics.fast_path_keys_read(keys.len());
                            *file.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                            last = Some(text);
                            refused = None;
                        }
                    }
                    Err(error) => {
                        let reason = format!("{error:#}");
                        if refused.as_ref() != Some(&reason) {
                            metrics.fast_path_keys_refused(&reason);
                            refused = Some(reason);
                        }
                    }
                }
                std::thread::sleep(KEYS_LOOK_EVERY);
            }
        };
        std::thread::Builder::new().name("fastpath-keys".into()).spawn(look).map(drop)
    }
}

fn read(path: &Path) -> Result<(Zeroizing<String>, Keys)> {
    ensure_private(path, "fastpath.keys_file")?;
    let cannot = || format!("fastpath.keys_file {} cannot be read", path.display());
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).with_context(cannot)?;
    file.take(KEYS_FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(cannot)?;
    ensure!(
        text.len() as u64 <= KEYS_FILE_BYTES_MAX,
        "fastpath.keys_file {} has over {KEYS_FILE_BYTES_MAX} bytes",
        path.display()
    );
    let keys = Keys::parse(&text)
        .with_context(|| format!("fastpath.keys_file {} cannot be used", path.display()))?;
    Ok((text, keys))
}

/// Makes a file with a new key for these nodes, or adds one to the file that is there; the number of the new
/// key. Keys of the same role and of these nodes alone end a day later, as keys that are replaced do.
///
/// # Errors
/// When the file that is there cannot be used, or has no number left.
pub fn make(path: &Path, senders: &[String], role: Role, days: u16) -> Result<u8> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let text_of = |moment: OffsetDateTime| moment.format(&Rfc3339);
    let mut document = toml::Table::new();
    let mut ids = Vec::new();
    if path.exists() {
        let (text, keys) = read(path)?;
        document = text.parse()?;
        ids = keys.ids().collect();
    }
    let Some(id) = (1..=u8::MAX).find(|id| !ids.contains(id)) else {
        bail!("{} has a key of every number: take those out whose time is over", path.display())
    };
    let over = now + Duration::hours(OVERLAP_HOURS);
    let entries = document.entry("key").or_insert_with(|| toml::Value::Array(Vec::new()));
    let Some(entries) = entries.as_array_mut() else { bail!("{} has no list of keys", path.display()) };
    for entry in entries.iter_mut().filter_map(toml::Value::as_table_mut) {
        let names = entry.get("senders").and_then(toml::Value::as_array);
        let of_role = entry.get("role").and_then(toml::Value::as_str).unwrap_or(Role::default().as_str());
        let is_replaced = of_role == role.as_str()
            && names.is_some_and(|names| {
                names
                    .iter()
                    .all(|name| name.as_str().is_some_and(|name| senders.iter().any(|new| new == name)))
            });
        let ends = entry.get("not_after").and_then(toml::Value::as_str);
        let ends = ends.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        if is_replaced && ends.is_some_and(|ends| ends > over) {
            entry.insert("not_after".into(), text_of(over)?.into());
        }
    }
    let secret = Zeroizing::new(hex(random()?.as_slice()));
    let mut entry = toml::Table::new();
    entry.insert("id".into(), i64::from(id).into());
    entry.insert("secret".into(), secret.as_str().into());
    // A moment ago, so that a receiver whose clock is behind takes it.
    entry.insert("not_before".into(), text_of(now - Duration::minutes(5))?.into());
    entry.insert("not_after".into(), text_of(now + Duration::days(days.into()))?.into());
    entry.insert("senders".into(), senders.to_vec().into());
    if role != Role::default() {
        // Builds from before there were roles read a judge's.
        entry.insert("role".into(), role.as_str().into());
    }
    entries.push(entry.into());
    let text = Zeroizing::new(toml::to_string(&document)?);
    Keys::parse(&text).with_context(|| format!("{} would not be of use", path.display()))?;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    write_secret_text(path, &text)?;
    Ok(id)
}

//! Where a log's earlier files may be, and what the usual tools call them.

use super::content::modified_ns;
use super::position::FileId;
use crate::limits::DIRECTORY_ENTRIES_MAX;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

/// A file that stands near a log.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    /// Its name is one that a tool gives the log when it rotates it.
    pub(super) is_generation: bool,
}

impl Entry {
    pub(super) fn id(&self) -> FileId {
        FileId::of(&self.metadata)
    }

    pub(super) fn modified_ns(&self) -> i64 {
        modified_ns(&self.metadata)
    }
}

/// The suffixes of compressed files.
const PACKED: [&str; 6] = [".gz", ".zst", ".zstd", ".bz2", ".xz", ".lz4"];

/// The regular files near the log at `path`, without the log itself, in the order in which they were last
/// written to. `last` is where its file was seen last, `elsewhere` where rotated files are moved to.
pub(super) fn list(path: &Path, last: Option<&Path>, elsewhere: Option<&Path>) -> Vec<Entry> {
    let real = fs::canonicalize(path).ok();
    let current = fs::metadata(path).ok().map(|metadata| FileId::of(&metadata));
    let known: Vec<&Path> = [Some(path), real.as_deref(), last].into_iter().flatten().collect();
    let mut directories: Vec<PathBuf> = known.iter().map(|path| directory_of(path)).collect();
    directories.extend(elsewhere.map(Path::to_owned));
    if let (Some(last), Some(real)) = (last, &real) {
        directories.extend(between(last, real));
    }
    let mut directories: Vec<_> = directories.into_iter().filter_map(|d| fs::canonicalize(d).ok()).collect();
    directories.sort();
    directories.dedup();
    let names: Vec<String> = known.iter().filter_map(|path| name_of(path)).collect();
    let is_generation = |path: &Path| {
        let name = name_of(path).unwrap_or_default();
        // The same name in another directory: a symbolic link was moved from one dated directory to the next.
        names.iter().any(|base| name == *base || is_generation(&name, base))
            || names.iter().skip(1).any(|target| *target != names[0] && is_next(&name, target))
    };
    let mut entries: Vec<Entry> = directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .take(DIRECTORY_ENTRIES_MAX)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let metadata = fs::symlink_metadata(&path).ok().filter(Metadata::is_file)?;
            (Some(FileId::of(&metadata)) != current).then(|| Entry {
                is_generation: is_generation(&path),
                path,
                metadata,
            })
        })
        .collect();
    // A compressed file beside the one that it is made of is not finished, or tells nothing new.
    let plain: Vec<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    entries.retain(|entry| {
        let name = entry.path.to_string_lossy();
        !PACKED.iter().any(|suffix| {
            name.strip_suffix(suffix).is_some_and(|of| plain.iter().any(|path| path.as_os_str() == of))
        })
    });
    entries.sort_by_key(|entry| (entry.modified_ns(), entry.metadata.created().ok(), entry.path.clone()));
    entries
}

/// Whether a file's name says that it is compressed.
pub(super) fn is_packed(path: &Path) -> bool {
    let name = path.to_string_lossy();
    PACKED.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether a file is compressed in a way that is not read.
pub(super) fn is_unreadable(path: &Path) -> bool {
    let name = path.to_string_lossy();
    PACKED[3..].iter().any(|suffix| name.ends_with(suffix))
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Whether a rotated file of the log `base` may have this name: `base.1`, `base-20261121.gz`,
/// `stem.1.ext`, `stem-2026-11-21T06-30-06.320.ext`, `2026-11-21-base`, or what svlogd and multilog make of
/// `current`.
fn is_generation(name: &str, base: &str) -> bool {
    let packed = PACKED.iter().find_map(|suffix| name.strip_suffix(suffix));
    let name = packed.unwrap_or(name);
    if name == base {
        return packed.is_some();
    }
    if base == "current" {
        let stamp = name.strip_prefix('@').map(|rest| rest.trim_end_matches(".s").trim_end_matches(".u"));
        if stamp.is_some_and(|stamp| stamp.len() == 24 && stamp.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return true;
        }
    }
    let after = |rest: &str| rest.starts_with(['.', '-', '_', '@']) && is_stamp(rest);
    let before = |rest: &str| rest.ends_with(['.', '-', '_']) && is_stamp(rest);
    let (stem, extension) = base.rsplit_once('.').unwrap_or((base, ""));
    let within = || name.strip_prefix(stem)?.strip_suffix(extension)?.strip_suffix('.');
    name.strip_prefix(base).is_some_and(after)
        || name.strip_suffix(base).is_some_and(before)
        || (!extension.is_empty() && !stem.is_empty() && within().is_some_and(after))
}

/// Whether two names differ in a date only, as the targets of a symbolic link do.
fn is_next(name: &str, target: &str) -> bool {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    digits(target) >= 6 && shape(name) == shape(target)
}

fn is_stamp(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b".-_:+@TZ".contains(&byte))
}

/// The name with one `#` for every run of digits.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            other => shape.push(other),
        }
    }
    shape
}

/// The directories that are like both of those in which the log's file was and is: where a symbolic link
/// leads to a directory of each day, those of the days in between.
fn between(last: &Path, now: &Path) -> Vec<PathBuf> {
    let (last, now) = (directory_of(last), directory_of(now));
    let (last, now): (Vec<_>, Vec<_>) = (last.components().collect(), now.components().collect());
    if last == now || last.len() != now.len() {
        return Vec::new();
    }
    let mut found = vec![PathBuf::new()];
    let mut is_common = true;
    for (old, new) in last.iter().zip(&now) {
        is_common &= old == new;
        found = match (old, new) {
            _ if is_common => found.into_iter().map(|path| path.join(old)).collect(),
            (Component::Normal(old), Component::Normal(new)) => {
                let like = [shape(&old.to_string_lossy()), shape(&new.to_string_lossy())];
                let inner =
                    |path: PathBuf| fs::read_dir(path).into_iter().flatten().take(DIRECTORY_ENTRIES_MAX);
                let paths = found.into_iter().flat_map(inner).filter_map(|entry| Some(entry.ok()?.path()));
                let alike = |path: &PathBuf| {
                    path.is_dir() && name_of(path).is_some_and(|name| like.contains(&shape(&name)))
                };
                paths.filter(alike).take(DIRECTORY_ENTRIES_MAX).collect()
            }
            _ => return Vec::new(),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_usual_tools_are_generations() {
        for (base, names) in [
            ("a.jsonl", "a.jsonl.1 a.jsonl.2.gz a.jsonl-20261121 a.jsonl-20261121.zst"), // logrotate
            ("a.jsonl", "a.1.jsonl a-20261121.jsonl a-20261121.jsonl.gz a-2026112106.jsonl"), // with `extension`
            ("a.jsonl", "a-2026-11-21T06-30-06.320.jsonl a-2026-11-21T06-30-06.320.jsonl.gz"), // lumberjack
            ("a.jsonl", "a-2026-11-21-1.jsonl a.jsonl.2026-11-21-06 a.2026-11-21.jsonl.gz"),  // log4j
            ("a.jsonl", "a__2026-11-21_06-30-06.jsonl"),                                      // pm2
            ("a.jsonl", "a.jsonl.0 a.jsonl.0.bz2 a.jsonl.20261121T063006 a.jsonl.gz"),        // newsyslog
            ("current", "@4000000067a1b2c3001122ab.s @4000000067a1b2c3001122ab.u @4000000067a1b2c3001122ab"),
            ("access", "access.1 access-20261121 2026-11-21-access"),
        ] {
            for name in names.split(' ') {
                assert!(is_generation(name, base), "{name} of {base}");
            }
        }
    }

    #[test]
    fn the_names_of_other_logs_are_not() {
        for (base, names) in [
            (
                "a.jsonl",
                "a.jsonl b.jsonl a.jsonl.bak error.jsonl aa.jsonl a1.jsonl a-error.jsonl a.jsonl.swp",
            ),
            ("worker-1.jsonl", "worker-2.jsonl worker.jsonl worker-10.jsonl"),
            ("current", "@400 state lock current.bak"),
            ("access", "access.log other_access access.tmp"),
        ] {
            for name in names.split(' ') {
                assert!(!is_generation(name, base), "{name} of {base}");
            }
        }
        assert!(is_next("api-2026-11-22.jsonl", "api-2026-11-21.jsonl"));
        assert!(!is_next("worker-2.jsonl", "worker-1.jsonl"));
    }

    #[test]
    fn the_days_between_two_directories_are_found() {
        let place = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(place.path()).unwrap();
        for day in ["2026/11/30", "2026/12/01", "2026/12/02", "2026/notes/01"] {
            fs::create_dir_all(real.join(day)).unwrap();
        }
        let mut found = between(&real.join("2026/11/30/a"), &real.join("2026/12/02/a"));
        found.sort();
        assert_eq!(found, ["2026/11/30", "2026/12/01", "2026/12/02"].map(|day| real.join(day)));
    }
}

//! Reads a registry's directory: all of it, or an error that says what to mend.

use super::error::{Place, TenantsError};
use super::keys::{Fault, Tenant};
use super::limits::{FILE_BYTES_MAX, TENANTS_MAX};
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirEntry, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use weir_schemas::tenant::is_id;
use weir_traffic::drill::is_drill;

/// What the names of files end with.
const EXTENSION: &str = ".toml";

/// Where a tenant was told of: its file, and the bytes of it that give another id than the file's name.
struct Origin {
    path: PathBuf,
    place: Option<Place>,
}

/// The tenants of a registry, by id.
///
/// # Errors
/// When anything in the directory is not a tenant's file, or two are of one tenant.
pub fn read(directory: &Path) -> Result<BTreeMap<String, Tenant>, TenantsError> {
    let mut origins: BTreeMap<String, Origin> = BTreeMap::new();
    let mut tenants = BTreeMap::new();
    for (name, path) in files(directory)? {
        let text = text_of(&path)?;
        let (given, tenant) = Tenant::parse(&text).map_err(|Fault { span, reason }| TenantsError::Text {
            place: place_of(&path, &text, span.start),
            reason,
        })?;
        let place = given.as_ref().map(|given| place_of(&path, &text, given.span().start));
        let id = given.map_or(name, toml::Spanned::into_inner);
        let origin = Origin { path, place };
        if let Some(other) = origins.remove(&id) {
            return Err(twice(id, origin, other));
        }
        origins.insert(id.clone(), origin);
        tenants.insert(id, tenant);
    }
    Ok(tenants)
}

/// Two files are of one tenant: told is where one of them gives the id, which its name does not.
fn twice(id: String, origin: Origin, other: Origin) -> TenantsError {
    let (said, other) = if origin.place.is_some() { (origin, other) } else { (other, origin) };
    let place = said.place.unwrap_or(Place { path: said.path, line: 1, column: 1 });
    TenantsError::Twice { place, other: other.path, id }
}

/// The files of a registry in the order of their names, each by the id that its name gives.
fn files(directory: &Path) -> Result<Vec<(String, PathBuf)>, TenantsError> {
    let unreadable = |error: std::io::Error| TenantsError::Directory {
        directory: directory.to_owned(),
        reason: error.to_string(),
    };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        names.insert(name_of(&entry.map_err(unreadable)?)?);
        if names.len() > TENANTS_MAX {
            return Err(TenantsError::TooMany(directory.to_owned()));
        }
    }
    let path_of = |name: &str| directory.join(format!("{name}{EXTENSION}"));
    if let Some(name) = names.iter().find(|name| !is_id(name) || is_drill(name)) {
        let lower = name.to_ascii_lowercase();
        if lower != *name && names.contains(&lower) {
            let place = Place { path: path_of(name), line: 1, column: 1 };
            return Err(TenantsError::Twice { place, other: path_of(&lower), id: lower });
        }
        return Err(TenantsError::Name(path_of(name)));
    }
    Ok(names.into_iter().map(|name| (name.clone(), path_of(&name))).collect())
}

/// The name of a tenant's file, without its end.
fn name_of(entry: &DirEntry) -> Result<String, TenantsError> {
    let path = entry.path();
    let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
    // What a link leads to may be anywhere, and somebody else's.
    let what = match (kind.is_symlink(), kind.is_file()) {
        (true, _) => "a symbolic link",
        (false, false) => "no regular file",
        (false, true) => match entry.file_name().to_str().and_then(|name| name.strip_suffix(EXTENSION)) {
            Some(name) => return Ok(name.to_owned()),
            None => "no tenant's file",
        },
    };
    Err(TenantsError::Foreign { path, what })
}

fn text_of(path: &Path) -> Result<String, TenantsError> {
    // It may have become something else since it was looked at.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(flags as i32).open(path);
    let file = file.map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(TenantsError::Foreign { path: path.to_owned(), what: "no regular file" });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(TenantsError::TooLarge(path.to_owned()));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> TenantsError {
    TenantsError::File { path: path.to_owned(), reason: error.to_string() }
}

/// The line and the column of a byte.
fn place_of(path: &Path, text: &str, byte: usize) -> Place {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |part| part.chars().count()) + 1;
    Place { path: path.to_owned(), line, column }
}

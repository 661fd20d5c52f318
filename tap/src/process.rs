//! Processes: those that are meant, and why each can or cannot be traced.

use crate::go;
use object::{Object as _, ObjectSymbol as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Functions without which nothing can be traced.
const NEEDED: [&str; 3] = ["SSL_read", "SSL_write", "SSL_free"];

/// Functions by which a program gives OpenSSL what it is to read bytes from, such as memory; without them it
/// gives a file descriptor.
const FEEDING: [&str; 2] = ["SSL_set_bio", "SSL_set0_rbio"];

/// What writes to such a source, and to a handshake's transcript.
const BIO_WRITE: &str = "BIO_write";

/// What to do where a library of a process cannot be read.
const UNREADABLE: &str = "run as root, or with CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_CHECKPOINT_RESTORE; or restart the process";

/// Largest executable or library whose symbols are looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Most processes that are looked at.
const PROCESSES_MAX: usize = 65_536;

/// Which processes are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This process and its descendants.
    Tree(u32),
    /// Every process of this name: that of its executable, or the one that it gave itself.
    Name(String),
}

impl Target {
    /// The target that a person wrote: a number, or a name.
    pub fn of(text: &str) -> Self {
        match text.parse() {
            Ok(process) if process > 0 => Self::Tree(process),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// The processes that are meant and run now, but for this one.
    pub fn processes(&self) -> Vec<Process> {
        let all = all(Path::new("/proc"));
        match self {
            Self::Name(name) => all.into_values().filter(|process| process.is_called(name)).collect(),
            Self::Tree(root) => {
                let mut tree = BTreeSet::from([*root]);
                // A parent may have a higher number than its child.
                loop {
                    let before = tree.len();
                    tree.extend(
                        all.values().filter(|p| tree.contains(&p.parent)).map(|p| p.id).collect::<Vec<_>>(),
                    );
                    if tree.len() == before {
                        break;
                    }
                }
                all.into_values().filter(|process| tree.contains(&process.id)).collect()
            }
        }
    }
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its parent's.
    pub parent: u32,
    /// The name that it gave itself.
    pub name: String,
    /// Its executable's name; empty where that is not to be known.
    pub executable: String,
    /// When it started, in clock ticks since boot: with its number, who it is.
    pub started: u64,
}

impl Process {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.executable == name
    }

    /// The process of this number.
    pub fn of(id: u32) -> Option<Self> {
        read(&Path::new("/proc").join(id.to_string()))
    }

    /// What it can be traced by.
    ///
    /// # Errors
    /// Why it cannot, and what to do.
    pub fn library(&self) -> Result<Library, Obstacle> {
        library(&Path::new("/proc").join(self.id.to_string()))
    }
}

/// Every process but this one.
fn all(proc: &Path) -> BTreeMap<u32, Process> {
    let Ok(entries) = fs::read_dir(proc) else { return BTreeMap::new() };
    let numbered = entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit));
    numbered
        .take(PROCESSES_MAX)
        .filter_map(|entry| read(&entry.path()))
        .filter(|process| process.id != std::process::id())
        .map(|process| (process.id, process))
        .collect()
}

fn read(directory: &Path) -> Option<Process> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let executable = fs::read_link(directory.join("exe")).ok();
    let executable = executable.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    let executable =
        executable.map(|name| name.trim_end_matches(" (deleted)").to_owned()).unwrap_or_default();
    of_stat(&stat, executable)
}

/// `PID (NAME) STATE PARENT … STARTED …`: the name may hold anything.
fn of_stat(stat: &str, executable: String) -> Option<Process> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process { id: id.parse().ok()?, parent, name: name.to_owned(), executable, started })
}

/// The file that a process's TLS functions are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Where the process sees it.
    pub name: String,
    /// Where it can be opened from here, also when it is in a container or was deleted.
    pub path: PathBuf,
    /// It was replaced since the process started.
    pub is_deleted: bool,
    /// Which of the functions that can be traced it has.
    pub symbols: BTreeSet<String>,
    /// How it is known which accepted connection is whose.
    pub bio: Bio,
}

/// How it is known which accepted connection is whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bio {
    /// The process says it: it gives OpenSSL file descriptors.
    NotNeeded,
    /// It may give OpenSSL bytes from memory: this has `BIO_write`, by which alone, and at a price, it is
    /// known there.
    In(BioLibrary),
    /// Likewise, and nothing is known to have it: neither addresses nor TLS fingerprints of its clients are
    /// known.
    Unknown(Obstacle),
}

/// The file that OpenSSL's functions of input and output are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BioLibrary {
    /// Where the process sees it.
    pub name: String,
    /// Where it can be opened from here.
    pub path: PathBuf,
}

/// Why a process cannot be traced, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Obstacle {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

fn library(directory: &Path) -> Result<Library, Obstacle> {
    let maps = fs::read_to_string(directory.join("maps")).map_err(|error| {
        Obstacle::new(
            format!("its memory map cannot be read: {error}"),
            "run as root, or with CAP_SYS_PTRACE; a process that has ended cannot be traced",
        )
    })?;
    if let Some(mapping) = library_of(&maps, "libssl.so") {
        let (name, path) = (mapping.path.to_owned(), mapping.path_here(directory));
        let symbols = symbols(&path)
            .map_err(|reason| Obstacle::new(format!("{name} cannot be read: {reason}"), UNREADABLE))?;
        let bio = match may_feed(directory, &maps) {
            true => bio_of(directory, &maps).map_or_else(Bio::Unknown, Bio::In),
            false => Bio::NotNeeded,
        };
        return complete(Library { name, path, is_deleted: mapping.is_deleted, symbols, bio });
    }
    let path = directory.join("exe");
    let name = fs::read_link(&path).map(|path| path.display().to_string()).unwrap_or_default();
    let mut symbols = symbols(&path).map_err(|reason| {
        Obstacle::new(
            format!("it has no libssl, and its executable cannot be read: {reason}"),
            "run as root, or with CAP_SYS_PTRACE",
        )
    })?;
    let bio = match symbols.remove(BIO_WRITE) {
        true => Bio::In(BioLibrary { name: name.clone(), path: path.clone() }),
        false => Bio::Unknown(Obstacle::new(
            format!("{name} has no symbol {BIO_WRITE}"),
            "it was stripped in part: read its log besides for the addresses of clients",
        )),
    };
    if symbols.is_empty() {
        let cache = cache(&path).ok();
        let file = cache.as_ref().and_then(|cache| object::File::parse(cache).ok());
        if let Some(reason) = file.and_then(|file| go::why_not(&file)) {
            return Err(Obstacle::new(reason, go::REMEDY));
        }
        return Err(Obstacle::new(
            "it has loaded no libssl, and its executable has no symbol of one",
            "it may not speak TLS, or by another library (Rust, Java, a stripped executable): read its log instead, or \
             trace the proxy in front of it",
        ));
    }
    complete(Library { name, path, is_deleted: false, symbols, bio })
}

/// What has `BIO_write`, where OpenSSL is shared.
fn bio_of(directory: &Path, maps: &str) -> Result<BioLibrary, Obstacle> {
    let Some(mapping) = library_of(maps, "libcrypto.so") else {
        return Err(Obstacle::new(
            "it has loaded no libcrypto",
            "it is another library than OpenSSL: read its log besides for the addresses of clients",
        ));
    };
    let library = BioLibrary { name: mapping.path.to_owned(), path: mapping.path_here(directory) };
    let has = symbols(&library.path)
        .map_err(|reason| Obstacle::new(format!("{} cannot be read: {reason}", library.name), UNREADABLE))?;
    match has.contains(BIO_WRITE) {
        true => Ok(library),
        false => Err(Obstacle::new(
            format!("{} has no symbol {BIO_WRITE}", library.name),
            "it was stripped, or is another library: install the distribution's OpenSSL",
        )),
    }
}

fn complete(library: Library) -> Result<Library, Obstacle> {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !library.symbols.contains(*name)).collect();
    if missing.is_empty() {
        return Ok(library);
    }
    Err(Obstacle::new(
        format!("{} has no symbol {}", library.name, missing.join(", ")),
        "it was stripped, or is another library: install the distribution's OpenSSL",
    ))
}

struct Mapping<'m> {
    range: &'m str,
    path: &'m str,
    is_deleted: bool,
}

impl Mapping<'_> {
    /// Where its file can be opened from here.
    fn path_here(&self, directory: &Path) -> PathBuf {
        match self.is_deleted {
            // The file has no name any more, but the mapping leads to it.
            true => directory.join("map_files").join(self.range),
            false => directory.join("root").join(self.path.trim_start_matches('/')),
        }
    }

    /// Whether it is the library of this name, whatever version follows. NSS has one of another name than
    /// OpenSSL's.
    fn is_library(&self, library: &str) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.strip_prefix(library).is_some_and(|version| version.is_empty() || version.starts_with('.'))
    }
}

/// The executable mapping of a library.
fn library_of<'m>(maps: &'m str, library: &str) -> Option<Mapping<'m>> {
    executables(maps).find(|mapping| mapping.is_library(library))
}

/// Whether any file of the process asks for what gives OpenSSL bytes otherwise than by a file descriptor. One
/// that cannot be read may.
fn may_feed(directory: &Path, maps: &str) -> bool {
    let mut files = BTreeSet::new();
    executables(maps)
        .filter(|mapping| !mapping.is_library("libssl.so") && files.insert(mapping.path))
        .any(|mapping| feeds(&mapping.path_here(directory)).unwrap_or(true))
}

fn feeds(path: &Path) -> Result<bool, String> {
    let cache = cache(path)?;
    let file = object::File::parse(&cache).map_err(|error| error.to_string())?;
    let mut asked = file.dynamic_symbols().filter(|symbol| symbol.is_undefined());
    Ok(asked.any(|symbol| symbol.name().is_ok_and(|name| FEEDING.contains(&name))))
}

/// Executable mappings of files.
fn executables(maps: &str) -> impl Iterator<Item = Mapping<'_>> {
    maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let place = rest.find('/')?;
        let (fields, path) = rest.split_at(place);
        let is_executable = fields.as_bytes().get(2) == Some(&b'x');
        let (path, is_deleted) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path, true),
            None => (path, false),
        };
        is_executable.then_some(Mapping { range, path, is_deleted })
    })
}

/// The functions of a file that can be traced, by their names.
fn symbols(path: &Path) -> Result<BTreeSet<String>, String> {
    let cache = cache(path)?;
    let file = object::File::parse(&cache).map_err(|error| error.to_string())?;
    let names = file.dynamic_symbols().chain(file.symbols()).filter(|symbol| symbol.is_definition());
    let names = names.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok(names.filter(|name| name.starts_with("SSL_") || name == BIO_WRITE).collect())
}

/// A file of which no more is read than its tables: an executable may be large.
fn cache(path: &Path) -> Result<object::ReadCache<fs::File>, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(object::ReadCache::new(fs::File::open(path).map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) b) c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 1 1";
        let process = of_stat(stat, "x".into()).unwrap();
        assert_eq!((process.id, process.parent, &*process.name, process.started), (42, 7, "a) b) c", 987));
        assert_eq!(of_stat("42 (a", String::new()), None);
    }

    #[test]
    fn this_process_is_not_among_those_that_are_found_and_its_parent_is() {
        let parent = all(Path::new("/proc"));
        assert!(!parent.contains_key(&std::process::id()));
        let own = Process::of(std::process::id()).unwrap();
        assert!(parent.contains_key(&own.parent));
        assert_eq!(Target::of("nginx"), Target::Name("nginx".into()));
        assert_eq!(Target::of("0"), Target::Name("0".into()));
        let Target::Tree(root) = Target::of(&own.parent.to_string()) else { panic!("a number is a process") };
        assert!(Target::Tree(root).processes().iter().any(|process| process.id == root));
    }

    #[test]
    fn the_library_is_the_executable_mapping_of_libssl_and_not_of_nss() {
        let maps = "7f0-7f1 r--p 0 fe:00 1 /usr/lib/libssl.so.3\n7f1-7f2 r-xp 0 fe:00 1 /usr/lib/libssl3.so\n\
                    7f2-7f3 r-xp 0 fe:00 1 /a b/libssl.so.3 (deleted)\n7f3-7f4 rw-p 0 00:00 0\n";
        let mapping = library_of(maps, "libssl.so").unwrap();
        assert_eq!((mapping.range, mapping.path, mapping.is_deleted), ("7f2-7f3", "/a b/libssl.so.3", true));
        assert!(library_of("7f1-7f2 r-xp 0 fe:00 1 /usr/lib/libssl3.so\n", "libssl.so").is_none());
    }

    #[test]
    fn a_process_may_feed_tls_from_memory_unless_each_of_its_files_can_be_read_and_does_not_ask_for_it() {
        let directory = tempfile::TempDir::new().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let place = |name: &str| directory.path().join("root").join(name);
        fs::copy(std::env::current_exe().unwrap(), place("server")).unwrap();
        // What it asks for itself says nothing: it is what is asked.
        fs::write(place("libssl.so.3"), "no library").unwrap();
        let maps = "1-2 r-xp 0 fe:00 1 /server\n2-3 r-xp 0 fe:00 1 /libssl.so.3\n3-4 r--p 0 fe:00 1 /data\n";
        assert!(!may_feed(directory.path(), maps));
        assert!(may_feed(directory.path(), &format!("{maps}4-5 r-xp 0 fe:00 1 /gone.so\n")));
    }

    #[test]
    fn why_a_process_cannot_be_traced_is_told_with_the_remedy() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path();
        let told = |path: &Path| {
            let Obstacle { reason, remedy } = library(path).unwrap_err();
            format!("{reason}\n{remedy}").replace(&path.display().to_string(), "")
        };
        expect![[r#"
            its memory map cannot be read: No such file or directory (os error 2)
            run as root, or with CAP_SYS_PTRACE; a process that has ended cannot be traced"#]]
        .assert_eq(&told(path));
        fs::write(path.join("maps"), "7f2-7f3 r-xp 0 fe:00 1 /libssl.so.3\n").unwrap();
        fs::create_dir(path.join("root")).unwrap();
        fs::write(path.join("root/libssl.so.3"), "no library").unwrap();
        expect![[r#"
            /libssl.so.3 cannot be read: Could not read file magic
            run as root, or with CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_CHECKPOINT_RESTORE; or restart the process"#]]
        .assert_eq(&told(path));
        fs::write(path.join("maps"), "").unwrap();
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), path.join("exe")).unwrap();
        assert!(
            told(path)
                .starts_with("it has loaded no libssl, and its executable has no symbol of one\nit may not")
        );
    }
}

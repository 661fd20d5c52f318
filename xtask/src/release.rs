//! `cargo xtask release`: what is shipped, the same bytes for whoever builds it, and who vouches for it.
//!
//! The commit is built apart, twice where that is asked for, and both builds must be one. Beside the archive
//! lie the bill of materials and an attestation, which names both by their digests, the commit, the compiler
//! and the lock file, and is signed with an Ed25519 key. `deploy/verify/release-verify.sh` holds one against
//! the other with openssl, jq and sha256sum, without a network.

mod attestation;
mod build;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{output, sha256, succeed};
use crate::supply::TARGET;
use crate::{debian, dirs, supply};
use attestation::{Attested, Subject};
use build::Build;

#[derive(clap::Args)]
pub struct Args {
    /// Build it twice, in two directories, and refuse a release whose builds differ
    #[arg(long)]
    twice: bool,
    /// Private key, Ed25519 in PEM, that signs the attestation (`openssl genpkey -algorithm ed25519`);
    /// without one nothing is signed
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where the release is put
    #[arg(long, value_name = "DIR", default_value = "target/release-files")]
    out: PathBuf,
}

/// Builds the commit that is checked out, and writes what is shipped of it.
///
/// # Errors
/// When the checkout has changes, a build fails, two builds differ, or something cannot be written or signed.
pub fn run(args: &Args) -> Result<()> {
    debian::ensure_command("openssl", "openssl")?;
    let changes = git(&["status", "--porcelain"])?;
    ensure!(changes.is_empty(), "the checkout has changes: commit them, a release is of a commit\n{changes}");
    let commit = git(&["rev-parse", "HEAD"])?;
    let time_s = git(&["log", "-1", "--format=%ct"])?.parse().context("the commit has no time")?;
    let build = Build { commit, time_s };
    let place = dirs::target("release-builds")?;
    let binary = build.make(&place.join("first"))?;
    if args.twice {
        let second = build.make(&place.join("second/of/another/depth"))?;
        let digests = [sha256(&binary)?, sha256(&second)?];
        ensure!(
            digests[0] == digests[1],
            "the builds differ: {} is {}, {} is {}",
            binary.display(),
            digests[0],
            second.display(),
            digests[1]
        );
        println!("built twice, and both are {}", digests[0]);
    }
    let source = place.join("first/source");
    let bill = supply::bill(&source, build.time_s)?;
    let builds = if args.twice { 2 } else { 1 };
    let out = dirs::workspace().join(&args.out);
    let files = Files { source: &source, binary: &binary, bill: &bill, out: &out };
    let lock = sha256(&source.join("Cargo.lock"))?;
    let attested = Attested { build: &build, builds, compilers: build.compilers(&source)?, lock };
    write(&files, &attested, args.key.as_deref())
}

/// What a release is put together from, and where.
struct Files<'a> {
    /// The commit's files.
    source: &'a Path,
    binary: &'a Path,
    bill: &'a Path,
    out: &'a Path,
}

/// Writes archive, bill and attestation.
fn write(files: &Files<'_>, attested: &Attested<'_>, key: Option<&Path>) -> Result<()> {
    fs::create_dir_all(files.out).with_context(|| format!("cannot make {}", files.out.display()))?;
    let name = format!("weir-{}-{TARGET}", env!("CARGO_PKG_VERSION"));
    let archive = files.out.join(format!("{name}.tar.gz"));
    pack(files, &name, attested.build.time_s, &archive)?;
    let bill = files.out.join(format!("{name}.cdx.json"));
    fs::copy(files.bill, &bill).with_context(|| format!("cannot write {}", bill.display()))?;
    let subjects = [&archive, &bill].map(|path| Ok(Subject { name: file_name(path), sha256: sha256(path)? }));
    let statement = attested.statement(&subjects.into_iter().collect::<Result<Vec<_>>>()?);
    let written = match key {
        Some(key) => attestation::sign(&statement, key)?,
        None => statement,
    };
    let suffix = if key.is_some() { "intoto.dsse.json" } else { "intoto.unsigned.json" };
    let attestation = files.out.join(format!("{name}.{suffix}"));
    fs::write(&attestation, format!("{written}\n"))
        .with_context(|| format!("cannot write {}", attestation.display()))?;
    for path in [archive, bill, attestation] {
        println!("{}", path.display());
    }
    Ok(())
}

/// The archive: the same bytes wherever and whenever it is packed.
fn pack(files: &Files<'_>, name: &str, time_s: u64, archive: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    let inside = place.path().join(name);
    fs::create_dir(&inside)?;
    let documents =
        ["LICENSE", "README.md", "CHANGELOG.md"].map(|file| (files.source.join(file), file, 0o644));
    for (from, file, mode) in documents.into_iter().chain([(files.binary.to_owned(), "weir", 0o755)]) {
        let to = inside.join(file);
        fs::copy(&from, &to).with_context(|| format!("cannot read {}", from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
    }
    let mut tar = Command::new("tar");
    tar.current_dir(place.path()).args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.args(["--mode=u=rwX,go=rX", "--format=ustar"]).arg(format!("--mtime=@{time_s}"));
    // Without the time of packing in its head.
    tar.args(["--use-compress-program=gzip --no-name -9", "--file"]).arg(archive).arg(name);
    succeed(tar, "tar")
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn git(arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(dirs::workspace()).args(arguments);
    Ok(String::from_utf8(output(git, "git fails")?)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Output;

    /// A release of a stand-in for the binary, signed by a key of its own.
    struct Release {
        place: tempfile::TempDir,
    }

    impl Release {
        fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            let release = Self { place };
            for key in ["key", "other"] {
                let mut make = Command::new("openssl");
                make.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(release.path(key));
                output(make, "openssl").unwrap();
                let mut public = Command::new("openssl");
                public.args(["pkey", "-pubout", "-in"]).arg(release.path(key));
                public.arg("-out").arg(release.path(&format!("{key}.pub")));
                output(public, "openssl").unwrap();
            }
            fs::write(release.path("weir"), "the binary").unwrap();
            fs::write(release.path("bill"), "{}").unwrap();
            release.write("out");
            release
        }

        fn write(&self, out: &str) {
            let build = Build { commit: "0f".repeat(20), time_s: 1_700_000_000 };
            let (source, out) = (dirs::workspace(), self.path(out));
            let files = Files { source, binary: &self.path("weir"), bill: &self.path("bill"), out: &out };
            let compilers = vec!["rustc 1.95.0\nhost: x".to_owned(), "cc 12.2.0".to_owned()];
            let attested = Attested { build: &build, builds: 2, compilers, lock: "ab".repeat(32) };
            write(&files, &attested, Some(&self.path("key"))).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.place.path().join(name)
        }

        /// The files of the release, by their suffixes.
        fn file(&self, suffix: &str) -> PathBuf {
            let files = fs::read_dir(self.path("out")).unwrap().map(|entry| entry.unwrap().path());
            let mut found = files.filter(|path| path.to_string_lossy().ends_with(suffix));
            found.next().unwrap()
        }

        fn verified(&self, key: &str) -> (bool, String) {
            let mut verify = Command::new("sh");
            verify.arg(dirs::workspace().join("deploy/verify/release-verify.sh"));
            verify.arg(self.path(key)).arg(self.file(".dsse.json"));
            let Output { status, stdout, stderr } = verify.output().unwrap();
            (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
        }
    }

    #[test]
    fn a_release_is_verified_with_openssl_jq_and_sha256sum_alone() {
        let release = Release::new();
        let (is_well, told) = release.verified("key.pub");
        assert!(is_well, "{told}");
        let name = format!("weir-{}-{TARGET}", env!("CARGO_PKG_VERSION"));
        let commit = "0f".repeat(20);
        assert_eq!(
            told,
            format!(
                "the signature is of this key\n{name}.tar.gz: OK\n{name}.cdx.json: OK\nbuilt from commit {commit} \
                 with rustc 1.95.0 and cc 12.2.0; 2 builds were the same\n"
            )
        );
    }

    #[test]
    fn what_was_changed_left_out_or_signed_by_another_is_refused() {
        let release = Release::new();
        let (is_well, told) = release.verified("other.pub");
        assert!(!is_well && told == "the attestation is not signed with this key\n", "{told}");

        let attestation = release.file(".dsse.json");
        let text = fs::read_to_string(&attestation).unwrap();
        let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
        changed["payloadType"] = "application/json".into();
        fs::write(&attestation, changed.to_string()).unwrap();
        let (is_well, told) = release.verified("key.pub");
        assert!(!is_well && told == "the attestation is not signed with this key\n", "{told}");
        fs::write(&attestation, text).unwrap();

        let archive = release.file(".tar.gz");
        let bytes = fs::read(&archive).unwrap();
        fs::write(&archive, [&bytes[..], b"\0"].concat()).unwrap();
        let (is_well, told) = release.verified("key.pub");
        assert!(!is_well && told.contains(".tar.gz: FAILED\n"), "{told}");
        fs::remove_file(&archive).unwrap();
        let (is_well, told) = release.verified("key.pub");
        assert!(!is_well && told.contains("No such file"), "{told}");
        fs::write(&archive, bytes).unwrap();
        assert!(release.verified("key.pub").0);
    }

    #[test]
    fn an_old_attestation_under_a_new_name_vouches_for_nothing() {
        let release = Release::new();
        let newer = release.path("out").join("weir-9.9.9-x.intoto.dsse.json");
        fs::rename(release.file(".dsse.json"), &newer).unwrap();
        fs::write(release.path("out").join("weir-9.9.9-x.tar.gz"), "something else").unwrap();
        let (is_well, told) = release.verified("key.pub");
        assert!(!is_well && told.ends_with("\nthe attestation is not of weir-9.9.9-x.tar.gz\n"), "{told}");
    }

    #[test]
    fn an_archive_is_the_same_whenever_it_is_packed() {
        let release = Release::new();
        let first = fs::read(release.file(".tar.gz")).unwrap();
        // Of a file of another time and mode.
        fs::remove_file(release.path("weir")).unwrap();
        fs::write(release.path("weir"), "the binary").unwrap();
        fs::set_permissions(release.path("weir"), fs::Permissions::from_mode(0o700)).unwrap();
        release.write("out");
        assert_eq!(fs::read(release.file(".tar.gz")).unwrap(), first);
    }
}

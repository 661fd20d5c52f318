//! What is said of a release: an in-toto statement with SLSA's provenance, in a signed envelope (DSSE).
//!
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>,
//! <https://slsa.dev/spec/v1.0/provenance>,
//! <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::build::Build;
use crate::shell::{output, sha256};
use crate::supply::TARGET;

/// What a statement is told to be in its envelope.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What the parameters of the build mean.
const BUILD_TYPE: &str = "cargo xtask release, version 1";

/// A file of the release.
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its digest, in hex.
    pub sha256: String,
}

/// What is said of how it was built.
pub struct Attested<'a> {
    /// What was built.
    pub build: &'a Build,
    /// How many builds came out the same.
    pub builds: u32,
    /// What Rust's compiler and C's say of themselves.
    pub compilers: Vec<String>,
    /// Digest of the lock file, in hex.
    pub lock: String,
}

impl Attested<'_> {
    /// The statement, as JSON.
    pub fn statement(&self, subjects: &[Subject]) -> Value {
        let Self { build, builds, compilers, lock } = self;
        let subject =
            |Subject { name, sha256 }: &Subject| json!({"name": name, "digest": {"sha256": sha256}});
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects.iter().map(subject).collect::<Vec<_>>(),
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {"commit": build.commit, "target": TARGET},
                    "internalParameters": {"compilers": compilers, "builds_alike": builds},
                    "resolvedDependencies": [
                        {"name": "source", "digest": {"gitCommit": build.commit}},
                        {"name": "Cargo.lock", "digest": {"sha256": lock}},
                    ],
                },
                "runDetails": {"builder": {"id": "cargo xtask release"}},
            },
        })
    }
}

/// The statement in an envelope that a private key, Ed25519 in PEM, has signed.
pub fn sign(statement: &Value, key: &Path) -> Result<Value> {
    let payload = statement.to_string();
    let place = tempfile::tempdir()?;
    let signed = place.path().join("signed");
    fs::write(&signed, format!("DSSEv1 {} {PAYLOAD_TYPE} {} {payload}", PAYLOAD_TYPE.len(), payload.len()))?;
    let mut sign = Command::new("openssl");
    sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(key).arg("-in").arg(&signed);
    let signature = output(sign, &format!("{} signs nothing", key.display()))?;
    let mut public = Command::new("openssl");
    public.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(key);
    let public = output(public, "openssl tells no public key")?;
    let der = place.path().join("public");
    fs::write(&der, public)?;
    Ok(json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": base64(payload.as_bytes(), place.path())?,
        "signatures": [{"keyid": sha256(&der)?, "sig": base64(&signature, place.path())?}],
    }))
}

fn base64(bytes: &[u8], place: &Path) -> Result<String> {
    let file = place.join("plain");
    fs::write(&file, bytes)?;
    let mut command = Command::new("base64");
    command.arg("--wrap=0").arg(&file);
    String::from_utf8(output(command, "base64 fails")?).context("base64 gives no text")
}

//! What the broker's TLS listeners and their clients need: certificates, keys and a user, made once.
//!
//! The `openssl` program makes them, as an operator would. All of it is for tests on loopback alone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use rand::TryRng as _;

use crate::debian;
use crate::shell::output;

/// The one user of the SASL listener; the password is in `password`.
pub const USER: &str = "weir";

/// Sections for each kind of certificate. The system's own configuration is not read.
const OPENSSL: &str = "[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[broker]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1, DNS:localhost
extendedKeyUsage = serverAuth
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

/// The directory `secure` of a node's home. What is in it is its owner's alone.
pub struct Secure {
    directory: PathBuf,
}

impl Secure {
    /// Of the node with this home; made by [`Self::make`].
    pub fn at(home: &Path) -> Self {
        Self { directory: home.join("secure") }
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The authority that the broker and its clients trust.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The broker's key and certificate in one file.
    pub fn broker(&self) -> PathBuf {
        self.file("broker.pem")
    }

    /// The user's password as the tool for SCRAM users takes it.
    pub fn scram(&self) -> PathBuf {
        self.file("scram.properties")
    }

    /// There when the broker knows the user.
    pub fn user_added(&self) -> PathBuf {
        self.file("user-added")
    }

    /// The user's password.
    ///
    /// # Errors
    /// When it was not made yet.
    pub fn password(&self) -> anyhow::Result<String> {
        let path = self.file("password");
        let password =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(password.trim_end().to_owned())
    }

    /// Makes everything unless it is there. The directory appears as a whole.
    ///
    /// # Errors
    /// When `openssl` cannot be had or run, or the files cannot be written.
    pub fn make(&self) -> anyhow::Result<()> {
        if self.directory.exists() {
            return Ok(());
        }
        debian::ensure_command("openssl", "openssl")?;
        let aside = Self { directory: self.directory.with_extension("new") };
        let _ = fs::remove_dir_all(&aside.directory);
        DirBuilder::new().mode(0o700).create(&aside.directory)?;
        aside.fill()?;
        fs::rename(&aside.directory, &self.directory)?;
        Ok(())
    }

    fn fill(&self) -> anyhow::Result<()> {
        write_private(&self.file("openssl.cnf"), OPENSSL)?;
        self.certify("ca", "authority", None)?;
        self.certify("broker", "broker", Some("ca"))?;
        self.certify("client", "client", Some("ca"))?;
        // For the mistakes: somebody whom nobody here trusts.
        self.certify("stranger-ca", "authority", None)?;
        self.certify("stranger", "client", Some("stranger-ca"))?;
        let both = fs::read_to_string(self.file("broker.key"))? + &fs::read_to_string(self.broker())?;
        write_private(&self.broker(), &both)?;
        let password = password()?;
        write_private(&self.file("password"), &format!("{password}\n"))?;
        write_private(&self.scram(), &format!("SCRAM-SHA-512=password={password}\n"))
    }

    /// `<name>.key` and `<name>.pem`, signed by `issuer` or else by itself.
    fn certify(&self, name: &str, section: &str, issuer: Option<&str>) -> anyhow::Result<()> {
        let files = [self.file(&format!("{name}.key")), self.file(&format!("{name}.pem"))];
        for file in &files {
            // openssl keeps the mode of a file that is there.
            write_private(file, "")?;
        }
        let [key, certificate] = files;
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-days", "3650", "-noenc", "-subj", &format!("/CN=weir test {name}")]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-extensions", section]);
        openssl
            .arg("-config")
            .arg(self.file("openssl.cnf"))
            .arg("-keyout")
            .arg(key)
            .arg("-out")
            .arg(certificate);
        if let Some(issuer) = issuer {
            openssl.arg("-CA").arg(self.file(&format!("{issuer}.pem")));
            openssl.arg("-CAkey").arg(self.file(&format!("{issuer}.key")));
        }
        output(openssl, &format!("openssl cannot make {name}")).map(drop)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let written = || -> std::io::Result<()> {
        // One that is there may be readable by all.
        if path.exists() {
            fs::remove_file(path)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content.as_bytes())
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn password() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn everything_is_made_once_and_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let secure = Secure::at(home.path());
        secure.make().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(secure.directory()), 0o700);
        for entry in fs::read_dir(secure.directory()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        let password = secure.password().unwrap();
        secure.make().unwrap();
        assert_eq!(secure.password().unwrap(), password);
    }

    #[test]
    fn the_authority_vouches_for_broker_and_client_and_not_for_the_stranger() {
        let home = tempfile::tempdir().unwrap();
        let secure = Secure::at(home.path());
        secure.make().unwrap();
        let trusts = |purpose: &str, name: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["verify", "-purpose", purpose, "-CAfile"]).arg(secure.ca()).arg(secure.file(name));
            openssl.output().unwrap().status.success()
        };
        assert!(trusts("sslserver", "broker.pem") && trusts("sslclient", "client.pem"));
        assert!(!trusts("sslclient", "stranger.pem") && !trusts("sslserver", "client.pem"));
    }
}

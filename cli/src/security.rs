//! How the Kafka client proves who it is and whom it trusts, checked before the first connection: what is
//! missing or contradicts itself is told by the name of its key, never by its value.

use crate::keys::ensure_private;
use crate::settings::{SecurityProtocol, Settings};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use weir_topology::kafka::{Secret, Security};
use zeroize::Zeroizing;

/// What the settings say of TLS and SASL, with the password read from its file.
pub fn security(settings: &Settings) -> Result<Security> {
    let protocol = settings.kafka_security_protocol;
    let mut security = Security { protocol: Some(protocol.to_string()), ..Security::default() };
    tls(settings, protocol, &mut security)?;
    sasl(settings, protocol, &mut security)?;
    Ok(security)
}

fn tls(settings: &Settings, protocol: SecurityProtocol, security: &mut Security) -> Result<()> {
    let has_tls = matches!(protocol, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl);
    let files = [
        ("kafka.ca_file", &settings.kafka_ca_file),
        ("kafka.cert_file", &settings.kafka_cert_file),
        ("kafka.key_file", &settings.kafka_key_file),
    ];
    for (key, file) in files {
        let Some(file) = file else { continue };
        ensure!(
            has_tls,
            "{key} is set, but kafka.security_protocol is {protocol}, which is without TLS: set ssl or sasl_ssl"
        );
        fs::File::open(file).with_context(|| format!("cannot read {key} {}", file.display()))?;
    }
    if settings.kafka_cert_file.is_some() != settings.kafka_key_file.is_some()
        && !has_option(settings, "ssl.")
    {
        bail!("kafka.cert_file and kafka.key_file go together: one of them is not set");
    }
    if let Some(file) = &settings.kafka_key_file {
        ensure_private(file, "kafka.key_file")?;
    }
    let path = |file: &Option<PathBuf>| file.as_ref().map(|file| file.display().to_string());
    security.ca = path(&settings.kafka_ca_file);
    security.certificate = path(&settings.kafka_cert_file);
    security.key = path(&settings.kafka_key_file);
    Ok(())
}

fn sasl(settings: &Settings, protocol: SecurityProtocol, security: &mut Security) -> Result<()> {
    let has_user = matches!(protocol, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl);
    let given = [
        ("kafka.sasl_mechanism", settings.kafka_sasl_mechanism.is_some()),
        ("kafka.sasl_username", settings.kafka_sasl_username.is_some()),
        ("kafka.sasl_password_file", settings.kafka_sasl_password_file.is_some()),
    ];
    for (key, is_set) in given {
        if !has_user {
            ensure!(
                !is_set,
                "{key} is set, but kafka.security_protocol is {protocol}, which asks for no user: set sasl_ssl"
            );
        } else if !is_set && !has_option(settings, "sasl.") {
            bail!("kafka.security_protocol is {protocol}, which needs {key}; it is not set");
        }
    }
    security.sasl_mechanism = settings.kafka_sasl_mechanism.map(|mechanism| mechanism.to_string());
    security.user.clone_from(&settings.kafka_sasl_username);
    security.password = settings.kafka_sasl_password_file.as_deref().map(password).transpose()?;
    Ok(())
}

/// Whether librdkafka's own properties of this family are given: then they may say what is missing here.
fn has_option(settings: &Settings, family: &str) -> bool {
    settings.kafka_options.iter().flat_map(|options| options.split(',')).any(|o| o.trim().starts_with(family))
}

fn password(file: &Path) -> Result<Secret> {
    const KEY: &str = "kafka.sasl_password_file";
    ensure_private(file, KEY)?;
    let text = Zeroizing::new(
        fs::read_to_string(file).with_context(|| format!("cannot read {KEY} {}", file.display()))?,
    );
    let password = text.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "{KEY} {} is empty", file.display());
    Ok(Secret::new(password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// What is refused of `sasl_ssl` with these changes, FILE being a private password file.
    fn refused(changes: &[(&'static str, &str)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, "hunter2\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let open = directory.path().join("open");
        fs::write(&open, "hunter2\n").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
        let right = [
            ("kafka.security_protocol", "sasl_ssl"),
            ("kafka.sasl_mechanism", "SCRAM-SHA-512"),
            ("kafka.sasl_username", "weir"),
            ("kafka.sasl_password_file", "FILE"),
        ];
        let flags = right.iter().chain(changes).map(|(key, value)| {
            let value = value.replace("FILE", file.to_str().unwrap()).replace("OPEN", open.to_str().unwrap());
            (*key, value)
        });
        let settings = Settings::load(None, std::iter::empty(), &flags.collect::<Vec<_>>());
        let outcome = settings.map_err(anyhow::Error::from).and_then(|settings| security(&settings));
        outcome.err().map_or_else(String::new, |error| format!("{error:#}"))
    }

    #[test]
    fn settings_that_contradict_or_miss_something_are_refused_by_name() {
        assert_eq!(refused(&[]), "");
        let cases = [
            ("kafka.security_protocol", "tls", "it must be plaintext, ssl, sasl_plaintext, sasl_ssl"),
            ("kafka.security_protocol", "plaintext", "kafka.sasl_mechanism is set, but"),
            ("kafka.sasl_mechanism", "SCRAM", "it must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
            ("kafka.sasl_mechanism", "", "needs kafka.sasl_mechanism; it is not set"),
            ("kafka.sasl_username", "", "needs kafka.sasl_username"),
            ("kafka.sasl_password_file", "", "needs kafka.sasl_password_file"),
            ("kafka.sasl_password_file", "OPEN", "can be read by others (mode 640): chmod 600 it"),
            ("kafka.sasl_password_file", "/not/there", "kafka.sasl_password_file /not/there"),
            ("kafka.sasl_password_file", "/dev/null", "/dev/null"),
            ("kafka.ca_file", "/not/there", "cannot read kafka.ca_file /not/there: No such file"),
            ("kafka.cert_file", "FILE", "kafka.cert_file and kafka.key_file go together"),
        ];
        for (key, value, expected) in cases {
            let said = refused(&[(key, value)]);
            assert!(said.contains(expected) && !said.contains("hunter2"), "{key} = {value}: {said}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let said = refused(&[("kafka.cert_file", "FILE"), ("kafka.key_file", "OPEN")]);
        assert!(said.contains("kafka.key_file") && said.contains("can be read by others"), "{said}");
    }

    #[test]
    fn other_mechanisms_may_be_set_as_options_of_the_client() {
        let unset =
            [("kafka.sasl_mechanism", ""), ("kafka.sasl_username", ""), ("kafka.sasl_password_file", "")];
        let mut changes = unset.to_vec();
        changes.push(("kafka.options", "client.rack=a, sasl.mechanism=OAUTHBEARER"));
        assert_eq!(refused(&changes), "");
    }

    #[test]
    fn a_password_ends_with_its_line_and_keeps_its_spaces() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        fs::write(&file, "a b \r\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(password(&file).unwrap() == Secret::new("a b "));
    }
}

//! What Vault may answer, and what is made of it.

use super::*;
use expect_test::{Expect, expect};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stand_in::{Mood, StandIn};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

#[path = "../../../tests/common/authority.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod authority;
#[path = "../../../tests/common/vault.rs"]
mod stand_in;

const TOKEN: &str = "hvs.the-token-of-a-role";
const NEWER: &str = "hvs.the-token-that-came-after";
const KEY: &str = "5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c5f1c";
const ENFORCER: &str = "secret/data/weir/enforcer";
const COLLECTOR: &str = "secret/data/weir/collector";

/// A Vault with the enforcer's secret in two versions, which the token may read.
fn vault() -> StandIn {
    let vault = StandIn::start();
    fill(&vault);
    vault
}

fn fill(vault: &StandIn) {
    vault.put(ENFORCER, json!({ "seal-1.key": KEY }));
    vault.put(ENFORCER, json!({ "seal-1.key": KEY, "seal-2.key": KEY.replace('5', "6") }));
    vault.allow(TOKEN, &[ENFORCER]);
}

/// A client with these settings, whose token is in the environment.
fn client(vault: &StandIn, settings: &[(&'static str, &str)]) -> Result<Vault, VaultError> {
    of(&vault.address, settings, Some(TOKEN))
}

fn of(address: &str, settings: &[(&'static str, &str)], token: Option<&str>) -> Result<Vault, VaultError> {
    let base = [("keys_from", "vault"), ("vault.address", address), ("vault.timeout_ms", "1000")];
    let flags: Vec<_> = base.iter().chain(settings).map(|(key, value)| (*key, (*value).to_owned())).collect();
    let settings = Settings::load(None, std::iter::empty(), &flags).unwrap();
    Vault::of(&settings, |name| token.filter(|_| name == TOKEN_VARIABLE).map(str::to_owned))
}

fn read(vault: &StandIn, settings: &[(&'static str, &str)]) -> Result<Secret, VaultError> {
    client(vault, settings)?.read(Role::Enforcer)
}

/// What is said, with the address taken out; it never shows a token or a key.
fn refused<T>(outcome: Result<T, VaultError>, address: &str, expected: Expect) {
    let said = outcome.err().unwrap().to_string();
    for secret in [TOKEN, NEWER, KEY, &KEY[..8]] {
        assert!(!said.contains(secret), "{said}");
    }
    expected.assert_eq(&said.replace(address, "ADDRESS"));
}

fn private(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[test]
fn the_latest_version_is_read_or_the_one_that_was_asked_for() {
    let vault = vault();
    let latest = read(&vault, &[]).unwrap();
    assert_eq!((latest.path.as_str(), latest.version), (ENFORCER, 2));
    assert_eq!(latest.fields.keys().collect::<Vec<_>>(), ["seal-1.key", "seal-2.key"]);
    assert_eq!(*latest.fields["seal-1.key"], KEY);
    let pinned = read(&vault, &[("vault.version", "1")]).unwrap();
    assert_eq!((pinned.version, pinned.fields.len()), (1, 1));
    assert_eq!(
        vault.state().asked,
        [format!("GET /v1/{ENFORCER} {TOKEN}"), format!("GET /v1/{ENFORCER}?version=1 {TOKEN}")]
    );
}

#[test]
fn namespace_mount_and_path_are_as_configured() {
    let vault = StandIn::start();
    vault.state().namespace = Some("security/weir".into());
    vault.put("kv/team/data/fleet/eu/enforcer", json!({ "seal-1.key": KEY }));
    vault.allow(TOKEN, &["kv/team/data/fleet/eu/enforcer"]);
    let place = [("vault.mount", "kv/team"), ("vault.path", "fleet/eu")];
    let settings = [&place[..], &[("vault.namespace", "security/weir")]].concat();
    assert_eq!(read(&vault, &settings).unwrap().version, 1);
    assert!(matches!(read(&vault, &place), Err(VaultError::NotFound { .. })));
}

#[test]
fn a_version_that_is_gone_is_told_of_and_no_other_taken_in_its_place() {
    let vault = vault();
    vault.state().secrets.get_mut(ENFORCER).unwrap()[1].is_deleted = true;
    refused(
        read(&vault, &[]),
        &vault.address,
        expect![
            "version 2 of the secret secret/data/weir/enforcer is deleted, and no other is taken in its place: `vault kv undelete` brings it back"
        ],
    );
    assert_eq!(read(&vault, &[("vault.version", "1")]).unwrap().version, 1);
    vault.state().secrets.get_mut(ENFORCER).unwrap()[0].is_destroyed = true;
    refused(
        read(&vault, &[("vault.version", "1")]),
        &vault.address,
        expect![
            "version 1 of the secret secret/data/weir/enforcer is destroyed, and no other is taken in its place: put the keys there again, from where they are kept, as a new version"
        ],
    );
    refused(
        read(&vault, &[("vault.version", "3")]),
        &vault.address,
        expect![
            "Vault has no secret secret/data/weir/enforcer in version 3: write the role's keys there (docs/operations.md#keys-in-vault), and check vault.mount, vault.path, vault.version and vault.namespace"
        ],
    );
}

#[test]
fn a_token_that_is_refused_is_told_with_what_it_lacks() {
    let vault = vault();
    vault.allow(TOKEN, &[COLLECTOR]);
    refused(
        read(&vault, &[]),
        &vault.address,
        expect![
            "Vault refuses the token for secret/data/weir/enforcer (status 403): it has expired, or its policy does not allow `read` there (`vault token lookup`, `vault token capabilities`)"
        ],
    );
    assert_eq!(vault.state().asked.len(), 1, "the same token is not tried again");
    vault.state().lacks_default_policy = true;
    refused(
        client(&vault, &[]).unwrap().reaches_beyond(Role::Enforcer),
        &vault.address,
        expect![
            "Vault refuses the token for sys/capabilities-self (status 403): it has expired, or its policy does not allow `update` there (`vault token lookup`, `vault token capabilities`)"
        ],
    );
}

#[test]
fn a_token_that_expired_and_was_renewed_in_its_file_meanwhile_is_read_again() {
    let (vault, directory) = (vault(), tempfile::tempdir().unwrap());
    vault.state().tokens.clear();
    vault.allow(NEWER, &[ENFORCER]);
    let file = private(directory.path(), "token", &format!("{TOKEN}\n"));
    vault.state().renews = Some((file.clone().into(), NEWER.into()));
    let with = |file: &str| of(&vault.address, &[("vault.token_file", file)], None).unwrap();
    assert_eq!(with(&file).read(Role::Enforcer).unwrap().version, 2);
    assert_eq!(
        vault.state().asked,
        [format!("GET /v1/{ENFORCER} {TOKEN}"), format!("GET /v1/{ENFORCER} {NEWER}")]
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = with(&file).read(Role::Enforcer).err().unwrap().to_string();
    assert!(said.contains("can be read by others (mode 640): chmod 600 it"), "{said}");
    for (content, what) in
        [("", "one token and nothing else"), ("two tokens", "one token"), ("a\u{7f}", "one token")]
    {
        let file = private(directory.path(), "other", content);
        let said = with(&file).read(Role::Enforcer).err().unwrap().to_string();
        assert!(said.contains(what), "{said}");
    }
    assert!(matches!(with("/not/there").read(Role::Enforcer), Err(VaultError::TokenFile { .. })));
}

#[test]
fn a_pod_logs_in_by_its_service_account_and_once_more_when_its_token_was_revoked() {
    let (vault, directory) = (vault(), tempfile::tempdir().unwrap());
    let account = private(directory.path(), "account", "header.claims.signature\n");
    let tokens = vec!["hvs.revoked".to_owned(), TOKEN.to_owned()];
    vault.state().kubernetes = Some(("weir-enforcer".into(), "header.claims.signature".into(), tokens));
    let with = |role: &str| {
        let settings = [("vault.kubernetes_role", role), ("vault.kubernetes_token_file", account.as_str())];
        of(&vault.address, &settings, None).unwrap().read(Role::Enforcer)
    };
    assert_eq!(with("weir-enforcer").unwrap().version, 2);
    assert_eq!(
        vault.state().asked,
        [
            "POST /v1/auth/kubernetes/login ".to_owned(),
            format!("GET /v1/{ENFORCER} hvs.revoked"),
            "POST /v1/auth/kubernetes/login ".to_owned(),
            format!("GET /v1/{ENFORCER} {TOKEN}"),
        ]
    );
    refused(
        with("another"),
        &vault.address,
        expect![
            "Vault refuses to log in the role another at auth/kubernetes (status 403): check vault.kubernetes_role, and which service accounts and namespaces it is bound to there"
        ],
    );
}

#[test]
fn a_token_that_may_read_another_roles_secret_reaches_beyond_its_own() {
    let vault = vault();
    let beyond = |role: Role| client(&vault, &[]).unwrap().reaches_beyond(role).unwrap();
    assert_eq!(beyond(Role::Enforcer), None);
    assert_eq!(beyond(Role::Collector).as_deref(), Some(ENFORCER));
    vault.allow(TOKEN, &[ENFORCER, "secret/data/weir/operator"]);
    assert_eq!(beyond(Role::Enforcer).as_deref(), Some("secret/data/weir/operator"));
    vault.allow(TOKEN, &["root"]);
    assert_eq!(beyond(Role::Enforcer).as_deref(), Some(COLLECTOR));
}

#[test]
fn a_vault_that_is_sealed_or_away_is_told_as_that_and_one_that_is_busy_is_asked_again() {
    let vault = vault();
    vault.state().mood = Mood::Sealed;
    refused(
        read(&vault, &[]),
        &vault.address,
        expect!["Vault at ADDRESS is sealed: unseal it (`vault operator unseal`), then start the role again"],
    );
    assert_eq!(vault.state().asked.len(), 1, "it does not unseal itself");
    for status in [429, 472, 473, 500, 502, 503] {
        vault.state().mood = Mood::Refuses(status, 2);
        assert_eq!(read(&vault, &[]).unwrap().version, 2, "{status}");
        vault.state().mood = Mood::Refuses(status, 3);
        let outcome = read(&vault, &[]);
        let address = vault.address.clone();
        assert_eq!(outcome.err().unwrap(), VaultError::Busy { address, status });
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = of(&format!("http://{nobody}"), &[], Some(TOKEN)).unwrap().read(Role::Enforcer);
    assert!(matches!(away, Err(VaultError::Unreachable { .. })));
}

#[test]
fn no_token_follows_a_redirect() {
    let (vault, other) = (vault(), vault());
    vault.state().mood = Mood::Redirects(other.address.clone());
    refused(
        read(&vault, &[]),
        &vault.address,
        expect![
            "Vault at ADDRESS sends on to another server (status 307), to which no token is shown: give vault.address the active node, or an address behind which only it is"
        ],
    );
    assert_eq!(other.state().asked, Vec::<String>::new());
}

#[test]
fn an_answer_that_is_late_cut_short_too_long_or_something_else_gives_no_keys() {
    let vault = vault();
    let reason = |mood: Mood| {
        vault.state().mood = mood;
        match read(&vault, &[]) {
            Err(VaultError::Unreachable { reason, .. }) => reason,
            Err(error) => error.to_string(),
            Ok(secret) => format!("version {}", secret.version),
        }
    };
    let late = reason(Mood::Drips);
    assert!(late.contains("timeout"), "{late}");
    let cut = reason(Mood::BreaksOff);
    assert!(!cut.starts_with("version") && !cut.contains("data.data"), "{cut}");
    assert_eq!(reason(Mood::Floods(300_000)), "it is over 262144 bytes");
    let babble = reason(Mood::Babbles);
    assert!(babble.ends_with("its fields must be texts, below data.data"), "{babble}");
    vault.state().mood = Mood::Well;
    for fields in
        [json!({ "seal-1.key": 5 }), json!({ "seal-1.key": { "deep": KEY } }), json!([KEY]), json!(KEY)]
    {
        vault.put(ENFORCER, fields);
        refused(
            read(&vault, &[]),
            &vault.address,
            expect![
                "what Vault answers for secret/data/weir/enforcer is no answer of a KV engine of version 2: its fields must be texts, below data.data"
            ],
        );
    }
}

#[test]
fn a_vault_whose_certificate_nobody_vouches_for_is_shown_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority::Authority::new("ours"), authority::Authority::new("theirs"));
    let (certificate, key) = ours.identity();
    let provider = Arc::new(ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let vault = StandIn::behind(
        move |stream| {
            let session = rustls::ServerConnection::new(config.clone()).ok()?;
            Some(Box::new(rustls::StreamOwned::new(session, stream)))
        },
        "https",
    );
    fill(&vault);
    let ca = |name: &str, pem: String| private(directory.path(), name, &pem);
    let (known, unknown) = (ca("known", ours.certificate.pem()), ca("unknown", theirs.certificate.pem()));
    assert_eq!(read(&vault, &[("vault.ca_file", &known)]).unwrap().version, 2);
    vault.state().asked.clear();
    for settings in [vec![("vault.ca_file", unknown.as_str())], vec![]] {
        assert!(matches!(read(&vault, &settings), Err(VaultError::Unreachable { .. })));
    }
    assert_eq!(vault.state().asked, Vec::<String>::new());
    let nothing = ca("nothing", "no certificate".into());
    let said = read(&vault, &[("vault.ca_file", &nothing)]).err().unwrap().to_string();
    assert!(said.starts_with("vault.ca_file ") && said.contains("cannot be used"), "{said}");
}

#[test]
fn settings_that_say_too_little_or_would_show_a_token_to_others_are_refused() {
    let said = |settings: &[(&'static str, &str)], token: Option<&str>| {
        of("https://vault:8200", settings, token).err().map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(said(&[], Some(TOKEN)), "");
    assert_eq!(said(&[("vault.address", "http://[::1]:8200/")], Some(TOKEN)), "");
    let cases = [
        ("vault.address", "", "vault.address is not set, and keys_from is vault: give https://HOST:8200"),
        ("vault.address", "http://vault:8200", "would have keys and tokens cross a network in clear text"),
        ("vault.address", "http://localhost.example:8200", "in clear text"),
        ("vault.address", "https://me:secret@vault:8200", "must be https://HOST:PORT and nothing else"),
        ("vault.address", "vault:8200", "must be https://HOST:PORT and nothing else"),
        ("vault.address", "https://vault/v1", "must be https://HOST:PORT and nothing else"),
        ("vault.mount", "../sys", "vault.mount must be names of"),
        ("vault.path", "a//b", "vault.path must be names of"),
        ("vault.path", "a?version=1", "vault.path must be names of"),
        ("vault.kubernetes_mount", "", "vault.kubernetes_mount must be names of"),
        ("vault.ca_file", "/not/there", "vault.ca_file /not/there cannot be used: No such file"),
    ];
    for (key, value, expected) in cases {
        let said = said(&[(key, value)], Some(TOKEN));
        assert!(said.contains(expected) && !said.contains("secret@"), "{key} = {value}: {said}");
    }
    for token in [None, Some(""), Some("two tokens"), Some("line\nbreak")] {
        assert!(said(&[], token).starts_with("there is no token for Vault: give vault.token_file"));
    }
    let both = [("vault.token_file", "t"), ("vault.kubernetes_role", "r")];
    assert!(said(&both, None).contains("say twice who this role is"));
}

use super::*;
use expect_test::{Expect, expect};
use std::os::unix::fs::PermissionsExt as _;

fn store(directory: &Path) -> KeyStore {
    KeyStore::Directory(directory.to_owned())
}

/// Settings that give a role this directory.
fn given(directory: &Path) -> Settings {
    let directory = directory.display().to_string();
    Settings::load(None, std::iter::empty(), &[("keys_dir", directory)]).unwrap()
}

fn made() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    assert!(make(root.path()).unwrap());
    root
}

/// What is said, with the temporary directory's name taken out.
fn refused<T>(root: &Path, outcome: Result<T, KeyError>, expected: Expect) {
    let said = outcome.err().unwrap().to_string();
    expected.assert_eq(&said.replace(&root.display().to_string(), "DIR"));
}

#[test]
fn each_role_has_its_own_directory_with_what_it_needs_and_no_more() {
    let root = made();
    let mut shown = String::new();
    let mut roles: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    roles.sort();
    for role in roles {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        shown += &format!("{:o} {}\n", mode(&role), role.file_name().unwrap().to_string_lossy());
        for path in entries(&role, |_| true).unwrap() {
            shown += &format!("    {:o} {}\n", mode(&path), path.file_name().unwrap().to_string_lossy());
        }
    }
    expect![[r#"
        700 auditor
            644 README
            644 audit-1.pub
            644 sign.pub
        700 collector
            644 README
            600 pseudonym-0.key
            644 seal-1.pub
            644 sign.pub
        700 enforcer
            644 README
            600 audit-1.key
            600 pseudonym-0.key
            600 seal-1.key
            644 sign.pub
        700 operator
            644 README
            600 sign.key
    "#]]
    .assert_eq(&shown);
}

#[test]
fn keys_are_made_once_and_belong_together() {
    let root = made();
    let at = |role: Role| root.path().join(role.name());
    let (collector, enforcer) = (
        CollectorKeys::read(&store(&at(Role::Collector))).unwrap(),
        EnforcerKeys::read(&store(&at(Role::Enforcer))).unwrap(),
    );
    assert_eq!(collector.pseudonym, (0, enforcer.pseudonyms[0].1.clone()));
    assert_eq!(collector.seal, (1, public_of(&enforcer.seals[0].1)));
    let auditor = read_auditor(&store(&at(Role::Auditor))).unwrap();
    assert_eq!(auditor, [("audit-1".to_owned(), enforcer.audit.first().public())]);
    assert!(!make(root.path()).unwrap(), "nothing is made twice");
    let again = EnforcerKeys::read(&store(&at(Role::Enforcer))).unwrap();
    assert_eq!(again.seals, enforcer.seals);
    assert_ne!(*enforcer.seals[0].1, *enforcer.pseudonyms[0].1);
}

#[test]
fn a_role_that_is_given_a_secret_it_does_not_need_refuses_it_and_says_what_to_do() {
    let root = made();
    let at = |role: Role| root.path().join(role.name());
    refused(
        root.path(),
        CollectorKeys::read(&store(root.path())),
        expect![
            "the role collector was given the secret DIR/enforcer/audit-1.key, which it does not need: whoever takes this machine would have it too. Give --keys-dir DIR/collector, and keep the other directories elsewhere"
        ],
    );
    refused(
        root.path(),
        CollectorKeys::read(&store(&at(Role::Enforcer))),
        expect![
            "the role collector was given the secret DIR/enforcer/audit-1.key, which it does not need: whoever takes this machine would have it too. Remove it from here, and give --keys-dir the directory `collector` that `weir keys make` made"
        ],
    );
    for role in [Role::Collector, Role::Enforcer, Role::Operator] {
        refused(
            root.path(),
            ensure_none(&given(&at(role))).map_err(|error| match error {
                KeyError::Foreign { path: _, role, remedy } => {
                    KeyError::Foreign { path: "X".into(), role, remedy }
                }
                other => other,
            }),
            expect![
                "the role processor was given the secret X, which it does not need: whoever takes this machine would have it too. Unset keys_dir: `weir process` needs no key"
            ],
        );
        assert!(read_auditor(&store(&at(role))).is_err());
    }
    fs::copy(at(Role::Operator).join("sign.key"), at(Role::Enforcer).join("sign.key")).unwrap();
    assert!(matches!(EnforcerKeys::read(&store(&at(Role::Enforcer))), Err(KeyError::Foreign { .. })));
    assert!(ensure_none(&given(&at(Role::Auditor))).is_ok(), "public keys are no secret");
    assert!(ensure_none(&given(Path::new("/nonexistent"))).is_ok());
}

#[test]
fn a_missing_short_or_open_key_is_refused_without_showing_it() {
    let root = made();
    let enforcer = root.path().join("enforcer");
    let seal = enforcer.join("seal-1.key");
    fs::write(&seal, "abc123").unwrap();
    refused(
        root.path(),
        EnforcerKeys::read(&store(&enforcer)),
        expect!["the key DIR/enforcer/seal-1.key must be 64 hex digits"],
    );
    fs::set_permissions(&seal, fs::Permissions::from_mode(0o644)).unwrap();
    refused(
        root.path(),
        EnforcerKeys::read(&store(&enforcer)),
        expect!["the key DIR/enforcer/seal-1.key can be read by others (mode 644): chmod 600 it"],
    );
    fs::remove_file(&seal).unwrap();
    refused(
        root.path(),
        EnforcerKeys::read(&store(&enforcer)),
        expect![
            "the key DIR/enforcer/seal-1.key is missing, which the role enforcer needs: give --keys-dir the directory `enforcer` that `weir keys make` made"
        ],
    );
    refused(
        root.path(),
        make(root.path()),
        expect![
            "DIR/collector/seal-1.pub is there, but its secret DIR/enforcer/seal-1.key is not: restore that, or make keys where there are none"
        ],
    );
}

#[test]
fn a_newer_key_takes_the_place_of_the_older_which_still_opens() {
    let root = made();
    let (collector, enforcer) = (root.path().join("collector"), root.path().join("enforcer"));
    write_key(&enforcer.join("seal-10.key"), &[9; 32], 0o600).unwrap();
    write_key(&collector.join("seal-10.pub"), &public_of(&[9; 32]), 0o644).unwrap();
    assert_eq!(CollectorKeys::read(&store(&collector)).unwrap().seal, (10, public_of(&[9; 32])));
    let numbers: Vec<i32> =
        EnforcerKeys::read(&store(&enforcer)).unwrap().seals.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 10]);
}

#[test]
fn a_persons_secret_is_never_lost_to_its_own_public_half_nor_a_public_half_to_another_secret() {
    let root = tempfile::tempdir().unwrap();
    let (secret, public) = (root.path().join("olga.key"), root.path().join("olga.pub"));
    refused(
        root.path(),
        make_person(&public).map(drop),
        expect![
            "DIR/olga.pub is the name of a public half: give the name of the secret, such as DIR/olga.key"
        ],
    );
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    let made = make_person(&secret).unwrap().unwrap();
    assert_eq!(*read_signer(&public).unwrap(), made);
    assert_eq!(PersonKey::new(&read_person(&secret).unwrap()).public(), made);
    assert_eq!(make_person(&secret).unwrap(), None);
    fs::remove_file(&secret).unwrap();
    refused(
        root.path(),
        make_person(&secret).map(drop),
        expect![
            "DIR/olga.pub is there, but its secret DIR/olga.key is not: restore that, or make keys where there are none"
        ],
    );
}

#[test]
fn credentials_of_systemd_are_keys_by_their_prefix_and_may_be_read_by_its_access_list() {
    let (root, given) = (made(), tempfile::tempdir().unwrap());
    let credentials = KeyStore::Credentials(given.path().to_owned());
    let load = |role: Role, mode: u32| {
        for path in entries(&root.path().join(role.name()), |_| true).unwrap() {
            let to = given.path().join(format!("weir_{}", path.file_name().unwrap().to_string_lossy()));
            fs::copy(&path, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    refused(
        given.path(),
        CollectorKeys::read(&credentials),
        expect![
            "the key DIR/weir_pseudonym-0.key is missing, which the role collector needs: say LoadCredential=weir:DIR in its unit, where DIR is the directory `collector` that `weir keys make` made"
        ],
    );
    load(Role::Collector, 0o440);
    fs::write(given.path().join("password"), "another secret of the service").unwrap();
    let keys = CollectorKeys::read(&credentials).unwrap();
    let own = CollectorKeys::read(&store(&root.path().join("collector"))).unwrap();
    assert_eq!((keys.pseudonym, keys.seal), (own.pseudonym, own.seal));
    load(Role::Collector, 0o444);
    refused(
        given.path(),
        CollectorKeys::read(&credentials),
        expect!["the key DIR/weir_pseudonym-0.key can be read by others (mode 444): chmod 600 it"],
    );
    load(Role::Collector, 0o400);
    load(Role::Enforcer, 0o400);
    EnforcerKeys::read(&credentials).unwrap();
    refused(
        given.path(),
        CollectorKeys::read(&credentials),
        expect![
            "the role collector was given the secret DIR/weir_audit-1.key, which it does not need: whoever takes this machine would have it too. Load the directory `collector` that `weir keys make` made, and no other"
        ],
    );
}

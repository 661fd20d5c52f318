//! What a registry is, and what refuses the start.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use super::registry::Follower;
use super::*;
use crate::settings::{FailureMode, Settings};
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A registry with these files, by their names.
fn registry(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn settings(directory: &Path, more: &[(&'static str, &str)]) -> Settings {
    let directory = ("tenants.dir", directory.display().to_string());
    let more = more.iter().map(|(key, text)| (*key, (*text).to_owned()));
    Settings::load(None, std::iter::empty(), &std::iter::once(directory).chain(more).collect::<Vec<_>>())
        .unwrap()
}

/// What refuses the start where these files stand in the registry; its path is left out.
fn refused(files: &[(&str, &str)]) -> String {
    refused_in(registry(files).path())
}

fn refused_in(directory: &Path) -> String {
    let refused = Tenants::of(&settings(directory, &[])).unwrap_err().to_string();
    refused.replace(&directory.display().to_string(), "DIR")
}

#[test]
fn a_tenant_is_known_by_its_files_name_or_by_the_id_in_it_and_chooses_what_it_says() {
    let long = "a".repeat(64);
    let files = [
        ("acme.toml", "failure_mode = \"closed\"\nlimit_per_minute = 60\nlimit_burst = 10\n"),
        ("0-one.toml", "id = \"other\"\nfailure_mode = \"open\"\n"),
        (&format!("{long}.toml"), ""),
    ];
    let directory = registry(&files);
    let tenants = Tenants::of(&settings(directory.path(), &[])).unwrap();
    let acme =
        Tenant { failure_mode: Some(FailureMode::Closed), limit_per_minute: Some(60), limit_burst: Some(10) };
    let other = Tenant { failure_mode: Some(FailureMode::Open), ..Tenant::CHOSE_NOTHING };
    assert_eq!(tenants.find(Some("acme")), Ok(("acme", &acme)));
    assert_eq!(tenants.find(Some("other")), Ok(("other", &other)));
    assert_eq!(tenants.find(Some(&long)), Ok((&*long, &Tenant::CHOSE_NOTHING)));
    for stranger in ["0-one", "ACME", "acme.toml", "../acme", "", "default", "acme "] {
        assert_eq!(tenants.find(Some(stranger)), Err(Stranger::Unknown), "{stranger:?}");
    }
}

#[test]
fn who_names_no_tenant_is_nobodys_until_the_operator_says_whose() {
    let directory = registry(&[("acme.toml", ""), ("default.toml", "failure_mode = \"closed\"")]);
    let unnamed = |more: &[(&'static str, &str)]| {
        let tenants = Tenants::of(&settings(directory.path(), more)).unwrap();
        tenants.find(None).map(|(id, tenant)| (id.to_owned(), tenant.failure_mode))
    };
    assert_eq!(unnamed(&[]), Err(Stranger::Unnamed));
    assert_eq!(unnamed(&[("tenant", "default")]), Err(Stranger::Unnamed));
    let closed = Some(FailureMode::Closed);
    assert_eq!(unnamed(&[("tenants.allow_anonymous", "true")]), Ok(("default".into(), closed)));
    assert_eq!(unnamed(&[("tenant", "acme")]), Ok(("acme".into(), None)));

    let directory = registry(&[("acme.toml", "")]);
    let refused = |more: &[(&'static str, &str)]| {
        let refused = Tenants::of(&settings(directory.path(), more)).unwrap_err().to_string();
        refused.replace(&directory.path().display().to_string(), "DIR")
    };
    assert_eq!(
        refused(&[("tenants.allow_anonymous", "true")]),
        "tenants.allow_anonymous lets what names no tenant be of tenant default, which DIR does not have: write default.toml \
         there (it may be empty)"
    );
    assert_eq!(
        refused(&[("tenant", "other")]),
        "tenant lets what names no tenant be of tenant other, which DIR does not have: write other.toml there (it may be empty)"
    );
}

#[test]
fn without_a_registry_every_name_is_a_tenants_and_what_is_said_of_one_is_refused() {
    let load = |flags: &[(&'static str, String)]| Settings::load(None, std::iter::empty(), flags).unwrap();
    let tenants = Tenants::of(&load(&[("tenant", "north".into())])).unwrap();
    assert!(!tenants.are_registered());
    assert_eq!(tenants.find(Some("anybody")), Ok(("anybody", &Tenant::CHOSE_NOTHING)));
    assert_eq!(tenants.find(None), Ok(("north", &Tenant::CHOSE_NOTHING)));
    let refused = Tenants::of(&load(&[("tenants.allow_anonymous", "true".into())])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "tenants.allow_anonymous is set, and says nothing without tenants.dir: give the directory, or leave it out"
    );
}

#[test]
fn one_bad_file_refuses_the_start_and_says_which_where_and_what_to_do() {
    let named = |name: &str| refused(&[("acme.toml", ""), (name, "")]);
    let of_no_tenant = |name: &str| {
        format!(
            "DIR/{name} is named like no tenant: an id has 1 to 64 of the characters a-z, 0-9 and `-`; rename the file"
        )
    };
    let long = format!("{}.toml", "a".repeat(65));
    for name in
        ["Other.toml", "a b.toml", ".toml", "..toml", "a_b.toml", "\u{fc}.toml", "weir-drill-1.toml", &long]
    {
        assert_eq!(named(name), of_no_tenant(name), "{name}");
    }
    let foreign = |name: &str, what: &str| {
        format!("DIR/{name} is {what}: in tenants.dir only files ID.toml may stand; take it away")
    };
    for name in ["README", "acme.toml.bak", ".acme.toml.swp"] {
        assert_eq!(named(name), foreign(name, "no tenant's file"), "{name}");
    }

    let said = |text: &str| refused(&[("acme.toml", ""), ("other.toml", text)]);
    assert_eq!(
        said("failure_mode = \"open\"\n# \u{fc}\nfailure_mod = \"open\"\n"),
        "DIR/other.toml:3:1: unknown field `failure_mod`, expected one of `id`, `failure_mode`, `limit_per_minute`, \
         `limit_burst`"
    );
    assert_eq!(
        said("\n  failure_mode = \"ajar\"\n"),
        "DIR/other.toml:2:18: unknown variant `ajar`, expected `open` or `closed`"
    );
    assert_eq!(said("limit_burst = 0"), "DIR/other.toml:1:15: `limit_burst` must be 1 to 1000000");
    assert_eq!(said("limit_burst = 1_000_001"), "DIR/other.toml:1:15: `limit_burst` must be 1 to 1000000");
    assert_eq!(
        said("limit_per_minute = \"6\""),
        "DIR/other.toml:1:20: invalid type: string \"6\", expected u32"
    );
    assert!(said("limit_burst = -1").starts_with("DIR/other.toml:1:15: "), "{}", said("limit_burst = -1"));
    assert!(said("limit_burst = 1\nlimit_burst = 2").starts_with("DIR/other.toml:2:1: duplicate key"));
    assert!(said("[[").starts_with("DIR/other.toml:1:"), "{}", said("[["));
    for id in ["Other", "", "a.b", "../acme"] {
        assert_eq!(
            said(&format!("# an id\nid = \"{id}\"")),
            "DIR/other.toml:2:6: `id` must have 1 to 64 of the characters a-z, 0-9 and `-`",
            "{id:?}"
        );
    }
    assert_eq!(
        said("id = \"weir-drill-1\""),
        "DIR/other.toml:1:6: tenants that begin with `weir-drill-` are drills': choose another id"
    );
    assert_eq!(
        said(&"#".repeat(64 << 10 | 1)),
        "DIR/other.toml is over 65536 bytes: a tenant's file says what it chose, and nothing else"
    );

    let directory = registry(&[("acme.toml", "")]);
    std::fs::write(directory.path().join("other.toml"), [b'#', 0xff]).unwrap();
    let broken = refused_in(directory.path());
    assert!(broken.starts_with("DIR/other.toml cannot be read: "), "{broken}");
}

#[test]
fn two_files_of_one_tenant_refuse_the_start_however_they_come_to_be_that() {
    let twice = |files| refused(files);
    assert_eq!(
        twice(&[("acme.toml", ""), ("north.toml", "\nid = \"acme\"")]),
        "DIR/north.toml:2:6: DIR/acme.toml is of tenant acme too; keep one of them"
    );
    assert_eq!(
        twice(&[("a.toml", "id = \"north\""), ("north.toml", "")]),
        "DIR/a.toml:1:6: DIR/north.toml is of tenant north too; keep one of them"
    );
    assert_eq!(
        twice(&[("a.toml", "id = \"north\""), ("b.toml", "id = \"north\"")]),
        "DIR/b.toml:1:6: DIR/a.toml is of tenant north too; keep one of them"
    );
    assert_eq!(
        twice(&[("acme.toml", ""), ("Acme.toml", "")]),
        "DIR/Acme.toml:1:1: DIR/acme.toml is of tenant acme too; keep one of them"
    );
}

#[test]
fn no_link_and_nothing_that_is_no_file_is_followed() {
    let elsewhere = registry(&[("secret.toml", "")]);
    let directory = registry(&[("acme.toml", "")]);
    let path = directory.path().join("other.toml");
    std::os::unix::fs::symlink(elsewhere.path().join("secret.toml"), &path).unwrap();
    let of = |what: &str| {
        format!("DIR/other.toml is {what}: in tenants.dir only files ID.toml may stand; take it away")
    };
    assert_eq!(refused_in(directory.path()), of("a symbolic link"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(refused_in(directory.path()), of("no regular file"));
    std::fs::remove_dir(&path).unwrap();
    assert!(Tenants::of(&settings(directory.path(), &[])).is_ok());

    let missing = refused_in(&path);
    assert_eq!(
        missing,
        "tenants.dir DIR cannot be read: No such file or directory (os error 2); give a directory with a file ID.toml for \
         each tenant"
    );
    assert!(refused_in(&directory.path().join("acme.toml")).contains("Not a directory"));
}

#[test]
fn the_reference_has_every_key_and_says_what_it_may_be() {
    let section = reference();
    for row in [
        "| `id` | text | the file's name |",
        "| `failure_mode` | open, closed | `decide.failure_mode` |",
        "| `limit_per_minute` | number from 1 to 1000000 | `decide.limit_per_minute` |",
        "| `limit_burst` | number from 1 to 1000000 | `decide.limit_burst` |",
    ] {
        assert!(section.contains(row), "{section}");
    }
}

#[test]
fn a_change_is_taken_as_a_whole_once_two_looks_found_it_and_by_all_who_read_the_registry() {
    let directory = registry(&[("acme.toml", ""), ("north.toml", "limit_burst = 3")]);
    let at = |name: &str| directory.path().join(name);
    let settings = settings(directory.path(), &[]);
    let (in_force, metrics) = (Arc::new(Registry::read(&settings).unwrap()), Arc::new(Metrics::new()));
    let mut follower = Follower::of(in_force.clone(), settings, metrics.clone());
    let ids = || {
        let now = in_force.now();
        ["acme", "north", "south", "west"]
            .map(|id| now.find(Some(id)).ok().map(|(_, tenant)| tenant.limit_burst))
    };
    let first = [Some(None), Some(Some(3)), None, None];
    follower.look();
    follower.look();
    assert_eq!(ids(), first);
    assert!(metrics.render().contains("weir_tenants_changes_taken_total 0"), "nothing has changed");
    // In the middle of a change, whose parts are each a registry.
    std::fs::write(at("south.toml"), "").unwrap();
    follower.look();
    assert_eq!(ids(), first);
    std::fs::remove_file(at("north.toml")).unwrap();
    std::fs::write(at("acme.toml"), "limit_burst = 9").unwrap();
    follower.look();
    assert_eq!(ids(), first, "it was another a look ago");
    follower.look();
    let second = [Some(Some(9)), None, Some(None), None];
    assert_eq!(ids(), second);
    let told = metrics.render();
    assert!(
        told.contains("weir_tenants_changes_taken_total 1") && told.contains("weir_tenants_registered 2"),
        "{told}"
    );

    // What cannot be used changes nothing, not even by what of it could be.
    std::fs::write(at("west.toml"), "").unwrap();
    std::fs::write(at("acme.toml"), "limit_burst = 'many'").unwrap();
    follower.look();
    assert!(metrics.render().contains("weir_tenants_refused 0"), "it may still be written");
    for _ in 0..3 {
        follower.look();
        assert_eq!(ids(), second);
        let told = metrics.render();
        assert!(
            told.contains("weir_tenants_refused 1") && told.contains("weir_tenants_registered 2"),
            "{told}"
        );
    }
    let elsewhere = directory.path().with_extension("elsewhere");
    std::fs::rename(directory.path(), &elsewhere).unwrap();
    follower.look();
    follower.look();
    assert_eq!(ids(), second, "a directory that is gone is no empty one");
    std::fs::create_dir(directory.path()).unwrap();
    follower.look();
    follower.look();
    assert_eq!(ids(), second, "nor is one that a volume came off");
    assert!(metrics.render().contains("weir_tenants_refused 1"));
    std::fs::remove_dir(directory.path()).unwrap();
    std::fs::rename(&elsewhere, directory.path()).unwrap();
    std::fs::write(at("acme.toml"), "limit_burst = 7").unwrap();
    follower.look();
    follower.look();
    assert_eq!(ids(), [Some(Some(7)), None, Some(None), Some(None)]);
    let told = metrics.render();
    assert!(
        told.contains("weir_tenants_refused 0") && told.contains("weir_tenants_changes_taken_total 2"),
        "{told}"
    );
    // Put back as it was in force, it is no change, and refused no more.
    std::fs::write(at("acme.toml"), "limit_burst = 0.5").unwrap();
    follower.look();
    follower.look();
    assert!(metrics.render().contains("weir_tenants_refused 1"));
    std::fs::write(at("acme.toml"), "limit_burst = 7").unwrap();
    follower.look();
    follower.look();
    let told = metrics.render();
    assert!(
        told.contains("weir_tenants_refused 0") && told.contains("weir_tenants_changes_taken_total 2"),
        "{told}"
    );
}

#[test]
fn a_change_without_the_tenant_that_the_configuration_names_is_refused() {
    let directory = registry(&[("acme.toml", ""), ("north.toml", "")]);
    let settings = settings(directory.path(), &[("tenant", "acme")]);
    let (in_force, metrics) = (Arc::new(Registry::read(&settings).unwrap()), Arc::new(Metrics::new()));
    let mut follower = Follower::of(in_force.clone(), settings, metrics.clone());
    std::fs::remove_file(directory.path().join("acme.toml")).unwrap();
    follower.look();
    follower.look();
    assert!(in_force.now().find(None).is_ok() && metrics.render().contains("weir_tenants_refused 1"));
}

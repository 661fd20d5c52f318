//! Layers, ranges and the reference page.

use super::*;
use expect_test::{Expect, expect};
use std::collections::BTreeSet;
use weir_topology::topic::Topic;

type Texts<'a> = &'a [(&'a str, &'a str)];

fn load(file: &str, env: Texts<'_>, flags: &[(&'static str, &str)]) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.toml");
    std::fs::write(&path, file).unwrap();
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, value.to_string())).collect();
    Settings::load(Some(&path), env, &flags)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

/// A value that a key may have and that is not its default, and another.
fn two_values(key: &Key) -> (String, String) {
    match (key.range, key.choices) {
        (Some((min, max)), _) => (min.to_string(), max.to_string()),
        (None, [one, .., other]) => ((*one).to_owned(), (*other).to_owned()),
        (None, _) if key.kind == declare::FLAG => ("true".to_owned(), "false".to_owned()),
        (None, _) if key.kind == declare::NUMBER => ("7".to_owned(), "8".to_owned()),
        (None, _) if key.kind == CpuBudget::KIND => ("2%".to_owned(), "0.5 %".to_owned()),
        (None, _) => ("one".to_owned(), "other".to_owned()),
    }
}

/// The file that sets a key to a text.
fn file_with(key: &Key, text: &str) -> String {
    match key.name.rsplit_once('.') {
        Some((table, name)) => format!("[{table}]\n{name} = '{text}'\n"),
        None => format!("{} = '{text}'\n", key.name),
    }
}

#[test]
fn every_key_is_set_by_each_layer_and_later_wins() {
    for key in KEYS {
        let (one, other) = two_values(key);
        let set = |file: Option<&str>, env: Option<&str>, flag: Option<&str>| {
            let file = file.map(|text| file_with(key, text)).unwrap_or_default();
            let name = key.env();
            let env: Vec<_> = env.map(|text| (name.as_str(), text)).into_iter().collect();
            let flags: Vec<_> = flag.map(|text| (key.name, text)).into_iter().collect();
            load(&file, &env, &flags).unwrap()
        };
        let (by_one, by_other) = (set(Some(&one), None, None), set(Some(&other), None, None));
        assert_ne!(by_one, by_other, "{} makes no difference", key.name);
        assert_eq!(set(None, Some(&one), None), by_one, "{}", key.env());
        assert_eq!(set(None, None, Some(&one)), by_one, "--{}", key.flag());
        assert_eq!(set(Some(&one), Some(&other), None), by_other, "{} over the file", key.env());
        assert_eq!(set(Some(&one), Some(&one), Some(&other)), by_other, "--{} over both", key.flag());
    }
}

#[test]
fn a_collector_has_the_same_bounds_whether_a_key_or_the_library_says_them() {
    let (settings, config) = (load("", &[], &[]).unwrap(), weir_collector::CollectorConfig::new("x", "y"));
    let linger_ms = u64::try_from(config.linger.as_millis()).unwrap();
    assert_eq!(settings.collector_batch_lines, config.batch_lines);
    assert_eq!(settings.collector_line_bytes_max, config.line_bytes_max);
    assert_eq!(settings.collector_linger_ms, linger_ms);
    assert_eq!(settings.collector_keep_text, config.keep_text);
}

#[test]
fn numbers_and_flags_may_stand_in_a_file_as_what_they_are() {
    let file = "partitions = 8\nstandby = true\n[kafka]\nsession_timeout_ms = 6000\n";
    let settings = load(file, &[("PATH", "/bin"), ("WEIR_TEST_X", "y")], &[]).unwrap();
    assert_eq!((settings.partitions, settings.standby, settings.kafka_session_timeout_ms), (8, true, 6000));
}

#[test]
fn a_choice_is_read_in_any_case_and_an_empty_text_is_no_value() {
    let env = [("WEIR_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), ("WEIR_NODE", "")];
    let settings = load("node = 'n'", &env, &[("kafka.sasl_mechanism", "plain")]).unwrap();
    assert_eq!(settings.kafka_security_protocol, SecurityProtocol::SaslSsl);
    assert_eq!((settings.kafka_sasl_mechanism, settings.node), (Some(SaslMechanism::Plain), None));
}

#[test]
fn a_number_out_of_its_range_is_refused_by_every_layer_with_key_source_value_and_range() {
    for key in KEYS.iter().filter(|key| key.range.is_some()) {
        let (min, max) = key.range.unwrap();
        let (name, flag) = (key.env(), format!("--{}", key.flag()));
        for wrong in
            [min.checked_sub(1).map(|n| n.to_string()), Some((max + 1).to_string()), Some("-1".into())]
        {
            let Some(wrong) = wrong else { continue };
            let told = |origin: &str| {
                format!("{origin} sets {} to {wrong:?}; it must be number from {min} to {max}", key.name)
            };
            assert_eq!(load(&file_with(key, &wrong), &[], &[]).unwrap_err(), told("FILE"));
            assert_eq!(load("", &[(&name, &wrong)], &[]).unwrap_err(), told(&name));
            assert_eq!(load("", &[], &[(key.name, &wrong)]).unwrap_err(), told(&flag));
        }
    }
}

fn refused(file: &str, env: Texts<'_>, expected: Expect) {
    expected.assert_eq(&load(file, env, &[]).unwrap_err());
}

#[test]
fn unknown_keys_and_values_of_another_kind_are_refused_with_their_origin() {
    refused(
        "colector = 1",
        &[],
        expect!["FILE sets colector, which is no configuration key; see `weir config` for the list"],
    );
    refused(
        "[kafka]\nca = 'x'",
        &[],
        expect!["FILE sets kafka.ca, which is no configuration key; see `weir config` for the list"],
    );
    refused(
        "",
        &[("WEIR_TENNANT", "x")],
        expect![
            "the environment sets WEIR_TENNANT, which is no configuration key; see `weir config` for the list"
        ],
    );
    refused(
        "partitions = 'many'",
        &[],
        expect![[r#"FILE sets partitions to "many"; it must be number from 1 to 1024"#]],
    );
    refused(
        "partitions = 1.5",
        &[],
        expect![[r#"FILE sets partitions to "1.5"; it must be number from 1 to 1024"#]],
    );
    refused("partitions = []", &[], expect!["FILE sets partitions; it must be number from 1 to 1024"]);
    refused(
        "",
        &[("WEIR_STANDBY", "maybe")],
        expect![[r#"WEIR_STANDBY sets standby to "maybe"; it must be true or false"#]],
    );
    refused("log_format = 'xml'", &[], expect![[r#"FILE sets log_format to "xml"; it must be text, json"#]]);
    refused(
        "kafka = 5",
        &[],
        expect!["FILE sets kafka, which is no configuration key; see `weir config` for the list"],
    );
}

#[test]
fn a_value_that_may_be_a_secret_is_not_shown() {
    refused("kafka.options = ['hunter2']", &[], expect!["FILE sets kafka.options; it must be text"]);
}

#[test]
fn a_file_that_is_not_there_or_no_toml_is_named() {
    let missing = Settings::load(Some(Path::new("/not/there")), std::iter::empty(), &[]).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the configuration file /not/there cannot be read: No such file or directory (os error 2)"
    );
    let broken = load("partitions = ", &[], &[]).unwrap_err();
    assert!(broken.starts_with("the configuration file FILE cannot be read: "), "{broken}");
}

#[test]
fn no_two_keys_share_a_name_and_every_default_is_allowed() {
    Settings::load(None, std::iter::empty(), &[]).unwrap();
    let flags: BTreeSet<_> = KEYS.iter().map(Key::flag).collect();
    let envs: BTreeSet<_> = KEYS.iter().map(Key::env).collect();
    assert_eq!((flags.len(), envs.len()), (KEYS.len(), KEYS.len()));
}

#[test]
fn a_checkpoint_is_taken_before_events_are_gone() {
    let kept_ms = Topic::Events.spec().cleanup.retention().unwrap().as_millis() as u64;
    let key = KEYS.iter().find(|key| key.name == "checkpoint.interval_ms").unwrap();
    assert_eq!(key.range, Some((1, kept_ms - 1)));
}

#[test]
fn the_reference_page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let printed = reference() + &crate::tenants::reference();
    assert!(page == printed, "docs/configuration.md is stale: run `cargo xtask docs`");
}

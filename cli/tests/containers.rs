//! What the files for containers say to this binary is what it takes.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

mod common;

use common::{text, weir};

const COMPOSE: &str = include_str!("../../deploy/compose/docker-compose.yml");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

#[test]
fn every_command_of_the_compose_file_is_one_that_the_binary_takes() {
    let (mut is_ours, mut seen) = (false, Vec::new());
    for line in COMPOSE.lines() {
        // A service begins.
        let is_head = line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
        is_ours = line.trim() == "<<: *weir" || (is_ours && !is_head);
        let list = line.trim().strip_prefix("command: [").and_then(|list| list.strip_suffix(']'));
        let Some(list) = list.filter(|_| is_ours) else { continue };
        let words: Vec<&str> = list.split(", ").map(|word| word.trim_matches('"')).collect();
        let mut command = weir(&words);
        // Whatever stands before it is read first, and must be known.
        let output = command.arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        seen.push(words[0].to_owned());
    }
    assert_eq!(seen, ["keys", "topology", "collect", "process", "enforce", "decide", "--help"]);
}

#[test]
fn every_key_that_the_compose_file_sets_is_one() {
    let words = COMPOSE.split(|char: char| !char.is_ascii_uppercase() && char != '_');
    let keys: Vec<&str> = words.filter(|word| word.starts_with("WEIR_")).collect();
    assert!(keys.len() > 3, "{keys:?}");
    for key in keys {
        assert!(CONFIGURATION.contains(&format!("`{key}`")), "{key} is no key of the configuration");
    }
}

//! What a reader would trip over, held by tests: arrows between crates, licences, links, leftovers.

#![cfg(test)]
#![allow(clippy::unwrap_used)] // A test may fail loudly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dirs;

fn metadata(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .current_dir(dirs::workspace())
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Which of ours each crate of ours may use.
fn arrows() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("weir-schemas", &[][..]),
        ("weir-topology", &["weir-schemas"]),
        ("weir-fastpath", &["weir-schemas"]),
        ("weir-collector", &["weir-schemas", "weir-topology"]),
        ("weir-api", &[]),
        ("weir-tap", &["weir-collector"]),
        ("weir-processor", &["weir-schemas", "weir-topology"]),
        ("weir-enforcer", &["weir-schemas", "weir-topology"]),
        ("weir-replay", &["weir-schemas", "weir-topology", "weir-processor"]),
        ("weir-query", &["weir-schemas", "weir-topology"]),
    ])
}

#[test]
fn arrows_between_crates_point_one_way() {
    let allowed = arrows();
    let packages = metadata(&["--no-deps"]);
    for package in packages["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        // The binary and the automation stand on top and may use everything below.
        let Some(allowed) = allowed.get(name) else { continue };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let is_ours = dependency["path"].is_string();
            let is_for_tests = dependency["kind"] == "dev";
            assert!(!is_ours || is_for_tests || allowed.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    const PERMISSIVE: [&str; 14] = [
        "MIT",
        "MIT-0",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "Unlicense",
        "CC0-1.0",
        "0BSD",
        "BSL-1.0",
        "CDLA-Permissive-2.0",
    ];
    for package in metadata(&[])["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        // Of alternatives one permissive one is enough; of what applies together every part must be.
        let alternatives = licence.split(" OR ").flat_map(|part| part.split('/'));
        let permissive = alternatives.into_iter().any(|alternative| {
            alternative.split(" AND ").all(|part| PERMISSIVE.contains(&part.trim_matches(['(', ')', ' '])))
        });
        assert!(permissive, "{name}: {licence}");
    }
}

/// Every tracked file.
fn tracked() -> Vec<PathBuf> {
    let output =
        Command::new("git").current_dir(dirs::workspace()).args(["ls-files", "-z"]).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(dirs::workspace().join(path)).ok()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|e| extension == *e))
}

#[test]
fn no_leftovers_and_no_path_of_somebodys_machine() {
    // Spelt in pieces, so that this file does not find itself.
    let leftovers = ["TO", "FIX", "XX"].iter().zip(["DO", "ME", "X:"]).map(|(a, b)| format!("{a}{b}"));
    let unwanted: Vec<String> =
        leftovers.chain(["/ro", "/wo"].iter().zip(["ot/", "rk/"]).map(|(a, b)| format!("{a}{b}"))).collect();
    for path in tracked()
        .iter()
        .filter(|path| has_extension(path, &["rs", "toml", "md", "avsc", "conf", "py", "mjs", "xml"]))
    {
        let Some(text) = read(path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(line.trim_end() == line, "{place} ends in blanks");
            for word in &unwanted {
                assert!(!line.contains(word.as_str()), "{place} has {word}");
            }
        }
    }
}

/// Code has these columns at most, and what makes it so leaves comments as they are.
#[test]
fn comments_are_no_wider_than_code() {
    const COLUMNS_MAX: usize = 110;
    for path in tracked().iter().filter(|path| has_extension(path, &["rs"])) {
        let Some(text) = read(path) else { continue };
        let mut is_command = false;
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            let comment = comment.trim_start_matches(['/', '!']).trim_start();
            is_command ^= comment.starts_with("```");
            // A row of a table and a command cannot be broken.
            let is_whole = is_command || comment.starts_with('|');
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(is_whole || line.chars().count() <= COLUMNS_MAX, "{place} is over {COLUMNS_MAX} columns");
        }
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let files: BTreeSet<PathBuf> = tracked().into_iter().collect();
    for page in files.iter().filter(|path| has_extension(path, &["md"])) {
        let text = read(page).unwrap_or_default();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let place = dirs::workspace().join(page).parent().unwrap().join(target);
            assert!(place.exists(), "{} links to {target}, which is not there", page.display());
        }
    }
}

#[test]
fn every_test_that_the_architecture_page_names_exists() {
    let page = read(Path::new("docs/architecture.md")).unwrap();
    let named =
        page.split('`').filter(|word| word.contains('/') && word.ends_with(".rs") && !word.contains(' '));
    let named: BTreeSet<&str> = named.collect();
    assert!(named.len() > 8, "{named:?}");
    for name in named {
        assert!(dirs::workspace().join(name).is_file(), "the architecture page names {name}");
    }
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut functions = BTreeSet::new();
    for path in tracked().iter().filter(|path| has_extension(path, &["rs"])) {
        let text = read(path).unwrap_or_default();
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
        functions.extend(names.map(str::to_owned));
    }
    for (page, least) in [("docs/threats.md", 40), ("docs/chaos.md", 20)] {
        let text = read(Path::new(page)).unwrap();
        let is_test = |word: &&str| {
            let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            word.matches('_').count() > 2 && word.bytes().all(is_of_name)
        };
        let named: BTreeSet<&str> = text.split('`').skip(1).step_by(2).filter(is_test).collect();
        assert!(named.len() > least, "{page}: {named:?}");
        let missing: Vec<&&str> = named.iter().filter(|name| !functions.contains(**name)).collect();
        assert!(missing.is_empty(), "{page} names {missing:?}, which are no tests");
    }
}

#[test]
fn the_privacy_page_names_every_field_of_an_event() {
    fn names(of: &serde_json::Value, into: &mut BTreeSet<String>) {
        match of {
            serde_json::Value::Array(list) => list.iter().for_each(|of| names(of, into)),
            serde_json::Value::Object(of) => {
                for field in of.get("fields").and_then(serde_json::Value::as_array).into_iter().flatten() {
                    into.insert(field["name"].as_str().unwrap().to_owned());
                    names(&field["type"], into);
                }
            }
            _ => {}
        }
    }
    let schema = serde_json::from_str(&read(Path::new("schemas/avro/event.avsc")).unwrap()).unwrap();
    let (mut fields, page) = (BTreeSet::new(), read(Path::new("docs/privacy.md")).unwrap());
    names(&schema, &mut fields);
    // The union of requests and responses, which have fields of their own.
    fields.remove("body");
    fields.remove("request");
    assert!(fields.len() > 50, "{fields:?}");
    let untold: Vec<&String> = fields.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "docs/privacy.md does not say what {untold:?} are");
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let manifest = read(Path::new("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for path in tracked().iter().filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml")) {
        let text = read(path).unwrap_or_default();
        // The fuzz targets' crate is a workspace of its own; its harness is libFuzzer's. What runs in the
        // kernel is one, too: helpers and values of maps are unsafe there, and proved by the verifier.
        let is_apart = path.starts_with("fuzz") || path.starts_with("collector-ebpf");
        if text.contains("[package]") && !is_apart {
            assert!(text.contains("[lints]\nworkspace = true"), "{} has lints of its own", path.display());
        }
    }
}

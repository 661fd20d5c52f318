//! What somebody at a terminal sees while a log is read, and that nobody else does.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, success, text, traffic};
use std::process::Command;

/// A command on a terminal of its own, and what it wrote there.
fn on_a_terminal(command: &Command) -> String {
    let words: Vec<&str> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    let mut script = Command::new("script");
    // A terminal of a hundred and sixty columns, which nothing here is cut at.
    let line = format!("stty cols 160; exec {}", words.join(" "));
    script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    text(&success(script).stdout)
}

#[test]
fn a_run_on_a_terminal_has_a_line_of_how_it_stands_and_one_elsewhere_has_none() {
    let place = Place::new();
    std::fs::write(&place.feed, traffic(3, 20) + "no line of anything\n").unwrap();
    let seen = on_a_terminal(&place.run_to_idle());
    // The rest is what the machine's speed makes of it.
    for said in
        [" events, ", " a second", " refused, 0 mended, none lost", " waiting to be judged", "accounts  "]
    {
        assert!(seen.contains(said), "{said:?} in {seen}");
    }
    let elsewhere = Place::new();
    std::fs::write(&elsewhere.feed, traffic(3, 20)).unwrap();
    let output = success(elsewhere.run_to_idle());
    for written in [text(&output.stdout), text(&output.stderr)] {
        assert!(!written.contains(" a second") && !written.contains('\u{1b}'), "{written}");
    }
}

#[test]
fn an_import_on_a_terminal_says_how_much_is_left_of_compressed_files_too() {
    for is_packed in [false, true] {
        let place = Place::new();
        std::fs::write(&place.feed, traffic(3, 20)).unwrap();
        let mut file = place.feed.clone();
        if is_packed {
            success({
                let mut gzip = Command::new("gzip");
                gzip.arg(&place.feed);
                gzip
            });
            file.as_mut_os_string().push(".gz");
        }
        let size = std::fs::metadata(&file).unwrap().len();
        let mut import = common::weir(&["import"]);
        import.arg(&file).arg("--data-dir").arg(&place.data);
        let seen = on_a_terminal(&import);
        let total = format!("/{}", indicatif::HumanBytes(size));
        for said in [&*total, " left", " refused", "events imported, 0 lines refused"] {
            assert!(seen.contains(said), "{said:?} in {seen}");
        }
    }
}

//! Every format over ordinary and hostile notices. What others read in them, `cargo xtask test` asks parsers
//! of others.

use super::{Format, syslog};
use crate::siem::notice::{Notice, of_action, of_campaign, of_verdict};
use crate::siem::testing::{action, campaign, verdict};
use crate::siem::text::is_hostile;
use expect_test::expect_file;
use proptest::prelude::*;
use std::fmt::Write as _;

fn line(format: Format, notice: &Notice) -> String {
    let mut out = Vec::new();
    format.write(notice, &mut out);
    String::from_utf8(out).unwrap()
}

fn framed(notice: &Notice) -> String {
    let mut out = Vec::new();
    syslog::write(notice, "node-1", line(Format::Cef, notice).as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
}

/// A notice of each kind.
fn notices() -> Vec<Notice> {
    let mut notices = vec![of_verdict(&verdict()), of_action(&action())];
    notices.extend(of_campaign(&campaign(2)));
    notices
}

#[test]
fn the_documented_samples_are_what_the_formats_write() {
    let mut samples = String::from(
        "# What SIEMs are told\n\nA verdict, an action and a campaign in every format, as a test of `weir-enforcer` writes them \
         (`UPDATE_EXPECT=1 cargo test -p weir-enforcer documented_samples`). How to wire a SIEM: [exports](exports.md).\n",
    );
    for format in Format::ALL {
        let _ = write!(samples, "\n## {}\n\n```\n", format.as_str());
        if let Some(header) = format.header() {
            let _ = writeln!(samples, "{}", header.trim_end());
        }
        for notice in notices() {
            let _ = writeln!(samples, "{}", line(format, &notice).trim_end());
        }
        samples += "```\n";
    }
    samples += "\n## syslog, here with cef\n\n```\n";
    for notice in notices() {
        let _ = writeln!(samples, "{}", framed(&notice));
    }
    samples += "```\n";
    expect_file!["../../../../docs/exports-samples.md"].assert_eq(&samples);
}

#[test]
fn a_campaign_with_many_members_is_told_in_parts_that_name_each_once() {
    let campaign = campaign(120);
    let told = of_campaign(&campaign);
    let ids: Vec<&str> = told.iter().map(|notice| notice.id.rsplit_once('/').unwrap().1).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    let members: Vec<String> = told
        .iter()
        .flat_map(|notice| notice.details["members"].as_array().unwrap())
        .map(|member| member["account"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = campaign.members.iter().map(|member| member.account.to_string()).collect();
    assert_eq!(members, expected);
}

#[test]
fn the_same_record_has_the_same_id_and_every_transition_of_an_action_one_of_its_own() {
    use weir_schemas::{Action, ActionState};
    assert_eq!(of_verdict(&verdict()).id, of_verdict(&verdict()).id);
    let ids: std::collections::BTreeSet<String> =
        ActionState::ALL.iter().map(|state| of_action(&Action { state: *state, ..action() }).id).collect();
    assert_eq!(ids.len(), ActionState::ALL.len());
}

/// What an attacker might get into a text: line ends, delimiters, formulas, control characters, marks that
/// turn text around, escapes that stand for nothing.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n"),
        Just("\r\n"),
        Just("\t"),
        Just("|"),
        Just("="),
        Just("\\"),
        Just("\\n"),
        Just("\""),
        Just("'"),
        Just(","),
        Just("=cmd()"),
        Just("@SUM(A1)"),
        Just("\u{0}"),
        Just("\u{1b}[2J"),
        Just("\u{202e}"),
        Just("\u{2028}"),
        Just("\u{85}"),
        Just("\u{feff}"),
        Just("\\ud800"),
        Just("]"),
        Just("é漢🦀"),
        Just(" "),
        Just("CEF:0|"),
        Just("x"),
    ];
    let pieces =
        proptest::collection::vec(piece.prop_map(str::to_owned), 0..40).prop_map(|pieces| pieces.concat());
    prop_oneof![9 => pieces, 1 => any::<String>(), 1 => Just("ß".repeat(32 * 1024))]
}

proptest! {
    #[test]
    fn whatever_a_text_holds_a_notice_is_one_line_of_bounded_length_that_steers_nothing(text in hostile_text()) {
        let notice = of_action(&weir_schemas::Action { reason: text.clone(), tenant: text, ..action() });
        for format in Format::ALL {
            let line = line(format, &notice);
            let line = line.trim_end_matches('\r');
            prop_assert!(line.len() < 16_384, "{} bytes of {}", line.len(), format.as_str());
            let is_allowed = |c: char| c == '\t' && format == Format::Leef;
            prop_assert!(!line.chars().any(|c| (c.is_control() && !is_allowed(c)) || is_hostile(c)), "{line:?}");
        }
        prop_assert!(!framed(&notice).contains(['\n', '\r']));
    }
}

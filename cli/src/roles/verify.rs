//! `weir verify`: fold what led to a verdict again, and show that the same bytes come out.

use crate::context::Context;
use crate::output;
use crate::roles::replay::progress;
use anyhow::Result;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use weir_replay::archive::ArchiveLog;
use weir_replay::verify::{
    Choice, ContentDifference, Difference, Evidence, Finding, Outcome, VerifyReport, verify,
};
use weir_topology::log::Log;

/// Exit code when something can be neither proved nor disproved.
pub const UNPROVEN: u8 = 2;

/// Exits with 0 when all that was chosen is proved, with 1 when something differs, and with 2 when it
/// cannot be told or there is nothing to prove.
pub fn run(context: &Context, archive: Option<&Path>, choice: Choice, json: bool) -> Result<ExitCode> {
    let log: Arc<dyn Log> = match archive {
        Some(directory) => Arc::new(ArchiveLog::open(directory)?),
        None => context.existing_log()?,
    };
    let wire = context.wire()?;
    let bar = progress(log.as_ref())?;
    let stages = context.judging_stages(wire.clone())?;
    let report = verify(log.as_ref(), &wire, &stages, choice, |events| bar.inc(events))?;
    bar.finish_and_clear();
    match json {
        true => print_line!("{}", serde_json::to_string(&report)?),
        false => output::text(shown(&report, choice)),
    }
    Ok(match (report.different, report.is_proven()) {
        (0, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(UNPROVEN),
        _ => ExitCode::FAILURE,
    })
}

fn shown(report: &VerifyReport, choice: Choice) -> String {
    let VerifyReport { scanned, chosen, proven, different, unproven, before, findings, seconds } = report;
    let mut text = String::new();
    for finding in findings {
        text += &describe(finding);
        text.push('\n');
    }
    let told =
        findings.iter().filter(|finding| !matches!(finding.outcome, Outcome::Proven(_))).count() as u64;
    if different + unproven > told {
        text += &format!("… and {} more\n\n", different + unproven - told);
    }
    text + &match (chosen, choice) {
        (0, Choice::One { id, .. }) => format!(
            "NOT FOUND: none of the {scanned} verdicts that were looked at is {id}. Its retention (90 d) has passed, \
             or its id was changed: `weir verify --all` would say.\n"
        ),
        (0, _) if *before > 0 => {
            format!("NOTHING TO PROVE: what led to the {before} verdicts that there are is no longer kept.\n")
        }
        (0, _) => "NOTHING TO PROVE: there are no verdicts.\n".to_owned(),
        (1, Choice::One { .. }) => match (different, unproven) {
            (0, 0) => format!("PROVED in {seconds:.1} s: the same bytes came out.\n"),
            (0, _) => "NOT PROVED: it cannot be told.\n".to_owned(),
            _ => "DIFFERENT: this is not what was judged.\n".to_owned(),
        },
        _ => format!(
            "{chosen} of {scanned} verdicts in {seconds:.1} s: {proven} proved, {different} different, {unproven} not \
             to be told; {before} are from before what is kept\n"
        ),
    }
}

fn describe(finding: &Finding) -> String {
    let Finding { verdict_id, account, partition, offset, outcome } = finding;
    let unreadable = || "(cannot be read)".to_owned();
    let mut text = format!("verdict   {}\n", verdict_id.clone().unwrap_or_else(unreadable));
    if let Some(account) = account {
        text += &format!("account   {account}\n");
    }
    text += &match offset {
        Some(offset) => format!("place     weir.verdicts/{partition} at offset {offset}\n"),
        None => format!("place     nowhere in weir.verdicts/{partition}\n"),
    };
    text + &match outcome {
        Outcome::Proven(evidence) => proven(evidence, *partition),
        Outcome::Unproven { reason } => format!("cause     {reason}\n"),
        Outcome::Different(Difference::Content(content)) => differs(content, *partition),
        Outcome::Different(Difference::Key { epoch }) => {
            format!("differs   epoch {epoch} emitted it under another key\n")
        }
        Outcome::Different(Difference::NotEmitted { last_epoch }) => {
            format!(
                "differs   no epoch of account/{partition} emitted it, of those up to {last_epoch} that were folded again\n"
            )
        }
        Outcome::Different(Difference::Doubled { first_offset }) => {
            format!("differs   it stands at offset {first_offset} already\n")
        }
        Outcome::Different(Difference::Missing { epoch }) => {
            format!("differs   epoch {epoch} emitted it, and it is not in the log\n")
        }
        Outcome::Different(Difference::Epoch { epoch, what, recorded, found }) => format!(
            "differs   epoch {epoch} of account/{partition} recorded {what} {recorded}; folded again it gives {found}\n"
        ),
    }
}

fn proven(evidence: &Evidence, partition: u32) -> String {
    let Evidence { epoch, folded_after, policy_version, inputs, sha256_written, sha256_refolded } = evidence;
    let mut text =
        format!("epoch     {epoch} of account/{partition}, policy {}\n", policy_version.escape_debug());
    text += &match folded_after {
        0 => "folded    from the first epoch\n".to_owned(),
        after => format!("folded    from the checkpoint after epoch {after}\n"),
    };
    for input in inputs.iter().filter(|input| input.from < input.to) {
        text += &format!(
            "read      {}/{} offsets {} to {} ({} records)\n",
            input.topic,
            input.partition,
            input.from,
            input.to - 1,
            input.records
        );
    }
    text + &format!("written   sha256 {sha256_written}\nrefolded  sha256 {sha256_refolded}\n")
}

fn differs(content: &ContentDifference, partition: u32) -> String {
    let ContentDifference { epoch, byte, byte_written, byte_refolded, fields, unreadable, .. } = content;
    let end = || "the end".to_owned();
    let mut text = format!(
        "epoch     {epoch} of account/{partition}\ndiffers   first at byte {byte}: {} here, {} came out\n",
        byte_written.clone().unwrap_or_else(end),
        byte_refolded.clone().unwrap_or_else(end)
    );
    if let Some(reason) = unreadable {
        text += &format!("          as it stands it cannot be read: {reason}\n");
    }
    for field in fields {
        text += &format!("          {}: {} here, {} came out\n", field.field, field.written, field.refolded);
    }
    text + &format!(
        "written   sha256 {}\nrefolded  sha256 {}\n",
        content.sha256_written, content.sha256_refolded
    )
}

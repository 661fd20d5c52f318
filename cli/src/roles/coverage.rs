//! `weir coverage`: a signed statement that every event was judged once, and the check of one.

use crate::context::{Context, now_ms};
use crate::keys::{KeyStore, Role, read_sign};
use crate::output;
use crate::roles::verify::UNPROVEN;
use crate::settings::KeysFrom;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use weir_replay::coverage::{
    Asked, Balance, Maker, PartitionCoverage, Statement, check as check_statement, cover, public_key_of, sign,
};

/// Makes a statement, signs it, and prints it or what it says. Exits with 0 when it balances, with 1
/// when it proves an imbalance, and with 2 when it proves nothing.
pub fn run(context: &Context, asked: Asked, json: bool, out: Option<&Path>) -> Result<ExitCode> {
    let settings = &context.settings;
    let store = match (&settings.keys_dir, settings.keys_from, context.brokers()) {
        // A key that is made now would sign for nobody.
        (None, KeysFrom::Files, None) => {
            KeyStore::Directory(settings.data_dir.join("keys").join(Role::Operator.name()))
        }
        _ => context.given_or_own_keys(Role::Operator)?,
    };
    let seed = read_sign(&store)?;
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let name = match context.brokers() {
        Some(brokers) => format!("kafka {brokers} {}", settings.kafka_prefix.as_deref().unwrap_or_default()),
        None => format!("embedded {}", settings.data_dir.display()),
    };
    let maker = Maker { log: name.trim_end().into(), node: context.node(), now_ms: now_ms() };
    let statement = cover(log.as_ref(), &wire, asked, maker)?;
    let signed = sign(&statement, &seed)?;
    if let Some(path) = out {
        fs::write(path, &signed)
            .with_context(|| format!("cannot write the statement to {}", path.display()))?;
    }
    match (json, out) {
        (true, _) => output::text(signed),
        (false, None) => output::text(shown(&statement)),
        (false, Some(path)) => {
            print_line!("{}Signed by {}: {}", shown(&statement), public_key_of(&seed), path.display())
        }
    }
    Ok(match statement.balance {
        Balance::Balanced => ExitCode::SUCCESS,
        Balance::Imbalance => ExitCode::FAILURE,
        Balance::Unproven => ExitCode::from(UNPROVEN),
    })
}

/// Checks a signed statement and prints what it says. Exits with 1 when it is not to be believed.
pub fn check(path: &Path, public_key: Option<&str>) -> Result<ExitCode> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let checked = match check_statement(&text, public_key) {
        Ok(checked) => checked,
        Err(error) => {
            print_line!("NOT TO BE BELIEVED: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let Statement { log, node, made_at_ms, .. } = &checked.statement;
    print_line!(
        "made by   {}, at {made_at_ms} ms since 1970, of {}",
        node.escape_debug(),
        log.escape_debug()
    );
    output::text(shown(&checked.statement));
    match public_key {
        Some(_) => print_line!("The signature fits the key that was given."),
        None => print_line!(
            "The signature fits {}. Whose key that is, this file cannot say: give --public-key, as `weir keys make` \
             prints it.",
            checked.public_key
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(statement: &Statement) -> String {
    let mut text =
        String::from("partition  offsets                 read      judged        dead   in flight  epochs\n");
    for coverage in &statement.partitions {
        text += &row(coverage);
        for reason in &coverage.imbalances {
            text += &format!("           imbalance: {reason}\n");
        }
        for reason in &coverage.unproven {
            text += &format!("           cannot prove: {reason}\n");
        }
    }
    let Statement { balance, read, judged, dead_lettered, in_flight, .. } = statement;
    let sum =
        format!("{read} events read, {judged} judged, {dead_lettered} dead-lettered, {in_flight} in flight");
    text + &match balance {
        Balance::Balanced => format!("BALANCED: {sum}\n"),
        Balance::Imbalance => format!("IMBALANCE: {sum}\n"),
        Balance::Unproven => format!("NOT PROVED: {sum}\n"),
    }
}

fn row(coverage: &PartitionCoverage) -> String {
    let PartitionCoverage { partition, from, to, read, judged, dead_lettered, in_flight, .. } = coverage;
    let offsets = format!("{from}..{to}");
    let epochs = format!("{}..{}", coverage.epoch_first, coverage.epoch_last);
    format!(
        "{partition:<9}  {offsets:<16} {read:>11} {judged:>11} {dead_lettered:>11} {in_flight:>11}  {epochs}\n"
    )
}

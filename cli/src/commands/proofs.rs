//! What can be proved of history, and what could not be judged: `verify`, `coverage`, `dlq`.

use super::{Group, context, path, with_keys};
use crate::roles;
use crate::roles::verify::UNPROVEN;
use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use std::path::PathBuf;
use std::process::ExitCode;
use weir_replay::coverage::Asked;
use weir_replay::letters::{Filter, LetterId, Requeue};
use weir_replay::verify::Choice;
use weir_schemas::{AccountId, DlqKind, VerdictId};
use weir_topology::topic::StageName;

/// Stages that write dead letters.
const STAGES: [StageName; 4] =
    [StageName::Collector, StageName::Account, StageName::Cluster, StageName::Enforcer];

/// The commands.
pub fn commands() -> [Command; 3] {
    [verify_command(), coverage_command(), dlq_command()]
}

const GROUPS: [Group; 3] = [Group::Common, Group::Embedded, Group::Kafka];

fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .default_value("text")
        .value_parser(["text", "json"])
        .help("How the result is printed")
}

fn number(name: &'static str, flag: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(flag)
        .value_name("N")
        .value_parser(value_parser!(i64))
        .allow_negative_numbers(true)
        .help(help)
}

fn verify_command() -> Command {
    let command = Command::new("verify")
        .about("Fold what led to a verdict again, and show that the same bytes come out")
        .after_help("Exits with 0 when proved, with 1 when something differs, with 2 when it cannot be told.")
        .arg(
            Arg::new("verdict")
                .value_name("VERDICT_ID")
                .value_parser(value_parser!(VerdictId))
                .help("Verdict, 32 hex digits"),
        )
        .arg(
            Arg::new("account")
                .long("account")
                .value_name("ACCOUNT")
                .requires("verdict")
                .value_parser(value_parser!(AccountId))
                .help("Account of the verdict, 32 hex digits: only its partition is read"),
        )
        .arg(
            Arg::new("sample")
                .long("sample")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("Prove N verdicts drawn at random, in one pass over each partition"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("S")
                .requires("sample")
                .value_parser(value_parser!(u64))
                .help("Seed of the draw, to draw the same again; random when not given"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Prove every verdict, and that none is missing from the log"),
        )
        .group(ArgGroup::new("choice").args(["verdict", "sample", "all"]).required(true))
        .arg(format());
    with_keys(command, &GROUPS)
}

/// `weir verify`.
pub fn verify(matches: &ArgMatches) -> Result<ExitCode> {
    let choice = match (matches.get_one::<VerdictId>("verdict"), matches.get_one::<u32>("sample")) {
        (Some(id), _) => Choice::One { id: *id, account: matches.get_one("account").copied() },
        (None, Some(verdicts)) => {
            let seed = matches.get_one("seed").copied().unwrap_or_else(rand::random);
            eprintln!("weir: drawn with --seed {seed}");
            Choice::Sample { verdicts: *verdicts as usize, seed }
        }
        (None, None) => Choice::All,
    };
    Ok(told(context(matches).and_then(|context| roles::verify::run(&context, choice, is_json(matches)))))
}

fn coverage_command() -> Command {
    let command = Command::new("coverage")
        .about("State, signed, that every event was judged, dead-lettered or is still in flight")
        .after_help(
            "Exits with 0 when it balances, with 1 when it proves an imbalance (with --check: when the statement \
             is not to be believed), with 2 when it cannot prove either.",
        )
        .arg(number("from_ms", "from-ms", "Events from this time on, in milliseconds since 1970").requires("to_ms"))
        .arg(number("to_ms", "to-ms", "Events before this time, in milliseconds since 1970").requires("from_ms"))
        .arg(
            Arg::new("partition")
                .long("partition")
                .value_name("P")
                .value_parser(value_parser!(u32))
                .requires_all(["from_offset", "to_offset"])
                .conflicts_with("from_ms")
                .help("Partition of weir.events"),
        )
        .arg(number("from_offset", "from-offset", "First offset of the partition").requires("partition"))
        .arg(number("to_offset", "to-offset", "First offset after the range").requires("partition"))
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the signed statement here"),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(["from_ms", "partition", "out"])
                .help("Check a statement instead of making one"),
        )
        .arg(
            Arg::new("public_key")
                .long("public-key")
                .value_name("HEX")
                .requires("check")
                .help("Key that must have signed it, as `weir keys make` prints it"),
        )
        .arg(format());
    with_keys(command, &GROUPS)
}

/// `weir coverage`.
pub fn coverage(matches: &ArgMatches) -> Result<ExitCode> {
    if matches.contains_id("check") {
        let public_key = matches.get_one::<String>("public_key").map(String::as_str);
        return Ok(told(path(matches, "check").and_then(|file| roles::coverage::check(file, public_key))));
    }
    let given = |name: &str| matches.get_one::<i64>(name).copied();
    let asked = match (given("from_ms"), given("to_ms"), matches.get_one::<u32>("partition")) {
        (Some(from_ms), Some(to_ms), _) => Asked::Times { from_ms, to_ms },
        (_, _, Some(partition)) => Asked::Offsets {
            partition: *partition,
            from: given("from_offset").unwrap_or(0),
            to: given("to_offset").unwrap_or(i64::MAX),
        },
        _ => Asked::Everything,
    };
    let out = matches.get_one::<PathBuf>("out").map(PathBuf::as_path);
    Ok(told(
        context(matches).and_then(|context| roles::coverage::run(&context, asked, is_json(matches), out)),
    ))
}

fn dlq_command() -> Command {
    let kinds: Vec<&'static str> = DlqKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let kind = || {
        Arg::new("kind")
            .long("kind")
            .value_name("KIND")
            .ignore_case(true)
            .value_parser(kinds.clone())
            .help("Only letters of this kind")
    };
    let id = || {
        Arg::new("id")
            .value_name("ID")
            .value_parser(value_parser!(LetterId))
            .help("PARTITION/OFFSET of weir.dlq")
    };
    Command::new("dlq")
        .about("What could not be judged, why, and the way back")
        .subcommand_required(true)
        .subcommand(with_keys(
            Command::new("list")
                .about("List dead letters, the newest last")
                .arg(kind())
                .arg(
                    Arg::new("stage")
                        .long("stage")
                        .value_name("STAGE")
                        .value_parser(STAGES.map(StageName::as_str))
                        .help("Only letters of this stage"),
                )
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_name("N")
                        .default_value("50")
                        .value_parser(value_parser!(u32).range(1..=100_000))
                        .help("At most so many"),
                ),
            &GROUPS,
        ))
        .subcommand(with_keys(
            Command::new("show").about("Show one letter").arg(id().required(true)),
            &GROUPS,
        ))
        .subcommand(with_keys(
            Command::new("requeue")
                .about("Send the record of a letter back where it came from, untouched and once")
                .arg(id())
                .arg(kind())
                .group(ArgGroup::new("which").args(["id", "kind"]).required(true))
                .arg(
                    Arg::new("to_topic")
                        .long("to-topic")
                        .value_name("TOPIC")
                        .help("Send it to this topic instead of where it came from"),
                )
                .arg(
                    Arg::new("again")
                        .long("again")
                        .action(ArgAction::SetTrue)
                        .help("Also what was sent back before"),
                ),
            &GROUPS,
        ))
}

/// `weir dlq list | show | requeue`.
pub fn dlq(matches: &ArgMatches) -> Result<ExitCode> {
    let Some((verb, sub)) = matches.subcommand() else { bail!("dlq needs a subcommand") };
    let named = |name: &str| sub.try_get_one::<String>(name).ok().flatten().map(String::as_str);
    let kind = named("kind")
        .and_then(|name| DlqKind::ALL.iter().copied().find(|kind| kind.as_str().eq_ignore_ascii_case(name)));
    let filter = Filter { kind, stage: named("stage").and_then(StageName::named) };
    let id = sub.try_get_one::<LetterId>("id").ok().flatten().copied();
    let context = context(sub)?;
    match (verb, id) {
        ("list", _) => {
            let limit = sub.get_one::<u32>("limit").copied().unwrap_or(50);
            roles::dlq::show_list(&context, &filter, limit as usize)
        }
        ("show", Some(id)) => roles::dlq::show(&context, id),
        ("requeue", id) => {
            let mut how = Requeue { to: None, again: sub.get_flag("again") };
            if let Some(topic) = named("to_topic") {
                how = how.to_topic(topic)?;
            }
            match id {
                Some(id) => roles::dlq::requeue(&context, id, how),
                None => roles::dlq::requeue_kind(&context, &filter, how),
            }
        }
        (other, _) => bail!("there is no command dlq {other}"),
    }
}

fn is_json(matches: &ArgMatches) -> bool {
    matches.get_one::<String>("format").is_some_and(|format| format == "json")
}

/// An error proves nothing: it must not look like a difference that was found.
fn told(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("weir: {error:#}");
        ExitCode::from(UNPROVEN)
    })
}

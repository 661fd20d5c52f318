//! The command line: one subcommand a role or operator's task. Configuration keys become flags of
//! the subcommands whose groups they belong to.

mod proofs;
mod simulate;

use crate::context::Context;
use crate::roles;
use crate::settings::{Group, KEYS, Settings};
use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches as _, value_parser};
use std::path::PathBuf;
use std::process::ExitCode;

/// The whole command line.
pub fn command() -> Command {
    use Group::{Collector, Common, Embedded, Enforcer, Kafka, Serving, Stages};
    let file = |help: &'static str| {
        Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    let idle = || {
        Arg::new("until_idle")
            .long("until-idle")
            .action(ArgAction::SetTrue)
            .help("End when everything that was written is judged, instead of waiting for more")
    };
    // A flag of the systems that Weir grew from; tailing is the only mode there is left to choose.
    let mode = || Arg::new("mode").long("mode").value_parser(["tail"]).hide(true);
    let with = |command: Command, groups: &[Group]| with_keys(command, groups);
    Command::new("weir")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Finds the accounts that are distilling your language model, and stops them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("config")
                .long("config")
                .global(true)
                .value_name("FILE")
                .env("WEIR_CONFIG")
                .value_parser(value_parser!(PathBuf))
                .help("Configuration file (TOML)"),
        )
        .subcommand(with(
            Command::new("run")
                .about("Every role in one process on the embedded log: the place to start")
                .arg(idle())
                .arg(mode()),
            &[Common, Embedded, Serving, Collector, Stages, Enforcer],
        ))
        .subcommand(with(
            Command::new("collect").about("Follow a log file and publish its events to Kafka").arg(idle()).arg(mode()),
            &[Common, Kafka, Serving, Collector],
        ))
        .subcommand(with(
            Command::new("process")
                .about("Judge: run the account and cluster stages on the partitions that fall to this process")
                .arg(idle()),
            &[Common, Kafka, Serving, Stages],
        ))
        .subcommand(with(
            Command::new("enforce").about("Act on verdicts, and write the output directory").arg(idle()),
            &[Common, Kafka, Serving, Stages, Enforcer],
        ))
        .subcommand(with(
            Command::new("import")
                .about("Read a whole log file (.gz too) into the embedded log, or into Kafka with --brokers")
                .arg(file("Log file")),
            &[Common, Embedded, Kafka, Collector],
        ))
        .subcommand(with(
            Command::new("replay")
                .about("Fold history again and say what comes out")
                .arg(Arg::new("as_recorded").long("as-recorded").action(ArgAction::SetTrue).help("Fold what the epoch records say: must give the bytes that went live"))
                .arg(Arg::new("lockstep").long("lockstep").action(ArgAction::SetTrue).conflicts_with("as_recorded").help("Cut epochs by event time: the same result for any layout; how policies are compared"))
                .arg(Arg::new("replay_partitions").long("partitions").value_name("N").default_value("8").value_parser(value_parser!(u32).range(1..=1024)).help("Lockstep: partitions to spread accounts over"))
                .arg(Arg::new("workers").long("workers").value_name("N").default_value("1").value_parser(value_parser!(u32).range(1..=256)).help("Lockstep: worker threads"))
                .arg(Arg::new("format").long("format").default_value("text").value_parser(["text", "json"]).help("How the report is printed")),
            &[Common, Embedded, Kafka],
        ))
        .subcommands(proofs::commands())
        .subcommand(
            Command::new("topology")
                .about("Topics, their keys and their settings on the broker")
                .subcommand_required(true)
                .subcommand(with(Command::new("plan").about("Show what apply would change"), &[Common, Kafka, Embedded]))
                .subcommand(with(Command::new("apply").about("Create what is missing and bring settings into line"), &[Common, Kafka, Embedded]))
                .subcommand(with(Command::new("check").about("Exit with 1 when the broker differs from the plan"), &[Common, Kafka, Embedded]))
                .subcommand(Command::new("diagram").about("Print topics and stages as a Mermaid diagram")),
        )
        .subcommand(
            Command::new("policy")
                .about("The policy that verdicts are judged by")
                .subcommand_required(true)
                .subcommand(with(Command::new("show").about("Print the policy in force"), &[Common, Embedded, Kafka]))
                .subcommand(with(Command::new("publish").about("Check a policy file and put it in force").arg(file("Policy (TOML)")), &[Common, Embedded, Kafka])),
        )
        .subcommand(with(
            Command::new("posture")
                .about("Say how far the enforcer may act: audit, canary PERCENT, or enforce")
                .arg(Arg::new("posture").required(true).num_args(1..=2).value_name("POSTURE")),
            &[Common, Embedded, Kafka],
        ))
        .subcommand(
            Command::new("keys").about("Keys of a deployment").subcommand_required(true).subcommand(
                Command::new("make")
                    .about("Make the keys that are missing in a directory")
                    .arg(Arg::new("directory").value_name("DIR").required(true).value_parser(value_parser!(PathBuf))),
            ),
        )
        .subcommand(simulate::Simulate::augment_args(Command::new("simulate")))
        .subcommand(Command::new("config").about("Print the reference of all configuration keys"))
}

fn with_keys(mut command: Command, groups: &[Group]) -> Command {
    for key in KEYS.iter().filter(|key| groups.contains(&key.group)) {
        // `replay` lays history out itself.
        if command.get_name() == "replay" && key.name == "partitions" {
            continue;
        }
        let mut arg = Arg::new(key.name).long(key.flag()).value_name(key.kind).help(key.doc);
        if !key.default.is_empty() {
            arg = arg.help(format!("{} [default: {}]", key.doc, key.default));
        }
        arg = match (key.name, key.kind) {
            ("tail", _) => arg.visible_alias("path"),
            ("output_dir", _) => arg.visible_alias("output"),
            (_, "true or false") => arg.num_args(0..=1).default_missing_value("true"),
            _ => arg,
        };
        command = command.arg(arg);
    }
    command
}

/// Does what the command line says.
pub fn dispatch(matches: &ArgMatches) -> Result<ExitCode> {
    let (name, sub) = matches.subcommand().unwrap_or(("", matches));
    match name {
        "config" => {
            print!("{}", crate::settings::reference());
            Ok(ExitCode::SUCCESS)
        }
        "keys" => match sub.subcommand() {
            Some(("make", make)) => roles::keys::make(path(make, "directory")?),
            _ => bail!("keys needs a subcommand"),
        },
        "topology" => match sub.subcommand() {
            Some(("diagram", _)) => roles::topology::diagram(),
            Some((verb, inner)) => roles::topology::run(verb, &context(inner)?),
            None => bail!("topology needs a subcommand"),
        },
        "policy" => match sub.subcommand() {
            Some(("show", inner)) => roles::control::show_policy(&context(inner)?),
            Some(("publish", inner)) => {
                roles::control::publish_policy(&context(inner)?, path(inner, "file")?)
            }
            _ => bail!("policy needs a subcommand"),
        },
        "posture" => {
            let words: Vec<&str> =
                sub.get_many::<String>("posture").into_iter().flatten().map(String::as_str).collect();
            roles::control::set_posture(&context(sub)?, &words.join(" "))
        }
        "run" => roles::run::run(&context(sub)?, sub.get_flag("until_idle")),
        "collect" => roles::collect::run(&context(sub)?, sub.get_flag("until_idle")),
        "process" => roles::process::run(&context(sub)?, sub.get_flag("until_idle")),
        "enforce" => roles::enforce::run(&context(sub)?, sub.get_flag("until_idle")),
        "import" => roles::import::run(&context(sub)?, path(sub, "file")?),
        "replay" => {
            let number = |name: &str| sub.get_one::<u32>(name).copied().unwrap_or(1);
            let how = match (sub.get_flag("as_recorded"), sub.get_flag("lockstep")) {
                (true, false) => roles::replay::How::AsRecorded,
                (false, true) => roles::replay::How::Lockstep {
                    partitions: number("replay_partitions"),
                    workers: number("workers"),
                },
                _ => bail!("say --as-recorded or --lockstep"),
            };
            let json = sub.get_one::<String>("format").is_some_and(|format| format == "json");
            roles::replay::run(&context(sub)?, how, json)
        }
        "simulate" => simulate::run(&simulate::Simulate::from_arg_matches(sub)?),
        "verify" => proofs::verify(sub),
        "coverage" => proofs::coverage(sub),
        "dlq" => proofs::dlq(sub),
        other => bail!("there is no command {other}"),
    }
}

fn path<'m>(matches: &'m ArgMatches, name: &str) -> Result<&'m PathBuf> {
    matches.get_one::<PathBuf>(name).ok_or_else(|| anyhow::anyhow!("{name} is missing"))
}

fn context(matches: &ArgMatches) -> Result<Context> {
    let flags: Vec<(&'static str, String)> = KEYS
        .iter()
        .filter_map(|key| {
            let given = matches.try_get_one::<String>(key.name).ok().flatten()?;
            Some((key.name, given.clone()))
        })
        .collect();
    let config = matches.get_one::<PathBuf>("config");
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = Settings::load(config.map(PathBuf::as_path), env, &flags)?;
    let chose_directory = flags.iter().any(|(name, _)| *name == "data_dir");
    Context::new(settings, chose_directory)
}

//! `weir dlq`.

use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use std::process::ExitCode;
use weir_replay::letters::{Filter, LetterId, Requeue};
use weir_schemas::DlqKind;
use weir_topology::topic::StageName;

takes!(Keys: Common, Embedded, Kafka);

/// Stages that write dead letters.
const STAGES: [StageName; StageName::ALL.len()] = StageName::ALL;

/// What could not be judged, why, and the way back
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List dead letters, the newest last
    List(List),
    /// Show one letter
    Show(Show),
    /// Send the record of a letter back where it came from, untouched and once
    Requeue(Back),
}

#[derive(clap::Args)]
struct List {
    /// Only letters of this kind
    #[arg(long, value_name = "KIND", ignore_case = true, value_parser = kinds())]
    kind: Option<String>,
    /// Only letters of this stage
    #[arg(long, value_name = "STAGE", value_parser = STAGES.map(StageName::as_str))]
    stage: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Show {
    /// PARTITION/OFFSET of weir.dlq
    id: LetterId,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct Back {
    #[command(flatten)]
    which: Which,
    /// Send it to this topic instead of where it came from
    #[arg(long, value_name = "TOPIC")]
    to_topic: Option<String>,
    /// Also what was sent back before
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// PARTITION/OFFSET of weir.dlq
    id: Option<LetterId>,
    /// All letters of this kind
    #[arg(long, value_name = "KIND", ignore_case = true, value_parser = kinds())]
    kind: Option<String>,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(DlqKind::ALL.iter().map(|kind| kind.as_str()))
}

fn kind_named(name: Option<&str>) -> Option<DlqKind> {
    DlqKind::ALL
        .iter()
        .copied()
        .find(|kind| name.is_some_and(|name| kind.as_str().eq_ignore_ascii_case(name)))
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::List(list) => {
                let kind = kind_named(list.kind.as_deref());
                let filter = Filter { kind, stage: list.stage.as_deref().and_then(StageName::named) };
                roles::dlq::show_list(&config.context(&list.keys)?, &filter, list.limit as usize)
            }
            Verb::Show(show) => roles::dlq::show(&config.context(&show.keys)?, show.id),
            Verb::Requeue(back) => {
                let mut how = Requeue { to: None, again: back.again };
                if let Some(topic) = &back.to_topic {
                    how = how.to_topic(topic)?;
                }
                let context = config.context(&back.keys)?;
                match back.which.id {
                    Some(id) => roles::dlq::requeue(&context, id, how),
                    None => {
                        let filter = Filter { kind: kind_named(back.which.kind.as_deref()), stage: None };
                        roles::dlq::requeue_kind(&context, &filter, how)
                    }
                }
            }
        }
    }
}

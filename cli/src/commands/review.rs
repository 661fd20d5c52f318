//! `weir review`.

use super::{ConfigFile, Format, Run};
use crate::roles;
use crate::roles::kill_switch::PersonFlags;
use crate::roles::review::Wanted;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;
use weir_enforcer::review::{Decision, Says};
use weir_schemas::{ActionId, VerdictId};

takes!(Keys: Common, Embedded, Layout, Kafka);

/// Accounts that a person is to look at, and what analysts say of them
///
/// An account of tier HIGH or CRITICAL is to be decided within 24 hours, any other within 72. Whoever has the
/// role analyst (`weir kill-switch persons publish`) signs with their own key.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the accounts that wait, those that are overdue first; exits with 1 where one is
    List {
        /// Those that are decided, too
        #[arg(long)]
        all: bool,
        /// Only those that this person looks at
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
        #[command(flatten)]
        show: ShowFlags,
    },
    /// Print one account of the queue, with its notes
    Show {
        #[command(flatten)]
        item: ItemFlag,
        #[command(flatten)]
        show: ShowFlags,
    },
    /// Say who looks at it
    Assign {
        #[command(flatten)]
        item: ItemFlag,
        /// An analyst, or `nobody`
        #[arg(value_name = "NAME")]
        to: String,
        #[command(flatten)]
        said: SaidFlags,
    },
    /// Note something about it
    Note {
        #[command(flatten)]
        item: ItemFlag,
        /// What, on one line, without raw ids; it is written down for good
        #[arg(value_name = "TEXT")]
        text: String,
        #[command(flatten)]
        said: SaidFlags,
    },
    /// Decide; what is in force on an account that is refuted is undone
    Decide {
        #[command(flatten)]
        item: ItemFlag,
        /// confirmed (it distils: found again at HIGH it is suspended), refuted (it does not) or unclear
        #[arg(value_name = "DECISION")]
        decision: Decision,
        /// Why, on one line, without raw ids; it is written down for good
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The latest verdict of the item that was looked at, by its id: what came later is not decided on
        /// [default: the latest that the queue has]
        #[arg(long, value_name = "VERDICT")]
        seen: Option<VerdictId>,
        #[command(flatten)]
        said: SaidFlags,
    },
    /// Write what was decided, a line an account, for `weir evaluate --labels` and `weir tune --labels`
    Labels {
        /// The file, instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
}

#[derive(clap::Args)]
struct ItemFlag {
    /// The item, as `weir review list` prints it: the id of the action that opened it, as in
    /// analyst_queue.jsonl
    #[arg(value_name = "ITEM")]
    item: ActionId,
}

#[derive(clap::Args)]
struct SaidFlags {
    #[command(flatten)]
    person: PersonFlags,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

#[derive(clap::Args)]
struct ShowFlags {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    keys: KeyFlags<Keys>,
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        use roles::review::{list, show as show_item, tell, write_labels};
        let say_seen = |item: ItemFlag, seen, says, text: &str, said: &SaidFlags| {
            tell(&config.context(&said.keys)?, (item.item, seen), says, text, &said.person)
        };
        let say = |item, says, text: &str, said: &SaidFlags| say_seen(item, None, says, text, said);
        match self.verb {
            Verb::List { all, of, show } => {
                list(&config.context(&show.keys)?, &Wanted { all, of }, show.format == Format::Json)
            }
            Verb::Show { item, show } => {
                show_item(&config.context(&show.keys)?, item.item, show.format == Format::Json)
            }
            Verb::Assign { item, to, said } => {
                let to = Some(to).filter(|name| name != "nobody");
                say(item, Says::Assign(to), "", &said)
            }
            Verb::Note { item, text, said } => say(item, Says::Note, &text, &said),
            Verb::Decide { item, decision, reason, seen, said } => {
                say_seen(item, seen, Says::Decide(decision), &reason, &said)
            }
            Verb::Labels { out, keys } => write_labels(&config.context(&keys)?, out.as_deref()),
        }
    }
}

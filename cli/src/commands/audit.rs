//! `weir audit`.

use super::verify::proof;
use super::{ConfigFile, Run};
use crate::roles;
use crate::settings::flags::{KeyFlags, takes};
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;
use weir_enforcer::chain::ChainHead;

takes!(Keys: Common, Embedded, Kafka);

/// The audit trail: is it whole, and as it was written?
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Verify every audit chain with the auditor's public keys
    ///
    /// Names every entry that was flipped, deleted, reordered, repeated, spliced in or cut off. Exits with 0 when
    /// all is sound, with 1 when something is wrong, with 2 when it cannot be told.
    Verify {
        /// Verify this audit_log.jsonl instead of the log; several in their order
        #[arg(long = "file", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Head that a chain is known to have reached, as an earlier verification printed it
        #[arg(long, value_name = "HEAD", value_parser = roles::audit::parse_head)]
        head: Option<(String, ChainHead)>,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        let Verb::Verify { files, head, keys } = self.verb;
        let run = || roles::audit::verify(&config.context(&keys)?, &files, head);
        Ok(proof(run()))
    }
}

//! `weir audit`.

use super::signing::SignFlags;
use super::verify::proof;
use super::{ConfigFile, Run};
use crate::roles;
use crate::roles::audit_proof::{export, export_of, prove};
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
    /// Names every entry that was flipped, deleted, reordered, repeated, spliced in or cut off. Exits with 0
    /// when all is sound, with 1 when something is wrong, with 2 when it cannot be told.
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
    /// Prove that records are in the chain, for whoever has no Weir
    ///
    /// deploy/verify/weir-verify.sh verifies the proof with openssl, jq and sha256sum.
    Prove {
        /// A record as WRITER:SEQUENCE, such as enforcer/0:17; or the id of an action, for all records of it
        #[arg(value_name = "RECORD|ACTION")]
        of: String,
        /// Write the proof here
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        signing: SignFlags,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
    /// Export every chain as a transparency log: tiles of hashes, bundles of entries, a signed checkpoint; or
    /// the records of one tenant, each with its proof
    Export {
        /// Directory of the logs; an earlier export there must be the beginning of this one
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Write the records of this tenant and nothing of any other: a file of proofs for each chain, which
        /// deploy/verify/weir-verify.sh verifies
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        #[command(flatten)]
        signing: SignFlags,
        #[command(flatten)]
        keys: KeyFlags<Keys>,
    },
}

impl Run for Arguments {
    fn run(self, config: &ConfigFile) -> Result<ExitCode> {
        match self.verb {
            Verb::Verify { files, head, keys } => {
                let run = || roles::audit::verify(&config.context(&keys)?, &files, head);
                Ok(proof(run()))
            }
            Verb::Prove { of, out, signing, keys } => {
                prove(&config.context(&keys)?, &of, out.as_deref(), signing.directory())
            }
            Verb::Export { directory, tenant, signing, keys } => {
                let context = config.context(&keys)?;
                match tenant {
                    None => export(&context, &directory, signing.directory()),
                    Some(tenant) => export_of(&context, &directory, &tenant, signing.directory()),
                }
            }
        }
    }
}

//! `weir evidence-pack`: what was done in a time, with a signed certificate for every effect and the way from
//! each audit record to a signed root.

use crate::context::Context;
use crate::keys::read_sign;
use crate::roles::audit_proof::{Chains, proofs_of, public_keys, sign_store};
use crate::roles::policy::in_force_before;
use crate::roles::records::each;
use crate::times::ms_of;
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use weir_enforcer::evidence::{Courses, Pack, Source, certifies, zip};
use weir_schemas::{Action, Audit, AuditEntry, Verdict};
use weir_topology::topic::Topic;

/// What is asked for.
#[derive(clap::Args)]
pub struct Asked {
    /// First moment, RFC 3339 or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub from: i64,
    /// The moment after the last
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub to: i64,
    /// Name of this deployment in the certificates
    #[arg(long, value_name = "NAME", default_value = "weir")]
    pub site: String,
}

/// Milliseconds since the Unix epoch, of RFC 3339 or of such a number.
pub fn time_of(text: &str) -> Result<i64, String> {
    text.parse().or_else(|_| ms_of(text))
}

/// Makes the pack.
pub fn make(context: &Context, asked: &Asked, out: &Path, sign_keys: Option<&Path>) -> Result<ExitCode> {
    let secret = read_sign(&sign_store(context, sign_keys)?)?;
    let keys = public_keys(context)?;
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let log = log.as_ref();
    let mut courses = Courses::of(asked.from, asked.to);
    each(log, &wire, Topic::Actions, |action: Action| courses.action(action))?;
    each(log, &wire, Topic::Verdicts, |verdict: Verdict| courses.verdict(verdict))?;
    each(log, &wire, Topic::Audit, |entry: AuditEntry| {
        if let Ok(audit) = wire.read::<Audit>(&entry.record) {
            courses.audit(&entry, &audit);
        }
    })?;
    let (accounts_judged, carried_out) = (courses.accounts_judged(), courses.carried_out());
    let courses = courses.finish();
    // Of what was published, only what came in force.
    let in_force = in_force_before(context, log, &wire, asked.to)?;
    let policy = &in_force.text;
    let source = Source {
        site: &asked.site,
        from_ms: asked.from,
        to_ms: asked.to,
        policy,
        accounts_judged,
        carried_out,
    };
    let mut pack = Pack::of(&source, &courses, &secret)?;
    let certified: BTreeSet<_> = courses.iter().map(|course| course.decided.action_id).collect();
    let is_meant = |_: &AuditEntry, audit: Option<&Audit>| {
        audit.and_then(certifies).is_some_and(|action| certified.contains(&action))
    };
    for (writer, proof) in proofs_of(log, &wire, &keys, &secret, Chains::Asked, is_meant)? {
        pack.add_json(&format!("audit/{}.json", writer.replace('/', "-")), &proof)?;
    }
    let files = pack.signed(&secret)?;
    let archive = zip::archive(&files).context("the pack cannot be made: ask for a shorter time")?;
    fs::write(out, archive).with_context(|| format!("cannot write {}", out.display()))?;
    print_line!("{} effects, {} files: {}", courses.len(), files.len(), out.display());
    Ok(ExitCode::SUCCESS)
}

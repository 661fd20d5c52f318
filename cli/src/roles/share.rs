//! `weir share`: campaigns for others.

use crate::context::Context;
use crate::keys::read_sign;
use crate::roles::audit_proof::sign_store;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use weir_enforcer::evidence::certificate::enveloped;
use weir_enforcer::share::{Shared, Tlp, lines, stix};
use weir_replay::campaigns::{Campaigns, Known};
use weir_schemas::CampaignId;
use weir_traffic::drill::is_drill;

/// What is shared, and how.
#[derive(clap::Args)]
pub struct Asked {
    /// Only this campaign, by its id [default: every open one without accounts of drills]
    #[arg(long, value_name = "ID")]
    pub campaign: Option<CampaignId>,
    /// How far it may go: white, green, amber or red
    #[arg(long, value_name = "COLOUR", default_value = "amber")]
    pub tlp: Tlp,
    /// Who shares it, as others are to see it
    #[arg(long, value_name = "NAME")]
    pub producer: String,
}

/// Whether accounts of a drill are among a campaign's members: what they share is nobody's.
fn is_of_drill(known: &Known) -> bool {
    known.members.values().any(|member| is_drill(&member.tenant))
}

/// Writes `stix.json`, the same signed as `stix.dsse.jsonl`, `bundles.jsonl` and `takedown.csv` into a
/// directory.
pub fn write(context: &Context, asked: &Asked, out: &Path, sign_keys: Option<&Path>) -> Result<ExitCode> {
    let secret = read_sign(&sign_store(context, sign_keys)?)?;
    let (log, wire) = (context.existing_log()?, context.wire()?);
    let campaigns = Campaigns::read(log.as_ref(), &wire)?;
    let meant: Vec<&Known> = match asked.campaign {
        Some(id) => {
            let known = campaigns.get(id).with_context(|| format!("no campaign is {id}"))?;
            ensure!(!is_of_drill(known), "accounts of a drill are members of {id}: it is not for others");
            vec![known]
        }
        None => {
            let (of_drills, meant): (Vec<_>, Vec<_>) = campaigns.open().partition(|known| is_of_drill(known));
            if !of_drills.is_empty() {
                let count = of_drills.len();
                note!(
                    "weir: {count} open campaigns are left out: accounts of drills are among their members"
                );
            }
            meant
        }
    };
    if meant.is_empty() {
        bail!("no campaign is open: there is nothing to share");
    }
    let shared: Vec<Shared<'_>> = meant
        .iter()
        .map(|known| Shared { campaign: &known.standing, members: known.members.values().collect() })
        .collect();
    let bundle = stix::bundle(&shared, &asked.producer, asked.tlp);
    let stix_line =
        serde_json::to_vec(&enveloped(stix::PAYLOAD_TYPE, &serde_json::to_vec(&bundle)?, &secret))?;
    let files = [
        ("stix.json", [serde_json::to_string_pretty(&bundle)?.into_bytes(), b"\n".to_vec()].concat()),
        ("stix.dsse.jsonl", [stix_line, b"\n".to_vec()].concat()),
        ("bundles.jsonl", lines::signed(&shared, &asked.producer, asked.tlp, &secret)?),
        ("takedown.csv", lines::takedown(&shared).into_bytes()),
    ];
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for (name, content) in files {
        let path = out.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print_line!(
        "{} campaigns, TLP:{}: {}",
        shared.len(),
        asked.tlp.as_str().to_ascii_uppercase(),
        out.display()
    );
    Ok(ExitCode::SUCCESS)
}

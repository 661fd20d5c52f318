//! Notices in every format, for parsers of others to read: `cargo xtask test` asks them.
//!
//! Standard input has a JSON object a line, whose texts become those of a verdict, of an action and of a
//! campaign. Standard output has a JSON object for each notice of it: its head as Weir knows it, and its line
//! in every format.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::{BufRead as _, Write as _};
use weir_enforcer::siem::format::{Format, syslog};
use weir_enforcer::siem::notice::{Notice, of_action, of_campaign, of_verdict};
use weir_schemas::{
    AccountId, Action, ActionId, ActionKind, ActionState, Campaign, CampaignEvidence, CampaignId,
    CampaignMember, Evidence, Posture, Signal, Tier, Verdict, VerdictId,
};

/// 2026-11-01T00:00:00Z.
const START_MS: i64 = 1_793_491_200_000;

#[derive(Deserialize)]
struct Texts {
    number: u32,
    tenant: String,
    detector: String,
    evidence: String,
    reason: String,
    policy_version: String,
}

fn notices(texts: &Texts) -> Vec<Notice> {
    let account = AccountId(u128::from(texts.number).to_be_bytes());
    let verdict_id = VerdictId(u128::from(texts.number).to_be_bytes());
    let verdict = Verdict {
        verdict_id,
        time_ms: START_MS + i64::from(texts.number),
        tenant: texts.tenant.clone(),
        account,
        sequence: i64::from(texts.number % 3),
        probability: f64::from(texts.number % 1_000) / 1e3,
        tier: Tier::ALL[texts.number as usize % Tier::ALL.len()],
        policy_version: texts.policy_version.clone(),
        signals: vec![Signal {
            detector: texts.detector.clone(),
            family: texts.detector.clone(),
            millinats: 1,
            millinats_max: 2,
            evidence: vec![Evidence { name: texts.detector.clone(), value: texts.evidence.clone() }],
        }],
        ..Verdict::default()
    };
    let action = Action {
        action_id: ActionId(u128::from(texts.number).to_be_bytes()),
        time_ms: START_MS,
        taken_ms: START_MS + i64::from(texts.number),
        tenant: texts.tenant.clone(),
        account,
        verdict_id,
        kind: ActionKind::ALL[texts.number as usize % ActionKind::ALL.len()],
        ring: 2,
        state: ActionState::ALL[texts.number as usize % ActionState::ALL.len()],
        posture: Posture::Enforce,
        reason: texts.reason.clone(),
        policy_version: texts.policy_version.clone(),
        ..Action::default()
    };
    let member = CampaignMember { account, tenant: texts.tenant.clone(), ..CampaignMember::default() };
    let campaign = Campaign {
        campaign_id: CampaignId(u128::from(texts.number).to_be_bytes()),
        sequence: i64::from(texts.number),
        time_ms: START_MS + i64::from(texts.number),
        tier: Tier::High,
        since_ms: START_MS,
        until_ms: START_MS + 1,
        member_count: 1,
        members: vec![member],
        evidence: vec![CampaignEvidence { family: texts.detector.clone(), members: 1, millinats: 1 }],
        policy_version: texts.policy_version.clone(),
        ..Campaign::default()
    };
    [of_verdict(&verdict), of_action(&action)].into_iter().chain(of_campaign(&campaign)).collect()
}

fn told(notice: &Notice) -> Value {
    let mut lines = Map::new();
    let mut messages = Map::new();
    for format in Format::ALL {
        let (mut line, mut message) = (Vec::new(), Vec::new());
        format.write(notice, &mut line);
        syslog::write(notice, "node-1", &line, &mut message);
        lines.insert(format.as_str().into(), json!(String::from_utf8_lossy(&line)));
        messages.insert(format.as_str().into(), json!(String::from_utf8_lossy(&message)));
    }
    json!({
        "id": notice.id,
        "kind": notice.kind.as_str(),
        "class": notice.class,
        "time_ms": notice.time_ms,
        "severity_of_ten": notice.severity.of_ten(),
        "syslog_severity": notice.severity.syslog(),
        "message": notice.message,
        "tenant": notice.tenant,
        "account": notice.account,
        "policy_version": notice.policy_version,
        "csv_header": Format::Csv.header(),
        "lines": lines,
        "syslog": messages,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let texts: Texts = serde_json::from_str(&line?)?;
        for notice in notices(&texts) {
            writeln!(out, "{}", told(&notice))?;
        }
    }
    Ok(out.flush()?)
}

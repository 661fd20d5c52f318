//! ArcSight's Common Event Format: `CEF:0|vendor|product|version|class|name|severity|key=value …`.
//!
//! In the header `\` and `|` are escaped, in values `\` and `=`, and line ends are spelled `\n` and `\r`; a
//! tab is a blank. Other control characters are left out. A key without a value is left out too.

use super::fields::{findings, is_blank, members, number};
use crate::siem::notice::{Kind, Notice, PRODUCT, VENDOR, VERSION};
use crate::siem::text::{cleaned, one_line};

fn header_escaped(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn escaped(value: &str) -> String {
    let value = cleaned(value).replace('\\', "\\\\").replace('=', "\\=");
    value.replace('\r', "\\r").replace('\n', "\\n").replace('\t', " ")
}

pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    let (kind, severity) = (notice.kind, notice.severity.of_ten());
    let name = header_escaped(kind.title());
    let class = header_escaped(&notice.class);
    let head = format!("CEF:0|{VENDOR}|{PRODUCT}|{VERSION}|{class}|{name}|{severity}|");
    let mut pairs: Vec<(&str, String)> = vec![
        ("rt", notice.time_ms.to_string()),
        ("externalId", notice.id.clone()),
        ("cat", kind.as_str().to_owned()),
    ];
    let mut add = |key, value: Option<&str>| pairs.extend(value.map(|value| (key, value.to_owned())));
    add("act", notice.action.as_ref().map(|(action, _)| &**action));
    add("outcome", notice.action.as_ref().map(|(_, state)| &**state));
    add("suid", notice.account.as_deref());
    let last = match kind {
        Kind::Campaign => ("members", members(notice)),
        Kind::Verdict | Kind::Action => ("findings", findings(notice)),
    };
    let texts = [
        ("cs1", "cs1Label", "tenant", notice.tenant.clone()),
        ("cs2", "cs2Label", "verdictId", notice.verdict_id.clone()),
        ("cs3", "cs3Label", "campaignId", notice.campaign_id.clone()),
        ("cs4", "cs4Label", "actionId", notice.action_id.clone()),
        ("cs5", "cs5Label", "policyVersion", Some(notice.policy_version.clone())),
        ("cs6", "cs6Label", last.0, Some(last.1)),
        ("cfp1", "cfp1Label", "probability", notice.probability.map(|value| format!("{value:.6}"))),
        ("cn1", "cn1Label", "memberCount", number(notice, "member_count").map(|n| n.to_string())),
        ("cn2", "cn2Label", "ring", number(notice, "ring").map(|n| n.to_string())),
    ];
    for (key, label_key, label, value) in texts {
        if let Some(value) = value.filter(|value| !is_blank(value)) {
            pairs.push((key, value));
            pairs.push((label_key, label.to_owned()));
        }
    }
    // Last: some readers take what follows for a part of it.
    pairs.push(("msg", notice.message.clone()));
    let pairs: Vec<String> = pairs
        .into_iter()
        .filter(|(_, value)| !is_blank(value))
        .map(|(key, value)| format!("{key}={}", escaped(&value)))
        .collect();
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(pairs.join(" ").as_bytes());
}

//! QRadar's Log Event Extended Format 2.0: `LEEF:2.0|vendor|product|version|class|x09|key=value<TAB>…`.
//!
//! The format has no escapes: a line end or a tab in a value becomes a blank, and a bar in the header too.

use super::fields::{findings, is_blank, members, number};
use crate::siem::notice::{Notice, PRODUCT, VENDOR, VERSION};
use crate::siem::text::{one_line, rfc3339};

/// The form of `devTime`, in Java's words, as QRadar wants it told.
const TIME_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSZ";

pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    let class = one_line(&notice.class).replace('|', " ");
    let head = format!("LEEF:2.0|{VENDOR}|{PRODUCT}|{VERSION}|{class}|x09|");
    let time = rfc3339(notice.time_ms).replace('Z', "+0000");
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let of_action = |pick: fn(&(String, String)) -> &String| notice.action.as_ref().map(pick).cloned();
    let pairs = [
        ("devTime", time),
        ("devTimeFormat", TIME_FORMAT.to_owned()),
        ("cat", notice.kind.as_str().to_owned()),
        ("sev", notice.severity.of_ten().to_string()),
        ("usrName", text(&notice.account)),
        ("externalId", notice.id.clone()),
        ("tenant", text(&notice.tenant)),
        ("verdictId", text(&notice.verdict_id)),
        ("campaignId", text(&notice.campaign_id)),
        ("actionId", text(&notice.action_id)),
        ("action", of_action(|(action, _)| action).unwrap_or_default()),
        ("outcome", of_action(|(_, state)| state).unwrap_or_default()),
        ("ring", number(notice, "ring").map(|n| n.to_string()).unwrap_or_default()),
        ("probability", notice.probability.map(|value| format!("{value:.6}")).unwrap_or_default()),
        ("memberCount", number(notice, "member_count").map(|n| n.to_string()).unwrap_or_default()),
        ("members", members(notice)),
        ("findings", findings(notice)),
        ("policyVersion", notice.policy_version.clone()),
        ("msg", notice.message.clone()),
    ];
    let pairs: Vec<String> = pairs
        .into_iter()
        .filter(|(_, value)| !is_blank(value))
        .map(|(key, value)| format!("{key}={}", one_line(&value)))
        .collect();
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(pairs.join("\t").as_bytes());
}

//! Open Cybersecurity Schema Framework 1.1.0: every notice is a Detection Finding (class 2004).

use crate::siem::notice::{Kind, Notice, PRODUCT, Phase, VENDOR, VERSION};
use serde_json::{Map, Value, json};

const CLASS: u32 = 2004;
const CATEGORY: u32 = 2;

/// OCSF's activity, and the finding's status: new, in progress, resolved.
fn activity(phase: Phase) -> (u32, &'static str, u32, &'static str) {
    match phase {
        Phase::New => (1, "Create", 1, "New"),
        Phase::Update => (2, "Update", 2, "In Progress"),
        Phase::Close => (3, "Close", 4, "Resolved"),
    }
}

/// What the finding is of, under an id that all notices of the same subject bear.
fn finding_uid(notice: &Notice) -> &str {
    let subject = match notice.kind {
        Kind::Verdict => &notice.verdict_id,
        Kind::Campaign => &notice.campaign_id,
        Kind::Action => &notice.action_id,
    };
    subject.as_deref().unwrap_or(&notice.id)
}

pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    let (activity_id, activity_name, status_id, status) = activity(notice.phase);
    let mut finding = Map::from_iter([
        ("uid".into(), json!(finding_uid(notice))),
        ("title".into(), json!(notice.kind.title())),
        ("desc".into(), json!(notice.message)),
        ("types".into(), json!([notice.class])),
        ("product_uid".into(), json!(PRODUCT)),
        (
            "analytic".into(),
            json!({
                "uid": notice.policy_version, "name": "policy", "version": notice.policy_version, "type_id": 1, "type": "Rule",
            }),
        ),
    ]);
    if let Some((first_ms, last_ms)) = notice.seen_ms {
        finding.insert("first_seen_time".into(), json!(first_ms));
        finding.insert("last_seen_time".into(), json!(last_ms));
    }
    let mut event = Map::from_iter([
        ("activity_id".into(), json!(activity_id)),
        ("activity_name".into(), json!(activity_name)),
        ("category_uid".into(), json!(CATEGORY)),
        ("category_name".into(), json!("Findings")),
        ("class_uid".into(), json!(CLASS)),
        ("class_name".into(), json!("Detection Finding")),
        ("type_uid".into(), json!(CLASS * 100 + activity_id)),
        ("type_name".into(), json!(format!("Detection Finding: {activity_name}"))),
        ("time".into(), json!(notice.time_ms)),
        ("severity_id".into(), json!(notice.severity.ocsf())),
        ("severity".into(), json!(capitalized(notice.severity.as_str()))),
        ("status_id".into(), json!(status_id)),
        ("status".into(), json!(status)),
        ("message".into(), json!(notice.message)),
        ("finding_info".into(), Value::Object(finding)),
        (
            "metadata".into(),
            json!({
                "version": "1.1.0",
                "uid": notice.id,
                "event_code": notice.class,
                "product": { "name": PRODUCT, "vendor_name": VENDOR, "version": VERSION },
            }),
        ),
        ("unmapped".into(), Value::Object(unmapped(notice))),
    ]);
    if let Some(account) = &notice.account {
        let resource = json!({ "uid": account, "type": "account", "namespace": notice.tenant });
        event.insert("resources".into(), json!([resource]));
    }
    if let Some(probability) = notice.probability {
        event.insert("confidence_score".into(), json!((probability * 100.0).round() as i64));
    }
    super::write_json(&Value::Object(event), out);
}

/// What the class has no attribute for.
fn unmapped(notice: &Notice) -> Map<String, Value> {
    let mut unmapped = notice.details.clone();
    let ids = [
        ("verdict_id", &notice.verdict_id),
        ("campaign_id", &notice.campaign_id),
        ("action_id", &notice.action_id),
        ("tenant", &notice.tenant),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            unmapped.insert(name.into(), json!(id));
        }
    }
    if let Some((action, state)) = &notice.action {
        unmapped.insert("action".into(), json!(action));
        unmapped.insert("state".into(), json!(state));
    }
    unmapped
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

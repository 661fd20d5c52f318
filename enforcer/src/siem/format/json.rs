//! One JSON object: head and details side by side.

use crate::siem::notice::Notice;
use crate::siem::text::rfc3339;
use serde_json::{Map, Value, json};

/// The notice as an object.
pub(super) fn object(notice: &Notice) -> Map<String, Value> {
    let mut object = notice.details.clone();
    let mut set = |name: &str, value: Value| {
        object.insert(name.to_owned(), value);
    };
    set("event_id", json!(notice.id));
    set("event_kind", json!(notice.kind.as_str()));
    set("event_class", json!(notice.class));
    set("time", json!(rfc3339(notice.time_ms)));
    set("time_ms", json!(notice.time_ms));
    set("severity", json!(notice.severity.as_str()));
    set("severity_of_ten", json!(notice.severity.of_ten()));
    set("message", json!(notice.message));
    set("policy_version", json!(notice.policy_version));
    let ids = [
        ("tenant", &notice.tenant),
        ("account", &notice.account),
        ("verdict_id", &notice.verdict_id),
        ("campaign_id", &notice.campaign_id),
        ("action_id", &notice.action_id),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            set(name, json!(id));
        }
    }
    if let Some((action, state)) = &notice.action {
        set("action", json!(action));
        set("state", json!(state));
    }
    object
}

pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    super::write_json(&Value::Object(object(notice)), out);
}

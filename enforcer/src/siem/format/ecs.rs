//! Elastic Common Schema 8.11: the common fields, and everything under `weir`.

use super::json::object;
use crate::siem::notice::{Kind, Notice, PRODUCT, VENDOR, VERSION};
use crate::siem::text::rfc3339;
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document(notice: &Notice) -> Value {
    let mut event = json!({
        "id": notice.id,
        "kind": "alert",
        // What happens to an account is a matter of its access, what is found of it of detection.
        "category": [if notice.kind == Kind::Action { "iam" } else { "intrusion_detection" }],
        "type": [if notice.kind == Kind::Action { "change" } else { "info" }],
        "code": notice.class,
        "action": notice.class.replace('.', "-"),
        "severity": notice.severity.of_ten(),
        "module": "weir",
        "dataset": format!("weir.{}", notice.kind.as_str()),
        "provider": PRODUCT,
    });
    if let Some(probability) = notice.probability {
        event["risk_score"] = json!(probability * 100.0);
    }
    if let Some((first_ms, last_ms)) = notice.seen_ms {
        event["start"] = json!(rfc3339(first_ms));
        event["end"] = json!(rfc3339(last_ms));
    }
    let mut document = Map::from_iter([
        ("@timestamp".into(), json!(rfc3339(notice.time_ms))),
        ("ecs".into(), json!({ "version": "8.11.0" })),
        ("message".into(), json!(notice.message)),
        ("event".into(), event),
        ("log".into(), json!({ "level": notice.severity.as_str() })),
        ("observer".into(), json!({ "vendor": VENDOR, "product": PRODUCT, "version": VERSION })),
        ("rule".into(), json!({ "name": notice.kind.title(), "version": notice.policy_version })),
        ("weir".into(), Value::Object(object(notice))),
    ]);
    if let Some(account) = &notice.account {
        document.insert("user".into(), json!({ "id": account }));
    }
    if let Some(tenant) = &notice.tenant {
        document.insert("organization".into(), json!({ "id": tenant }));
    }
    Value::Object(document)
}

pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    super::write_json(&document(notice), out);
}

//! What the formats of keys and values (CEF, LEEF) have in common: a notice as short texts under names.

use crate::siem::notice::Notice;
use crate::siem::text::one_line;

/// Accounts that a campaign's notice names, separated by blanks; empty for others.
pub(super) fn members(notice: &Notice) -> String {
    let members = notice.details.get("members").and_then(|members| members.as_array());
    let accounts = members.into_iter().flatten().filter_map(|member| member["account"].as_str());
    accounts.collect::<Vec<_>>().join(" ")
}

/// What was found, separated by blanks.
pub(super) fn findings(notice: &Notice) -> String {
    notice.findings.join(" ")
}

/// Whether nothing is left of a value: then it has no key either.
pub(super) fn is_blank(value: &str) -> bool {
    one_line(value).trim().is_empty()
}

/// The number of this name in the details.
pub(super) fn number(notice: &Notice, name: &str) -> Option<i64> {
    notice.details.get(name)?.as_i64()
}

//! CSV by RFC 4180, every cell quoted, one line a notice, and safe to open in a spreadsheet: a cell that a
//! spreadsheet would take for a formula gets an apostrophe in front.

use crate::siem::notice::Notice;
use crate::siem::text::{one_line, rfc3339};
use serde_json::Value;
use std::borrow::Cow;

/// The first line of a file.
pub(super) const HEADER: &str = "\"timestamp\",\"level\",\"source\",\"message\",\"event_id\",\"tenant\",\"account\",\
     \"verdict_id\",\"campaign_id\",\"action_id\",\"metadata\"\r";

/// What a spreadsheet takes for the beginning of a formula, in its plain and in its full-width form.
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// The cell as a spreadsheet shows it as text. Leading blanks do not hide a formula from one.
fn without_formula(cell: &str) -> Cow<'_, str> {
    let starts_formula = cell.trim_start().starts_with(FORMULA_STARTS);
    if starts_formula { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

fn write_cell(cell: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(without_formula(&one_line(cell)).replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// Appends the cells, and the carriage return that goes before the line's end.
pub(super) fn write(notice: &Notice, out: &mut Vec<u8>) {
    let or_empty = |id: &Option<String>| id.clone().unwrap_or_default();
    let mut metadata = Vec::new();
    super::write_json(&Value::Object(notice.details.clone()), &mut metadata);
    let cells = [
        rfc3339(notice.time_ms),
        notice.severity.as_str().to_owned(),
        notice.class.clone(),
        notice.message.clone(),
        notice.id.clone(),
        or_empty(&notice.tenant),
        or_empty(&notice.account),
        or_empty(&notice.verdict_id),
        or_empty(&notice.campaign_id),
        or_empty(&notice.action_id),
        String::from_utf8_lossy(&metadata).into_owned(),
    ];
    for (number, cell) in cells.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_cell(cell, out);
    }
    out.push(b'\r');
}

#[cfg(test)]
mod tests {
    use super::without_formula;

    #[test]
    fn what_a_spreadsheet_would_compute_is_text() {
        for formula in ["=cmd()", "  =1+1", "+1", "-1", "@SUM(A1)", "＝1", "\u{3000}=1"] {
            assert_eq!(without_formula(formula), format!("'{formula}"));
        }
        for text in ["", "a=b", "1", "'=1", "{\"a\":1}"] {
            assert_eq!(without_formula(text), text);
        }
    }
}

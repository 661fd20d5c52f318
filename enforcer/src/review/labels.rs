//! Decisions as labels, a line an account: what is true of it, for whoever measures a policy.

use super::decision::Decision;
use super::item::Item;
use super::spelled::text;
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;
use weir_schemas::AccountId;

/// What analysts found of one account: a line of a file of labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The account, by its pseudonym.
    #[serde(with = "text")]
    pub account: AccountId,
    /// `confirmed` or `refuted`, as it was decided last.
    pub decision: Decision,
    /// Who decided.
    pub by: String,
    /// When, in milliseconds since the Unix epoch.
    pub decided_ms: i64,
}

/// Why a file of labels cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelError {
    /// A line is none.
    #[error("line {line} is no label as `weir review labels` writes it: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are too many.
    #[error("there are more than {LABELS_MAX} labels")]
    TooMany,
}

/// The labels of these items, in the order of accounts: what was decided last of each, unless that is
/// unclear.
pub fn of<'i>(items: impl Iterator<Item = &'i Item>) -> Vec<Label> {
    let decided = items.filter_map(|item| {
        let decided = item.decided.as_ref()?;
        let (decision, by, decided_ms) = (decided.decision, decided.by.clone(), decided.at_ms);
        Some(Label { account: item.account, decision, by, decided_ms })
    });
    latest(decided).into_values().filter(|label| label.decision != Decision::Unclear).collect()
}

/// Reads a file of labels: whether each account distils, as was decided last.
///
/// # Errors
/// When a line is no label, or there are too many.
pub fn read(text: &str) -> Result<BTreeMap<AccountId, bool>, LabelError> {
    let mut labels = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let refused = |reason: String| LabelError::Line { line: number + 1, reason };
        if line.len() > LABEL_BYTES_MAX {
            return Err(refused(format!("it has more than {LABEL_BYTES_MAX} bytes")));
        }
        labels.push(serde_json::from_str::<Label>(line).map_err(|error| refused(error.to_string()))?);
        if labels.len() > LABELS_MAX {
            return Err(LabelError::TooMany);
        }
    }
    let told = latest(labels.into_iter()).into_iter().filter_map(|(account, label)| match label.decision {
        Decision::Confirmed => Some((account, true)),
        Decision::Refuted => Some((account, false)),
        Decision::Unclear => None,
    });
    Ok(told.collect())
}

fn latest(labels: impl Iterator<Item = Label>) -> BTreeMap<AccountId, Label> {
    let mut latest: BTreeMap<AccountId, Label> = BTreeMap::new();
    for label in labels {
        let is_later = latest.get(&label.account).is_none_or(|known| known.decided_ms <= label.decided_ms);
        if is_later {
            latest.insert(label.account, label);
        }
    }
    latest
}

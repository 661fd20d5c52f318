//! The signed word of an analyst about one account of the queue, and its bytes that are signed.

use super::decision::Decision;
use super::refused::Refused;
use super::spelled::{text, text_if_any};
use crate::chain::framed;
use crate::kill_switch::Refused as Unbelieved;
use crate::kill_switch::words::{
    Person, PersonKey, fits_a_line, is_good_for_its_time, is_word_id, parse, sha256, verify, word_id,
};
use crate::limits::{NAME_BYTES_MAX, REASON_BYTES_MAX, REQUEST_LASTS_MS};
use serde::{Deserialize, Serialize};
use weir_schemas::{ActionId, VerdictId};

/// What the names of these words' control records begin with; the item and the word's id follow.
pub const REVIEW_PREFIX: &str = "review/";

/// What a word's id begins with.
const WORD_ID: &str = "rv-";

/// What a word says of its item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// This person looks at it; none: nobody in particular.
    Assign(Option<String>),
    /// Something to remember: the word's text.
    Note,
    /// This is so, for the reason that is the word's text.
    Decide(Decision),
}

impl Says {
    /// Name and value, as they are signed.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Assign(to) => ("assign", to.as_deref().unwrap_or_default()),
            Self::Note => ("note", ""),
            Self::Decide(decision) => ("decide", decision.as_str()),
        }
    }
}

/// A word about one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// `rv-`, the second in which it was said, and 8 hex digits: said again, it counts once.
    pub word_id: String,
    /// The item: the id of the action that opened it.
    #[serde(with = "text")]
    pub item: ActionId,
    /// What.
    pub says: Says,
    /// With a decision: the latest verdict of the item when it was decided, so that it decides of nothing
    /// that came later.
    #[serde(with = "text_if_any")]
    pub seen: Option<VerdictId>,
    /// Why, or the note, in the analyst's words; no raw ids. Empty where a word needs none.
    pub text: String,
    /// Who.
    pub by: String,
    /// When it was said, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Until when it is good: ten minutes later.
    pub expires_ms: i64,
    /// The analyst's signature, as hex digits.
    pub signature: String,
}

impl Word {
    /// A word about this item, signed by who says it; with a decision, the item's latest verdict that was
    /// seen. `id` makes it unlike any other of the same second.
    #[allow(clippy::too_many_arguments)] // Each is a field of what is signed.
    pub fn signed(
        (item, seen): (ActionId, Option<VerdictId>),
        says: Says,
        text: &str,
        by: &str,
        created_ms: i64,
        id: [u8; 4],
        key: &PersonKey,
        root: &[u8; 32],
    ) -> Self {
        let mut word = Self {
            word_id: word_id(WORD_ID, created_ms, id),
            item,
            says,
            seen,
            text: text.to_owned(),
            by: by.to_owned(),
            created_ms,
            expires_ms: created_ms.saturating_add(REQUEST_LASTS_MS),
            signature: String::new(),
        };
        word.signature = key.sign(&word.message(root));
        word
    }

    /// Reads a word and checks its form; who signed it, is not known yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(body: &str) -> Result<Self, Refused> {
        let word: Self = parse(body)?;
        let malformed = |what: &str| Err(Refused::Person(Unbelieved::Malformed(what.to_owned())));
        if !is_word_id(&word.word_id, WORD_ID, word.created_ms) {
            return malformed("the word's id is not rv-, the second in which it was said, and 8 hex digits");
        }
        if matches!(word.says, Says::Decide(_)) != word.seen.is_some() {
            return malformed("a decision, and nothing else, names the latest verdict that was seen");
        }
        let needs_text = !matches!(word.says, Says::Assign(_));
        if (needs_text && word.text.trim().is_empty()) || !fits_a_line(&word.text) {
            return malformed(&format!("a note or a reason has 1 to {REASON_BYTES_MAX} bytes on one line"));
        }
        if let Says::Assign(Some(to)) = &word.says
            && (to.is_empty() || to.len() > NAME_BYTES_MAX)
        {
            return malformed("it is assigned to no name");
        }
        if !is_good_for_its_time(word.created_ms, word.expires_ms) {
            return malformed("a word is good for ten minutes, no less and no more");
        }
        Ok(word)
    }

    /// Whether what is in force on the account is to be undone.
    pub fn undoes(&self) -> bool {
        self.says == Says::Decide(Decision::Refuted)
    }

    /// Name of its control record.
    pub fn record_name(&self) -> String {
        format!("{REVIEW_PREFIX}{}/{}", self.item, self.word_id)
    }

    pub(super) fn check_signature(&self, person: &Person, root: &[u8; 32]) -> Result<(), Refused> {
        Ok(verify(&person.public_key, &self.message(root), &self.signature, &person.name)?)
    }

    fn message(&self, root: &[u8; 32]) -> Vec<u8> {
        let (says, value) = self.says.parts();
        framed(&[
            b"weir.review.word",
            root,
            self.word_id.as_bytes(),
            &self.item.0,
            says.as_bytes(),
            value.as_bytes(),
            self.seen.as_ref().map_or(&[], |seen| &seen.0[..]),
            sha256(self.text.as_bytes()).as_bytes(),
            self.by.as_bytes(),
            &self.created_ms.to_be_bytes(),
            &self.expires_ms.to_be_bytes(),
        ])
    }
}

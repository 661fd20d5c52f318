//! What a word of an analyst is refused for. Each text begins with the name of the refusal.

use super::decision::Decision;
use crate::kill_switch;
use crate::limits::{REVIEW_NOTES_MAX, REVIEW_WORDS_MAX};
use thiserror::Error;
use weir_schemas::{ActionId, VerdictId};

/// Why a word is refused. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Whoever said it is not believed, or it cannot be read: as the kill switch says it.
    #[error(transparent)]
    Person(#[from] kill_switch::Refused),
    /// It came after its time.
    #[error("expired: word {word_id} was good until {expires_ms}, and this came at {heard_ms}")]
    Expired {
        /// The word.
        word_id: String,
        /// Until when it was good.
        expires_ms: i64,
        /// When the log took it.
        heard_ms: i64,
    },
    /// It was said in the future.
    #[error("from the future: word {word_id} was said at {created_ms}, and this came at {heard_ms}")]
    FromTheFuture {
        /// The word.
        word_id: String,
        /// When it says that it was said.
        created_ms: i64,
        /// When the log took it.
        heard_ms: i64,
    },
    /// It was said before.
    #[error("replayed: word {word_id} was said before")]
    Replayed {
        /// The word.
        word_id: String,
    },
    /// Somebody has decided the same.
    #[error("decided already: {decision}, by {by}")]
    DecidedAlready {
        /// What was decided.
        decision: Decision,
        /// By whom.
        by: String,
    },
    /// The account was found again since, and is asked about by another item.
    #[error("asked anew: item {item} of the same account is newer, decide on that")]
    AskedAnew {
        /// The item that waits.
        item: ActionId,
    },
    /// Something was found since whoever decides looked at it.
    #[error("not seen: verdict {latest} came since, look at the item again")]
    NotSeen {
        /// The item's latest verdict.
        latest: VerdictId,
    },
    /// What is decided needs nobody to look at it.
    #[error("decided already: nobody needs to look at it")]
    NothingToAssign,
    /// It has no room for another note.
    #[error("too many: it has {REVIEW_NOTES_MAX} notes")]
    TooManyNotes,
    /// Too much was said of it in too short a time.
    #[error("too many: {REVIEW_WORDS_MAX} words about it within little more than an hour")]
    TooManyWords,
}

impl Refused {
    /// Whether only the enforcer that has the item refuses it: the others cannot tell.
    pub fn is_of_item(&self) -> bool {
        !matches!(self, Self::Person(_))
    }
}

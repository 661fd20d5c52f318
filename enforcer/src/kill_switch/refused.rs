//! What a word to the kill switch is refused for. Each text begins with the name of the refusal.

use super::kind::{PersonRole, RequestKind};
use crate::limits::{GLASS_REST_MS, REQUESTS_OPEN_EACH_MAX, REQUESTS_OPEN_MAX, REQUESTS_SETTLED_EACH_MAX};
use thiserror::Error;

/// Why a word is refused. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The enforcer was given no root key.
    #[error("no root: this enforcer was given no sign.pub, so it can believe nobody")]
    NoRoot,
    /// Nobody has said who the persons are.
    #[error("no persons: publish who they are first (`weir kill-switch persons publish`)")]
    NoPersons,
    /// Another list of persons is in force already.
    #[error("rolled back: version {found} of the persons is not after version {in_force}, which is in force")]
    RolledBack {
        /// The version that was published.
        found: u64,
        /// The version in force.
        in_force: u64,
    },
    /// It was not signed by whom it names, or is not what was signed.
    #[error("forged: this is not what {by} signed")]
    Forged {
        /// Whom it names.
        by: String,
    },
    /// It approves of something else than what was asked for.
    #[error("forged: it approves of another payload than that of request {request_id}")]
    OtherPayload {
        /// The request that it names.
        request_id: String,
    },
    /// It came after the request's time.
    #[error("expired: request {request_id} was good until {expires_ms}, and this came at {heard_ms}")]
    Expired {
        /// The request.
        request_id: String,
        /// Until when it was good.
        expires_ms: i64,
        /// When the log took the word.
        heard_ms: i64,
    },
    /// It was made in the future.
    #[error("from the future: request {request_id} was made at {created_ms}, and this came at {heard_ms}")]
    FromTheFuture {
        /// The request.
        request_id: String,
        /// When it says that it was made.
        created_ms: i64,
        /// When the log took the word.
        heard_ms: i64,
    },
    /// It was said before.
    #[error("replayed: {what}")]
    Replayed {
        /// What was said before.
        what: String,
    },
    /// Nobody asked for it.
    #[error("unknown request: {request_id} is not open")]
    UnknownRequest {
        /// The request that it names.
        request_id: String,
    },
    /// Nobody knows who said it.
    #[error("unknown person: {name} is not among the persons")]
    UnknownPerson {
        /// The name.
        name: String,
    },
    /// Who said it has not the role.
    #[error("wrong role: {name} does not have the role {role}")]
    NotTheirs {
        /// Who.
        name: String,
        /// The role.
        role: PersonRole,
    },
    /// Who asks has no role towards the kill switch.
    #[error("wrong role: {name} is only an analyst, who may not ask the kill switch for anything")]
    OnlyAnalyst {
        /// Who.
        name: String,
    },
    /// The role is not asked.
    #[error("wrong role: {kind} needs no approval of the role {role}")]
    NotAsked {
        /// What was asked for.
        kind: RequestKind,
        /// The role.
        role: PersonRole,
    },
    /// Who asked approves.
    #[error("self-approved: {name} asked for it, and another person must approve")]
    SelfApproved {
        /// Who.
        name: String,
    },
    /// One person stands for two roles.
    #[error("one person: {name} has approved as {role} already, and each role must be another person")]
    OnePerson {
        /// Who.
        name: String,
        /// The role as which they approved.
        role: PersonRole,
    },
    /// The same person breaks the glass again.
    #[error("too soon: {name} broke the glass less than {} h ago, and another person must", GLASS_REST_MS / 3_600_000)]
    TooSoon {
        /// Who.
        name: String,
    },
    /// Too much is asked for at once.
    #[error("too many: {REQUESTS_OPEN_MAX} requests are open")]
    TooMany,
    /// One person asks for too much at once.
    #[error("too many: {REQUESTS_OPEN_EACH_MAX} requests of {name} are open")]
    TooManyOfOne {
        /// Who.
        name: String,
    },
    /// One person has done too much in too short a time.
    #[error(
        "too many: {REQUESTS_SETTLED_EACH_MAX} requests of {name} were carried out within little more than an hour"
    )]
    TooManySettled {
        /// Who.
        name: String,
    },
}

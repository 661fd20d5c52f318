//! What a gateway is told when it asks about an account: how it stands, read from `weir.standing` and kept in
//! memory, so that it is answered when the log is away.
//!
//! [`standings`] is the table, [`decision`] what it means now, [`bucket`] how a limited account is slowed
//! down. [`holds`] are accounts that are slowed down for a moment on an early word, [`answers`] tells those
//! what the log says of it, and [`reins`] is what keeps anybody from being held.

pub mod answers;
pub mod bucket;
pub mod decision;
pub mod holds;
pub mod reins;
pub mod standings;

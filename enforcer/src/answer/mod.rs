//! What a gateway is told when it asks about an account: how it stands, read from `weir.standing` and kept in
//! memory, so that it is answered when the log is away.
//!
//! [`standings`] is the table, [`decision`] what it means now, [`bucket`] how a limited account is slowed
//! down.

pub mod bucket;
pub mod decision;
pub mod standings;

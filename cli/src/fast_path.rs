//! The rims of the early word ([`weir_fastpath`]): who sends it and who listens.
//!
//! [`sender`] is told of verdicts before their commit, [`tripwires`] of what requests met, and datagrams go
//! out of one [`outlet`]; [`listener`] hears them beside the
//! decision server and has accounts held, each written to the [`journal`] before it is; [`rests`] is
//! who was held on a tripwire, for servers that start anew; [`lost`] counts what it was too busy for;
//! [`keys_file`] is by what both know each other. A stage knows nothing of any of it.

mod journal;
pub mod keys_file;
mod limits;
pub mod listener;
mod lost;
pub mod outlet;
mod rests;
pub mod sender;
pub mod tripwires;

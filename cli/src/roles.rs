//! One file a role or operator's task.

pub mod act;
pub mod audit;
pub mod audit_proof;
pub mod bundle;
pub mod collect;
pub mod control;
pub mod coverage;
pub mod decide;
pub mod dlq;
pub mod drill;
pub mod enforce;
pub mod evidence;
pub mod explain;
pub mod export;
pub mod fleet;
pub mod import;
mod in_force;
pub mod inbox;
pub mod key_server;
pub mod keys;
pub mod kill_switch;
pub mod policy;
pub mod process;
#[cfg(feature = "query")]
pub mod query;
pub mod records;
pub mod registry;
pub mod replay;
pub mod reveal;
pub mod review;
pub mod run;
pub mod safeguards;
pub mod share;
pub mod slo;
pub mod topology;
pub mod verify;

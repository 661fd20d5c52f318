//! One file a role or operator's task.

pub mod audit;
pub mod collect;
pub mod control;
pub mod coverage;
pub mod dlq;
pub mod enforce;
pub mod explain;
pub mod fleet;
pub mod import;
pub mod keys;
pub mod process;
pub mod registry;
pub mod replay;
pub mod run;
pub mod topology;
pub mod verify;

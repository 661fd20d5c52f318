//! One file a role or operator's task.

pub mod act;
pub mod audit;
pub mod collect;
pub mod control;
pub mod coverage;
pub mod decide;
pub mod dlq;
pub mod enforce;
pub mod explain;
pub mod export;
pub mod fleet;
pub mod import;
pub mod inbox;
pub mod key_server;
pub mod keys;
pub mod kill_switch;
pub mod policy;
pub mod process;
pub mod registry;
pub mod replay;
pub mod run;
pub mod safeguards;
pub mod topology;
pub mod verify;

//! Weir's judgement: what an account does, what a shared value tells, and what follows.
//!
//! Everything here is a pure function over records: no clock, no random number, no file, no thread. Time is
//! the event's time. Read in this order: [`policy`] (what is configured), [`nats`] (how evidence is counted),
//! [`windows`], [`pauses`], [`behaviour`] and [`profile`] (what every account is counted by), [`card`],
//! [`theme`] and [`words`] (how accounts that share a value are held against each other), [`detector`] (the
//! one trait, and the registry), [`detectors`] (one file each), [`fusion`] (evidence becomes a score, a tier
//! and a word spoken), [`calibration`] (and a probability), [`account`], [`cluster`] and [`campaign`] (the
//! three stages), [`store`] (their bounded state).

#[macro_use]
pub mod persist;
#[macro_use]
pub mod section;

pub mod account;
pub mod asks;
pub mod behaviour;
pub mod calibration;
pub mod campaign;
pub mod card;
pub mod cluster;
pub mod detector;
pub mod detectors;
pub mod fusion;
mod in_force;
pub mod limits;
pub mod measure;
pub mod nats;
pub mod openings;
pub mod pauses;
pub mod policy;
pub mod profile;
mod refuse;
pub mod store;
pub mod theme;
mod version;
pub mod windows;
pub mod words;

pub use in_force::{InForce, POLICY_NAME, Refused};
pub use version::{JUDGE_VERSION, JudgeHook};

#[cfg(test)]
mod fixture;

//! A pipeline of both stages in lockstep, and the language in which scenarios are told to it.

pub mod pipeline;
pub mod scenario;

//! How far each ring of actions may reach: whether it is on, how long its effects last, who undoes them.

use crate::decide::Proposal;
use crate::limits::LASTS_RANGE_MS;
use std::fmt;
use weir_schemas::Revert;

/// What the names of the control records begin with that set rings; the ring's number follows.
pub const RING_PREFIX: &str = "act.ring/";

/// The rings: 1 shows an account to people, 2 slows it down, 3 suspends it, 4 and 5 reach beyond it.
pub const RINGS: [u8; 5] = [1, 2, 3, 4, 5];

/// What an operator says of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ring {
    /// It does what its actions say of themselves.
    #[default]
    On,
    /// None of its actions is carried out.
    Off,
    /// Its effects last this long, in milliseconds, and are undone by this one.
    Lasting(i64, Revert),
}

impl Ring {
    /// Reads `on`, `off`, or how long effects last, in milliseconds, and who undoes them: `600000 auto`. The
    /// error says what is allowed, for the operator.
    pub fn parse(body: &str) -> Result<Self, String> {
        let (least, greatest) = LASTS_RANGE_MS;
        let refused =
            || format!("a ring must be on, off, or a number from {least} to {greatest} and auto or manual");
        let words: Vec<&str> = body.split_ascii_whitespace().collect();
        let (lasts_ms, revert) = match words.as_slice() {
            ["on"] => return Ok(Self::On),
            ["off"] => return Ok(Self::Off),
            [lasts_ms, "auto"] => (lasts_ms, Revert::Auto),
            [lasts_ms, "manual"] => (lasts_ms, Revert::Manual),
            _ => return Err(refused()),
        };
        let lasts_ms = lasts_ms.parse().ok().filter(|lasts_ms| (least..=greatest).contains(lasts_ms));
        Ok(Self::Lasting(lasts_ms.ok_or_else(refused)?, revert))
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Off => f.write_str("off"),
            Self::Lasting(lasts_ms, Revert::Auto) => write!(f, "{lasts_ms} auto"),
            Self::Lasting(lasts_ms, Revert::Manual) => write!(f, "{lasts_ms} manual"),
        }
    }
}

/// What is said of every ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rings([Ring; RINGS.len()]);

impl Rings {
    /// The ring that the name of a control record speaks of; none where it is no ring's.
    pub fn of_record(name: &str) -> Option<Result<u8, String>> {
        let number = name.strip_prefix(RING_PREFIX)?;
        let ring = RINGS.into_iter().find(|ring| ring.to_string() == number);
        Some(ring.ok_or_else(|| "rings are numbered 1 to 5".to_owned()))
    }

    /// Name of the control record that sets a ring.
    pub fn record_of(ring: u8) -> String {
        format!("{RING_PREFIX}{ring}")
    }

    /// What is said of a ring.
    pub fn get(&self, ring: i32) -> Ring {
        place(ring).map_or(Ring::On, |place| self.0[place])
    }

    /// Says something else of a ring.
    pub fn set(&mut self, ring: u8, said: Ring) {
        if let Some(place) = place(i32::from(ring)) {
            self.0[place] = said;
        }
    }

    /// The proposal as its ring has it. What has no effect that lasts, has none in any ring.
    pub fn apply(&self, proposal: Proposal) -> Proposal {
        match self.get(proposal.ring) {
            // What may be asked for again before it ends, may so however long it lasts.
            Ring::Lasting(lasts_ms, revert) => match proposal.lasts_ms {
                Some(own_ms) => Proposal {
                    lasts_ms: Some(lasts_ms),
                    holds_ms: lasts_ms * proposal.holds_ms / own_ms.max(1),
                    revert,
                    ..proposal
                },
                None => proposal,
            },
            Ring::On | Ring::Off => proposal,
        }
    }
}

fn place(ring: i32) -> Option<usize> {
    RINGS.iter().position(|known| i32::from(*known) == ring)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::propose;
    use weir_schemas::{Tier, Verdict};

    #[test]
    fn what_is_said_of_a_ring_reads_as_it_is_written() {
        for text in ["on", "off", "15000 auto", "600000 manual"] {
            assert_eq!(Ring::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_and_says_what_is_allowed() {
        for text in
            ["", "On", "15000", "auto", "999 auto", "-1 auto", "1e9 auto", "99999999999 auto", "on off"]
        {
            let refused = "a ring must be on, off, or a number from 1000 to 2592000000 and auto or manual";
            assert_eq!(Ring::parse(text), Err(refused.into()), "{text}");
        }
    }

    #[test]
    fn only_effects_that_last_are_lengthened() {
        let mut rings = Rings::default();
        (1..=3).for_each(|ring| rings.set(ring, Ring::Lasting(5_000, Revert::Auto)));
        let of_tier = |tier| propose(&Verdict { tier, ..Verdict::default() }, false);
        let high: Vec<_> = of_tier(Tier::High).into_iter().map(|proposal| rings.apply(proposal)).collect();
        let shown: Vec<_> = high.iter().map(|p| (p.lasts_ms, p.holds_ms, p.revert)).collect();
        assert_eq!(shown, [(None, 86_400_000, Revert::Auto), (Some(5_000), 2_083, Revert::Auto)]);
        let critical = rings.apply(of_tier(Tier::Critical)[0]);
        let shown = (critical.lasts_ms, critical.holds_ms, critical.revert);
        assert_eq!(shown, (Some(5_000), 5_000, Revert::Auto));
    }

    #[test]
    fn the_name_of_a_record_says_the_ring() {
        assert_eq!(Rings::of_record("act.ring/3"), Some(Ok(3)));
        assert_eq!(Rings::of_record("act.ring/6"), Some(Err("rings are numbered 1 to 5".into())));
        assert_eq!(Rings::of_record("act.age_max_ms"), None);
    }
}

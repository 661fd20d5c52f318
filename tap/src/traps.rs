//! What a probe costs the process that runs into it, by how it is placed.

use crate::placement::Placement;

/// What a probe makes a call pay for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trap {
    /// A trap at an instruction that the kernel emulates.
    Emulated,
    /// One at an instruction that is executed apart, which is two.
    Apart,
    /// One when the function returns, besides that at its entry.
    Return,
}

impl Trap {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Emulated, Self::Apart, Self::Return];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emulated => "emulated",
            Self::Apart => "apart",
            Self::Return => "return",
        }
    }
}

/// What each costs on this machine, measured on this process itself, in nanoseconds a call, with a program
/// that looks up one thing: the least of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrapCosts {
    /// See [`Trap::Emulated`].
    pub emulated_ns: u64,
    /// See [`Trap::Apart`].
    pub apart_ns: u64,
    /// See [`Trap::Return`].
    pub return_ns: u64,
}

impl TrapCosts {
    /// What one costs.
    pub fn of(&self, trap: Trap) -> u64 {
        match trap {
            Trap::Emulated => self.emulated_ns,
            Trap::Apart => self.apart_ns,
            Trap::Return => self.return_ns,
        }
    }

    /// What a probe at a function's entry or behind costs a call of it.
    pub fn at(&self, placement: &Placement) -> u64 {
        match placement {
            Placement::Entry(_) => self.apart_ns,
            Placement::Emulated { .. } | Placement::Callee { .. } => self.emulated_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::EntryCause;

    #[test]
    fn a_placement_costs_what_its_instruction_does() {
        let costs = TrapCosts { emulated_ns: 400, apart_ns: 4_000, return_ns: 700 };
        assert_eq!(Trap::ALL.map(|trap| costs.of(trap)), [400, 4_000, 700]);
        let all = [
            Placement::Entry(EntryCause::Return),
            Placement::Emulated { behind_entry: 4, offset: 4 },
            Placement::Callee { offset: 4 },
        ];
        assert_eq!(all.map(|placement| costs.at(&placement)), [4_000, 400, 400]);
    }
}

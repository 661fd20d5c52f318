//! What this machine's processor has that matters to where probes are placed.

use std::fs;
use std::sync::OnceLock;

/// What the kernel calls shadow stacks (Intel CET, and AMD's) that processes can have. A kernel that gives
/// them none does not name them.
const SHADOW_STACKS: &str = "user_shstk";

/// Whether no process can have a shadow stack here, now or later. Where that cannot be read, one can. It is
/// read once: it does not change while the machine runs.
pub(crate) fn has_no_shadow_stacks() -> bool {
    static HAS_NONE: OnceLock<bool> = OnceLock::new();
    *HAS_NONE.get_or_init(|| fs::read_to_string("/proc/cpuinfo").is_ok_and(|cpuinfo| names_none(&cpuinfo)))
}

/// Whether there are flags, and those of no processor name them.
fn names_none(cpuinfo: &str) -> bool {
    let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let mut flags = lines.filter(|(key, _)| key.trim_end() == "flags").map(|(_, flags)| flags).peekable();
    flags.peek().is_some() && flags.all(|flags| flags.split_whitespace().all(|flag| flag != SHADOW_STACKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_shadow_stacks_only_where_the_flags_of_every_processor_say_so() {
        let without = "processor\t: 0\nflags\t\t: fpu vme ibt\nvmx flags\t: user_shstk\n\n";
        let with = "processor\t: 1\nflags\t\t: fpu vme user_shstk ibt\n\n";
        assert!(names_none(without));
        assert!(!names_none(with));
        assert!(!names_none(&format!("{without}{with}")) && !names_none(&format!("{with}{without}")));
        // Without flags nothing is known.
        assert!(!names_none(""));
        assert!(!names_none("processor\t: 0\nFeatures\t: fp asimd\n"));
        assert!(!names_none("vmx flags\t: vnmi\n"));
    }
}

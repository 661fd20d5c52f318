//! What the machine must have to be traced on, and what to do where it lacks it.

use std::fs;
use std::path::Path;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// Whether it is as it must be.
    pub is_good: bool,
    /// Whether nothing can be traced without.
    pub is_needed: bool,
    /// What was found.
    pub found: String,
    /// What to do; empty where it is good.
    pub remedy: String,
}

/// Oldest kernel: the first with a ring buffer (5.8).
const KERNEL_MIN: (u32, u32) = (5, 8);

/// First kernel that lets nobody attach probes to programs without `CAP_SYS_ADMIN` (CVE-2025-38466). Earlier ones may have been mended
/// likewise, which only shows when it is tried.
const ADMINS_PROBES: (u32, u32) = (6, 16);

/// Capabilities by their bits.
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// Looks at everything.
pub fn findings() -> Vec<Finding> {
    vec![kernel(), built_in(), capabilities(), reach(), uprobes(), tracefs(), btf(), lockdown()]
}

fn finding(what: &'static str, is_good: bool, is_needed: bool, found: String, remedy: &str) -> Finding {
    let remedy = if is_good { String::new() } else { remedy.to_owned() };
    Finding { what, is_good, is_needed, found, remedy }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn kernel() -> Finding {
    let release = text("/proc/sys/kernel/osrelease");
    let is_good = version(&release).is_some_and(|version| version >= KERNEL_MIN);
    finding("kernel", is_good, true, release, "Linux 5.8 or newer is needed, for its ring buffer")
}

/// The version of this kernel.
pub(crate) fn kernel_version() -> Option<(u32, u32)> {
    version(&text("/proc/sys/kernel/osrelease"))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn built_in() -> Finding {
    let is_good = crate::is_built_in();
    let found = if is_good { "in this binary" } else { "not in this binary" }.to_owned();
    let remedy = "run `cargo xtask build-ebpf`, then build with `--features ebpf`";
    finding("eBPF object", is_good, true, found, remedy)
}

fn capabilities() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = effective(&status).unwrap_or(0);
    let missing = missing(effective, kernel_version());
    let found = match missing.is_empty() {
        true => "those that tracing takes".to_owned(),
        false => format!("without {}", missing.join(", ")),
    };
    let remedy = "run as root, or give the binary them: setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep, and cap_sys_admin where the \
                  kernel attaches nothing without";
    finding("capabilities", missing.is_empty(), true, found, remedy)
}

/// Which files of other users' processes can be opened.
fn reach() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = out_of_reach(effective(&status).unwrap_or(0));
    let found = match missing.is_empty() {
        true => "libraries in containers, and those that were replaced".to_owned(),
        false => format!("without {}", missing.join(", ")),
    };
    let remedy = "run as root, or give the binary it too: CAP_DAC_READ_SEARCH opens libraries that only others may read, \
                  CAP_CHECKPOINT_RESTORE those that were replaced on disk under a running process";
    finding("reach", missing.is_empty(), false, found, remedy)
}

/// The capabilities that open files of others and are not there; CAP_SYS_ADMIN has the second in it.
fn out_of_reach(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let mut missing = Vec::new();
    if !has(CAP_DAC_READ_SEARCH) {
        missing.push("CAP_DAC_READ_SEARCH");
    }
    if !has(CAP_CHECKPOINT_RESTORE) && !has(CAP_SYS_ADMIN) {
        missing.push("CAP_CHECKPOINT_RESTORE");
    }
    missing
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// The capabilities that are needed and not there; CAP_SYS_ADMIN has the first two in it, and newer kernels ask for it itself.
fn missing(effective: u64, kernel: Option<(u32, u32)>) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let mut missing = Vec::new();
    if !has(CAP_BPF) && !has(CAP_SYS_ADMIN) {
        missing.push("CAP_BPF");
    }
    if !has(CAP_PERFMON) && !has(CAP_SYS_ADMIN) {
        missing.push("CAP_PERFMON");
    }
    if !has(CAP_SYS_PTRACE) {
        missing.push("CAP_SYS_PTRACE");
    }
    if !has(CAP_SYS_ADMIN) && kernel.is_some_and(|kernel| kernel >= ADMINS_PROBES) {
        missing.push("CAP_SYS_ADMIN");
    }
    missing
}

fn uprobes() -> Finding {
    let kind = text("/sys/bus/event_source/devices/uprobe/type");
    let is_good = !kind.is_empty();
    let found = if is_good { "there" } else { "not in this kernel" }.to_owned();
    finding("uprobes", is_good, true, found, "a kernel with CONFIG_UPROBE_EVENTS is needed")
}

/// Whether accepted connections can be followed, for the addresses of clients.
pub(crate) fn has_tracefs() -> bool {
    ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .iter()
        .any(|path| Path::new(path).join("events/syscalls/sys_enter_accept4/id").exists())
}

fn tracefs() -> Finding {
    let is_good = has_tracefs();
    let found = if is_good { "mounted" } else { "not mounted, or without system calls" }.to_owned();
    let remedy = "mount -t tracefs tracefs /sys/kernel/tracing; without it the addresses and the TLS fingerprints of \
                  clients are not known";
    finding("tracefs", is_good, false, found, remedy)
}

fn btf() -> Finding {
    let is_good = Path::new("/sys/kernel/btf/vmlinux").exists();
    let found = if is_good { "there" } else { "not there" }.to_owned();
    finding("BTF", is_good, false, found, "nothing that is traced today needs it")
}

fn lockdown() -> Finding {
    let mode = text("/sys/kernel/security/lockdown");
    let is_good = !mode.contains("[confidentiality]");
    let found = if mode.is_empty() { "none".to_owned() } else { mode };
    finding(
        "lockdown",
        is_good,
        true,
        found,
        "boot without lockdown=confidentiality: it forbids reading memory by eBPF",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.8.0"), Some((5, 8)));
        assert_eq!(version("Darwin"), None);
    }

    #[test]
    fn missing_capabilities_are_named() {
        let of = |bits: &[u32]| missing(bits.iter().fold(0, |set, bit| set | 1 << bit), Some((6, 15)));
        assert_eq!(of(&[]), ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"]);
        assert_eq!(of(&[CAP_SYS_ADMIN]), ["CAP_SYS_PTRACE"]);
        assert!(of(&[CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]).is_empty());
        let without_admin = 1 << CAP_BPF | 1 << CAP_PERFMON | 1 << CAP_SYS_PTRACE;
        assert_eq!(missing(without_admin, Some(ADMINS_PROBES)), ["CAP_SYS_ADMIN"]);
        assert!(missing(without_admin | 1 << CAP_SYS_ADMIN, Some(ADMINS_PROBES)).is_empty());
        assert_eq!(out_of_reach(0), ["CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE"]);
        assert_eq!(out_of_reach(1 << CAP_DAC_READ_SEARCH | 1 << CAP_SYS_ADMIN), [""; 0]);
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(0x1ff_ffff_ffff));
    }

    #[test]
    fn what_is_good_needs_no_remedy() {
        for finding in findings() {
            assert_eq!(finding.is_good, finding.remedy.is_empty(), "{}", finding.what);
        }
    }
}

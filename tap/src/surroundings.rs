//! What the machine must have to be traced on, and what to do where it lacks it.

use crate::error::TapError;
use crate::trial::Trial;
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

/// Capabilities by their bits.
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// Looks at everything. What came of [trying](crate::try_attaching) to attach a probe is given.
pub fn findings(tried: &Result<Trial, TapError>) -> Vec<Finding> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = effective(&status).unwrap_or(0);
    vec![
        kernel(),
        built_in(),
        capabilities(effective, tried.as_ref().ok()),
        attaching(effective, tried),
        reach(effective),
        uprobes(),
        tracefs(),
        btf(),
        lockdown(),
    ]
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

fn capabilities(effective: u64, tried: Option<&Trial>) -> Finding {
    let missing = missing(effective, tried);
    let found = match missing.is_empty() {
        true => "those that tracing takes".to_owned(),
        false => format!("without {}", missing.join(", ")),
    };
    let remedy = "run as root, or give the binary them: setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep, and cap_sys_admin where the \
                  kernel attaches nothing without";
    finding("capabilities", missing.is_empty(), true, found, remedy)
}

/// What came of trying to attach a probe; that it was not even tried says what else is missing.
fn attaching(effective: u64, tried: &Result<Trial, TapError>) -> Finding {
    let name = "attaching";
    let elsewhere = "see what is missing above: it could not be tried";
    match tried {
        Ok(Trial::Attached) => finding(name, true, true, "a probe was attached to this process".into(), ""),
        Ok(Trial::Forbidden(reason)) if effective >> CAP_SYS_ADMIN & 1 == 0 => {
            let found = format!("forbidden without CAP_SYS_ADMIN: {reason}");
            let remedy =
                "run as root, or with CAP_SYS_ADMIN besides: since CVE-2025-38466 kernels ask for it";
            finding(name, false, true, found, remedy)
        }
        Ok(Trial::Forbidden(reason)) => {
            let found = format!("forbidden to everybody: {reason}");
            let remedy = "a filter of system calls (seccomp) or a security module forbids perf_event_open: let it through";
            finding(name, false, true, found, remedy)
        }
        Ok(Trial::Failed(reason)) => {
            let remedy = "no capability mends it: this kernel, or what it runs in, has no probes of programs";
            finding(name, false, true, reason.clone(), remedy)
        }
        Err(error) => finding(name, false, false, format!("not tried: {error}"), elsewhere),
    }
}

/// Which files of other users' processes can be opened.
fn reach(effective: u64) -> Finding {
    let missing = out_of_reach(effective);
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

/// The capabilities that are needed and not there; CAP_SYS_ADMIN has the first two in it, and kernels that
/// forbade attaching without it ask for it itself.
fn missing(effective: u64, tried: Option<&Trial>) -> Vec<&'static str> {
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
    if !has(CAP_SYS_ADMIN) && matches!(tried, Some(Trial::Forbidden(_))) {
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
    use expect_test::expect;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.8.0"), Some((5, 8)));
        assert_eq!(version("Darwin"), None);
    }

    #[test]
    fn missing_capabilities_are_named() {
        let of = |bits: &[u32]| missing(bits.iter().fold(0, |set, bit| set | 1 << bit), None);
        assert_eq!(of(&[]), ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"]);
        assert_eq!(of(&[CAP_SYS_ADMIN]), ["CAP_SYS_PTRACE"]);
        assert!(of(&[CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]).is_empty());
        let without_admin = 1 << CAP_BPF | 1 << CAP_PERFMON | 1 << CAP_SYS_PTRACE;
        let [forbidden, failed] = [Trial::Forbidden, Trial::Failed].map(|of| of(String::new()));
        assert_eq!(missing(without_admin, Some(&forbidden)), ["CAP_SYS_ADMIN"]);
        assert!(missing(without_admin | 1 << CAP_SYS_ADMIN, Some(&forbidden)).is_empty());
        assert!(missing(without_admin, Some(&failed)).is_empty(), "no capability would mend it");
        assert!(missing(without_admin, Some(&Trial::Attached)).is_empty());
        assert_eq!(out_of_reach(0), ["CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE"]);
        assert_eq!(out_of_reach(1 << CAP_DAC_READ_SEARCH | 1 << CAP_SYS_ADMIN), [""; 0]);
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(0x1ff_ffff_ffff));
    }

    #[test]
    fn what_a_trial_came_to_is_told_by_what_mends_it() {
        let admin = 1 << CAP_SYS_ADMIN;
        let told = |effective, tried| {
            let Finding { is_good, is_needed, found, remedy, .. } = attaching(effective, &tried);
            format!("{} {}: {found}\n{remedy}\n", u8::from(is_good), u8::from(is_needed))
        };
        let word = || "the kernel's word".to_owned();
        let all = [
            told(admin, Ok(Trial::Attached)),
            told(0, Ok(Trial::Forbidden(word()))),
            told(admin, Ok(Trial::Forbidden(word()))),
            told(admin, Ok(Trial::Failed(word()))),
            told(0, Err(TapError::NotBuilt)),
        ];
        expect![[r#"
            1 1: a probe was attached to this process

            0 1: forbidden without CAP_SYS_ADMIN: the kernel's word
            run as root, or with CAP_SYS_ADMIN besides: since CVE-2025-38466 kernels ask for it
            0 1: forbidden to everybody: the kernel's word
            a filter of system calls (seccomp) or a security module forbids perf_event_open: let it through
            0 1: the kernel's word
            no capability mends it: this kernel, or what it runs in, has no probes of programs
            0 0: not tried: this build of Weir cannot trace: run `cargo xtask build-ebpf`, then build with `--features ebpf` (`cargo build --release -p weir --features ebpf`)
            see what is missing above: it could not be tried
        "#]].assert_eq(&all.concat());
    }

    #[test]
    fn what_is_good_needs_no_remedy() {
        for finding in findings(&crate::try_attaching()) {
            assert_eq!(finding.is_good, finding.remedy.is_empty(), "{}", finding.what);
        }
    }
}

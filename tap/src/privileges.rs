//! What a tap keeps of what the process may do, once the kernel side is loaded.
//!
//! Loading takes more than attaching, and attaching goes on: processes that are meant start while it runs. So
//! what is needed for those is kept, and all else is given up for good, in every set that the kernel keeps of
//! a thread. Capabilities are each thread's own: it is done before there is a second one, which then begins
//! with what the first one has.

use crate::surroundings::kernel_version;
use crate::trial::Trial;
use nix::unistd::{Gid, Uid, User, getgrouplist, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};
use std::ffi::CString;
use std::fs;
use thiserror::Error;

/// What attaching to processes that start later takes, whoever they belong to.
const ATTACHING: CapabilitySet = CapabilitySet::PERFMON
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHECKPOINT_RESTORE);

/// First kernel that lets a program that has no `CAP_BPF` read the maps that it has open, also where
/// `kernel.unprivileged_bpf_disabled` is set.
const FREE_MAPS: (u32, u32) = (6, 0);

/// Most capabilities that a set can hold.
const CAPABILITIES_MAX: u32 = 64;

/// Somebody whom the process is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    user: Uid,
    group: Gid,
    /// All of its groups.
    groups: Vec<Gid>,
}

impl Account {
    /// The account that an operator wrote: a user's name, or `USER:GROUP` by numbers, who then is in no other
    /// group.
    ///
    /// # Errors
    /// When there is none, or it is root's.
    pub fn of(text: &str) -> Result<Self, PrivilegeError> {
        let unknown =
            |reason: &str| PrivilegeError::Account { account: text.to_owned(), reason: reason.to_owned() };
        let account = match numbers(text) {
            Some((user, group)) => Self { name: text.to_owned(), user, group, groups: vec![group] },
            None => {
                let found = User::from_name(text).map_err(|error| unknown(&error.to_string()))?;
                let found = found.ok_or_else(|| unknown("there is no such user"))?;
                let name = CString::new(text).map_err(|_| unknown("there is no such user"))?;
                let groups = getgrouplist(&name, found.gid).map_err(|error| unknown(&error.to_string()))?;
                Self { name: text.to_owned(), user: found.uid, group: found.gid, groups }
            }
        };
        // To a kernel the greatest number means nobody in particular: whoever one is already.
        if account.user.as_raw() == u32::MAX || account.group.as_raw() == u32::MAX {
            return Err(unknown("there is no such user"));
        }
        match account.user.is_root() || account.group.as_raw() == 0 {
            true => Err(unknown("it is root's, which owns what nobody else may write")),
            false => Ok(account),
        }
    }
}

fn numbers(text: &str) -> Option<(Uid, Gid)> {
    let (user, group) = text.split_once(':')?;
    Some((Uid::from_raw(user.parse().ok()?), Gid::from_raw(group.parse().ok()?)))
}

/// Why privileges cannot be given up.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PrivilegeError {
    /// Nobody whom the process could be.
    #[error(
        "trace_user {account} cannot be: {reason}; make a user of its own for the collector, such as \
             `useradd --system weir-trace`"
    )]
    Account {
        /// What the operator wrote.
        account: String,
        /// Why.
        reason: String,
    },
    /// The process may not become another user.
    #[error(
        "the process may not become {account}: {reason}; trace_user takes to be started as root, and is not needed otherwise"
    )]
    Become {
        /// Whom.
        account: String,
        /// What the kernel says.
        reason: String,
    },
    /// Nothing could be attached.
    #[error(
        "this kernel lets nobody attach probes to programs without CAP_SYS_ADMIN, since a fault of its was mended \
         (CVE-2025-38466): start the collector as root, or give it CAP_SYS_ADMIN besides"
    )]
    Admin,
    /// Nothing can be attached, whatever the process may do.
    #[error("no probe can be attached on this machine: {reason}; `weir doctor` says more")]
    Attach {
        /// What the kernel says.
        reason: String,
    },
    /// The kernel refuses.
    #[error("privileges cannot be given up: {what}: {reason}")]
    Kernel {
        /// What it refuses.
        what: &'static str,
        /// What it says.
        reason: String,
    },
    /// Other threads would keep theirs.
    #[error(
        "privileges cannot be given up: {threads} threads have begun already, and each has its own; report it"
    )]
    Threads {
        /// How many there are.
        threads: usize,
    },
}

/// What is left of what the process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Capabilities that it has, by name.
    pub capabilities: Vec<String>,
    /// Capabilities that it had, and has no more, by name.
    pub given_up: Vec<String>,
    /// Whether it is root, so that root's files are its own.
    pub is_root: bool,
}

/// Gives up for good whatever a tap that is open does not need, and becomes this account where one is given.
/// Whether the kernel lets a process attach that has no `CAP_SYS_ADMIN` is tried, and where it forbids that,
/// whether it lets one that has it.
///
/// # Errors
/// When another thread has begun, nothing could be attached, or the kernel refuses. The process then has more
/// than it should, and must end.
pub fn give_up(
    account: Option<&Account>,
    mut try_attaching: impl FnMut() -> Trial,
) -> Result<Kept, PrivilegeError> {
    let refused =
        |what: &'static str| move |error: Errno| PrivilegeError::Kernel { what, reason: error.to_string() };
    let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(PrivilegeError::Threads { threads });
    }
    let had = capabilities(None).map_err(refused("its capabilities"))?.permitted;
    let without = had.difference(CapabilitySet::SYS_ADMIN);
    let sets = CapabilitySets { effective: without, permitted: had, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(refused("the capabilities"))?;
    let without_admin = try_attaching();
    set_capabilities(None, CapabilitySets { effective: had, ..sets }).map_err(refused("the capabilities"))?;
    let takes_admin = takes_admin(without_admin, had, try_attaching)?;
    let kept = had.intersection(needed(had, takes_admin, kernel_version()));
    bound(kept).map_err(refused("the bounding set"))?;
    clear_ambient_capability_set().map_err(refused("the ambient set"))?;
    if let Some(account) = account {
        set_keep_capabilities(true).map_err(refused("keeping capabilities"))?;
        become_account(account)?;
        set_keep_capabilities(false).map_err(refused("keeping capabilities"))?;
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(refused("the capabilities"))?;
    set_no_new_privs(true).map_err(refused("no_new_privs"))?;
    Ok(Kept {
        capabilities: names(kept),
        given_up: names(had.difference(kept)),
        is_root: Uid::effective().is_root(),
    })
}

/// Whether nothing is attached without `CAP_SYS_ADMIN`, by what came of it without, and where that was
/// forbidden with it.
fn takes_admin(
    without: Trial,
    had: CapabilitySet,
    try_with: impl FnOnce() -> Trial,
) -> Result<bool, PrivilegeError> {
    match without {
        Trial::Attached => return Ok(false),
        Trial::Failed(reason) => return Err(PrivilegeError::Attach { reason }),
        Trial::Forbidden(_) if !had.contains(CapabilitySet::SYS_ADMIN) => return Err(PrivilegeError::Admin),
        Trial::Forbidden(_) => {}
    }
    match try_with() {
        Trial::Attached => Ok(true),
        Trial::Forbidden(reason) | Trial::Failed(reason) => Err(PrivilegeError::Attach { reason }),
    }
}

/// What is needed from now on, of one that has these. CAP_SYS_ADMIN also stands for CAP_BPF, which kernels
/// before 5.8 did not have.
fn needed(had: CapabilitySet, takes_admin: bool, kernel: Option<(u32, u32)>) -> CapabilitySet {
    let mut needed = ATTACHING;
    if kernel.is_none_or(|kernel| kernel < FREE_MAPS) {
        needed |= CapabilitySet::BPF;
    }
    let newer = needed.intersection(CapabilitySet::BPF);
    if takes_admin || !had.contains(newer) {
        needed |= CapabilitySet::SYS_ADMIN;
    }
    needed
}

/// Lets nothing else come back by a program that is started. Who may not say so is not the loser: with
/// `no_new_privs` none does.
fn bound(kept: CapabilitySet) -> Result<(), Errno> {
    let all = (0..CAPABILITIES_MAX).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    for capability in all.filter(|capability| !kept.contains(*capability)) {
        // Behind the last that the kernel knows there is none.
        if !capability_is_in_bounding_set(capability).unwrap_or(false) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Err(Errno::PERM) => return Ok(()),
            outcome => outcome?,
        }
    }
    Ok(())
}

fn become_account(account: &Account) -> Result<(), PrivilegeError> {
    let Account { user, group, groups, .. } = account;
    let refused = |error: nix::Error| PrivilegeError::Become {
        account: account.name.clone(),
        reason: error.to_string(),
    };
    setgroups(groups).map_err(refused)?;
    setresgid(*group, *group, *group).map_err(refused)?;
    setresuid(*user, *user, *user).map_err(refused)
}

/// `CAP_BPF`, …
fn names(set: CapabilitySet) -> Vec<String> {
    set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed_of(had: CapabilitySet, takes_admin: bool, kernel: (u32, u32)) -> Vec<String> {
        names(had.intersection(needed(had, takes_admin, Some(kernel))))
    }

    #[test]
    fn attaching_is_kept_and_loading_where_the_kernel_asks_for_it_to_read_maps() {
        let attaching = ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_CHECKPOINT_RESTORE"];
        assert_eq!(needed_of(CapabilitySet::all(), false, (6, 0)), attaching);
        let older =
            ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"];
        assert_eq!(needed_of(CapabilitySet::all(), false, (5, 19)), older);
        let unknown = names(needed(CapabilitySet::all(), false, None));
        assert_eq!(unknown, older, "a kernel that nobody knows is an old one");
    }

    #[test]
    fn the_right_of_an_administrator_is_kept_where_the_kernel_asks_for_it_and_nowhere_else() {
        let had = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE | CapabilitySet::NET_ADMIN;
        // It stands for CAP_PERFMON too: nothing could be attached without it.
        assert_eq!(needed_of(had, true, (6, 8)), ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN"]);
        let had = had | CapabilitySet::PERFMON;
        assert_eq!(needed_of(had, true, (6, 18)), ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_PERFMON"]);
        assert_eq!(needed_of(had, false, (6, 8)), ["CAP_SYS_PTRACE", "CAP_PERFMON"]);
        assert_eq!(needed_of(had, false, (5, 15)), ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_PERFMON"]);
    }

    #[test]
    fn an_administrators_right_is_what_is_missing_only_where_it_is_forbidden_without_and_not_with_it() {
        let [forbidden, failed] = [Trial::Forbidden, Trial::Failed].map(|of| of("the kernel's word".into()));
        let admin = CapabilitySet::SYS_ADMIN | CapabilitySet::PERFMON;
        let tried = |without: &Trial, had, with: &Trial| takes_admin(without.clone(), had, || with.clone());
        let refused = Err(PrivilegeError::Attach { reason: "the kernel's word".into() });
        for had in [admin, CapabilitySet::PERFMON] {
            assert_eq!(tried(&Trial::Attached, had, &forbidden), Ok(false));
            assert_eq!(tried(&failed, had, &Trial::Attached), refused, "no capability mends it");
        }
        assert_eq!(tried(&forbidden, CapabilitySet::PERFMON, &Trial::Attached), Err(PrivilegeError::Admin));
        assert_eq!(tried(&forbidden, admin, &Trial::Attached), Ok(true));
        // A filter of system calls forbids it to everybody.
        assert_eq!(tried(&forbidden, admin, &forbidden), refused);
        assert_eq!(tried(&forbidden, admin, &failed), refused);
    }

    #[test]
    fn an_account_is_somebody_and_never_root() {
        let account = Account::of("65534:65533").unwrap();
        let ids = (account.user.as_raw(), account.group.as_raw(), account.groups);
        assert_eq!(ids, (65_534, 65_533, vec![Gid::from_raw(65_533)]));
        let named = Account::of("nobody").unwrap();
        assert!(!named.user.is_root() && named.groups.contains(&named.group));
        for nobody in [
            "root",
            "0:0",
            "0:65534",
            "no-such-user",
            "",
            "1:",
            "a:b",
            "nul\0",
            "1:0",
            "4294967295:1",
            "1:4294967295",
        ] {
            assert!(matches!(Account::of(nobody), Err(PrivilegeError::Account { .. })), "{nobody:?}");
        }
    }
}

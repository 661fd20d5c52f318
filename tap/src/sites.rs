//! Chooses where the probes of a library are placed.

use crate::code::{Code, Function};
use crate::placement::{EntryCause, Placement, Site};
use crate::probes::{BIO_PROBE, HANDSHAKE_PROBES, PROBES, ProbeOf};
use crate::process::{Bio, Library};
use crate::processor::has_no_shadow_stacks;
use crate::prologue::{begins_emulated, emulated, hands_on, hands_two_on};
use std::path::Path;

/// The functions whose buffers are filled when they return.
const READS: [&str; 2] = ["SSL_read", "SSL_read_ex"];

/// What is to be heeded of where probes are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placing {
    /// Every probe is placed at the entry.
    pub entry_only: bool,
    /// A call may be a site. The kernel does not put one that it emulates on a shadow stack, and a process
    /// may have one at any time where the processor has them.
    pub may_be_call: bool,
}

impl Placing {
    /// What is to be heeded on this machine.
    pub fn here(entry_only: bool) -> Self {
        Self { entry_only, may_be_call: has_no_shadow_stacks() }
    }
}

/// Where the probes of a library are to be placed, in the order in which they are attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sites {
    /// Those without which a process is not traced.
    pub messages: Vec<Site>,
    /// Those of handshakes, by which it is known which accepted connection an `SSL` has; none where they are
    /// not needed, or nothing is known to have what is.
    pub handshakes: Vec<Site>,
    /// Likewise, in the file that has `BIO_write`.
    pub bio: Vec<Site>,
}

impl Sites {
    /// Chooses.
    pub fn of(library: &Library, placing: Placing) -> Self {
        let own = |probes: &[ProbeOf]| {
            let known = |probe: &&ProbeOf| library.symbols.contains(probe.function);
            probes.iter().filter(known).copied().collect::<Vec<ProbeOf>>()
        };
        let messages = sites(&library.path, &own(&PROBES), placing);
        let (handshakes, bio) = match &library.bio {
            Bio::In(bio) => (
                sites(&library.path, &own(&HANDSHAKE_PROBES), placing),
                sites(&bio.path, &[BIO_PROBE], placing),
            ),
            Bio::NotNeeded | Bio::Unknown(_) => (Vec::new(), Vec::new()),
        };
        Self { messages, handshakes, bio }
    }

    /// All at their entries, because the kernel refused what was chosen.
    #[cfg_attr(not(feature = "ebpf"), allow(dead_code))]
    pub(crate) fn refused(library: &Library) -> Self {
        let mut sites = Self::of(library, Placing { entry_only: true, may_be_call: false });
        let all = [&mut sites.messages, &mut sites.handshakes, &mut sites.bio];
        for site in all.into_iter().flatten() {
            site.placement = Placement::Entry(EntryCause::Refused);
        }
        sites
    }

    /// Whether reads are listened to where their arguments are handed on.
    #[cfg_attr(not(feature = "ebpf"), allow(dead_code))]
    pub(crate) fn has_callee(&self) -> bool {
        self.messages.iter().any(|site| matches!(site.placement, Placement::Callee { .. }))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Site> {
        self.messages.iter().chain(&self.handshakes).chain(&self.bio)
    }
}

fn sites(path: &Path, probes: &[ProbeOf], placing: Placing) -> Vec<Site> {
    let names: Vec<&str> = probes.iter().map(|probe| probe.function).collect();
    let code = if placing.entry_only {
        Err(EntryCause::Asked)
    } else if cfg!(not(target_arch = "x86_64")) {
        Err(EntryCause::Architecture)
    } else {
        match Code::of(path, &names) {
            Ok(Some(code)) => Ok(code),
            Ok(None) => Err(EntryCause::Architecture),
            Err(_) => Err(EntryCause::Unreadable),
        }
    };
    let callee = code.as_ref().ok().and_then(|code| callee(code, &names, placing));
    let mut sites = Vec::new();
    for probe in probes {
        let placement = match (&code, callee) {
            (Err(cause), _) => Placement::Entry(*cause),
            // What both hand their arguments on to is listened to once, as what is handed all of them.
            (Ok(_), Some(_)) if probe.function == READS[0] => continue,
            (Ok(_), Some(offset)) if probe.function == READS[1] => Placement::Callee { offset },
            (Ok(code), _) => {
                let returns = probes.iter().any(|other| other.function == probe.function && other.at_return);
                placement(code, probe, returns, placing)
            }
        };
        sites.push(Site {
            probe: probe.program,
            function: probe.function,
            at_return: probe.at_return,
            placement,
        });
    }
    sites
}

/// What both of the functions that read hand their arguments on to, by where it is in the file, if its entry
/// costs less than theirs.
fn callee(code: &Code, names: &[&str], placing: Placing) -> Option<u64> {
    let begins_emulated = |bytes: &[u8]| begins_emulated(bytes, placing.may_be_call);
    if !READS.iter().all(|read| names.contains(read)) {
        return None;
    }
    let [read, read_ex] = READS.map(|read| code.function(read));
    let (read, read_ex) = (read?, read_ex?);
    if begins_emulated(&read.bytes) && begins_emulated(&read_ex.bytes) {
        return None;
    }
    let by = hands_on(&read_ex.bytes)?;
    let apart = read_ex.offset.cast_signed() - read.offset.cast_signed();
    let (offset, bytes) = code.led_to(read_ex, by)?;
    (hands_two_on(&read.bytes, by + apart) && begins_emulated(&bytes)).then_some(offset)
}

fn placement(code: &Code, probe: &ProbeOf, returns: bool, placing: Placing) -> Placement {
    let Some(function) = code.function(probe.function) else {
        return Placement::Entry(EntryCause::Unreadable);
    };
    if returns && !begins_emulated(&function.bytes, placing.may_be_call) {
        return Placement::Entry(EntryCause::Return);
    }
    match behind_entry(code, function, probe, placing) {
        Ok(behind_entry) => {
            Placement::Emulated { behind_entry, offset: function.offset.saturating_add(behind_entry) }
        }
        Err(cause) => Placement::Entry(cause),
    }
}

fn behind_entry(
    code: &Code,
    function: &Function,
    probe: &ProbeOf,
    placing: Placing,
) -> Result<u64, EntryCause> {
    let at = emulated(&function.bytes, probe.arguments, placing.may_be_call)? as u64;
    match at > 0 && code.has_way_in(function, &(1..=at)) {
        true => Err(EntryCause::WayIn),
        false => Ok(at),
    }
}

#[cfg(test)]
mod tests;

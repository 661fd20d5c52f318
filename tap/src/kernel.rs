//! Loads the kernel side, attaches it to processes, and reads what it writes.

use crate::attached::Attached;
use crate::config::TapConfig;
use crate::counts::{Counted, Counts, ProbeRuns};
use crate::error::TapError;
use crate::kept_sites::KeptSites;
use crate::layout::count;
use crate::placement::{EntryCause, Placement, Site};
use crate::price;
use crate::probes::{PROBE_NAMES, TRACE_POINTS};
use crate::process::{Bio, Library, Process};
use crate::record;
use crate::sites::{Placing, Sites};
use crate::surroundings::has_tracefs;
use crate::traps::TrapCosts;
use crate::trial::Trial;
use aya::maps::{HashMap, MapData, PerCpuHashMap, PerCpuValues, RingBuf};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLinkId, UProbeScope};
use aya::programs::{ProgramError, TracePoint, UProbe};
use aya::sys::{Stats, SyscallError, enable_stats};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, Pod};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::path::Path;
use weir_collector::trace::{ConnectionId, Heard};

include!(concat!(env!("OUT_DIR"), "/object.rs"));

pub(crate) fn is_built_in() -> bool {
    OBJECT.is_some()
}

/// The kernel side, if it is what it was when it was built in.
fn object() -> Result<&'static [u8], TapError> {
    let (object, expected) = OBJECT.ok_or(TapError::NotBuilt)?;
    match hex(&Sha256::digest(object)) {
        found if found == expected => Ok(object),
        found => Err(TapError::Hash { found, expected: expected.to_owned() }),
    }
}

/// A probe that is attached.
struct AttachedProbe {
    site: Site,
    link: UProbeLinkId,
    /// Why the kernel refused a better place for it, where it did.
    refusal: Option<String>,
}

pub(crate) struct Inner {
    ebpf: Ebpf,
    records: RingBuf<MapData>,
    processes: HashMap<MapData, u32, u8>,
    /// By process.
    counts: PerCpuHashMap<MapData, u32, [u64; count::ALL]>,
    /// What was counted of processes that are traced no more.
    let_go: Counts,
    /// How long a hello is waited for, in nanoseconds.
    hello_age_max_ns: u64,
    /// Hellos that were waited for no longer, by process.
    late: BTreeMap<u32, u64>,
    /// Connections of such hellos that no `SSL` has. They are over behind what the ring still has of them, or
    /// that would begin them anew.
    closing: Vec<ConnectionId>,
    /// While it is open the kernel measures how long programs run; why it does not, where it was asked to.
    measuring: Option<Result<OwnedFd, String>>,
    /// By process and `SSL`, as the kernel side lays them out.
    connections: HashMap<MapData, [u64; 2], [u64; 6]>,
    /// By thread.
    reads: HashMap<MapData, u64, [u64; 3]>,
    accepts: HashMap<MapData, u64, u64>,
    receives: HashMap<MapData, u64, [u64; 3]>,
    asks: HashMap<MapData, u64, [u64; 3]>,
    handshakes: HashMap<MapData, u64, u64>,
    /// By process and file descriptor.
    hellos: HashMap<MapData, u64, [u64; 20]>,
    accepted: HashMap<MapData, u64, [u64; 9]>,
    nameless: HashMap<MapData, u64, u64>,
    /// By process and a client's random.
    greetings: HashMap<MapData, [u64; 5], [u64; 2]>,
    /// What is attached to each process, and where.
    attached: BTreeMap<u32, Vec<AttachedProbe>>,
    kept: KeptSites,
    knows_addresses: bool,
    /// Probes are placed at entries only.
    entry_only: bool,
    /// What probes cost here, or why that was not measured.
    costs: Result<TrapCosts, TapError>,
}

fn refused(what: impl Into<String>) -> impl FnOnce(&dyn std::error::Error) -> TapError {
    let what = what.into();
    move |error| TapError::Kernel { what, reason: reason_of(error) }
}

/// An error with all of its causes.
fn reason_of(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Writing to memory cannot fail.
        let _ = write!(reason, ": {inner}");
        source = inner.source();
    }
    reason
}

impl Inner {
    pub(crate) fn open(config: TapConfig) -> Result<Self, TapError> {
        let mut ebpf = EbpfLoader::new()
            .override_global("COPY_BYTES_MAX", &config.copy_bytes_max, true)
            .map_max_entries("RECORDS", config.ring_bytes)
            .load(object()?)
            .map_err(|error| refused("the eBPF object")(&error))?;
        let map = |ebpf: &mut Ebpf, name: &str| {
            ebpf.take_map(name).ok_or_else(|| TapError::Kernel {
                what: format!("the map {name}"),
                reason: "the object has none: build Weir again".into(),
            })
        };
        let of_map = |error: aya::maps::MapError| refused("a map")(&error);
        let records = RingBuf::try_from(map(&mut ebpf, "RECORDS")?).map_err(of_map)?;
        let processes = HashMap::try_from(map(&mut ebpf, "PROCESSES")?).map_err(of_map)?;
        let counts = PerCpuHashMap::try_from(map(&mut ebpf, "COUNTS")?).map_err(of_map)?;
        let connections = HashMap::try_from(map(&mut ebpf, "CONNECTIONS")?).map_err(of_map)?;
        let reads = HashMap::try_from(map(&mut ebpf, "READS")?).map_err(of_map)?;
        let accepts = HashMap::try_from(map(&mut ebpf, "ACCEPTS")?).map_err(of_map)?;
        let receives = HashMap::try_from(map(&mut ebpf, "RECEIVES")?).map_err(of_map)?;
        let hellos = HashMap::try_from(map(&mut ebpf, "HELLOS")?).map_err(of_map)?;
        let accepted = HashMap::try_from(map(&mut ebpf, "ACCEPTED")?).map_err(of_map)?;
        let asks = HashMap::try_from(map(&mut ebpf, "ASKS")?).map_err(of_map)?;
        let handshakes = HashMap::try_from(map(&mut ebpf, "HANDSHAKES")?).map_err(of_map)?;
        let nameless = HashMap::try_from(map(&mut ebpf, "NAMELESS")?).map_err(of_map)?;
        let greetings = HashMap::try_from(map(&mut ebpf, "GREETINGS")?).map_err(of_map)?;
        for (name, program) in ebpf.programs_mut() {
            let outcome = match program {
                aya::programs::Program::UProbe(program) => program.load(),
                aya::programs::Program::TracePoint(program) => program.load(),
                _ => Ok(()),
            };
            outcome.map_err(|error| refused(format!("the program {name}"))(&error))?;
        }
        let costs = price::measure(&mut ebpf, PRICED);
        let mut inner = Self {
            ebpf,
            records,
            processes,
            counts,
            let_go: Counts::default(),
            hello_age_max_ns: config.hello_age_max_ms.saturating_mul(1_000_000),
            late: BTreeMap::new(),
            closing: Vec::new(),
            measuring: config
                .measures_probes
                .then(|| enable_stats(Stats::RunTime).map_err(|error| reason_of(&error))),
            connections,
            reads,
            accepts,
            receives,
            asks,
            handshakes,
            hellos,
            accepted,
            nameless,
            greetings,
            attached: BTreeMap::new(),
            kept: KeptSites::default(),
            knows_addresses: false,
            entry_only: config.entry_only,
            costs,
        };
        if has_tracefs() {
            for (program, point) in TRACE_POINTS {
                inner.trace_point(program, point)?;
            }
            inner.knows_addresses = true;
        }
        Ok(inner)
    }

    pub(crate) fn knows_addresses(&self) -> bool {
        self.knows_addresses
    }

    fn trace_point(&mut self, program: &str, point: &str) -> Result<(), TapError> {
        let what = || format!("the tracepoint {point}");
        let program: &mut TracePoint =
            self.ebpf.program_mut(program).and_then(|program| program.try_into().ok()).ok_or_else(|| {
                TapError::Kernel { what: what(), reason: "the object has no program for it".into() }
            })?;
        program.attach("syscalls", point).map(drop).map_err(|error| refused(what())(&error))
    }

    pub(crate) fn attach(&mut self, process: &Process, library: &Library) -> Result<Attached, TapError> {
        let number = NonZeroU32::new(process.id)
            .ok_or_else(|| TapError::Process { process: 0, reason: "it is none".into() })?;
        // Before the probes, so that no accepted connection is missed that they hear of.
        let attached = self.expect(process.id).and_then(|()| self.attach_all(number, library));
        if attached.is_err() {
            // Half a process would be misread.
            self.detach(process);
        }
        attached
    }

    /// Takes a process for one of those that are traced, of which nothing was counted.
    fn expect(&mut self, process: u32) -> Result<(), TapError> {
        let what = || format!("process {process}");
        let processors = nr_cpus().map_err(|(_, error)| refused(what())(&error))?;
        let none = PerCpuValues::try_from(vec![[0; count::ALL]; processors])
            .map_err(|error| refused(what())(&error))?;
        self.counts.insert(process, none, 0).map_err(|error| refused(what())(&error))?;
        self.processes.insert(process, 1, 0).map_err(|error| refused(what())(&error))
    }

    pub(crate) fn try_attaching(&mut self) -> Trial {
        match uprobe(&mut self.ebpf, TRIED) {
            Ok(program) => try_on(program),
            Err(error) => Trial::Failed(error.to_string()),
        }
    }

    fn attach_all(&mut self, number: NonZeroU32, library: &Library) -> Result<Attached, TapError> {
        let mut sites = self.kept.of(library, Placing::here(self.entry_only));
        let file = (&*library.name, &*library.path);
        let mut refusal = None;
        if let Err(error) = self.attach_sites(number, &sites.messages, file, None) {
            if !sites.has_callee() {
                return Err(error);
            }
            // A read is listened to there alone or not at all, so all of them go to their entries.
            self.detach_from(number.get(), 0);
            self.forget_connections(number.get());
            sites = Sites::refused(library);
            refusal = Some(error.to_string());
            self.attach_sites(number, &sites.messages, file, refusal.as_deref())?;
        }
        let bio = match &library.bio {
            Bio::NotNeeded => return Ok(Attached::Whole),
            Bio::Unknown(obstacle) => {
                return Ok(Attached::WithoutClients { reason: obstacle.reason.clone() });
            }
            Bio::In(bio) => bio,
        };
        let own = self.attached.get(&number.get()).map_or(0, Vec::len);
        let attached = self
            .attach_sites(number, &sites.handshakes, file, refusal.as_deref())
            .and_then(|()| self.attach_sites(number, &sites.bio, (&bio.name, &bio.path), refusal.as_deref()));
        match attached {
            Ok(()) => Ok(Attached::Whole),
            Err(error) => {
                // Some of them are of no use, and would cost the process what all do.
                self.detach_from(number.get(), own);
                Ok(Attached::WithoutClients { reason: error.to_string() })
            }
        }
    }

    fn attach_sites(
        &mut self,
        process: NonZeroU32,
        sites: &[Site],
        file: (&str, &Path),
        refusal: Option<&str>,
    ) -> Result<(), TapError> {
        sites.iter().try_for_each(|site| self.attach_site(*site, process, file, refusal))
    }

    /// Attaches a probe, at its function's entry where the kernel refuses a place behind it, or refused one
    /// before.
    fn attach_site(
        &mut self,
        site: Site,
        process: NonZeroU32,
        (file, path): (&str, &Path),
        refusal: Option<&str>,
    ) -> Result<(), TapError> {
        let what = || format!("{} of {file} in process {process}", site.function);
        let program = uprobe(&mut self.ebpf, site.probe)?;
        let scope = UProbeScope::OneProcess(process);
        let at = |offset| UProbeAttachLocation::AbsoluteOffset(offset);
        let mut placement = site.placement;
        let mut refusal = refusal.map(str::to_owned);
        let attached = match placement {
            Placement::Entry(_) => program.attach(site.function, path, scope),
            Placement::Callee { offset } => program.attach(at(offset), path, scope),
            Placement::Emulated { offset, .. } => program.attach(at(offset), path, scope).or_else(|error| {
                placement = Placement::Entry(EntryCause::Refused);
                refusal = Some(reason_of(&error));
                program.attach(site.function, path, scope)
            }),
        };
        let link = attached.map_err(|error| refused(what())(&error))?;
        let attached = self.attached.entry(process.get()).or_default();
        attached.push(AttachedProbe { site: Site { placement, ..site }, link, refusal });
        Ok(())
    }

    /// Detaches what was attached to a process since it had so many probes.
    fn detach_from(&mut self, process: u32, own: usize) {
        let links = self.attached.get_mut(&process).map(|links| links.split_off(own.min(links.len())));
        for AttachedProbe { site, link, .. } in links.unwrap_or_default() {
            if let Ok(program) = uprobe(&mut self.ebpf, site.probe) {
                let _ = program.detach(link);
            }
        }
    }

    pub(crate) fn sites_of(&self, process: u32) -> Vec<Site> {
        self.attached.get(&process).into_iter().flatten().map(|probe| probe.site).collect()
    }

    pub(crate) fn refusals_of(&self, process: u32) -> impl Iterator<Item = (&Site, &str)> {
        let probes = self.attached.get(&process).into_iter().flatten();
        probes.filter_map(|probe| Some((&probe.site, probe.refusal.as_deref()?)))
    }

    pub(crate) fn sites(&self) -> impl Iterator<Item = &Site> {
        self.attached.values().flatten().map(|probe| &probe.site)
    }

    pub(crate) fn costs(&self) -> Result<TrapCosts, &TapError> {
        self.costs.as_ref().copied()
    }

    pub(crate) fn detach(&mut self, process: &Process) -> Counts {
        // It may have ended: then there is nothing to detach from.
        let _ = self.processes.remove(&process.id);
        self.detach_from(process.id, 0);
        self.attached.remove(&process.id);
        // The programs run no more for it, so these are the last.
        let last = self.counts_of(process.id).unwrap_or_default();
        self.let_go += last;
        let _ = self.counts.remove(&process.id);
        self.late.remove(&process.id);
        // Nobody hears their ends any more, and they must not be taken for another's who has the same number.
        let own = u64::from(process.id);
        self.forget_connections(process.id);
        remove_all(&mut self.accepts, |key| key >> 32 == own);
        remove_all(&mut self.receives, |key| key >> 32 == own);
        remove_all(&mut self.asks, |key| key >> 32 == own);
        remove_all(&mut self.handshakes, |key| key >> 32 == own);
        remove_all(&mut self.hellos, |key| key >> 32 == own);
        remove_all(&mut self.accepted, |key| key >> 32 == own);
        remove_all(&mut self.nameless, |key| key >> 32 == own);
        remove_all(&mut self.greetings, |key| key[0] == own);
        last
    }

    /// Forgets what was heard of a process's connections and reads while nobody hears their ends.
    fn forget_connections(&mut self, process: u32) {
        let own = u64::from(process);
        remove_all(&mut self.connections, |key| key[0] == own);
        remove_all(&mut self.reads, |key| key >> 32 == own);
    }

    pub(crate) fn let_late_go(&mut self) {
        // Not while those of the last time are to be closed: so their number is bounded.
        if !self.closing.is_empty() {
            return;
        }
        let now_ns = monotonic_ns();
        let is_late = |hello: &[u64; 20]| now_ns.saturating_sub(hello[HELLO_SINCE]) > self.hello_age_max_ns;
        let late: Vec<(u64, u64)> = self
            .hellos
            .iter()
            .flatten()
            .filter(|(_, hello)| is_late(hello))
            .map(|(place, hello)| (place, hello[HELLO_CONNECTION]))
            .collect();
        for (place, connection) in late {
            // What it goes on with is not all of it: by it no `SSL` may be known.
            let is_own = self.accepted.get(&place, 0).is_ok_and(|accepted| accepted[0] == connection);
            if is_own && self.accepted.remove(&place).is_ok() {
                self.closing.push(ConnectionId(connection));
            }
            // By now another connection may be listened for there.
            let is_same = self.hellos.get(&place, 0).is_ok_and(|hello| hello[HELLO_CONNECTION] == connection);
            if is_same && self.hellos.remove(&place).is_ok() {
                *self.late.entry((place >> 32) as u32).or_default() += 1;
            }
        }
    }

    pub(crate) fn drain(&mut self, records_max: usize, each: &mut dyn FnMut(Heard<'_>)) -> usize {
        let zero_ms = zero_ms();
        for taken in 0..records_max {
            let Some(bytes) = self.records.next() else {
                self.closing.drain(..).for_each(|connection| each(Heard::Closed(connection)));
                return taken;
            };
            if let Some(heard) = record::read(&bytes, zero_ms) {
                each(heard);
            }
        }
        records_max
    }

    pub(crate) fn counted(&self) -> Result<Counted, TapError> {
        let mut counted = Counted { all: self.let_go, ..Counted::default() };
        for process in self.attached.keys() {
            let counts = self.counts_of(*process)?;
            counted.all += counts;
            counted.processes.insert(*process, counts);
        }
        Ok(counted)
    }

    fn counts_of(&self, process: u32) -> Result<Counts, TapError> {
        let values = self.counts.get(&process, 0).map_err(|error| refused("its counters")(&error))?;
        let of = |which: usize| values.iter().map(|values| values[which]).sum::<u64>();
        Ok(Counts {
            received: of(count::RECEIVED),
            received_bytes: of(count::RECEIVED_BYTES),
            sent: of(count::SENT),
            sent_bytes: of(count::SENT_BYTES),
            handed_on: of(count::HANDED_ON),
            full: of(count::FULL),
            unreadable: of(count::UNREADABLE),
            no_connection: of(count::NO_CONNECTION) + of(count::NO_READ),
            notices_lost: of(count::NOTICES_LOST),
            hello_full: of(count::HELLO_FULL),
            hello_unreadable: of(count::HELLO_UNREADABLE),
            hello_other: of(count::HELLO_OTHER),
            hello_twice: of(count::HELLO_TWICE),
            hello_late: self.late.get(&process).copied().unwrap_or(0),
        })
    }

    pub(crate) fn probe_runs(&self) -> Result<Vec<ProbeRuns>, TapError> {
        let mut all = Vec::new();
        for probe in PROBE_NAMES {
            let Some(program) = self.ebpf.program(probe) else { continue };
            let info = program.info().map_err(|error| refused(format!("the program {probe}"))(&error))?;
            let run_ns = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
            all.push(ProbeRuns { probe, runs: info.run_count(), run_ns });
        }
        Ok(all)
    }

    pub(crate) fn measures_not_because(&self) -> Option<&str> {
        self.measuring.as_ref()?.as_ref().err().map(String::as_str)
    }
}

/// The programs by which it is measured what probes cost: those of `SSL_free` and of the end of
/// `SSL_do_handshake`, each of which looks up one thing that is not there.
const PRICED: [&str; 2] = [TRIED, "ssl_do_handshake_return"];

/// The program by which it is tried whether anything can be attached: that of `SSL_free`.
const TRIED: &str = "ssl_free";

/// Size of the ring of what is loaded to try one program, in bytes: a page, into which nothing is written.
const TRIED_RING_BYTES: u32 = 4_096;

/// Loads that program alone, and tries it.
pub(crate) fn try_attaching() -> Result<Trial, TapError> {
    Ok(try_on(uprobe(&mut loaded(&[TRIED])?, TRIED)?))
}

/// Loads what measures what probes cost, and measures.
pub(crate) fn trap_costs() -> Result<TrapCosts, TapError> {
    price::measure(&mut loaded(&PRICED)?, PRICED)
}

/// The object with these programs loaded.
fn loaded(programs: &[&str]) -> Result<Ebpf, TapError> {
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("RECORDS", TRIED_RING_BYTES)
        .load(object()?)
        .map_err(|error| refused("the eBPF object")(&error))?;
    for name in programs {
        uprobe(&mut ebpf, name)?.load().map_err(|error| refused(format!("the program {name}"))(&error))?;
    }
    Ok(ebpf)
}

/// Removes the entries of a map whose keys are meant.
fn remove_all<K: Pod, V: Pod>(map: &mut HashMap<MapData, K, V>, is_meant: impl Fn(&K) -> bool) {
    let keys: Vec<K> = map.keys().flatten().filter(|key| is_meant(key)).collect();
    // What is gone already is what was wanted.
    keys.iter().for_each(|key| drop(map.remove(key)));
}

/// A program of the object by its name.
fn uprobe<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut UProbe, TapError> {
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| TapError::Kernel {
        what: format!("the program {name}"),
        reason: "the object has none: build Weir again".into(),
    })
}

/// Attaches a program to this process and detaches it again.
fn try_on(program: &mut UProbe) -> Trial {
    let Some(own) = NonZeroU32::new(std::process::id()) else {
        return Trial::Failed("this process has no number".into());
    };
    // Where a file has its own description there is no code.
    let start = UProbeAttachLocation::AbsoluteOffset(0);
    let attached = program.attach(start, "/proc/self/exe", UProbeScope::OneProcess(own));
    outcome_of(attached.and_then(|link| program.detach(link)))
}

/// What a trial came to. Only the kernel's own word that it is not permitted is one that a capability may
/// change.
fn outcome_of(attached: Result<(), ProgramError>) -> Trial {
    let Err(error) = attached else { return Trial::Attached };
    let reason = reason_of(&error);
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. })
            if io_error.kind() == ErrorKind::PermissionDenied =>
        {
            Trial::Forbidden(reason)
        }
        _ => Trial::Failed(reason),
    }
}

/// Where in a hello, as the kernel side lays it out, its connection stands, and since when it is listened
/// for.
const HELLO_CONNECTION: usize = 0;
const HELLO_SINCE: usize = 3;

/// The clock that the kernel side reads.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

/// When the clock that the kernel side reads was at zero, in milliseconds since the Unix epoch: it is asked
/// each time, because the machine's time may be set.
fn zero_ms() -> i64 {
    let ms = |clock: ClockId| {
        let time = clock_gettime(clock);
        time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    };
    ms(ClockId::Realtime) - ms(ClockId::Monotonic)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to memory cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya::programs::uprobe::UProbeError;
    use rustix::io::Errno;
    use std::io;

    #[test]
    fn only_what_the_kernel_forbids_is_taken_for_a_want_of_capabilities() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        let refused = |errno| SyscallError { call: "perf_event_open", io_error: error(errno) };
        for errno in [Errno::ACCESS, Errno::PERM] {
            let Trial::Forbidden(reason) = outcome_of(Err(refused(errno).into())) else { panic!("{errno}") };
            assert!(
                reason.contains("perf_event_open") && reason.contains(&error(errno).to_string()),
                "{reason}"
            );
        }
        for errno in [Errno::INVAL, Errno::NOENT, Errno::NFILE, Errno::NOMEM, Errno::OPNOTSUPP] {
            let Trial::Failed(reason) = outcome_of(Err(refused(errno).into())) else { panic!("{errno}") };
            assert!(reason.contains(&error(errno).to_string()), "{reason}");
        }
        // A file that may not be opened is no word of the kernel's about probes.
        let unreadable =
            UProbeError::FileError { filename: "/proc/self/exe".into(), io_error: error(Errno::ACCESS) };
        assert!(matches!(outcome_of(Err(unreadable.into())), Trial::Failed(_)));
        assert_eq!(outcome_of(Ok(())), Trial::Attached);
    }
}

//! Loads the kernel side, attaches it to processes, and reads what it writes.

use crate::config::TapConfig;
use crate::counts::Counts;
use crate::error::TapError;
use crate::layout::count;
use crate::process::{Library, Process};
use crate::record;
use crate::surroundings::has_tracefs;
use aya::maps::{HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::uprobe::{UProbeLinkId, UProbeScope};
use aya::programs::{TracePoint, UProbe};
use aya::{Ebpf, EbpfLoader};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use weir_collector::trace::Heard;

include!(concat!(env!("OUT_DIR"), "/object.rs"));

/// Programs and the functions that they are attached to, in this order: an end that is not heard would make one connection
/// of two, because an `SSL`'s address is used again; and an answer is heard before what it answers.
const PROBES: [(&str, &str); 10] = [
    ("ssl_free", "SSL_free"),
    ("ssl_clear", "SSL_clear"),
    ("ssl_set_fd", "SSL_set_fd"),
    ("ssl_get_error", "SSL_get_error"),
    ("ssl_write", "SSL_write"),
    ("ssl_write_ex", "SSL_write_ex"),
    ("ssl_read_return", "SSL_read"),
    ("ssl_read_return", "SSL_read_ex"),
    ("ssl_read", "SSL_read"),
    ("ssl_read_ex", "SSL_read_ex"),
];

/// Likewise, where a process may hand OpenSSL bytes from memory: by these it is known which accepted connection an `SSL` has.
const HANDSHAKE_PROBES: [(&str, &str); 2] =
    [("ssl_do_handshake_return", "SSL_do_handshake"), ("ssl_do_handshake", "SSL_do_handshake")];
const BIO_PROBE: (&str, &str) = ("bio_write", "BIO_write");

/// Ends before beginnings here too: a beginning that is not followed to its end would be taken for that of the next.
const TRACE_POINTS: [(&str, &str); 12] = [
    ("socket_read_ends", "sys_exit_read"),
    ("socket_read_ends", "sys_exit_recvfrom"),
    ("socket_read_begins", "sys_enter_read"),
    ("socket_receive_begins", "sys_enter_recvfrom"),
    ("descriptor_is_over", "sys_enter_close"),
    ("descriptor_is_over", "sys_enter_connect"),
    ("accept_begins", "sys_enter_accept"),
    ("accept_begins", "sys_enter_accept4"),
    ("accept_ends", "sys_exit_accept"),
    ("accept_ends", "sys_exit_accept4"),
    ("name_ends", "sys_exit_getpeername"),
    ("name_begins", "sys_enter_getpeername"),
];

pub(crate) fn is_built_in() -> bool {
    OBJECT.is_some()
}

pub(crate) struct Inner {
    ebpf: Ebpf,
    records: RingBuf<MapData>,
    processes: HashMap<MapData, u32, u8>,
    counts: PerCpuArray<MapData, u64>,
    /// By process and `SSL`, as the kernel side lays them out.
    connections: HashMap<MapData, [u64; 2], [u64; 6]>,
    /// By thread.
    reads: HashMap<MapData, u64, [u64; 3]>,
    accepts: HashMap<MapData, u64, u64>,
    receives: HashMap<MapData, u64, [u64; 2]>,
    asks: HashMap<MapData, u64, [u64; 2]>,
    handshakes: HashMap<MapData, u64, u64>,
    /// By process and file descriptor.
    hellos: HashMap<MapData, u64, [u64; 19]>,
    accepted: HashMap<MapData, u64, [u64; 9]>,
    nameless: HashMap<MapData, u64, u64>,
    /// By process and a client's random.
    greetings: HashMap<MapData, [u64; 5], [u64; 2]>,
    /// What is attached to each process.
    attached: BTreeMap<u32, Vec<(&'static str, UProbeLinkId)>>,
    knows_addresses: bool,
}

fn refused(what: impl Into<String>) -> impl FnOnce(&dyn std::error::Error) -> TapError {
    let what = what.into();
    move |error| {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            // Writing to memory cannot fail.
            let _ = write!(reason, ": {inner}");
            source = inner.source();
        }
        TapError::Kernel { what, reason }
    }
}

impl Inner {
    pub(crate) fn open(config: TapConfig) -> Result<Self, TapError> {
        let (object, expected) = OBJECT.ok_or(TapError::NotBuilt)?;
        let found = hex(&Sha256::digest(object));
        if found != expected {
            return Err(TapError::Hash { found, expected: expected.to_owned() });
        }
        let mut ebpf = EbpfLoader::new()
            .override_global("COPY_BYTES_MAX", &config.copy_bytes_max, true)
            .map_max_entries("RECORDS", config.ring_bytes)
            .load(object)
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
        let counts = PerCpuArray::try_from(map(&mut ebpf, "COUNTS")?).map_err(of_map)?;
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
        let mut inner = Self {
            ebpf,
            records,
            processes,
            counts,
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
            knows_addresses: false,
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

    pub(crate) fn attach(&mut self, process: &Process, library: &Library) -> Result<(), TapError> {
        let number = NonZeroU32::new(process.id)
            .ok_or_else(|| TapError::Process { process: 0, reason: "it is none".into() })?;
        // Before the probes, so that no accepted connection is missed that they hear of.
        self.processes
            .insert(process.id, 1, 0)
            .map_err(|error| refused(format!("process {}", process.id))(&error))?;
        let attached = self.attach_all(number, library);
        if attached.is_err() {
            // Half a process would be misread.
            self.detach(process);
        }
        attached
    }

    fn attach_all(&mut self, process: NonZeroU32, library: &Library) -> Result<(), TapError> {
        for probe in PROBES.iter().filter(|(_, function)| library.symbols.contains(*function)) {
            self.probe(*probe, process, (&library.name, &library.path))?;
        }
        let Some(bio) = &library.bio else { return Ok(()) };
        for probe in HANDSHAKE_PROBES.iter().filter(|(_, function)| library.symbols.contains(*function)) {
            self.probe(*probe, process, (&library.name, &library.path))?;
        }
        self.probe(BIO_PROBE, process, (&bio.name, &bio.path))
    }

    fn probe(
        &mut self,
        (name, function): (&'static str, &str),
        process: NonZeroU32,
        (file, path): (&str, &Path),
    ) -> Result<(), TapError> {
        let what = || format!("{function} of {file} in process {process}");
        let program: &mut UProbe =
            self.ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(|| {
                TapError::Kernel { what: what(), reason: "the object has no program for it".into() }
            })?;
        let scope = UProbeScope::OneProcess(process);
        let link = program.attach(function, path, scope).map_err(|error| refused(what())(&error))?;
        self.attached.entry(process.get()).or_default().push((name, link));
        Ok(())
    }

    pub(crate) fn detach(&mut self, process: &Process) {
        // It may have ended: then there is nothing to detach from.
        let _ = self.processes.remove(&process.id);
        for (name, link) in self.attached.remove(&process.id).unwrap_or_default() {
            let program: Option<&mut UProbe> =
                self.ebpf.program_mut(name).and_then(|program| program.try_into().ok());
            if let Some(program) = program {
                let _ = program.detach(link);
            }
        }
        // Nobody hears their ends any more, and they must not be taken for another's who has the same number.
        let own = u64::from(process.id);
        let keys: Vec<[u64; 2]> = self.connections.keys().flatten().filter(|key| key[0] == own).collect();
        keys.iter().for_each(|key| drop(self.connections.remove(key)));
        let keys: Vec<u64> = self.reads.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.reads.remove(key)));
        let keys: Vec<u64> = self.accepts.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.accepts.remove(key)));
        let keys: Vec<u64> = self.receives.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.receives.remove(key)));
        let keys: Vec<u64> = self.asks.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.asks.remove(key)));
        let keys: Vec<u64> = self.handshakes.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.handshakes.remove(key)));
        let keys: Vec<u64> = self.hellos.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.hellos.remove(key)));
        let keys: Vec<u64> = self.accepted.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.accepted.remove(key)));
        let keys: Vec<u64> = self.nameless.keys().flatten().filter(|key| key >> 32 == own).collect();
        keys.iter().for_each(|key| drop(self.nameless.remove(key)));
        let keys: Vec<[u64; 5]> = self.greetings.keys().flatten().filter(|key| key[0] == own).collect();
        keys.iter().for_each(|key| drop(self.greetings.remove(key)));
    }

    pub(crate) fn drain(&mut self, records_max: usize, each: &mut dyn FnMut(Heard<'_>)) -> usize {
        let zero_ms = zero_ms();
        for taken in 0..records_max {
            let Some(bytes) = self.records.next() else { return taken };
            if let Some(heard) = record::read(&bytes, zero_ms) {
                each(heard);
            }
        }
        records_max
    }

    pub(crate) fn counts(&self) -> Result<Counts, TapError> {
        let of = |place: u32| -> Result<u64, TapError> {
            let values = self.counts.get(&place, 0).map_err(|error| refused("its counters")(&error))?;
            Ok(values.iter().sum())
        };
        Ok(Counts {
            messages: of(count::MESSAGES)?,
            handed_on: of(count::HANDED_ON)?,
            full: of(count::FULL)?,
            unreadable: of(count::UNREADABLE)?,
            no_connection: of(count::NO_CONNECTION)? + of(count::NO_READ)?,
            notices_lost: of(count::NOTICES_LOST)?,
            hello_full: of(count::HELLO_FULL)?,
            hello_unreadable: of(count::HELLO_UNREADABLE)?,
            hello_other: of(count::HELLO_OTHER)?,
            hello_twice: of(count::HELLO_TWICE)?,
        })
    }
}

/// When the clock that the kernel side reads was at zero, in milliseconds since the Unix epoch: it is asked each time,
/// because the machine's time may be set.
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

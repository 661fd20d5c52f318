//! What a measure took: CPU time, wall time, memory.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Ticks of `/proc/self/stat` in a second: 100 on Linux, whatever the kernel's own tick is.
const TICKS_PER_S: f64 = 100.0;

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Whose CPU time is measured.
#[derive(Clone, Copy)]
pub enum Who {
    /// This process, every thread.
    Ourselves,
    /// Children that have ended.
    Children,
    /// Another process, which runs.
    Process(u32),
}

/// Runs from its making.
pub struct Meter {
    who: Who,
    cpu_s: f64,
    started: Instant,
}

/// What was measured.
#[derive(Clone, Copy)]
pub struct Taken {
    /// User and system time, in seconds.
    pub cpu_s: f64,
    /// Wall time, in seconds.
    pub wall_s: f64,
}

impl Meter {
    pub fn start(who: Who) -> Result<Self> {
        Ok(Self { who, cpu_s: cpu_s(who)?, started: Instant::now() })
    }

    pub fn stop(&self) -> Result<Taken> {
        let wall_s = self.started.elapsed().as_secs_f64();
        Ok(Taken { cpu_s: cpu_s(self.who)? - self.cpu_s, wall_s })
    }
}

impl Taken {
    /// How many of `count` things a CPU second did.
    pub fn per_cpu_s(&self, count: u64) -> f64 {
        (count as f64 / self.cpu_s.max(1e-9)).round()
    }

    /// CPU time of one of `count` things, in nanoseconds.
    pub fn ns_each(&self, count: u64) -> f64 {
        (self.cpu_s * 1e9 / count.max(1) as f64).round()
    }
}

/// User and system time so far: what `getrusage` gives, without a foreign call.
fn cpu_s(who: Who) -> Result<f64> {
    match who {
        Who::Ourselves => cpu_s_of("self", 11),
        Who::Children => cpu_s_of("self", 13),
        Who::Process(pid) => cpu_s_of(&pid.to_string(), 11),
    }
}

/// Two neighbouring fields of `/proc/PID/stat`, in seconds. Counted from the state, which follows the name in
/// parentheses (and that may hold blanks), the 12th and 13th are the process's own user and system time, the
/// two after them those of its children that were waited for.
fn cpu_s_of(pid: &str, at: usize) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, fields) = stat.rsplit_once(") ").with_context(|| format!("{path} is not as expected"))?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = fields.get(at..at + 2).with_context(|| format!("{path} is too short"))?;
    let ticks: u64 = ticks.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS_PER_S)
}

/// CPU time of this thread, in nanoseconds.
pub fn thread_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default()).as_nanos()
        as u64
}

/// A field of `/proc/PID/status` in bytes: `VmHWM` is the peak of the resident size, `VmRSS` the size
/// now, `RssAnon` what of it is no file's.
pub fn memory_bytes(pid: &str, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What was seen of a child from its start to its end.
pub struct Watched {
    /// How it ended.
    pub status: ExitStatus,
    /// The peak of its resident size, in bytes.
    pub peak: u64,
    /// The peak of what of it is its own and no file's, in bytes, to the precision of a look.
    pub own_peak: u64,
    /// Milliseconds since the Unix epoch, and its CPU time by then in seconds.
    cpu: Vec<(i64, f64)>,
}

impl Watched {
    /// The CPU time that it had taken by `at_ms`, to the precision of a look.
    pub fn cpu_s_at(&self, at_ms: i64) -> f64 {
        let looks = self.cpu.partition_point(|(ms, _)| *ms < at_ms);
        self.cpu.get(looks).or(self.cpu.last()).map_or(0.0, |(_, cpu_s)| *cpu_s)
    }
}

/// Runs a command to its end and looks at it meanwhile.
pub fn watched(mut command: Command) -> Result<Watched> {
    let mut child: Child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let (pid, mut peak, mut own_peak, mut cpu) = (child.id().to_string(), 0, 0, Vec::new());
    loop {
        peak = peak.max(memory_bytes(&pid, "VmHWM").unwrap_or(0));
        own_peak = own_peak.max(memory_bytes(&pid, "RssAnon").unwrap_or(0));
        if let Ok(cpu_s) = cpu_s_of(&pid, 11) {
            cpu.push((SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64, cpu_s));
        }
        if let Some(status) = child.try_wait()? {
            return Ok(Watched { status, peak, own_peak, cpu });
        }
        std::thread::sleep(LOOK);
    }
}

/// Milliseconds, in order.
#[derive(Default)]
pub struct Times(Vec<f64>);

impl Times {
    /// Of times in any order.
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_unstable_by(f64::total_cmp);
        Self(times)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time within which this share of them was.
    pub fn at(&self, share: f64) -> f64 {
        let index = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// How many there are, and their percentiles.
    pub fn told(&self) -> Value {
        let rounded = |share| (self.at(share) * 10.0).round() / 10.0;
        let [p50, p90, p99, most] = [0.5, 0.9, 0.99, 1.0].map(rounded);
        json!({ "n": self.0.len(), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "most_ms": most })
    }
}

/// Prints one line.
pub fn line(bench: &str, events: u64, taken: Taken, more: Value) {
    println!("{}", told(bench, events, taken, more));
}

/// One line: the name, what was measured, and the machine's cores. What `more` has too counts.
pub fn told(bench: &str, events: u64, taken: Taken, mut more: Value) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut line = json!({
        "bench": bench,
        "n": events,
        "events_per_cpu_s": taken.per_cpu_s(events),
        "events_per_wall_s": (events as f64 / taken.wall_s.max(1e-9)).round(),
        "ns_each": taken.ns_each(events),
        "cpu_s": (taken.cpu_s * 1e3).round() / 1e3,
        "wall_s": (taken.wall_s * 1e3).round() / 1e3,
        "cores": cores,
    });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object_mut()) {
        line.append(more);
    }
    line
}

/// A ratio with three digits.
pub fn ratio(one: f64, other: f64) -> f64 {
    (one / other * 1e3).round() / 1e3
}

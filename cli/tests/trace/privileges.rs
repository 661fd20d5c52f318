//! What the collector may do behind its start: what attaching takes, in every thread, whether it was started
//! as root, becomes a user of its own, or is one from the beginning with what the shipped units give it.

use super::*;
use std::collections::BTreeSet;

/// A user and a group that nobody has.
const USER: &str = "64990";
const GROUP: &str = "64991";

/// The capabilities that the collector keeps, by their bits: CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_PERFMON
/// and CAP_CHECKPOINT_RESTORE; CAP_BPF before Linux 6.0; and CAP_SYS_ADMIN where Linux attaches nothing
/// without. Of kernels in between, which may have been mended or not, it may be either.
fn kept(found: &str) -> String {
    let (major, minor) = kernel();
    let found = u64::from_str_radix(found, 16).unwrap() >> 21 & 1 == 1;
    let is_admins = (major, minor) >= ADMINS_PROBES || ((major, minor) >= (5, 10) && found);
    let admin = is_admins.then_some(21);
    let bits = [2, 19, 38, 40].into_iter().chain((major < 6).then_some(39)).chain(admin);
    format!("{:016x}", bits.fold(0u64, |set, bit| set | 1 << bit))
}

/// From which on Linux attaches nothing without CAP_SYS_ADMIN.
const ADMINS_PROBES: (u32, u32) = (6, 16);

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>());
    let [Some(Ok(major)), Some(Ok(minor))] = [numbers.next(), numbers.next()] else { panic!("{release}") };
    (major, minor)
}

/// What the kernel says of each thread's rights and ids.
fn threads(process: u32) -> Vec<BTreeMap<String, String>> {
    let meant = ["Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let lines = status.lines().filter_map(|line| line.split_once(':'));
            let lines = lines.filter(|(name, _)| meant.contains(name));
            lines
                .map(|(name, value)| {
                    (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))
                })
                .collect()
        })
        .collect()
}

/// Every thread has what is kept, in no set more, is these users, and gets no more by whatever it starts.
fn are_as_they_must_be(tracing: &Tracing, user: &str, group: &str, groups: &str) {
    let all = threads(tracing.running.0.id());
    assert!(all.len() > 4, "there are threads of all its roles: {all:#?}");
    let four = |id: &str| [id; 4].join(" ");
    let (kept, none) = (kept(&all[0]["CapEff"]), "0".repeat(16));
    let expected: BTreeMap<String, String> = [
        ("Uid", &*four(user)),
        ("Gid", &*four(group)),
        ("Groups", groups),
        ("NoNewPrivs", "1"),
        ("CapInh", &*none),
        ("CapPrm", &*kept),
        ("CapEff", &*kept),
        ("CapBnd", &*kept),
        ("CapAmb", &*none),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for thread in all {
        assert_eq!(thread, expected);
    }
}

/// A server by this name, and its port.
fn server(bench: &Bench, name: &str) -> (Program, String) {
    let python = bench.place.directory.path().join(name);
    if !python.exists() {
        fs::copy(fs::canonicalize(PYTHON).unwrap(), &python).unwrap();
    }
    bench.server_by(&python, true)
}

/// A name that no other process has: the kernel keeps 15 bytes of it.
fn name(of: &str) -> String {
    format!("{of}{}", std::process::id())
}

/// Gives everything of a place to the user.
fn give(place: &Path) {
    success_of(Command::new("chown").args(["-R", &format!("{USER}:{GROUP}")]).arg(place));
}

/// What was heard of two servers, of which the later one started when privileges had been given up, is what
/// they logged.
fn is_whole(bench: &Bench, tracing: Tracing, requests: u64) {
    eventually("each request is an event", || tracing.events() == requests);
    for cause in ["request", "response", "orphan", "address_unheard", "hello_unheard", "hello_unread"] {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    let output = tracing.running.stop();
    assert!(output.status.success());
    let [traced, logged] = bench.events();
    assert_eq!((traced.len() as u64, &traced), (requests, &logged));
}

#[test]
fn started_as_root_every_thread_keeps_what_attaching_takes_and_who_starts_later_is_traced() {
    if !can_trace() {
        return;
    }
    let (bench, name) = (Bench::new(), name("pa"));
    let tracing = bench.tracing(&name, &["--tap-measure-probes"]);
    eventually("it waits for one", || tracing.log.lock().unwrap().contains("waiting for one"));
    let groups = &threads(std::process::id())[0]["Groups"];
    are_as_they_must_be(&tracing, "0", "0", groups);
    let told = tracing.log.lock().unwrap().clone();
    assert!(
        told.contains("given up") && told.contains("CAP_BPF") && told.contains("CAP_DAC_OVERRIDE"),
        "{told}"
    );
    assert!(told.contains("the collector is root"), "{told}");
    let (_first, port) = server(&bench, &name);
    tracing.waits_for(1);
    ask(&port, 0, 20);
    let (_second, port) = server(&bench, &name);
    tracing.waits_for(2);
    ask(&port, 100, 20);
    // The kernel measures on, though the right to have it do so is gone.
    eventually("probes are measured", || {
        tracing.metric("weir_collector_probe_run_ns_total{probe=\"ssl_write_ex\"}") > 0
    });
    are_as_they_must_be(&tracing, "0", "0", groups);
    is_whole(&bench, tracing, 40);
}

#[test]
fn it_becomes_another_user_who_owns_what_it_writes_and_reaches_a_library_that_was_replaced() {
    if !can_trace() {
        return;
    }
    let (bench, name) = (Bench::new(), name("pb"));
    // The server has its own copy of the libraries, and they are replaced while it runs, as an upgrade does.
    let own = tempfile::tempdir().unwrap();
    for library in ["libssl.so.3", "libcrypto.so.3"] {
        let from = Path::new("/usr/lib/x86_64-linux-gnu").join(library);
        fs::copy(fs::canonicalize(from).unwrap(), own.path().join(library)).unwrap();
    }
    let python = bench.place.directory.path().join(&name);
    fs::copy(fs::canonicalize(PYTHON).unwrap(), &python).unwrap();
    let mut command = Command::new(&python);
    command.env("PYTHONHOME", "/usr").env("LD_LIBRARY_PATH", own.path()).args(["-c", SERVER]);
    command.arg(&bench.place.feed).arg(&bench.certificate).arg(&bench.key);
    let mut first = Program::start(&mut command);
    let port = first.said();
    for library in ["libssl.so.3", "libcrypto.so.3"] {
        let (old, new) = (own.path().join(library), own.path().join("new"));
        fs::copy(&old, &new).unwrap();
        fs::rename(&new, &old).unwrap();
    }
    let maps = fs::read_to_string(format!("/proc/{}/maps", first.id())).unwrap();
    assert!(maps.contains("libssl.so.3 (deleted)"), "{maps}");

    give(bench.place.directory.path());
    let account = format!("{USER}:{GROUP}");
    let tracing = bench.tracing(&name, &["--trace-user", &account]);
    tracing.waits_for(1);
    are_as_they_must_be(&tracing, USER, GROUP, GROUP);
    assert!(!tracing.log.lock().unwrap().contains("the collector is root"));
    ask(&port, 0, 20);
    let (_second, port) = server(&bench, &name);
    tracing.waits_for(2);
    ask(&port, 100, 20);
    eventually("each request is an event", || tracing.events() == 40);
    are_as_they_must_be(&tracing, USER, GROUP, GROUP);
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(bench.place.data.join("log")).unwrap());
    assert_eq!(owner.to_string(), USER);
    is_whole(&bench, tracing, 40);
}

/// The capabilities that the shipped unit gives, and that the DaemonSet gives.
fn shipped() -> [BTreeSet<String>; 2] {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let unit = fs::read_to_string(deploy.join("systemd/weir-trace.service")).unwrap();
    let of = |key: &str| -> BTreeSet<String> {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split(' ').map(|name| name.strip_prefix("CAP_").unwrap().to_owned()).collect()
    };
    assert_eq!(of("AmbientCapabilities="), of("CapabilityBoundingSet="));
    let pod = fs::read_to_string(deploy.join("k8s/components/trace/weir.yaml")).unwrap();
    let added: Vec<_> = pod.lines().filter_map(|line| line.trim().strip_prefix("add: [")).collect();
    assert_eq!(added.len(), 1, "one container has capabilities");
    let added = added[0].strip_suffix(']').unwrap();
    [of("AmbientCapabilities="), added.split(", ").map(str::to_owned).collect()]
}

fn as_setpriv(set: &BTreeSet<String>) -> String {
    set.iter().fold("-all".to_owned(), |all, name| format!("{all},+{}", name.to_lowercase()))
}

#[test]
fn as_the_shipped_unit_starts_it_it_traces_with_the_units_capabilities_and_gives_up_what_only_loading_takes()
{
    if !can_trace() {
        return;
    }
    let [unit, pod] = shipped();
    assert_eq!(unit, pod);
    let (bench, name) = (Bench::new(), name("pc"));
    let (_first, port) = server(&bench, &name);
    give(bench.place.directory.path());
    let set = as_setpriv(&unit);
    let started = weir(&["run", "--node", "test", "--trace", &name]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", GROUP, "--clear-groups", "--no-new-privs"]);
    for of in ["bounding-set", "inh-caps", "ambient-caps"] {
        command.arg(format!("--{of}={set}"));
    }
    command.arg(started.get_program()).args(started.get_args());
    command.arg("--data-dir").arg(&bench.place.data).arg("--output-dir").arg(&bench.place.output);
    command.arg("--keys-dir").arg(&bench.place.keys);
    let tracing = Tracing::start(command);
    tracing.waits_for(1);
    ask(&port, 0, 20);
    let (_second, port) = server(&bench, &name);
    tracing.waits_for(2);
    ask(&port, 100, 20);
    for thread in threads(tracing.running.0.id()) {
        let of = |name: &str| &*thread[name];
        let (kept, none) = (kept(of("CapEff")), "0".repeat(16));
        let found = [of("CapPrm"), of("CapEff"), of("CapInh"), of("CapAmb"), of("NoNewPrivs"), of("Groups")];
        assert_eq!(found, [&*kept, &*kept, &*none, &*none, "1", ""]);
        // Nobody here may narrow it, and it is what the unit made it.
        let bounding = u64::from_str_radix(of("CapBnd"), 16).unwrap();
        assert_eq!(bounding.count_ones() as usize, unit.len(), "{thread:#?}");
    }
    is_whole(&bench, tracing, 40);
}

#[test]
fn nobody_is_taken_for_another_user_and_nothing_is_written_for_one_who_cannot_be() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let own = std::process::id().to_string();
    for (account, reason) in [
        ("root", "it is root's"),
        ("0:100", "it is root's"),
        ("no-such-user", "there is no such user"),
        ("1000:", "there is no such user"),
    ] {
        let mut command = weir(&["run", "--trace", &own, "--trace-user", account, "--data-dir"]);
        let output = command.arg(&bench.place.data).output().unwrap();
        let told = text(&output.stderr);
        let expected = format!("trace_user {account} cannot be: {reason}");
        assert!(!output.status.success() && told.contains(&expected), "{told}");
        assert!(!bench.place.data.exists());
    }
    // Without the right to become somebody it says so, and does not go on as who it is.
    let started = weir(&["run", "--trace", &own, "--trace-user", &format!("{USER}:{GROUP}")]);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-setuid,-setgid", started.get_program().to_str().unwrap()]);
    let output = command.args(started.get_args()).arg("--data-dir").arg(&bench.place.data).output().unwrap();
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("may not become"), "{told}");
    assert!(!bench.place.data.exists());

    if kernel() < ADMINS_PROBES {
        return;
    }
    // Where the kernel attaches nothing without CAP_SYS_ADMIN, that it is missing is said at once and with
    // what to do.
    let [mut unit, _] = shipped();
    assert!(unit.remove("SYS_ADMIN"));
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={}", as_setpriv(&unit))).arg(started.get_program());
    let mut doctor = Command::new("setpriv");
    doctor.arg(format!("--bounding-set={}", as_setpriv(&unit))).arg(started.get_program());
    let output =
        command.args(["run", "--trace", &own, "--data-dir"]).arg(&bench.place.data).output().unwrap();
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("give it CAP_SYS_ADMIN besides"), "{told}");
    assert!(!bench.place.data.exists());
    let output = doctor.args(["doctor", "--json", "--pid", &own]).output().unwrap();
    assert!(!output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of =
        |what: &str| told["machine"].as_array().unwrap().iter().find(|found| found["what"] == what).unwrap();
    assert_eq!(of("capabilities")["found"], "without CAP_SYS_ADMIN");
    let attaching = of("attaching");
    assert!(
        attaching["found"].as_str().unwrap().starts_with("forbidden without CAP_SYS_ADMIN: "),
        "{attaching}"
    );
    assert_eq!((&attaching["good"], &attaching["needed"]), (&false.into(), &true.into()));
    // With it nothing is missing.
    let output = weir(&["doctor", "--json", "--pid", &own]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let good = |what: &str| {
        told["machine"].as_array().unwrap().iter().any(|found| found["what"] == what && found["good"] == true)
    };
    assert!(good("capabilities") && good("attaching"), "{told:#}");
}

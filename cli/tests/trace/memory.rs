//! Servers that read sockets themselves and give TLS what they read from memory: each connection has its own
//! client's address, account and fingerprints, however many take turns on one thread.

use super::*;
use std::collections::BTreeSet;
use std::io::Write as _;
use weir_collector::trace::Heard;
use weir_tap::process::Process;
use weir_tap::{Counts, Tap, TapConfig};

const ASYNCIO: &str = include_str!("loop.py");
const CROWD: &str = include_str!("crowd.py");
const SHIFT: &str = include_str!("shift.py");
const STALL: &str = concat!(include_str!("tls.py"), include_str!("stall.py"));
const TWIN: &str = concat!(include_str!("tls.py"), include_str!("twin.py"));
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace/loop.js");

/// Clients, each with an address of its own, and how often each asks.
const CLIENTS: usize = 48;
const REQUESTS: usize = 8;

/// Every cause of which nothing may be counted where all is heard.
pub(super) const CAUSES: [&str; 22] = [
    "request",
    "response",
    "orphan",
    "unanswered",
    "anonymous",
    "forgotten",
    "gap_bytes",
    "cut_bytes",
    "unsynced_bytes",
    "hello_unheard",
    "hello_unread",
    "hello_shared",
    "address_unheard",
    "address_untold",
    "tap_full",
    "tap_unreadable",
    "tap_notices",
    "tap_hello_full",
    "tap_hello_unreadable",
    "tap_hello_other",
    "tap_hello_twice",
    "tap_hello_late",
];

pub(super) fn asyncio(bench: &Bench) -> (Program, String) {
    let mut command = Command::new(PYTHON);
    command.args(["-c", ASYNCIO]);
    started(bench, command, &[])
}

pub(super) fn node(bench: &Bench, how: &[&str]) -> (Program, String) {
    let mut command = Command::new("node");
    command.arg(NODE);
    started(bench, command, how)
}

/// A server, and its port.
fn started(bench: &Bench, mut command: Command, how: &[&str]) -> (Program, String) {
    command.arg(&bench.place.feed).arg(bench.place.directory.path().join("ports"));
    command.arg(&bench.certificate).arg(&bench.key).args(how);
    let mut server = Program::start(&mut command);
    let port = server.said();
    (server, port)
}

/// The port of the client that asked for each path, as the server wrote it down.
pub(super) fn ports(bench: &Bench) -> BTreeMap<String, String> {
    let ports = fs::read_to_string(bench.place.directory.path().join("ports")).unwrap();
    let line = |line: &str| line.split_once(' ').map(|(port, path)| (path.to_owned(), port.to_owned()));
    ports.lines().filter_map(line).collect()
}

/// Who asked for a path: each client's are its own.
fn client_of(path: &str) -> &str {
    path.split('/').nth(2).and_then(|name| name.split('-').next()).unwrap()
}

/// Dozens of clients at once, whose connections take turns with each other on one thread: what is known of
/// each is its own.
fn a_crowd_is_told_apart(start: impl Fn(&Bench) -> (Program, String)) {
    let bench = Bench::new();
    let (server, port) = start(&bench);
    let capture = hello::Capture::start(bench.place.directory.path(), &port);
    let tracing = bench.tracing(&server.id(), &["--tap-ring-bytes", "67108864"]);
    tracing.waits_for(1);
    let mut command = Command::new(PYTHON);
    command.args(["-c", CROWD, &port, &CLIENTS.to_string(), &REQUESTS.to_string()]);
    success(command);
    let all = CLIENTS * REQUESTS;
    eventually("each request is an event", || tracing.events() == all as u64);
    for cause in CAUSES {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    assert_eq!(tracing.messages("heard"), tracing.messages("handed_on"));
    // Half of the clients connect for each request.
    let connections = CLIENTS / 2 + CLIENTS / 2 * REQUESTS;
    eventually("every hello is captured", || capture.ja3().len() == connections);
    let (ja3, both) = (capture.ja3(), capture.both());
    tracing.running.stop();

    // Account, address, path, model, features of the prompt, order of the headers, outcome: all that the
    // server wrote down.
    let [traced, logged] = bench.events();
    assert_eq!((traced.len(), logged.len()), (all, all));
    for (path, seen) in &logged {
        assert_eq!(traced.get(path), Some(seen), "{path}");
    }
    let (ports, fingerprints) = (ports(&bench), hello::fingerprints(&bench.place.data));
    let addresses = addresses(&bench.place.data, SourceKind::Uprobe);
    let mut of_clients = BTreeMap::<&str, BTreeSet<_>>::new();
    for (path, fingerprint) in &fingerprints {
        assert_eq!(fingerprint.0.as_ref(), ja3.get(&ports[path]), "{path}");
        if let Some(both) = &both {
            assert_eq!(Some(fingerprint), both.get(&ports[path]), "{path}");
        }
        let who = (traced[path].account.clone(), addresses[path].clone(), fingerprint.clone());
        of_clients.entry(client_of(path)).or_default().insert(who);
    }
    // One of each for each client, and no two clients have any of them in common.
    assert_eq!(of_clients.len(), CLIENTS);
    let whole: Vec<_> = of_clients.values().flatten().collect();
    assert_eq!(whole.len(), CLIENTS, "{of_clients:#?}");
    assert!(whole.iter().all(|(_, address, (ja3, ja4))| address.is_some() && ja3.is_some() && ja4.is_some()));
    let distinct = |of: &dyn Fn(usize) -> String| (0..whole.len()).map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&|at| whole[at].0.clone()), CLIENTS);
    assert_eq!(distinct(&|at| format!("{:?}", whole[at].1)), CLIENTS);
    assert_eq!(distinct(&|at| format!("{:?}", whole[at].2.0)), CLIENTS);
}

/// The pseudonym of every event's address, by its path.
fn addresses(data: &Path, source: SourceKind) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    each(data, source, |event| {
        let Body::Request(request) = event.body else { panic!("it is a request") };
        let address = request.address.map(|address| format!("{address:?}"));
        all.insert(request.endpoint.unwrap_or_default().to_owned(), address);
    });
    all
}

#[test]
fn clients_of_an_asyncio_server_that_take_turns_on_one_thread_are_told_apart() {
    if can_trace() {
        a_crowd_is_told_apart(asyncio);
    }
}

#[test]
fn clients_of_a_node_server_whose_openssl_is_in_its_executable_are_told_apart() {
    if can_trace() {
        a_crowd_is_told_apart(|bench| node(bench, &[]));
    }
}

#[test]
fn where_a_server_never_asks_who_its_clients_are_their_addresses_are_unknown_and_counted() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = node(&bench, &["incurious"]);
    let tracing = bench.tracing(&server.id(), &[]);
    tracing.waits_for(1);
    let mut command = Command::new(PYTHON);
    command.args(["-c", CROWD, &port, "3", "2"]);
    success(command);
    eventually("each request is an event", || tracing.events() == 6);
    assert_eq!(tracing.lost("address_untold"), 5, "of five connections");
    for cause in CAUSES.into_iter().filter(|cause| *cause != "address_untold") {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!(traced, logged);
    assert!(addresses(&bench.place.data, SourceKind::Uprobe).values().all(Option::is_none));
    let fingerprints = hello::fingerprints(&bench.place.data);
    assert!(fingerprints.values().all(|(ja3, ja4)| ja3.is_some() && ja4.is_some()), "{fingerprints:?}");
}

#[test]
fn nobody_is_taken_for_who_copies_its_hello() {
    if !can_trace() {
        return;
    }
    // Of the copies that came, one each is noticed; those who sent them never ask, but for who frames it
    // anew.
    for (how, is_known, twice) in [(None, false, 2), (Some("late"), true, 1), (Some("framed"), false, 2)] {
        let bench = Bench::new();
        let (server, port) = asyncio(&bench);
        let tracing = bench.tracing(&server.id(), &[]);
        tracing.waits_for(1);
        let mut command = Command::new(PYTHON);
        command.args(["-c", TWIN, &port, "/plain/twin"]).args(how);
        success(command);
        eventually("each request is an event", || tracing.events() == 2);
        assert_eq!(tracing.lost("tap_hello_twice"), twice, "{how:?}");
        let unknown = u64::from(!is_known);
        assert_eq!((tracing.lost("address_unheard"), tracing.lost("hello_unheard")), (unknown, unknown));
        tracing.running.stop();
        let [traced, logged] = bench.events();
        assert_eq!((traced.len(), logged.len()), (2, 2));
        let (data, _) = bench.place.beside();
        let own = addresses(&data, SourceKind::Tail);
        for (path, address) in addresses(&bench.place.data, SourceKind::Uprobe) {
            assert!(own[&path].is_some());
            assert_eq!(address, own[&path].clone().filter(|_| is_known), "{path}: its own, or nobody's");
            assert_eq!(traced[&path].account, logged[&path].account, "{path}");
        }
        for (path, (ja3, ja4)) in hello::fingerprints(&bench.place.data) {
            assert_eq!((ja3.is_some(), ja4.is_some()), (is_known, is_known), "{path}");
        }
    }
}

/// A server by which clients stall in their hellos, and what is then unknown of the one that goes on in the
/// end.
fn who_stalls_is_waited_for_no_longer(start: impl Fn(&Bench) -> (Program, String), unknown: &[&str]) {
    let bench = Bench::new();
    let (server, port) = start(&bench);
    let tracing = bench.tracing(&server.id(), &["--tap-hello-age-max-ms", "2000"]);
    tracing.waits_for(1);
    // One says nothing; another one begins.
    let silent = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let mut command = Command::new(PYTHON);
    command.args(["-c", STALL, &port, "/plain/stall/v1/chat/completions"]);
    let mut stalled = Program(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    assert_eq!(stalled.said(), "stalls");
    eventually("both are waited for no longer", || tracing.lost("tap_hello_late") == 2);
    drop(stalled.0.stdin.take());
    eventually("who goes on is an event", || tracing.events() == 1);
    assert!(stalled.0.wait().unwrap().success());
    // Who does not stall is known as ever.
    let mut command = Command::new(PYTHON);
    success_of(command.args(["-c", CROWD, &port, "1", "1"]));
    eventually("and the next one is", || tracing.events() == 2);
    for cause in CAUSES {
        let expected = match cause {
            "tap_hello_late" => 2,
            cause => u64::from(unknown.contains(&cause)),
        };
        assert_eq!(tracing.lost(cause), expected, "{cause}");
    }
    drop(silent);
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!((traced.len(), logged.len()), (2, 2));
    let addresses = addresses(&bench.place.data, SourceKind::Uprobe);
    for (path, (ja3, ja4)) in hello::fingerprints(&bench.place.data) {
        let is_known = !path.contains("/stall/");
        assert_eq!((ja3.is_some(), ja4.is_some()), (is_known, is_known), "{path}");
        let has_address = is_known || !unknown.contains(&"address_unheard");
        assert_eq!(addresses[&path].is_some(), has_address, "{path}");
        assert_eq!(traced[&path].account, logged[&path].account, "{path}");
    }
}

#[test]
fn a_client_that_stalls_in_its_hello_is_waited_for_no_longer_than_is_set_and_its_request_is_an_event() {
    if can_trace() {
        who_stalls_is_waited_for_no_longer(asyncio, &["hello_unheard", "address_unheard"]);
        who_stalls_is_waited_for_no_longer(|bench| bench.server(true), &["hello_unread"]);
    }
}

#[test]
fn what_was_still_to_be_read_of_a_hello_that_is_let_go_does_not_begin_its_connection_anew() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = asyncio(&bench);
    let mut tap = Tap::open(TapConfig {
        copy_bytes_max: 64,
        ring_bytes: 65_536,
        hello_age_max_ms: 0,
        measures_probes: false,
        entry_only: false,
    })
    .unwrap();
    let process = Process::of(server.0.id()).unwrap();
    tap.attach(&process, &process.library().unwrap()).unwrap();
    let mut client = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    // A hello of which more is to come, in two pieces: the second one is in the ring when it is let go.
    client.write_all(&[22, 3, 1, 15, 255, 1, 0, 15, 251, 3, 3]).unwrap();
    let heard = |tap: &mut Tap| {
        let mut heard = Vec::new();
        tap.drain(99, &mut |one| {
            heard.push(match one {
                Heard::Hello(id, offset, bytes) => (id, Some((offset, bytes.len()))),
                Heard::Closed(id) => (id, None),
                _ => panic!("neither of a hello nor an end"),
            });
        });
        heard
    };
    let mut first = Vec::new();
    eventually("the first piece is heard", || {
        first = heard(&mut tap);
        !first.is_empty()
    });
    let [(id, Some((0, 11)))] = first[..] else { panic!("{first:?}") };
    client.write_all(&[7; 200]).unwrap();
    // Whether it is in the ring cannot be seen without taking it out.
    std::thread::sleep(std::time::Duration::from_secs(1));
    tap.let_late_go();
    assert_eq!(heard(&mut tap), [(id, Some((11, 200))), (id, None)]);
    assert_eq!(heard(&mut tap), []);
    assert_eq!(tap.detach(&process), Counts { hello_late: 1, ..Counts::default() });
}

/// Another file over a library, as long as it lasts: what a process has loaded is not what its path leads to.
struct Cover(PathBuf);

impl Cover {
    fn over(library: PathBuf, file: &Path) -> Self {
        let mut command = Command::new("mount");
        command.arg("--bind").arg(file).arg(&library);
        success(command);
        Self(library)
    }
}

impl Drop for Cover {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_process_whose_hellos_cannot_be_heard_is_traced_without_and_that_is_told() {
    if !can_trace() {
        return;
    }
    let listed = Command::new("/sbin/ldconfig").arg("-p").output().unwrap();
    let listed = text(&listed.stdout);
    let library = listed.lines().find(|line| line.trim_start().starts_with("libcrypto.so.3 ")).unwrap();
    let library = library.rsplit("=> ").next().unwrap();
    // Nothing is known of it; or its function is said to be where the kernel takes no probe.
    for is_readable in [false, true] {
        let bench = Bench::new();
        let own = bench.place.directory.path().join("libcrypto.so.3");
        let other = bench.place.directory.path().join("other");
        fs::copy(library, &own).unwrap();
        let mut command = Command::new(PYTHON);
        command.env("LD_LIBRARY_PATH", bench.place.directory.path()).args(["-c", ASYNCIO]);
        let (server, port) = started(&bench, command, &[]);
        fs::write(&other, "").unwrap();
        if is_readable {
            let mut command = Command::new(PYTHON);
            success_of(command.args(["-c", SHIFT, library, "BIO_write"]).arg(&other));
        }
        let _cover = Cover::over(own.clone(), &other);
        let output = success(weir(&["doctor", "--json", "--pid", &server.id()]));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let process = &told["processes"][0];
        assert_eq!(
            (&process["can_be_traced"], &process["knows_clients"]),
            (&true.into(), &is_readable.into())
        );
        let reason = process["reason"].as_str().unwrap();
        assert_eq!(
            reason.starts_with(&format!("{} cannot be read", own.display())),
            !is_readable,
            "{reason}"
        );
        assert_eq!(process["remedy"] == "", is_readable, "{process}");
        let tracing = bench.tracing(&server.id(), &[]);
        tracing.waits_for(1);
        let warned =
            || tracing.log.lock().unwrap().contains("traced without the addresses and the TLS fingerprints");
        eventually("it is told", warned);
        let mut command = Command::new(PYTHON);
        success_of(command.args(["-c", CROWD, &port, "1", "3"]));
        eventually("each request is an event", || tracing.events() == 3);
        for cause in CAUSES {
            // Of each of three connections.
            let expected = if ["address_unheard", "hello_unheard"].contains(&cause) { 3 } else { 0 };
            assert_eq!(tracing.lost(cause), expected, "{cause}");
        }
        tracing.running.stop();
        let [traced, logged] = bench.events();
        assert_eq!((traced.len(), logged.len()), (3, 3));
        for (path, seen) in &traced {
            assert_eq!(seen.account, logged[path].account, "{path}");
        }
        assert!(addresses(&bench.place.data, SourceKind::Uprobe).values().all(Option::is_none));
        let fingerprints = hello::fingerprints(&bench.place.data);
        assert!(fingerprints.values().all(|both| *both == (None, None)), "{fingerprints:?}");
    }
}

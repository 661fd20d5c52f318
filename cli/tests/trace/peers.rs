//! Clients as customers have them: OpenAI's SDK for Python, and Go's net/http by HTTP/1.1. All that servers wrote down of them is
//! what is heard, and their fingerprints are Wireshark's.

use super::*;

/// The interpreter that has LiteLLM, and with it OpenAI's SDK.
const PYTHON_VAR: &str = "WEIR_TEST_LITELLM_PYTHON";

const SDK: &str = include_str!("sdk.py");
const GO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace/client.go");

/// Requests of each client of the SDK, which has two.
const SDK_REQUESTS: usize = 30;

/// Clients of Go's, and requests of each.
const GO_WORKERS: usize = 4;
const GO_REQUESTS: usize = 25;

/// The clients of this machine; in CI it must have all.
struct Clients {
    sdk: Option<PathBuf>,
    go: Option<PathBuf>,
}

impl Clients {
    fn find(directory: &Path) -> Self {
        let is_ci = std::env::var_os("CI").is_some();
        let sdk = std::env::var_os(PYTHON_VAR).map(PathBuf::from);
        assert!(sdk.is_some() || !is_ci, "{PYTHON_VAR} must say which interpreter has OpenAI's SDK");
        let has_go = Command::new("go").arg("version").output().is_ok_and(|output| output.status.success());
        assert!(has_go || !is_ci, "Go must be there");
        let go = has_go.then(|| {
            let program = directory.join("go-client");
            let mut command = Command::new("go");
            success_of(command.args(["build", "-o"]).arg(&program).arg(GO));
            program
        });
        for (name, is_there) in [("OpenAI's SDK", sdk.is_some()), ("Go", go.is_some())] {
            if !is_there {
                eprintln!("not tried: {name}, which `cargo xtask test` installs");
            }
        }
        Self { sdk, go }
    }

    /// Asks by all of them at once, and says how many requests that were.
    fn ask(&self, port: &str) -> usize {
        std::thread::scope(|scope| {
            if let Some(python) = &self.sdk {
                scope.spawn(move || {
                    let mut command = Command::new(python);
                    success_of(command.args(["-c", SDK, port, &SDK_REQUESTS.to_string()]));
                });
            }
            if let Some(program) = &self.go {
                scope.spawn(move || {
                    let mut command = Command::new(program);
                    command.args([port, "h1"]).args([GO_WORKERS, GO_REQUESTS].map(|n| n.to_string()));
                    success_of(&mut command);
                });
            }
        });
        let of_go = GO_WORKERS * GO_REQUESTS;
        usize::from(self.sdk.is_some()) * 2 * SDK_REQUESTS + usize::from(self.go.is_some()) * of_go
    }
}

/// Every fingerprint is that which Wireshark has of the connection, and there is one.
fn fingerprints_are_wiresharks(bench: &Bench, capture: &hello::Capture) {
    let (ports, fingerprints) = (memory::ports(bench), hello::fingerprints(&bench.place.data));
    let (ja3, both) = (capture.ja3(), capture.both());
    for (path, fingerprint) in &fingerprints {
        assert!(fingerprint.0.is_some() && fingerprint.1.is_some(), "{path}");
        assert_eq!(fingerprint.0.as_ref(), ja3.get(&ports[path]), "{path}");
        if let Some(both) = &both {
            assert_eq!(Some(fingerprint), both.get(&ports[path]), "{path}");
        }
    }
}

/// Of a server that writes down all of what it was asked, the order of the headers too.
fn every_request_is_the_event_that_its_log_makes(start: impl Fn(&Bench) -> (Program, String)) {
    let bench = Bench::new();
    let clients = Clients::find(bench.place.directory.path());
    let (server, port) = start(&bench);
    let capture = hello::Capture::start(bench.place.directory.path(), &port);
    let tracing = bench.tracing(&server.id(), &["--tap-ring-bytes", "67108864"]);
    tracing.waits_for(1);
    let all = clients.ask(&port);
    eventually("each request is an event", || tracing.events() == all as u64);
    for cause in memory::CAUSES {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    assert_eq!(tracing.messages("heard"), tracing.messages("handed_on"));
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!((traced.len(), logged.len()), (all, all));
    for (path, seen) in &logged {
        assert_eq!(traced.get(path), Some(seen), "{path}");
    }
    fingerprints_are_wiresharks(&bench, &capture);
}

#[test]
fn requests_of_openais_sdk_and_of_go_to_an_asyncio_server_are_the_events_that_its_log_makes() {
    if can_trace() {
        every_request_is_the_event_that_its_log_makes(memory::asyncio);
    }
}

#[test]
fn and_those_to_a_node_server() {
    if can_trace() {
        every_request_is_the_event_that_its_log_makes(|bench| memory::node(bench, &[]));
    }
}

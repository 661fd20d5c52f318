//! Clients as customers have them: OpenAI's SDK for Python, and Go's net/http by HTTP/1.1 and HTTP/2. All
//! that servers wrote down of them is what is heard, and their fingerprints are Wireshark's.

use super::*;

/// The interpreter that has LiteLLM, and with it OpenAI's SDK.
const PYTHON_VAR: &str = "WEIR_TEST_LITELLM_PYTHON";

const SDK: &str = include_str!("sdk.py");
const GO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace/client.go");

/// Requests of each client of the SDK, which has two.
const SDK_REQUESTS: usize = 30;

/// Those of both that are streamed.
const SDK_STREAMS: usize = 2 * SDK_REQUESTS.div_ceil(4);

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
    fn ask(&self, port: &str, speaks: &[&str]) -> usize {
        std::thread::scope(|scope| {
            if let Some(python) = &self.sdk {
                scope.spawn(move || {
                    let mut command = Command::new(python);
                    success_of(command.args(["-c", SDK, port, &SDK_REQUESTS.to_string()]));
                });
            }
            for how in speaks {
                let Some(program) = &self.go else { continue };
                scope.spawn(move || {
                    let mut command = Command::new(program);
                    success_of(
                        command.args([port, how]).args([GO_WORKERS, GO_REQUESTS].map(|n| n.to_string())),
                    );
                });
            }
        });
        let of_go = speaks.len() * GO_WORKERS * GO_REQUESTS;
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
    let all = clients.ask(&port, &["h1"]);
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

#[test]
fn and_those_to_nginx_where_go_speaks_http_2() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let clients = Clients::find(bench.place.directory.path());
    let (_upstream, upstream_port) = bench.server(false);
    let (nginx, port) = nginx(&bench, &upstream_port, "ssl http2");
    let capture = hello::Capture::start(bench.place.directory.path(), &port);
    let tracing = bench.tracing(&nginx.id(), &["--tap-ring-bytes", "67108864"]);
    tracing.waits_for(3);
    let all = clients.ask(&port, &["h1", "h2"]);
    eventually("each request is an event", || tracing.events() == all as u64);
    for cause in memory::CAUSES.into_iter().filter(|cause| *cause != "response") {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    // OpenAI's SDK closes a connection behind `[DONE]`, and nginx may not have sent the end of the answer by
    // then.
    assert!(tracing.lost("response") <= SDK_STREAMS as u64);
    assert_eq!(tracing.messages("heard"), tracing.messages("handed_on"));
    tracing.running.stop();
    let [traced, logged] = bench.events();
    assert_eq!((traced.len(), logged.len()), (all, all));
    for (path, seen) in &traced {
        let is_http_2 = path.contains("/go-h2-");
        let known = if is_http_2 { without_h2(seen) } else { (seen.clone(), String::new()) };
        assert_eq!(without_heads(&known.0), without_heads(&logged[path]), "{path}");
        // Go sets up its connections so, and in this order it says what it asks for.
        let is_gos = known.1.starts_with("2:0;4:4194304;") && known.1.ends_with("|a,m,p,s");
        assert_eq!(is_http_2, is_gos, "{path}: {}", known.1);
    }
    eventually("nginx wrote down whose port is whose", || memory::ports(&bench).len() == all);
    fingerprints_are_wiresharks(&bench, &capture);
}

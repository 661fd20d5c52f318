//! What a client's hello tells of its program is what Wireshark makes of the same connections.

use super::*;
use std::io::Write as _;

/// Where `npm install` put Wireshark as WebAssembly: Debian's is too old to know JA4.
const MODULES_VAR: &str = "WEIR_TEST_WIRESHARK_MODULES";

const WIRESHARK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace/wireshark.js");

const SLOW: &str = concat!(include_str!("tls.py"), include_str!("slow.py"));
const OLD: &str = include_str!("old.py");
const REUSED: &str = include_str!("reused.py");
const LATE: &str = include_str!("late.py");

/// A client's hello, of another program than any of these.
fn ghost() -> Vec<u8> {
    [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0]].concat()
}

/// JA3 and JA4.
pub(super) type Both = (Option<String>, Option<String>);

/// A capture of a port on the loopback.
pub(super) struct Capture {
    dumpcap: Program,
    file: PathBuf,
}

impl Capture {
    pub(super) fn start(directory: &Path, port: &str) -> Self {
        let (file, said) = (directory.join("capture.pcapng"), directory.join("dumpcap.err"));
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-i", "lo", "-f", &format!("tcp port {port}"), "-w"]).arg(&file);
        command.stderr(fs::File::create(&said).unwrap());
        let dumpcap = Program::start(&mut command);
        // It names its file when it captures.
        eventually("dumpcap captures", || fs::read_to_string(&said).unwrap_or_default().contains("File:"));
        Self { dumpcap, file }
    }

    /// What Debian's Wireshark knows of the hellos: JA3 by the client's port.
    pub(super) fn ja3(&self) -> BTreeMap<String, String> {
        self.hellos().into_iter().collect()
    }

    /// Each hello by itself: the client's port, and JA3.
    fn hellos(&self) -> Vec<(String, String)> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-Y", "tls.handshake.type == 1", "-T", "fields"]);
        command.args(["-e", "tcp.srcport", "-e", "tls.handshake.ja3"]).stderr(Stdio::null());
        let output = command.output().unwrap();
        let line = |line: &str| line.split_once('\t').map(|(port, ja3)| (port.to_owned(), ja3.to_owned()));
        text(&output.stdout).lines().filter_map(line).collect()
    }

    /// What a newer Wireshark knows of them: both by the client's port. None where there is none, which in CI
    /// is a failure.
    pub(super) fn both(&self) -> Option<BTreeMap<String, Both>> {
        let Some(modules) = std::env::var_os(MODULES_VAR) else {
            assert!(std::env::var_os("CI").is_none(), "{MODULES_VAR} must say where Wireshark is");
            eprintln!("JA4 is not held against Wireshark's: `cargo xtask test` installs one that knows it");
            return None;
        };
        let mut command = Command::new("node");
        command.arg(WIRESHARK).arg(modules).arg(&self.file);
        let output = success(command);
        let known = |word: Option<&str>| word.filter(|word| *word != "undefined").map(str::to_owned);
        let line = |line: &str| {
            let mut words = line.split(' ');
            let port = words.next()?.to_owned();
            Some((port, (known(words.next()), known(words.next()))))
        };
        Some(text(&output.stdout).lines().filter_map(line).collect())
    }
}

/// The fingerprints of every event, by its path.
pub(super) fn fingerprints(data: &Path) -> BTreeMap<String, Both> {
    let mut all = BTreeMap::new();
    each(data, SourceKind::Uprobe, |event| {
        let Body::Request(request) = event.body else { panic!("it is a request") };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let both = (owned(request.ja3), owned(request.ja4));
        all.insert(request.endpoint.unwrap_or_default().to_owned(), both);
    });
    all
}

const ASKED: &str =
    r#"{"model":"atlas-h","max_tokens":9,"messages":[{"role":"user","content":"who asks?"}]}"#;

/// Requests by one curl, over one connection.
fn by_curl(how: &[&str], port: &str, host: &str, paths: &[&str]) {
    let mut command = Command::new("curl");
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            command.arg("--next");
        }
        command.args(["--silent", "--show-error", "--insecure", "--output", "/dev/null"]).args(how);
        command.args(["--header", "authorization: Bearer sk-curl", "--data", ASKED]);
        command.arg(format!("https://{host}:{port}{path}"));
    }
    success(command);
}

fn by_wget(port: &str, path: &str) {
    let mut command = Command::new("wget");
    command.args(["--quiet", "--no-check-certificate", "--output-document", "/dev/null"]);
    command.args(["--header", "authorization: Bearer sk-wget", "--post-data", ASKED]);
    command.arg(format!("https://localhost:{port}{path}"));
    success(command);
}

fn by_node(port: &str, path: &str) {
    let script = "const [url, body] = process.argv.slice(1);\n\
         fetch(url, { method: 'POST', body, headers: { authorization: 'Bearer sk-node' } })\n\
         .then((answer) => answer.text()).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });";
    let mut command = Command::new("node");
    command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    command.args(["-e", script, &format!("https://127.0.0.1:{port}{path}"), ASKED]);
    success(command);
}

fn by_python(port: &str, path: &str, [record_bytes, write_bytes, hello_bytes]: [usize; 3]) {
    let mut command = Command::new(PYTHON);
    command.args(["-c", SLOW, port, path]);
    command.args([record_bytes, write_bytes, hello_bytes].map(|bytes| bytes.to_string()));
    success(command);
}

/// Asks as many clients do, and says for which paths.
fn all_clients(port: &str, has_http_2: bool) -> Vec<&'static str> {
    by_curl(&["--http1.1"], port, "localhost", &["/curl/1", "/curl/2", "/curl/3"]);
    by_curl(&["--http1.1", "--tls-max", "1.2"], port, "127.0.0.1", &["/curl/old"]);
    by_curl(
        &["--http1.1", "--no-alpn", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"],
        port,
        "127.0.0.1",
        &["/curl/bare"],
    );
    by_wget(port, "/wget");
    by_node(port, "/node");
    by_python(port, "/python/whole", [16_384, 16_384, 0]);
    by_python(port, "/python/bytes", [16_384, 7, 0]);
    by_python(port, "/python/records", [100, 16_384, 0]);
    by_python(port, "/python/both", [61, 13, 0]);
    by_python(port, "/python/large", [16_384, 16_384, 4_096]);
    let mut paths = vec![
        "/curl/1",
        "/curl/2",
        "/curl/3",
        "/curl/old",
        "/curl/bare",
        "/wget",
        "/node",
        "/python/whole",
        "/python/bytes",
        "/python/records",
        "/python/both",
        "/python/large",
    ];
    if has_http_2 {
        by_curl(&["--http2"], port, "localhost", &["/curl/h2/1", "/curl/h2/2"]);
        paths.extend(["/curl/h2/1", "/curl/h2/2"]);
    }
    paths
}

/// How many connections it takes: some ask twice or thrice over one.
const CONNECTIONS: usize = 10;

#[test]
fn ja3_and_ja4_of_nginxs_clients_are_those_that_wireshark_has_of_the_same_connections() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (_upstream, upstream_port) = bench.server(false);
    let listens = "ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519";
    let (nginx, port) = nginx(&bench, &upstream_port, listens);
    let capture = Capture::start(bench.place.directory.path(), &port);
    let tracing = bench.tracing(&nginx.id(), &[]);
    tracing.waits_for(3);
    let mut paths = all_clients(&port, true);
    // The client's key is for a curve that the server does not take: it is asked for another hello.
    by_curl(&["--http1.1", "--curves", "P-384:X25519"], &port, "localhost", &["/curl/retry"]);
    paths.push("/curl/retry");
    eventually("each is an event", || tracing.events() == paths.len() as u64);
    for cause in
        ["hello_unheard", "hello_unread", "tap_hello_full", "tap_hello_unreadable", "tap_hello_other"]
    {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    // HTTP/2's, and the two of whom another one is asked of.
    eventually("every hello is captured", || capture.hellos().len() == CONNECTIONS + 3);
    let (ja3, both, hellos) = (capture.ja3(), capture.both(), capture.hellos());
    drop(capture.dumpcap);
    tracing.running.stop();

    let traced = fingerprints(&bench.place.data);
    assert_eq!(traced.len(), paths.len());
    let ports = || fs::read_to_string(bench.place.directory.path().join("ports")).unwrap_or_default();
    eventually("nginx wrote down whose port is whose", || ports().lines().count() == paths.len());
    let ports = ports();
    let ports: BTreeMap<&str, &str> =
        ports.lines().filter_map(|line| line.split_once(' ')).map(|(port, path)| (path, port)).collect();
    for path in &paths {
        let client = ports[path];
        let (has_ja3, has_ja4) = &traced[*path];
        assert_eq!(has_ja3.as_ref(), ja3.get(client), "{path}");
        let Some(both) = &both else { continue };
        assert_eq!(Some(&(has_ja3.clone(), has_ja4.clone())), both.get(client), "{path}");
    }
    let of_retry = hellos.iter().filter(|(port, _)| port == ports["/curl/retry"]);
    assert_eq!(of_retry.count(), 2, "{hellos:?}");
    // That they were told apart is told by themselves.
    let begins = |path: &str, ja4: &str| {
        let (_, has) = &traced[path];
        assert!(has.as_ref().is_some_and(|has| has.starts_with(ja4)), "{path} has {has:?}");
    };
    begins("/curl/1", "t13d");
    begins("/curl/old", "t12i");
    assert!(traced["/curl/bare"].1.as_ref().unwrap()[8..].starts_with("00_"), "{traced:?}");
    assert!(traced["/curl/h2/1"].1.as_ref().unwrap()[8..].starts_with("h2_"), "{traced:?}");
    assert!(traced["/wget"].0 != traced["/node"].0 && traced["/node"].0 != traced["/curl/1"].0);
    for path in ["/python/bytes", "/python/records", "/python/both"] {
        assert_eq!(traced[path], traced["/python/whole"], "{path}: it is the same program");
    }
    assert_eq!(traced["/curl/1"], traced["/curl/3"], "a connection has one hello");
}

#[test]
fn ja3_and_ja4_of_a_python_servers_clients_are_wiresharks_and_of_older_connections_they_are_unknown_and_counted()
 {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    let capture = Capture::start(bench.place.directory.path(), &port);
    let mut command = Command::new(PYTHON);
    command
        .args(["-c", OLD, &port, "/old/1", "/old/2", "/old/3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut old = Program(command.spawn().unwrap());
    let mut said = BufReader::new(old.0.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "/old/1");
    let tracing = bench.tracing(&server.id(), &[]);
    tracing.waits_for(1);
    for path in ["/old/2", "/old/3"] {
        old.0.stdin.as_mut().unwrap().write_all(b"go on\n").unwrap();
        assert_eq!(said.next().unwrap().unwrap(), path);
    }
    let paths = all_clients(&port, false);
    // The read that waited for /old/2 had begun before there was a probe.
    eventually("each is an event", || tracing.events() + tracing.lost("orphan") == paths.len() as u64 + 2);
    assert_eq!(tracing.lost("hello_unheard"), 1, "the connection that is older");
    for cause in ["hello_unread", "tap_hello_full", "tap_hello_unreadable", "tap_hello_other"] {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    eventually("every hello is captured", || capture.ja3().len() == CONNECTIONS + 1);
    let (ja3, both) = (capture.ja3(), capture.both());
    drop(capture.dumpcap);
    tracing.running.stop();

    let traced = fingerprints(&bench.place.data);
    assert_eq!(traced["/old/3"], (None, None));
    // The server does not say whose port is whose: the clients came one after the other, each from a port of
    // its own.
    let has = |path: &str| traced[path].0.clone().unwrap();
    let of_clients: std::collections::BTreeSet<String> = paths.iter().map(|path| has(path)).collect();
    let mut of_wireshark: std::collections::BTreeSet<String> = ja3.values().cloned().collect();
    let old_ja3 = of_wireshark.iter().find(|ja3| !of_clients.contains(*ja3)).cloned().unwrap();
    of_wireshark.remove(&old_ja3);
    assert_eq!(of_clients, of_wireshark);
    if let Some(both) = both {
        let mut of_wireshark: std::collections::BTreeSet<Both> = both.values().cloned().collect();
        of_wireshark.retain(|(ja3, _)| ja3.as_ref() != Some(&old_ja3));
        assert_eq!(
            paths.iter().map(|path| traced[*path].clone()).collect::<std::collections::BTreeSet<_>>(),
            of_wireshark
        );
    }
}

#[test]
fn behind_a_proxy_no_hello_is_taken() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let (server, port) = bench.server(true);
    let tracing = bench.tracing(&server.id(), &["--trace-behind-proxy", "true"]);
    tracing.waits_for(1);
    by_curl(&["--http1.1"], &port, "localhost", &["/curl/1", "/curl/2"]);
    eventually("each is an event", || tracing.events() == 2);
    assert_eq!(tracing.lost("hello_unheard"), 1, "it is one connection");
    tracing.running.stop();
    let traced = fingerprints(&bench.place.data);
    assert_eq!(traced.into_values().collect::<Vec<_>>(), [(None, None), (None, None)]);
}

#[test]
fn whose_hello_it_is_is_known_where_an_ssl_and_its_descriptor_are_used_again() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let mut command = Command::new(PYTHON);
    command.args(["-c", REUSED]).arg(&bench.certificate).arg(&bench.key).arg(bench.place.directory.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Program(command.spawn().unwrap());
    let mut said = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let port = said.next().unwrap().unwrap();
    let tracing = bench.tracing(&server.id(), &[]);
    tracing.waits_for(1);
    server.0.stdin.as_mut().unwrap().write_all(b"go on\n").unwrap();
    // One is gone behind its hello, which is another program's; of the next the descriptor is closed, and a
    // file is read by it.
    let address = format!("127.0.0.1:{port}");
    let mut gone = std::net::TcpStream::connect(&address).unwrap();
    gone.write_all(&ghost()).unwrap();
    drop(gone);
    assert_eq!(said.next().unwrap().unwrap(), "gone");
    let closed = std::net::TcpStream::connect(&address).unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "closed");
    drop(closed);
    by_curl(&["--http1.1"], &port, "localhost", &["/curl/1"]);
    eventually("it is an event", || tracing.events() == 1);
    assert_eq!(tracing.lost("tap_hello_other"), 0, "a file is no hello");
    assert_eq!((tracing.lost("hello_unheard"), tracing.lost("hello_unread")), (0, 0));
    tracing.running.stop();
    let traced = fingerprints(&bench.place.data);
    let ja4 = traced["/curl/1"].1.as_deref().unwrap();
    assert!(ja4.starts_with("t13d"), "{ja4} is that of the one that is gone");
}

#[test]
fn what_a_read_brings_late_is_not_of_the_connection_that_has_its_descriptor_by_then() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let mut command = Command::new(PYTHON);
    command.args(["-c", LATE]).arg(&bench.certificate).arg(&bench.key);
    let mut server = Program(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let port = said.next().unwrap().unwrap();
    let tracing = bench.tracing(&server.id(), &[]);
    tracing.waits_for(1);
    server.0.stdin.as_mut().unwrap().write_all(b"go on\n").unwrap();
    let mut late = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| by_curl(&["--http1.1"], &port, "localhost", &["/curl/1"]));
        assert_eq!(said.next().unwrap().unwrap(), "accepted");
        late.write_all(&ghost()).unwrap();
    });
    eventually("it is an event", || tracing.events() == 1);
    for cause in memory::CAUSES {
        assert_eq!(tracing.lost(cause), 0, "{cause}");
    }
    tracing.running.stop();
    let traced = fingerprints(&bench.place.data);
    let ja4 = traced["/curl/1"].1.as_deref().unwrap();
    assert!(ja4.starts_with("t13d"), "{ja4} is that of the one that came late");
}

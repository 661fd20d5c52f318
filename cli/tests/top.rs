//! `weir top`: what it says where there is nothing to watch.

#![allow(clippy::unwrap_used)]

mod common;

use common::{text, weir};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// What it says on standard error, and that it fails and prints nothing.
fn refused(arguments: &[&str]) -> String {
    let output = weir(&[&["top", "--once"], arguments].concat()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    said
}

#[test]
fn where_nobody_serves_metrics_it_says_what_to_start() {
    let said = refused(&[]);
    assert!(said.contains("metrics_addr is not set: say where the process serves its metrics"), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let said = refused(&["--metrics-addr", &address]);
    assert!(said.contains(&format!("nothing answers at {address}")), "{said}");
    assert!(
        said.contains(&format!("start `weir collect` or `weir run` with --metrics-addr {address}")),
        "{said}"
    );
    let said = refused(&["--metrics-addr", "no address", "--json"]);
    assert!(said.starts_with("weir: nothing answers at no address"), "{said}");
}

#[test]
fn what_is_no_weir_is_not_taken_for_one() {
    let answers = [
        ("404 Not Found", "gone\n", "it answers /metrics with 404"),
        ("200 OK", "<html>hello</html>\n", "it serves no metrics"),
        ("200 OK", "up 1\n# EOF\n", "weir_collector_probe_runs_total is not among its metrics"),
    ];
    for (status, body, reason) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).unwrap();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        });
        let said = refused(&["--metrics-addr", &address]);
        server.join().unwrap();
        assert!(said.contains(reason) && said.contains(&address), "{said}");
    }
}

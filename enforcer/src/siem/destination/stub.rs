//! A server of HTTP for tests of destinations.

#![allow(clippy::unwrap_used)] // A test may fail loudly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Serves at the address that this gives. Each request, its head and its body, is answered with a status and
/// a body, or the connection ends.
pub(super) fn answering(
    answer: impl Fn(String, Vec<u8>) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some((head, body)) = request(&mut stream) {
                    let Some((status, body)) = answer(head, body) else { return };
                    let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).unwrap();
                }
            });
        }
    });
    url
}

fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.expect("its length is told")];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

//! Questions to a broker, written by hand; among them whether it really answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(2);
/// What every request is told apart by; there is one at a time.
const CORRELATION: i32 = 7;
/// An answer that lists one broker and no topics has some 60 bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Whether the broker on this loopback port knows of itself, which is when clients can work.
pub fn answers(port: u16) -> bool {
    ask(port, &metadata()).is_ok_and(|answer| lists_a_broker(&answer))
}

/// What the broker on this loopback port answers, without the length before it.
///
/// # Errors
/// When it does not answer.
pub fn ask(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.write_all(request)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(0).min(ANSWER_BYTES_MAX);
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Metadata, version 1, of no topic.
fn metadata() -> Vec<u8> {
    let mut body = headed(3, 1);
    body.extend_from_slice(&0_i32.to_be_bytes());
    framed(body)
}

/// The beginning of a request of this kind.
pub fn headed(api_key: i16, version: i16) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&api_key.to_be_bytes());
    body.extend_from_slice(&version.to_be_bytes());
    body.extend_from_slice(&CORRELATION.to_be_bytes());
    body.extend_from_slice(&5_i16.to_be_bytes());
    body.extend_from_slice(b"xtask");
    body
}

/// A request behind its length.
pub fn framed(mut body: Vec<u8>) -> Vec<u8> {
    let mut request = u32::try_from(body.len()).unwrap_or(0).to_be_bytes().to_vec();
    request.append(&mut body);
    request
}

/// The answer begins with the correlation id and the number of brokers.
fn lists_a_broker(answer: &[u8]) -> bool {
    let number = |at: usize| Some(i32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    number(0) == Some(CORRELATION) && number(4).is_some_and(|brokers| brokers > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_request_is_metadata_version_1() {
        expect!["[0, 0, 0, 19, 0, 3, 0, 1, 0, 0, 0, 7, 0, 5, 120, 116, 97, 115, 107, 0, 0, 0, 0]"]
            .assert_eq(&format!("{:?}", metadata()));
    }

    #[test]
    fn only_an_answer_with_a_broker_counts() {
        assert!(lists_a_broker(&[0, 0, 0, 7, 0, 0, 0, 1, 0]));
        assert!(!lists_a_broker(&[0, 0, 0, 7, 0, 0, 0, 0, 0]), "no broker is registered yet");
        assert!(!lists_a_broker(&[0, 0, 0, 8, 0, 0, 0, 1, 0]), "another program's answer");
        assert!(!lists_a_broker(b"HTTP"), "too short");
    }
}

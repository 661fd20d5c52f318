//! Syslog over TCP (RFC 6587, octet-counted) or TLS (RFC 5425).
//!
//! Syslog has no answers: what was written to a socket may still be lost with the receiver. So a batch has a
//! connection of its own, and counts as taken when the receiver has closed it after us: it closes when it has
//! read to the end, and a connection that it gives up with something unread breaks instead, a round trip
//! later. Over TLS its `close_notify` is waited for.

use super::tls::Authorities;
use super::{Delivery, Destination, DestinationKind, Failure, RetryCause};
use crate::siem::format::{Format, syslog};
use crate::siem::notice::Notice;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what breaks a connection may at least be under way from a receiver that closed before it read.
const RESET_WAIT: Duration = Duration::from_millis(200);

/// A receiver.
pub struct SyslogDestination {
    /// Host and port.
    address: String,
    /// How it proves who it is, and the name that it has to prove; none for plain TCP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    format: Format,
    host: String,
    wait: Duration,
}

impl SyslogDestination {
    /// The receiver at `address` (`host:port`), over TLS where there are authorities. Messages come from
    /// `host`. Nothing may take longer than `wait`.
    ///
    /// # Errors
    /// When the address has no name that a certificate could have, or the authorities cannot be used.
    pub fn new(
        address: &str,
        authorities: Option<&Authorities>,
        format: Format,
        host: &str,
        wait: Duration,
    ) -> io::Result<Self> {
        let tls = authorities.map(|authorities| secured(address, authorities)).transpose()?;
        Ok(Self { address: address.to_owned(), tls, format, host: host.to_owned(), wait })
    }

    fn connect(&self) -> io::Result<Bounded> {
        let until = Instant::now() + self.wait;
        let mut failed = io::Error::new(ErrorKind::NotFound, "its name stands for no address");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, self.wait) {
                Ok(stream) => return Ok(Bounded { stream, until }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn send(&self, messages: &[u8]) -> io::Result<()> {
        let began = Instant::now();
        let mut stream = self.connect()?;
        let trip = began.elapsed();
        let closed = match &self.tls {
            None => {
                stream.write_all(messages)?;
                stream.stream.shutdown(Shutdown::Write)?;
                until_closed(&mut stream)?;
                stream
            }
            Some((config, name)) => {
                let client = ClientConnection::new(config.clone(), name.clone());
                let mut secured = StreamOwned::new(client.map_err(io::Error::other)?, stream);
                secured.write_all(messages)?;
                secured.conn.send_close_notify();
                secured.flush()?;
                until_closed(&mut secured)?;
                secured.into_parts().1
            }
        };
        std::thread::sleep((trip * 4).max(RESET_WAIT).min(self.wait));
        closed.stream.take_error()?.map_or(Ok(()), Err)
    }
}

/// A connection that ends at a moment, however slowly it takes or however much it says.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Waits until the receiver has closed the connection. What it says before is of no interest.
fn until_closed(stream: &mut impl Read) -> io::Result<()> {
    let mut buffer = [0; 512];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn secured(address: &str, authorities: &Authorities) -> io::Result<(Arc<ClientConfig>, ServerName<'static>)> {
    let invalid = |reason: String| io::Error::new(ErrorKind::InvalidInput, reason);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|error| invalid(error.to_string()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .with_root_certificates(authorities.store())
        .with_no_client_auth();
    Ok((Arc::new(config), name))
}

impl Destination for SyslogDestination {
    fn kind(&self) -> DestinationKind {
        DestinationKind::Syslog
    }

    fn deliver(&mut self, notices: &[Notice]) -> Delivery {
        let mut messages = Vec::new();
        for notice in notices {
            let (mut line, mut message) = (Vec::new(), Vec::new());
            self.format.write(notice, &mut line);
            syslog::write(notice, &self.host, &line, &mut message);
            messages.extend_from_slice(format!("{} ", message.len()).as_bytes());
            messages.append(&mut message);
        }
        match self.send(&messages) {
            Ok(()) => Delivery::taken(notices.len()),
            Err(error) => {
                let cause = match error.kind() {
                    ErrorKind::TimedOut | ErrorKind::WouldBlock => RetryCause::Silent,
                    ErrorKind::InvalidData => RetryCause::Denied,
                    _ => RetryCause::Unreachable,
                };
                let reason = format!("{} did not take and close: {error}", self.address);
                Delivery::left(notices.len(), Failure::new(cause, reason))
            }
        }
    }
}

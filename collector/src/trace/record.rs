//! An exchange as a record, which the reader of formats reads like any other: one place knows what a body is.

use super::exchange::{Exchange, ReplyBody};
use super::fingerprint::Fingerprint;
use super::hello::Hello;
use super::loss::{Loss, Losses};
use crate::json::write_text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;
use weir_schemas::AccountId;

/// The format of these records.
pub(super) const FORMAT: &str = include_str!("record.toml");

/// What else is known of the connection.
#[derive(Default)]
pub(crate) struct Surroundings {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) hello: Hello,
    pub(crate) carried: Carried,
}

/// Whose exchanges a connection carried.
#[derive(Default, PartialEq, Eq)]
pub(crate) enum Carried {
    #[default]
    Nobodys,
    Ones(AccountId),
    /// Somebody in between speaks for several accounts.
    Severals,
}

impl Surroundings {
    /// The fingerprints of the program that an account's exchanges come from; none of who speaks for several.
    pub(crate) fn fingerprint(&self) -> Option<&Fingerprint> {
        self.hello.fingerprint().filter(|_| self.carried != Carried::Severals)
    }

    /// Notes whose an exchange is. With a key that was refused it is nobody's.
    pub(crate) fn carry(&mut self, exchange: &Exchange, losses: &mut Losses) {
        let Some(hidden) = &exchange.who else { return };
        if exchange.reply.as_ref().is_some_and(|reply| reply.status == 401) {
            return;
        }
        match self.carried {
            Carried::Nobodys => self.carried = Carried::Ones(hidden.account),
            Carried::Ones(account) if account != hidden.account => {
                self.carried = Carried::Severals;
                losses.add(Loss::HelloShared, u64::from(self.hello.fingerprint().is_some()));
            }
            Carried::Ones(_) | Carried::Severals => {}
        }
    }
}

/// Writes the record of an exchange. In the place of the account stands its pseudonym.
pub(super) fn write(
    exchange: Exchange,
    pseudonym: &str,
    surroundings: &Surroundings,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) {
    out.clear();
    text(out, "{\"account\":", pseudonym.as_bytes());
    number(out, ",\"time\":", exchange.began_ms);
    if let Some(peer) = surroundings.peer {
        text(out, ",\"ip\":", peer.to_string().as_bytes());
    }
    text(out, ",\"endpoint\":", &exchange.target);
    text(out, ",\"user_agent\":", &exchange.user_agent);
    if !exchange.h2.is_empty() {
        text(out, ",\"h2\":", exchange.h2.as_bytes());
    }
    if let Some(fingerprint) = surroundings.fingerprint() {
        text(out, ",\"ja3\":", fingerprint.ja3.as_bytes());
        text(out, ",\"ja4\":", fingerprint.ja4.as_bytes());
    }
    out.extend_from_slice(b",\"header_order\":[");
    for (index, name) in exchange.headers.iter().enumerate() {
        text(out, if index > 0 { "," } else { "" }, name);
    }
    out.push(b']');
    body(out, ",\"body\":", &exchange.body);
    if let Some(reply) = exchange.reply {
        number(out, ",\"status\":", i64::from(reply.status));
        number(out, ",\"bytes_sent\":", i64::try_from(reply.bytes).unwrap_or(i64::MAX));
        if let Some(ended_ms) = reply.ended_ms {
            number(out, ",\"latency_ms\":", ended_ms.saturating_sub(exchange.began_ms).max(0));
        }
        match reply.body {
            ReplyBody::Plain(bytes, _) => body(out, ",\"response\":", &bytes),
            ReplyBody::Events(events) => {
                let (bytes, dropped) = events.finish();
                losses.add(Loss::BodyBytes, dropped);
                body(out, ",\"response\":", &bytes);
            }
            ReplyBody::Unkept => {}
        }
    }
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    write_text(out, value);
}

fn number(out: &mut Vec<u8>, key: &str, number: i64) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(number.to_string().as_bytes());
}

/// A body that is compressed is written in base64, which the reader unpacks.
fn body(out: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    match bytes {
        [] => {}
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => text(out, key, STANDARD.encode(bytes).as_bytes()),
        _ => text(out, key, bytes),
    }
}

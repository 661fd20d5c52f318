//! Envoy's JSON access log.

use super::fields::{Fields, Key, parse_address};
use crate::exchange::Exchange;
use crate::refusal::Refusal;
use std::net::IpAddr;

pub(super) fn read<'f>(fields: &'f Fields<'_>) -> Result<Exchange<'f>, Refusal> {
    let account = fields.account(&[Key::XAccountId, Key::Authorization])?;
    let mut exchange = Exchange::new(account, fields.time_ms(&[Key::StartTime])?);
    exchange.request_id = fields.id(Key::RequestId)?;
    exchange.address = match fields.address(Key::DownstreamRemoteAddress)? {
        Some(address) => Some(address),
        None => last_forwarded(fields)?,
    };
    exchange.user_agent = fields.text(Key::UserAgent)?;
    exchange.endpoint = fields.text(Key::Path)?;
    exchange.model = fields.text(Key::XModel)?.map(Into::into);
    exchange.status = fields.status(Key::ResponseCode)?;
    exchange.latency_ms = fields.count(Key::Duration)?;
    exchange.response_bytes = fields.count(Key::BytesSent)?;
    exchange.org = fields.id(Key::XOrg)?;
    exchange.payment = fields.id(Key::XPayment)?;
    exchange.ja3 = fields.text(Key::TlsJa3)?;
    exchange.ja4 = fields.text(Key::TlsJa4)?;
    Ok(exchange)
}

/// The entry that the nearest proxy wrote. The header is the client's claim, so what is no address
/// is not known rather than refused.
fn last_forwarded(fields: &Fields<'_>) -> Result<Option<IpAddr>, Refusal> {
    let entries = fields.text(Key::XForwardedFor)?;
    Ok(entries.and_then(|entries| entries.rsplit(',').next()).and_then(|entry| parse_address(entry.trim())))
}

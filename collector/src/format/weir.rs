//! Weir's own JSON lines.

use super::fields::{Fields, Key};
use crate::exchange::Exchange;
use crate::refusal::Refusal;

pub(super) fn read<'f>(fields: &'f Fields<'_>) -> Result<Exchange<'f>, Refusal> {
    let account = fields.account(&[Key::Account])?;
    let mut exchange = Exchange::new(account, fields.time_ms(&[Key::Time])?);
    exchange.request_id = fields.id(Key::Id)?;
    exchange.tenant = fields.text(Key::Tenant)?;
    exchange.address = fields.address(Key::Ip)?;
    exchange.user_agent = fields.text(Key::UserAgent)?;
    exchange.endpoint = fields.text(Key::Endpoint)?;
    exchange.model = fields.text(Key::Model)?.map(Into::into);
    exchange.prompt = fields.prose(Key::Prompt)?;
    exchange.system_prompt = fields.prose(Key::SystemPrompt)?;
    exchange.max_tokens = fields.count(Key::MaxTokens)?;
    exchange.prompt_tokens = fields.count(Key::Tokens)?;
    exchange.status = fields.status(Key::Status)?;
    exchange.latency_ms = fields.count(Key::LatencyMs)?;
    exchange.org = fields.id(Key::Org)?;
    exchange.payment = fields.id(Key::Payment)?;
    exchange.country = fields.text(Key::Country)?;
    exchange.asn = fields.asn(Key::Asn)?;
    exchange.asn_org = fields.text(Key::AsnOrg)?;
    exchange.ja3 = fields.text(Key::Ja3)?;
    exchange.ja4 = fields.text(Key::Ja4)?;
    exchange.h2 = fields.text(Key::H2)?;
    exchange.headers = fields.headers(Key::HeaderOrder)?;
    exchange.label = fields.text(Key::Label)?;
    exchange.population = fields.text(Key::Population)?;
    Ok(exchange)
}

//! The field names of Glasswally's events.

use super::fields::{Fields, Key};
use crate::exchange::Exchange;
use crate::refusal::Refusal;

pub(super) fn read<'f>(fields: &'f Fields<'_>) -> Result<Exchange<'f>, Refusal> {
    let account = fields.account(&[Key::AccountId])?;
    let mut exchange = Exchange::new(account, fields.time_ms(&[Key::Timestamp, Key::Ts])?);
    exchange.request_id = fields.id(Key::RequestId)?;
    exchange.address = fields.address(Key::ClientIp)?;
    if exchange.address.is_none() {
        exchange.address = fields.address(Key::IpAddress)?;
    }
    exchange.user_agent = fields.text(Key::UserAgent)?;
    exchange.model = fields.text(Key::Model)?.map(Into::into);
    exchange.prompt = fields.prose(Key::Prompt)?;
    exchange.system_prompt = fields.prose(Key::SystemPrompt)?;
    exchange.system_prompt_hash = fields.id(Key::SystemPromptHash)?;
    exchange.prompt_tokens = fields.count(Key::TokenCount)?;
    exchange.max_tokens = fields.count(Key::MaxTokens)?;
    exchange.payment = fields.id(Key::PaymentMethodHash)?;
    exchange.org = fields.id(Key::OrgId)?;
    exchange.country = fields.text(Key::CountryCode)?;
    exchange.asn = fields.asn(Key::AsnNumber)?;
    exchange.asn_org = fields.text(Key::AsnOrg)?;
    exchange.ja3 = fields.text(Key::Ja3Hash)?;
    exchange.ja3s = fields.text(Key::Ja3sHash)?;
    exchange.ja4 = fields.text(Key::Ja4)?;
    exchange.h2 = match fields.text(Key::H2SettingsFp)? {
        Some(fingerprint) => Some(fingerprint),
        None => fields.fingerprint(Key::H2Settings)?,
    };
    exchange.headers = fields.headers(Key::HeaderOrder)?;
    exchange.label = fields.text(Key::CampaignLabel)?;
    exchange.population = fields.text(Key::Population)?;
    Ok(exchange)
}

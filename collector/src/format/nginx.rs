//! nginx's formats: `weir_rich`, and the `weir_basic` of gateways that put what they know into
//! headers.

use super::chat;
use super::fields::{Fields, Key};
use super::glasswally;
use crate::exchange::Exchange;
use crate::refusal::Refusal;

pub(super) fn read_rich<'f>(fields: &'f Fields<'_>) -> Result<Exchange<'f>, Refusal> {
    let account = fields.account(&[Key::Account])?;
    let mut exchange = Exchange::new(account, fields.time_ms(&[Key::Time])?);
    exchange.latency_ms = fields.seconds_ms(Key::RequestTime)?;
    exchange.request_id = fields.id(Key::RequestId)?;
    exchange.address = fields.address(Key::Ip)?;
    exchange.user_agent = fields.text(Key::UserAgent)?;
    exchange.endpoint = fields.text(Key::Uri)?;
    exchange.prompt_tokens = fields.count(Key::PromptTokens)?;
    exchange.completion_tokens = fields.count(Key::CompletionTokens)?;
    exchange.response_bytes = fields.count(Key::BytesSent)?;
    exchange.status = fields.status(Key::Status)?;
    exchange.refused = matches!(fields.text(Key::FinishReason)?, Some("content_filter" | "refusal"));
    exchange.org = fields.id(Key::Org)?;
    exchange.payment = fields.id(Key::Payment)?;
    exchange.country = fields.text(Key::Country)?;
    exchange.asn = fields.asn(Key::Asn)?;
    exchange.asn_org = fields.text(Key::AsnOrg)?;
    exchange.ja3 = fields.text(Key::Ja3)?;
    exchange.ja4 = fields.text(Key::Ja4)?;
    exchange.headers = fields.headers(Key::HeaderOrder)?;
    exchange.label = fields.text(Key::CampaignLabel)?;
    exchange.population = fields.text(Key::Population)?;
    exchange.prompt = fields.prose(Key::RequestBody)?;
    take_apart(&mut exchange);
    if exchange.model.is_none() {
        exchange.model = fields.text(Key::ResponseModel)?.map(Into::into);
    }
    Ok(exchange)
}

/// It has Glasswally's field names, and a prompt that is the whole body.
pub(super) fn read_basic<'f>(fields: &'f Fields<'_>) -> Result<Exchange<'f>, Refusal> {
    let mut exchange = glasswally::read(fields)?;
    exchange.latency_ms = fields.seconds_ms(Key::RequestTime)?;
    take_apart(&mut exchange);
    Ok(exchange)
}

/// Replaces a prompt that is a chat request by what the request says; any other stays as it is.
/// Bodies are the client's own words: nothing in them may refuse the line.
fn take_apart(exchange: &mut Exchange<'_>) {
    let Some(body) = exchange.prompt.take() else { return };
    match chat::read(&body) {
        None => exchange.prompt = Some(body),
        Some(chat) => {
            exchange.prompt = chat.prompt.map(Into::into);
            exchange.system_prompt = chat.system.map(Into::into).or(exchange.system_prompt.take());
            exchange.model = exchange.model.take().or(chat.model.map(Into::into));
            exchange.max_tokens = exchange.max_tokens.or(chat.max_tokens);
        }
    }
}

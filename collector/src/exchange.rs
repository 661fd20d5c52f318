//! One request and its end, as a log line tells of them: the one thing that every format becomes.

use crate::field::{Field, FieldSet};
use std::borrow::Cow;
use std::net::IpAddr;
use weir_schemas::{FinishReason, ResponseFormat};

/// What a line says, borrowed from it. It holds raw ids and text, so it cannot be printed.
///
/// Absent means not known; it never means zero.
#[derive(Clone, Default)]
pub struct Exchange<'f> {
    /// What the source calls the exchange; a client may have chosen it.
    pub request_id: Option<Cow<'f, str>>,
    /// When the request was made, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Whose traffic it is, where the line says so.
    pub tenant: Option<Cow<'f, str>>,
    /// Raw account id or API key, without its authentication scheme; never empty.
    pub account: Cow<'f, str>,
    /// The gateway refused the key that the client sent, which is the only word for whose request it was: it
    /// is nobody's.
    pub is_unowned: bool,
    /// The client.
    pub address: Option<IpAddr>,
    /// User-Agent header.
    pub user_agent: Option<Cow<'f, str>>,
    /// Path, possibly with its query.
    pub endpoint: Option<Cow<'f, str>>,
    /// Model that was asked for.
    pub model: Option<Cow<'f, str>>,
    /// Last message of the user.
    pub prompt: Option<Cow<'f, str>>,
    /// What the user said before that, where it is too short to ask anything by itself.
    pub prompt_before: Option<Cow<'f, str>>,
    /// Bytes of the prompt that were left out because the line is too long.
    pub prompt_bytes_cut: u64,
    /// System prompt.
    pub system_prompt: Option<Cow<'f, str>>,
    /// Hash of the system prompt, where the source has only that.
    pub system_prompt_hash: Option<Cow<'f, str>>,
    /// Tokens of the request, or of the exchange where the source does not tell them apart.
    pub prompt_tokens: Option<i64>,
    /// Upper bound of the answer that the client asked for, in tokens.
    pub max_tokens: Option<i64>,
    /// Messages of the user in the conversation.
    pub turns: Option<i32>,
    /// Tools that the request offers.
    pub tools_offered: Option<i32>,
    /// Calls of tools in the conversation.
    pub tools_called: Option<i32>,
    /// Sampling temperature in thousandths.
    pub temperature_permille: Option<i32>,
    /// Answers that the client asked for.
    pub candidates: Option<i32>,
    /// Whether the client asked for probabilities.
    pub logprobs: Option<bool>,
    /// What the answer shall be.
    pub response_format: Option<ResponseFormat>,
    /// Whether the client asked for the answer in pieces.
    pub stream: Option<bool>,
    /// HTTP status.
    pub status: Option<i32>,
    /// From request to the end of the response, in milliseconds.
    pub latency_ms: Option<i64>,
    /// Tokens of the answer.
    pub completion_tokens: Option<i64>,
    /// Size of the response, in bytes.
    pub response_bytes: Option<i64>,
    /// The model declined to answer.
    pub refused: bool,
    /// Why the model stopped.
    pub finish_reason: Option<FinishReason>,
    /// Calls of tools in the answer.
    pub tool_calls: Option<i32>,
    /// Customer organisation.
    pub org: Option<Cow<'f, str>>,
    /// Payment method, as the source names it.
    pub payment: Option<Cow<'f, str>>,
    /// Country of the client.
    pub country: Option<Cow<'f, str>>,
    /// Autonomous system number.
    pub asn: Option<i64>,
    /// Organisation of that autonomous system.
    pub asn_org: Option<Cow<'f, str>>,
    /// JA3 of the client.
    pub ja3: Option<Cow<'f, str>>,
    /// JA3S of the server.
    pub ja3s: Option<Cow<'f, str>>,
    /// JA4 of the client.
    pub ja4: Option<Cow<'f, str>>,
    /// Fingerprint of the HTTP/2 settings.
    pub h2: Option<Cow<'f, str>>,
    /// Header names in their order.
    pub headers: Option<HeaderNames<'f>>,
    /// Ground truth for evaluation; for the record's header only.
    pub label: Option<Cow<'f, str>>,
    /// Population, for evaluation; treated like the label.
    pub population: Option<Cow<'f, str>>,
    /// Fields that are there and of no use: malformed, out of range, or of another type.
    pub unknown: FieldSet,
}

/// Header names in their order, as a source writes them.
#[derive(Clone)]
pub enum HeaderNames<'f> {
    /// Joined by commas.
    Joined(Cow<'f, str>),
    /// One by one.
    List(Vec<Cow<'f, str>>),
}

impl<'f> Exchange<'f> {
    /// An exchange of which only the required is known.
    pub fn new(account: Cow<'f, str>, time_ms: i64) -> Self {
        Self { account, time_ms, ..Self::default() }
    }

    /// Which fields are known.
    pub fn known(&self) -> FieldSet {
        let all = [
            (Field::Account, true),
            (Field::Time, true),
            (Field::Id, self.request_id.is_some()),
            (Field::Tenant, self.tenant.is_some()),
            (Field::Ip, self.address.is_some()),
            (Field::UserAgent, self.user_agent.is_some()),
            (Field::Endpoint, self.endpoint.is_some()),
            (Field::Model, self.model.is_some()),
            (Field::Prompt, self.prompt.is_some()),
            (Field::SystemPrompt, self.system_prompt.is_some()),
            (Field::SystemPromptHash, self.system_prompt_hash.is_some()),
            (Field::Tokens, self.prompt_tokens.is_some()),
            (Field::MaxTokens, self.max_tokens.is_some()),
            (Field::Turns, self.turns.is_some()),
            (Field::ToolsOffered, self.tools_offered.is_some()),
            (Field::ToolsCalled, self.tools_called.is_some_and(|calls| calls > 0)),
            (Field::Temperature, self.temperature_permille.is_some()),
            (Field::Candidates, self.candidates.is_some()),
            (Field::Logprobs, self.logprobs.is_some()),
            (Field::ResponseFormat, self.response_format.is_some()),
            (Field::Stream, self.stream.is_some()),
            (Field::Status, self.status.is_some()),
            (Field::Latency, self.latency_ms.is_some()),
            (Field::CompletionTokens, self.completion_tokens.is_some()),
            (Field::BytesSent, self.response_bytes.is_some()),
            (Field::Refused, self.refused),
            (Field::FinishReason, self.finish_reason.is_some()),
            (Field::ToolCalls, self.tool_calls.is_some()),
            (Field::Org, self.org.is_some()),
            (Field::Payment, self.payment.is_some()),
            (Field::Country, self.country.is_some()),
            (Field::Asn, self.asn.is_some()),
            (Field::AsnOrg, self.asn_org.is_some()),
            (Field::Ja3, self.ja3.is_some()),
            (Field::Ja3s, self.ja3s.is_some()),
            (Field::Ja4, self.ja4.is_some()),
            (Field::H2, self.h2.is_some()),
            (Field::HeaderOrder, self.headers.is_some()),
            (Field::Label, self.label.is_some()),
            (Field::Population, self.population.is_some()),
        ];
        all.into_iter().filter(|(_, is_known)| *is_known).map(|(field, _)| field).collect()
    }
}

//! One request and its end, as a log line tells of them: the one thing that every format becomes.

use std::borrow::Cow;
use std::net::IpAddr;

/// What a line says, borrowed from it. It holds raw ids and text, so it cannot be printed.
///
/// Absent means not known; it never means zero.
#[derive(Clone)]
pub struct Exchange<'f> {
    /// What the source calls the exchange; a client may have chosen it.
    pub request_id: Option<Cow<'f, str>>,
    /// When the request was made, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Whose traffic it is, where the line says so.
    pub tenant: Option<&'f str>,
    /// Raw account id or API key, without its authentication scheme; never empty.
    pub account: Cow<'f, str>,
    /// The client.
    pub address: Option<IpAddr>,
    /// User-Agent header.
    pub user_agent: Option<&'f str>,
    /// Path, possibly with its query.
    pub endpoint: Option<&'f str>,
    /// Model that was asked for.
    pub model: Option<Cow<'f, str>>,
    /// Last message of the user.
    pub prompt: Option<Cow<'f, str>>,
    /// System prompt.
    pub system_prompt: Option<Cow<'f, str>>,
    /// Hash of the system prompt, where the source has only that.
    pub system_prompt_hash: Option<Cow<'f, str>>,
    /// Tokens of the request, or of the exchange where the source does not tell them apart.
    pub prompt_tokens: Option<i64>,
    /// Upper bound of the answer that the client asked for, in tokens.
    pub max_tokens: Option<i64>,
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
    /// Customer organisation.
    pub org: Option<Cow<'f, str>>,
    /// Payment method, as the source names it.
    pub payment: Option<Cow<'f, str>>,
    /// Country of the client.
    pub country: Option<&'f str>,
    /// Autonomous system number.
    pub asn: Option<i64>,
    /// Organisation of that autonomous system.
    pub asn_org: Option<&'f str>,
    /// JA3 of the client.
    pub ja3: Option<&'f str>,
    /// JA3S of the server.
    pub ja3s: Option<&'f str>,
    /// JA4 of the client.
    pub ja4: Option<&'f str>,
    /// Fingerprint of the HTTP/2 settings.
    pub h2: Option<&'f str>,
    /// Header names in their order.
    pub headers: Option<HeaderNames<'f>>,
    /// Ground truth for evaluation; for the record's header only.
    pub label: Option<&'f str>,
    /// Population, for evaluation; treated like the label.
    pub population: Option<&'f str>,
}

/// Header names in their order, as a source writes them.
#[derive(Clone, Copy)]
pub enum HeaderNames<'f> {
    /// Joined by commas.
    Joined(&'f str),
    /// One by one.
    List(&'f [Cow<'f, str>]),
}

impl<'f> Exchange<'f> {
    /// An exchange of which only the required is known.
    pub fn new(account: Cow<'f, str>, time_ms: i64) -> Self {
        Self {
            request_id: None,
            time_ms,
            tenant: None,
            account,
            address: None,
            user_agent: None,
            endpoint: None,
            model: None,
            prompt: None,
            system_prompt: None,
            system_prompt_hash: None,
            prompt_tokens: None,
            max_tokens: None,
            status: None,
            latency_ms: None,
            completion_tokens: None,
            response_bytes: None,
            refused: false,
            org: None,
            payment: None,
            country: None,
            asn: None,
            asn_org: None,
            ja3: None,
            ja3s: None,
            ja4: None,
            h2: None,
            headers: None,
            label: None,
            population: None,
        }
    }
}

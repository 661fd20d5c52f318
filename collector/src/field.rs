//! What is known of a request: the closed set of fields that every format is read into.
//!
//! The names are those of Weir's own JSON lines. They are the labels of
//! `weir_collector_fields_unknown_total`, the fields of `weir check-log --json`, and the keys of a format
//! file.

use std::fmt;

macro_rules! fields {
    ($($field:ident = $name:literal $event:literal, $doc:literal;)*) => {
        /// A field of a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $(#[doc = $doc] $field,)* }

        impl Field {
            /// Every field, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$field,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }

            /// The field of an event's `Request` or `Outcome` that it becomes; empty where it becomes none of
            /// its own.
            pub const fn event_field(self) -> &'static str {
                match self { $(Self::$field => $event,)* }
            }

            /// What it means, in one sentence.
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$field => $doc,)* }
            }
        }
    };
}

fields! {
    Account = "account" "", "API key or account id; without `Bearer` and the like";
    Time = "time" "", "When the request was made, or had been answered";
    EndTime = "end_time" "", "When the request had been answered, beside `time`: gives `latency_ms` where it is not known";
    Id = "id" "", "What the source calls the request";
    Tenant = "tenant" "", "Whose traffic it is, where one Weir serves several";
    Ip = "ip" "address", "The client's address, with or without a port";
    UserAgent = "user_agent" "user_agent", "What the client says it is";
    Endpoint = "endpoint" "endpoint", "Path of the request; the query is dropped";
    Model = "model" "model", "Model that was asked for";
    ResponseModel = "response_model" "", "Model that answered; stands in where none is known to have been asked for";
    Prompt = "prompt" "prompt", "Last words of the user";
    SystemPrompt = "system_prompt" "preamble", "First words of the system or the developer";
    SystemPromptHash = "system_prompt_hash" "preamble", "Hash of the system prompt, where the source has only that";
    Tokens = "tokens" "prompt_tokens", "Tokens of the request, or of the exchange where the source does not tell them apart";
    MaxTokens = "max_tokens" "max_tokens", "Upper bound of the answer that the client asked for, in tokens";
    Turns = "turns" "turns", "Messages of the user in the conversation";
    ToolsOffered = "tools_offered" "tools_offered", "Tools that the request offers to the model";
    ToolsCalled = "tools_called" "tools_called", "Calls of tools in the conversation that the request carries";
    Temperature = "temperature" "temperature_permille", "Sampling temperature that the client asked for";
    Candidates = "n" "candidates", "Answers that the client asked for";
    Logprobs = "logprobs" "logprobs", "Whether the client asked for the tokens' probabilities";
    ResponseFormat = "response_format" "response_format", "What the answer shall be: text, JSON, or JSON of a schema";
    Stream = "stream" "stream", "Whether the client asked for the answer in pieces";
    Status = "status" "status", "HTTP status of the response";
    Latency = "latency_ms" "latency_ms", "From the request to the end of the response, in milliseconds";
    CompletionTokens = "completion_tokens" "completion_tokens", "Tokens of the answer";
    BytesSent = "bytes_sent" "bytes", "Size of the response in bytes";
    FinishReason = "finish_reason" "finish_reason", "Why the model stopped";
    Refused = "refused" "refused", "Whether the model declined to answer";
    ToolCalls = "tool_calls" "tool_calls", "Calls of tools in the answer";
    Org = "org" "org", "The customer's organisation, as the operator's own systems name it";
    Payment = "payment" "payment", "Payment method, as the operator's own systems name it";
    Country = "country" "country", "ISO 3166-1 alpha-2 country of the client; context for people";
    Asn = "asn" "asn", "Number of the client's network";
    AsnOrg = "asn_org" "asn_org", "Organisation of the client's network";
    Ja3 = "ja3" "ja3", "JA3 of the client";
    Ja3s = "ja3s" "ja3s", "JA3S of the server";
    Ja4 = "ja4" "ja4", "JA4 of the client";
    H2 = "h2" "h2", "Fingerprint of the HTTP/2 settings";
    HeaderOrder = "header_order" "headers", "Names of the headers in the order in which they came";
    Label = "label" "", "Ground truth for evaluation; no detector sees it";
    Population = "population" "", "Whom the traffic is of, for evaluation; no detector sees it";
    Body = "body" "", "Body of the request, as JSON or as text that holds it; compressed or in base64, too";
    Messages = "messages" "", "The conversation alone, without the rest of a body";
    Parameters = "parameters" "", "The rest of a body without the conversation";
    Response = "response" "", "Body of the response";
    Rest = "rest" "", "What follows the place from which on a line cannot be read";
}

impl Field {
    /// The field with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.as_str() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSet(u64);

const _: () = assert!(Field::ALL.len() <= 64);

impl FieldSet {
    /// Adds a field.
    #[inline]
    pub fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u32;
    }

    /// Takes a field out.
    #[inline]
    pub fn remove(&mut self, field: Field) {
        self.0 &= !(1 << field as u32);
    }

    /// Whether it has the field.
    #[inline]
    pub fn contains(self, field: Field) -> bool {
        self.0 & 1 << field as u32 != 0
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All fields of both.
    #[inline]
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Number of fields.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Its fields, in their order.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.iter().copied().filter(move |field| self.contains(*field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let mut set = Self::default();
        fields.into_iter().for_each(|field| set.insert(field));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name() {
        for field in Field::ALL {
            assert_eq!(Field::named(field.as_str()), Some(*field));
        }
        assert_eq!(Field::named("acount"), None);
    }

    #[test]
    fn a_set_keeps_the_order_of_fields() {
        let set = FieldSet::from_iter([Field::Prompt, Field::Account, Field::Prompt, Field::Rest]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Field::Account, Field::Prompt, Field::Rest]);
        assert_eq!((set.len(), set.contains(Field::Ip), set.is_empty()), (3, false, false));
    }

    #[test]
    fn what_becomes_a_field_of_events_is_in_their_schema() {
        for field in Field::ALL.iter().filter(|field| !field.event_field().is_empty()) {
            let name = format!("\"name\":\"{}\"", field.event_field());
            let schema: String = <weir_schemas::Event<'_> as weir_schemas::codec::Record>::SCHEMA
                .chars()
                .filter(|char| !char.is_whitespace())
                .collect();
            assert!(schema.contains(&name), "{field}");
        }
    }
}

//! Requests and responses, as collectors saw them.

use super::text;
use crate::column::Cell::{Flag, Int, Text, Time};
use crate::column::{Column, Kind};
use weir_schemas::wire::{Wire, WireError};
use weir_schemas::{Body, Event, HeaderFeatures, Outcome, PromptFeatures, Record as _, Request, ValueHash};
use weir_topology::record::{LABEL_HEADER, POPULATION_HEADER, RecordRef};
use weir_topology::topic::Topic;

/// The table.
pub(crate) struct Events;

/// A row: the event, and what is true of its account where somebody knows it.
pub(crate) struct Row<'a> {
    event: &'a Event<'a>,
    label: Option<&'a str>,
    population: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn request(&self) -> Option<&Request<'a>> {
        match &self.event.body {
            Body::Request(request) => Some(request),
            Body::Response(_) => None,
        }
    }

    fn prompt(&self) -> Option<&PromptFeatures<'a>> {
        self.request()?.prompt.as_ref()
    }

    fn headers(&self) -> Option<&HeaderFeatures> {
        self.request()?.headers.as_ref()
    }

    fn outcome(&self) -> Option<&Outcome> {
        match &self.event.body {
            Body::Request(request) => request.outcome.as_ref(),
            Body::Response(response) => Some(&response.outcome),
        }
    }
}

impl Kind for Events {
    type Row<'a> = Row<'a>;
    const NAME: &'static str = "events";
    const DOC: &'static str = "A request, or the response to one that was an event of its own.";
    const TOPIC: Topic = Topic::Events;

    fn columns() -> Vec<Column<Self>> {
        let c = Column::<Self>::new;
        vec![
            c(
                "event_id",
                Text(|row| text(row.event.event_id)),
                "Identity of the event, the same in any log.",
            ),
            c("time", Time(|row| Some(row.event.time_ms)), "When it happened, by the source's clock."),
            c(
                "observed",
                Time(|row| Some(row.event.observed_ms)),
                "When the collector read it, by its own clock.",
            ),
            c(
                "kind",
                Text(|row| {
                    Some(match row.event.body {
                        Body::Request(_) => "REQUEST".into(),
                        Body::Response(_) => "RESPONSE".into(),
                    })
                }),
                "`REQUEST` or `RESPONSE`.",
            ),
            c("tenant", Text(|row| Some(row.event.tenant.into())), "Tenant of the account."),
            c("account", Text(|row| text(row.event.account)), "The account, as its pseudonym."),
            c(
                "key_epoch",
                Int(|row| Some(row.event.key_epoch.into())),
                "Which rotation of the pseudonym key made it.",
            ),
            c(
                "source",
                Text(|row| Some(row.event.source.as_str().into())),
                "Where it came from: `TAIL`, `IMPORT`, `UPROBE`, `DRILL`, `PUSH`, `TOPIC` or `OTHER`.",
            ),
            c(
                "origin",
                Text(|row| Some(row.event.origin.as_str().into())),
                "`LIVE`, or `IMPORT` where it was history when it was read.",
            ),
            c(
                "sample_weight",
                Int(|row| Some(row.event.sample_weight.into())),
                "How many events it stands for.",
            ),
            c(
                "sampling",
                Int(|row| Some(row.event.sampling.into())),
                "One of so many accounts was kept when it was sensed; 1 where all were.",
            ),
            c(
                "request_id",
                Text(|row| row.event.request_id.and_then(text)),
                "Keyed hash of the id that its source gives the exchange.",
            ),
            c(
                "answers",
                Text(|row| match &row.event.body {
                    Body::Response(response) => response.request.and_then(text),
                    Body::Request(_) => None,
                }),
                "Of a response the event of its request.",
            ),
            c(
                "label",
                Text(|row| row.label.map(Into::into)),
                "Of labelled traffic the campaign that its account is of; no stage reads it.",
            ),
            c(
                "population",
                Text(|row| row.population.map(Into::into)),
                "Of labelled traffic the population that its account is of; no stage reads it.",
            ),
            c(
                "endpoint",
                Text(|row| row.request()?.endpoint.map(Into::into)),
                "Path of the API endpoint without its query.",
            ),
            c("model", Text(|row| row.request()?.model.map(Into::into)), "Model that was asked for."),
            c("user_agent", Text(|row| row.request()?.user_agent.map(Into::into)), "User-Agent header."),
            c(
                "address",
                Text(|row| row.request()?.address.and_then(text)),
                "The client's address, as a keyed hash.",
            ),
            c(
                "subnet",
                Text(|row| row.request()?.subnet.and_then(text)),
                "The client's /24 (IPv4) or /48 (IPv6), as a keyed hash.",
            ),
            c("asn", Int(|row| row.request()?.asn), "Autonomous system number of the address."),
            c(
                "asn_org",
                Text(|row| row.request()?.asn_org.map(Into::into)),
                "Organisation of that autonomous system.",
            ),
            c(
                "country",
                Text(|row| row.request()?.country.map(Into::into)),
                "ISO 3166 country code; no detector weighs it.",
            ),
            c("ja3", Text(|row| row.request()?.ja3.map(Into::into)), "JA3 of the client's TLS hello."),
            c("ja3s", Text(|row| row.request()?.ja3s.map(Into::into)), "JA3S of the server's."),
            c("ja4", Text(|row| row.request()?.ja4.map(Into::into)), "JA4 of the client's."),
            c(
                "h2",
                Text(|row| row.request()?.h2.map(Into::into)),
                "Fingerprint of the HTTP/2 SETTINGS frame.",
            ),
            c(
                "header_order_hash",
                Int(|row| Some(row.headers()?.order_hash)),
                "Hash of the header names in their order.",
            ),
            c("header_count", Int(|row| Some(row.headers()?.count.into())), "Header lines."),
            c(
                "browser_affinity_permille",
                Int(|row| Some(row.headers()?.browser_affinity_permille.into())),
                "How much their order resembles a browser's: 0 script, 1000 browser.",
            ),
            c("has_accept", Flag(|row| Some(row.headers()?.has_accept)), "An Accept header was sent."),
            c(
                "has_accept_language",
                Flag(|row| Some(row.headers()?.has_accept_language)),
                "An Accept-Language header was sent.",
            ),
            c(
                "has_accept_encoding",
                Flag(|row| Some(row.headers()?.has_accept_encoding)),
                "An Accept-Encoding header was sent.",
            ),
            c("has_proxy", Flag(|row| Some(row.headers()?.has_proxy)), "A header that proxies add was sent."),
            c(
                "payment",
                Text(|row| row.request()?.payment.and_then(text)),
                "The payment method, as a keyed hash.",
            ),
            c(
                "org",
                Text(|row| row.request()?.org.and_then(text)),
                "The customer organisation, as a keyed hash.",
            ),
            c(
                "preamble",
                Text(|row| row.request()?.preamble.and_then(text)),
                "The system prompt, as a keyed hash.",
            ),
            c(
                "prompt_bytes",
                Int(|row| Some(row.prompt()?.bytes.into())),
                "Length of the last user message in bytes.",
            ),
            c("prompt_chars", Int(|row| Some(row.prompt()?.chars.into())), "Its length in characters."),
            c("prompt_words", Int(|row| Some(row.prompt()?.words.into())), "Its words."),
            c(
                "prompt_text_hash",
                Text(|row| text(row.prompt()?.text_hash)),
                "Keyed hash of its normalised text: the same prompt again.",
            ),
            c(
                "prompt_template_hash",
                Text(|row| text(row.prompt()?.template_hash)),
                "Keyed hash with numbers, quoted parts and rare words masked: the same prompt with other content.",
            ),
            c(
                "prompt_head_hash",
                Text(|row| {
                    let head = row.prompt()?.head_hash;
                    (head != ValueHash::default()).then_some(head).and_then(text)
                }),
                "Keyed hash of its first 32 characters; null where a translation is asked for.",
            ),
            c(
                "prompt_simhash",
                Int(|row| Some(row.prompt()?.simhash)),
                "64-bit simhash: near texts differ in few bits.",
            ),
            c(
                "prompt_embedding",
                Int(|row| Some(row.prompt()?.embedding).filter(|bits| *bits != 0)),
                "Signs of its rotated embedding: texts of one meaning differ in few bits; null where it says too little.",
            ),
            c(
                "prompt_entropy_millibits",
                Int(|row| Some(row.prompt()?.entropy_millibits.into())),
                "Entropy per character, in thousandths of a bit.",
            ),
            c(
                "prompt_phrases",
                Int(|row| Some(row.prompt()?.phrases)),
                "Bit set of the phrase classes that occur.",
            ),
            c(
                "prompt_phrase_hits",
                Int(|row| Some(row.prompt()?.phrase_hits.into())),
                "Phrases that occur, at most 255.",
            ),
            c(
                "prompt_marks",
                Int(|row| Some(row.prompt()?.marks.into())),
                "Bit set: 1 zero-width characters, 2 control characters, 4 bidirectional overrides, 8 mostly not ASCII, 16 cut.",
            ),
            c(
                "prompt_text",
                Text(|row| row.prompt()?.text.map(Into::into)),
                "The text, only where the operator keeps text.",
            ),
            c("prompt_tokens", Int(|row| row.request()?.prompt_tokens), "Tokens in the request."),
            c(
                "max_tokens",
                Int(|row| row.request()?.max_tokens),
                "Upper bound of the answer that was asked for, in tokens.",
            ),
            c(
                "turns",
                Int(|row| row.request()?.turns.map(Into::into)),
                "User messages in the conversation that it carries.",
            ),
            c(
                "tools_offered",
                Int(|row| row.request()?.tools_offered.map(Into::into)),
                "Tools that it offers to the model.",
            ),
            c(
                "tools_called",
                Int(|row| row.request()?.tools_called.map(Into::into)),
                "Calls of tools in the conversation that it carries.",
            ),
            c(
                "temperature_permille",
                Int(|row| row.request()?.temperature_permille.map(Into::into)),
                "Sampling temperature that was asked for, in thousandths.",
            ),
            c(
                "candidates",
                Int(|row| row.request()?.candidates.map(Into::into)),
                "Answers that were asked for.",
            ),
            c("logprobs", Flag(|row| row.request()?.logprobs), "The tokens' probabilities were asked for."),
            c(
                "response_format",
                Text(|row| Some(row.request()?.response_format?.as_str().into())),
                "`TEXT`, `JSON`, `JSON_SCHEMA` or `OTHER`, where one was asked for.",
            ),
            c("stream", Flag(|row| row.request()?.stream), "The answer was asked for in pieces."),
            c("status", Int(|row| row.outcome()?.status.map(Into::into)), "HTTP status code."),
            c(
                "latency_ms",
                Int(|row| row.outcome()?.latency_ms),
                "From the request to the end of the response, in milliseconds.",
            ),
            c(
                "completion_tokens",
                Int(|row| row.outcome()?.completion_tokens),
                "Tokens that the model produced.",
            ),
            c("response_bytes", Int(|row| row.outcome()?.bytes), "Size of the response body in bytes."),
            c(
                "refused",
                Flag(|row| Some(row.outcome()?.refused)),
                "The model declined to answer; null where the end is not known.",
            ),
            c(
                "finish_reason",
                Text(|row| Some(row.outcome()?.finish_reason?.as_str().into())),
                "Why the model stopped: `STOP`, `LENGTH`, `TOOL_CALLS`, `REFUSAL` or `OTHER`.",
            ),
            c(
                "tool_calls",
                Int(|row| row.outcome()?.tool_calls.map(Into::into)),
                "Calls of tools in the answer.",
            ),
        ]
    }

    fn each(
        wire: &Wire,
        record: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Row<'_>),
    ) -> Result<(), WireError> {
        let datum = wire.datum::<Event<'_>>(payload)?;
        let event = Event::decode(&datum)?;
        let header = |name| record.header(name).and_then(|value| std::str::from_utf8(value).ok());
        take(&Row { event: &event, label: header(LABEL_HEADER), population: header(POPULATION_HEADER) });
        Ok(())
    }
}

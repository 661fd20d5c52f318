//! From what was found in a record to an exchange, by the plan of a format.
//!
//! The account and the time alone can refuse a record. Whatever else is malformed, out of range or of another
//! type is not known, and counted: nothing that a client chooses makes its line unseen.

use super::credential;
use super::found::Found;
use super::parts::Parts;
use super::plan::{Origin, Place, Plan};
use super::spec::{Moment, SetBy, Unit};
use super::time::{epoch_ms, text_ms};
use crate::body::{Answer, Api, Ask, Part, model_of};
use crate::exchange::{Exchange, HeaderNames};
use crate::field::{Field, FieldSet};
use crate::json::{Json, Number, Text, Value};
use crate::limits::{COUNT_MAX, HEADERS_MAX};
use crate::read::{self, Got};
use crate::refusal::Refusal;
use crate::tail::Cut;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// What was found in a record, and how to take it.
#[derive(Clone, Copy)]
pub(crate) struct View<'r> {
    pub(crate) record: &'r [u8],
    /// The same as characters, where it is nothing else.
    pub(crate) chars: Option<&'r str>,
    pub(crate) found: &'r Found,
    pub(crate) parts: &'r Parts,
    pub(crate) plan: &'r Plan,
    /// Which of the plan's reads have a place that is there.
    pub(crate) reads: &'r [usize],
    /// What was dropped from the line because it is too long.
    pub(crate) cuts: &'r [Cut],
}

impl<'r> View<'r> {
    /// The exchange that the record tells of.
    pub(crate) fn read(self) -> Result<Exchange<'r>, Refusal> {
        let mut unknown = self.parts.unknown;
        let (account, set_by) = self.account()?;
        let (time_ms, moment) = self.time()?;
        let mut exchange = Exchange::new(account, time_ms);
        let mut end_ms = None;
        let mut response_model = None;
        for (field, origins) in self.reads.iter().map(|index| &self.plan.reads[*index]) {
            let mut of = Of { view: self, field: *field, origins, unknown: &mut unknown };
            match field {
                Field::EndTime => end_ms = of.first(time),
                Field::Id => exchange.request_id = of.first(plain(read::id)),
                Field::Tenant => exchange.tenant = of.first(plain(tenant)),
                Field::Ip => exchange.address = of.first(address),
                Field::UserAgent => exchange.user_agent = of.first(plain(read::text)),
                Field::Endpoint => exchange.endpoint = of.first(plain(read::text)),
                Field::Model => exchange.model = of.first(plain(read::text)),
                Field::ResponseModel => response_model = of.first(plain(read::text)),
                Field::Prompt => exchange.prompt = of.first(prose),
                Field::SystemPrompt => exchange.system_prompt = of.first(prose),
                Field::SystemPromptHash => exchange.system_prompt_hash = of.first(plain(read::id)),
                Field::Tokens => exchange.prompt_tokens = of.first(plain(read::count)),
                Field::MaxTokens => exchange.max_tokens = of.first(plain(read::count)),
                Field::Turns => exchange.turns = of.first(plain(read::small)),
                Field::ToolsOffered => exchange.tools_offered = of.first(plain(read::small)),
                Field::ToolsCalled => exchange.tools_called = of.first(plain(read::small)),
                Field::Temperature => exchange.temperature_permille = of.first(plain(read::permille)),
                Field::Candidates => exchange.candidates = of.first(plain(read::small)),
                Field::Logprobs => exchange.logprobs = of.first(plain(read::flag)),
                Field::ResponseFormat => {
                    let format =
                        |value| read::text(value).and_then(|name| Got::Known(read::response_format(&name)));
                    exchange.response_format = of.first(plain(format));
                }
                Field::Stream => exchange.stream = of.first(plain(read::flag)),
                Field::Status => exchange.status = of.first(plain(status)),
                Field::Latency => exchange.latency_ms = of.first(duration),
                Field::CompletionTokens => exchange.completion_tokens = of.first(plain(read::count)),
                Field::BytesSent => exchange.response_bytes = of.first(plain(read::count)),
                Field::Refused => exchange.refused = of.first(plain(read::flag)).unwrap_or(false),
                Field::FinishReason => {
                    let reason =
                        |value| read::text(value).and_then(|name| Got::Known(read::finish_reason(&name)));
                    exchange.finish_reason = of.first(plain(reason));
                }
                Field::ToolCalls => exchange.tool_calls = of.first(plain(read::small)),
                Field::Org => exchange.org = of.first(plain(read::id)),
                Field::Payment => exchange.payment = of.first(plain(read::id)),
                Field::Country => exchange.country = of.first(plain(read::text)),
                Field::Asn => exchange.asn = of.first(plain(asn)).filter(|asn| *asn > 0),
                Field::AsnOrg => exchange.asn_org = of.first(plain(read::text)),
                Field::Ja3 => exchange.ja3 = of.first(plain(read::text)),
                Field::Ja3s => exchange.ja3s = of.first(plain(read::text)),
                Field::Ja4 => exchange.ja4 = of.first(plain(read::text)),
                Field::H2 => exchange.h2 = of.first(plain(read::text)),
                Field::HeaderOrder => exchange.headers = of.first(plain(headers)),
                Field::Label => exchange.label = of.first(plain(read::text)),
                Field::Population => exchange.population = of.first(plain(read::text)),
                // These have their own places in a plan.
                Field::Account
                | Field::Time
                | Field::Body
                | Field::Messages
                | Field::Parameters
                | Field::Response
                | Field::Rest => {}
            }
        }
        self.add_bodies(&mut exchange, &mut unknown);
        if exchange.prompt.is_some() && !self.cuts.is_empty() {
            exchange.prompt_bytes_cut = self.prompt_bytes_cut();
        }
        exchange.model = exchange.model.or(response_model);
        exchange.refused |= exchange.finish_reason == Some(weir_schemas::FinishReason::Refusal);
        if exchange.latency_ms.is_none() {
            let latency_ms = end_ms.map(|end_ms| end_ms - time_ms);
            exchange.latency_ms = latency_ms.filter(|latency_ms| (0..=COUNT_MAX).contains(latency_ms));
        }
        if moment == Moment::End {
            exchange.time_ms = (time_ms - exchange.latency_ms.unwrap_or(0)).max(0);
        }
        exchange.is_unowned = set_by == SetBy::Client && exchange.status == Some(401);
        exchange.unknown = unknown;
        Ok(exchange)
    }

    /// What the bodies say of what no field of its own does.
    fn add_bodies(self, exchange: &mut Exchange<'r>, unknown: &mut FieldSet) {
        let path = exchange.endpoint.as_deref().unwrap_or_default();
        let (path_model, path_stream) = model_of(path);
        let path_model = path_model.map(|model| Cow::Owned(model.into_owned()));
        if self.parts.is_empty() {
            exchange.model = exchange.model.take().or(path_model);
            exchange.stream = exchange.stream.or(path_stream);
            return;
        }
        let api = Api::of_path(path);
        let mut ask = Ask::default();
        let mut answer = Answer::default();
        let mut is_asked = false;
        for part in self.parts.iter(self.record, self.found) {
            let is_read = match part.field {
                // Words alone are an answer of which nothing more is known.
                Field::Response => answer.read(part.bytes) || part.is_words,
                Field::Messages if part.is_words => {
                    ask.say(part.bytes);
                    true
                }
                Field::Parameters => ask.read(part.bytes, Part::Parameters),
                field => {
                    let kind = if field == Field::Body { Part::Body } else { Part::Messages };
                    let is_read = ask.read(part.bytes, kind);
                    is_read && ask.asks()
                }
            };
            is_asked |= part.field != Field::Response;
            if !is_read {
                unknown.insert(part.field);
            }
        }
        if is_asked {
            *unknown = unknown.union(ask.unknown);
            if ask.has_hidden_words() {
                unknown.insert(Field::Prompt);
            }
            exchange.turns = exchange.turns.or(ask.turns(api));
            exchange.tools_called = exchange.tools_called.or(ask.tools_called(api));
            if exchange.prompt.is_none() {
                exchange.prompt = ask.prompt(api);
                exchange.prompt_before = ask.prompt_before(api);
            }
            exchange.system_prompt = exchange.system_prompt.take().or_else(|| ask.system(api));
            exchange.model = exchange.model.take().or(ask.model);
            exchange.max_tokens = exchange.max_tokens.or(ask.max_tokens);
            exchange.tools_offered = exchange.tools_offered.or(ask.tools_offered);
            exchange.temperature_permille = exchange.temperature_permille.or(ask.temperature_permille);
            exchange.candidates = exchange.candidates.or(ask.candidates);
            exchange.logprobs = exchange.logprobs.or(ask.logprobs);
            exchange.response_format = exchange.response_format.or(ask.response_format);
            exchange.stream = exchange.stream.or(ask.stream);
            let says_nothing = |words: &Cow<'_, str>| self.plan.says_nothing(words);
            exchange.prompt = exchange.prompt.take().filter(|words| !says_nothing(words));
            exchange.system_prompt = exchange.system_prompt.take().filter(|words| !says_nothing(words));
        }
        exchange.model = exchange.model.take().or(path_model).or(answer.model);
        exchange.stream = exchange.stream.or(path_stream);
        exchange.prompt_tokens = exchange.prompt_tokens.or(answer.prompt_tokens);
        exchange.completion_tokens = exchange.completion_tokens.or(answer.completion_tokens);
        exchange.finish_reason = exchange.finish_reason.or(answer.finish_reason);
        exchange.tool_calls = exchange.tool_calls.or(answer.tool_calls);
        exchange.refused |= answer.refused;
    }

    /// Bytes that were dropped where the prompt stands, or the body that it stands in.
    fn prompt_bytes_cut(self) -> u64 {
        let of_prompt = |field: &Field| matches!(field, Field::Prompt | Field::Body | Field::Messages);
        let origins = self.plan.reads.iter().chain(&self.plan.parts);
        let origins = origins.filter(|(field, _)| of_prompt(field)).flat_map(|(_, origins)| origins);
        let ranges: Vec<_> = origins
            .filter_map(|origin| match origin.place {
                Place::Slot(slot) => self.found.range(slot),
                Place::Value(_) => None,
            })
            .collect();
        let is_of_prompt =
            |cut: &&Cut| ranges.iter().any(|range| range.start <= cut.at && cut.at <= range.end);
        self.cuts.iter().filter(is_of_prompt).map(|cut| cut.bytes).sum()
    }

    fn account(self) -> Result<(Cow<'r, str>, SetBy), Refusal> {
        let mut is_bad = false;
        for origin in &self.plan.account {
            match self.account_id(origin) {
                Got::Known(text) => {
                    if let Some(account) = credential::account(text) {
                        return Ok((account, origin.set_by));
                    }
                }
                Got::Bad => is_bad = true,
                Got::Absent => {}
            }
        }
        if is_bad {
            return Err(Refusal::invalid(Field::Account, "a text or a whole number"));
        }
        Err(Refusal::no_account(&self.plan.title, &self.plan.without_account))
    }

    /// An account's id. A number that is too large for one, or that a spreadsheet has given a point, is what
    /// it spells.
    fn account_id(self, origin: &'r Origin) -> Got<Cow<'r, str>> {
        let value = self.value(origin);
        if let (Value::Number(Number::Float(_)), Place::Slot(slot)) = (value, &origin.place) {
            let spelled = std::str::from_utf8(self.found.spelled(self.record, *slot)).unwrap_or_default();
            let whole = spelled.split_once('.').map_or(spelled, |(whole, rest)| {
                if rest.bytes().all(|digit| digit == b'0') { whole } else { "" }
            });
            let is_whole = !whole.is_empty() && whole.bytes().all(|digit| digit.is_ascii_digit());
            return Got::or_bad(is_whole.then_some(Cow::Borrowed(whole)));
        }
        read::id(value)
    }

    fn time(self) -> Result<(i64, Moment), Refusal> {
        let mut is_bad = false;
        for origin in &self.plan.time {
            match time(self.value(origin), origin) {
                Got::Known(time_ms) => return Ok((time_ms, origin.moment)),
                Got::Bad => is_bad = true,
                Got::Absent => {}
            }
        }
        if is_bad {
            return Err(Refusal::invalid(
                Field::Time,
                "a time as logs write them, such as RFC 3339 or seconds since 1970",
            ));
        }
        Err(Refusal::missing(Field::Time))
    }

    /// What stands at a place, after what the format says it means.
    fn value(self, origin: &'r Origin) -> Value<'r> {
        let value = match &origin.place {
            Place::Slot(slot) => match self.found.value(self.record, *slot) {
                Value::Text(text) => Value::Text(text.known_as(self.chars_of(*slot))),
                other => other,
            },
            Place::Value(text) => Value::Text(Text::new(text.as_bytes(), false)),
        };
        if origin.is_plain() {
            return value;
        }
        let value = match (value, &origin.after) {
            (Value::Text(text), Some(after)) => Value::Text(text.after(after)),
            (value, _) => value,
        };
        let name = match value {
            Value::Bool(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
            other => match read::id(other) {
                Got::Known(name) => name,
                Got::Absent | Got::Bad => return value,
            },
        };
        if origin.nothing.iter().any(|nothing| *nothing == *name) {
            return Value::Null;
        }
        origin.means.get(&*name).map_or(value, |text| Value::Text(Text::new(text.as_bytes(), false)))
    }
}

impl<'r> View<'r> {
    /// What stands in the record at a slot, where the record was found to be characters already.
    #[inline]
    fn chars_of(self, slot: u16) -> Option<&'r str> {
        self.chars?.get(self.found.range(slot)?)
    }
}

/// One field that is being read.
struct Of<'r, 'u> {
    view: View<'r>,
    field: Field,
    origins: &'r [Origin],
    unknown: &'u mut FieldSet,
}

impl<'r> Of<'r, '_> {
    /// What the first place says at which something is known. A field that is nowhere known, but somewhere
    /// there, is counted.
    #[inline]
    fn first<T>(&mut self, read: impl Fn(Value<'r>, &Origin) -> Got<T>) -> Option<T> {
        let mut is_bad = false;
        for origin in self.origins {
            match read(self.view.value(origin), origin) {
                Got::Known(value) => return Some(value),
                Got::Bad => is_bad = true,
                Got::Absent => {}
            }
        }
        if is_bad {
            self.unknown.insert(self.field);
        }
        None
    }
}

/// A reader that need not know how the place is to be taken.
fn plain<'r, T>(read: impl Fn(Value<'r>) -> Got<T>) -> impl Fn(Value<'r>, &Origin) -> Got<T> {
    move |value, _| read(value)
}

/// A text that a person wrote: absent only where it is null or empty. A list of texts, and parts with texts
/// in them, are one text.
fn prose<'r>(value: Value<'r>, origin: &Origin) -> Got<Cow<'r, str>> {
    match value {
        Value::Null => Got::Absent,
        Value::Text(text) if origin.is_json && matches!(text.raw().first(), Some(b'{' | b'[')) => {
            let json = text.bytes();
            let mut ask = Ask::default();
            let is_read = ask.read(&json, Part::Messages);
            let words = ask.prompt(Api::Chat).filter(|_| is_read);
            Got::or_bad(words.map(|words| Cow::Owned(words.into_owned())))
        }
        Value::Text(text) => {
            let text = text.decode();
            if text.is_empty() { Got::Absent } else { Got::Known(text) }
        }
        Value::Object(raw) | Value::Array(raw) => {
            let mut ask = Ask::default();
            let is_read = ask.read(raw, Part::Messages);
            Got::or_bad(ask.prompt(Api::Chat).filter(|_| is_read))
        }
        Value::Bool(_) | Value::Number(_) | Value::Bare => Got::Bad,
    }
}

fn tenant(value: Value<'_>) -> Got<Cow<'_, str>> {
    read::id(value)
        .and_then(|tenant| Got::or_bad(Some(tenant).filter(|t| t.len() <= crate::limits::TENANT_BYTES_MAX)))
}

/// An HTTP status; a 0 for a request that ended without one is absent.
fn status(value: Value<'_>) -> Got<i32> {
    let number = match value {
        // `200 OK`, as some write it.
        Value::Text(_) => read::text(value).and_then(|text| {
            let first = text.split_whitespace().next().unwrap_or_default();
            Got::Known(Number::of(first.as_bytes()))
        }),
        other => read::number(other),
    };
    number.and_then(|number| match read::rounded(number.as_f64()) {
        Some(0) => Got::Absent,
        Some(status @ 100..=999) => Got::Known(status as i32),
        _ => Got::Bad,
    })
}

/// An autonomous system number, with or without `AS` before it.
fn asn(value: Value<'_>) -> Got<i64> {
    let number = match value {
        Value::Text(_) => read::text(value).and_then(|text| {
            let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(&text);
            Got::or_bad(digits.parse::<u32>().ok().map(i64::from))
        }),
        other => read::count(other),
    };
    number.and_then(|number| Got::or_bad(Some(number).filter(|number| *number <= i64::from(u32::MAX))))
}

/// A duration in milliseconds: a number in the format's unit, or a text that names units, as Go prints them.
fn duration(value: Value<'_>, origin: &Origin) -> Got<i64> {
    let per_ms = origin.unit.map_or(1.0, |unit| unit.per_ms());
    match value {
        Value::Text(_) => read::text(value).and_then(|text| {
            let plain = text.parse::<f64>().ok().map(|number| number * per_ms);
            Got::or_bad(plain.or_else(|| spelled_ms(&text)).and_then(read::rounded))
        }),
        other => read::number(other).and_then(|number| Got::or_bad(read::rounded(number.as_f64() * per_ms))),
    }
}

/// `1m2.5s`, `412.3ms`, `12µs`.
fn spelled_ms(text: &str) -> Option<f64> {
    let (mut rest, mut sum) = (text.trim(), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|char: char| char.is_ascii_digit()).unwrap_or(rest.len());
        sum += number
            * match rest[..unit].trim() {
                "h" => 3_600_000.0,
                "m" | "min" => 60_000.0,
                "s" => 1000.0,
                "ms" => 1.0,
                "us" | "µs" | "μs" => 0.001,
                "ns" => 0.000_001,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Some(sum)
}

/// A time in milliseconds since the Unix epoch.
fn time(value: Value<'_>, origin: &Origin) -> Got<i64> {
    time_within(value, origin, 0)
}

fn time_within(value: Value<'_>, origin: &Origin, depth: usize) -> Got<i64> {
    match value {
        Value::Number(number) => Got::or_bad(epoch_ms(number.as_f64(), origin.unit)),
        Value::Object(_) if depth == TIME_DEPTH_MAX => Got::Bad,
        Value::Object(raw) => time_of_parts(raw, origin, depth + 1),
        Value::Array(raw) => match civil(raw) {
            Some(text) => Got::or_bad(text_ms(&text, None, origin.zone)),
            None => read::text(value).and_then(|text| Got::or_bad(text_ms(&text, origin.unit, origin.zone))),
        },
        other => read::text(other).and_then(|text| Got::or_bad(text_ms(&text, origin.unit, origin.zone))),
    }
}

/// Objects that a time stands in, one within the other: MongoDB's `{"$date": {"$numberLong": …}}`.
const TIME_DEPTH_MAX: usize = 2;

/// A time as an object: MongoDB's `{"$date": …}`, protobuf's `{"seconds": …, "nanos": …}`, Firestore's
/// `{"_seconds": …, "_nanoseconds": …}`.
fn time_of_parts(raw: &[u8], origin: &Origin, depth: usize) -> Got<i64> {
    let (mut date, mut seconds, mut nanos) = (Got::Bad, None, 0.0);
    let read = Json::new(raw).object(|json, key| {
        let value = json.value()?;
        match &*key.bytes() {
            b"$date" | b"$numberLong" => date = time_within(value, origin, depth),
            b"seconds" | b"_seconds" => seconds = Some(read::number(value)),
            b"nanos" | b"_nanoseconds" | b"nanoseconds" => {
                if let Got::Known(number) = read::number(value) {
                    nanos = number.as_f64();
                }
            }
            _ => {}
        }
        Ok(())
    });
    match (read, seconds) {
        (Ok(()), Some(Got::Known(seconds))) => {
            Got::or_bad(epoch_ms(seconds.as_f64() + nanos / 1e9, Some(Unit::S)))
        }
        (Ok(()), _) => date,
        (Err(_), _) => Got::Bad,
    }
}

/// A time as a list of its numbers, `[2026,11,21,6,30,6,320000000]`, as Java's JSON writers print one.
fn civil(raw: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let read = Json::new(raw).array(|json, _| {
        parts.push(match json.value()? {
            Value::Number(Number::Integer(number @ 0..=999_999_999)) => number,
            _ => -1,
        });
        Ok(())
    });
    let [year @ 1970..=9999, month, day, hour, minute, rest @ ..] = &parts[..] else { return None };
    let (second, nanos) = (rest.first().copied().unwrap_or(0), rest.get(1).copied().unwrap_or(0));
    let is_time = read.is_ok() && rest.len() <= 2 && parts.iter().all(|part| *part >= 0);
    is_time.then(|| format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}"))
}

/// A client address, with or without a port; a Unix socket is absent. Of what clients claim, a list that each
/// proxy adds to, the entry counts that the nearest proxy wrote.
fn address(value: Value<'_>, origin: &Origin) -> Got<IpAddr> {
    read::text(value).and_then(|text| {
        if text.starts_with("unix:") || text == "@" {
            return Got::Absent;
        }
        let entry = match origin.set_by {
            SetBy::Gateway => &*text,
            SetBy::Client => text.rsplit(',').next().unwrap_or_default().trim(),
        };
        // A dual-stack socket writes IPv4 addresses as IPv6: the same client is the same address.
        Got::or_bad(parse_address(entry).map(|address| address.to_canonical()))
    })
}

/// An address as log writers spell them: bare, in brackets, with a zone, with a port.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip());
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.split('%').next().and_then(|address| address.parse().ok())
}

/// Header names in their order: an array, or a text with commas.
fn headers(value: Value<'_>) -> Got<HeaderNames<'_>> {
    let Value::Array(list) = value else {
        return read::text(value).and_then(|text| Got::Known(HeaderNames::Joined(text)));
    };
    let (mut names, mut is_names) = (Vec::new(), true);
    let read = Json::new(list).array(|json, _| {
        match json.value()? {
            Value::Text(name) if names.len() < HEADERS_MAX => names.push(name.decode()),
            Value::Text(_) => {}
            _ => is_names = false,
        }
        Ok(())
    });
    match (read, names.is_empty()) {
        (Ok(()), _) if !is_names => Got::Bad,
        (Ok(()), true) => Got::Absent,
        (Ok(()), false) => Got::Known(HeaderNames::List(names)),
        (Err(_), _) => Got::Bad,
    }
}

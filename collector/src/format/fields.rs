//! A line's fields: one pass of the parser for every format, and the rules that all formats share
//! about what is absent, what is a number, and what is refused.

use super::time::{epoch_ms, text_ms};
use super::value::{Name, Value};
use crate::exchange::HeaderNames;
use crate::limits::{ACCOUNT_BYTES_MAX, COUNT_MAX};
use crate::refusal::Refusal;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

macro_rules! keys {
    ($($key:ident = $name:literal,)*) => {
        /// Every key that any format reads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // Each is the key of the same name; docs/formats.md says what it means.
        pub enum Key { $($key,)* }

        impl Key {
            const ALL: &'static [Self] = &[$(Self::$key,)*];
            const NAMES: &'static [&'static str] = &[$($name,)*];
        }
    };
}

keys! {
    Account = "account", AccountId = "account_id", Asn = "asn", AsnNumber = "asn_number",
    AsnOrg = "asn_org", Authorization = "authorization", BytesSent = "bytes_sent",
    CampaignLabel = "campaign_label", ClientIp = "client_ip", CompletionTokens = "completion_tokens",
    Country = "country", CountryCode = "country_code",
    DownstreamRemoteAddress = "downstream_remote_address", Duration = "duration",
    Endpoint = "endpoint", FinishReason = "finish_reason", H2 = "h2", H2Settings = "h2_settings",
    H2SettingsFp = "h2_settings_fp", HeaderOrder = "header_order", Id = "id", Ip = "ip",
    IpAddress = "ip_address", Ja3 = "ja3", Ja3Hash = "ja3_hash", Ja3sHash = "ja3s_hash", Ja4 = "ja4",
    Label = "label", LatencyMs = "latency_ms", MaxTokens = "max_tokens", Model = "model", Org = "org",
    OrgId = "org_id", Path = "path", Payment = "payment", PaymentMethodHash = "payment_method_hash",
    Population = "population",
    Prompt = "prompt", PromptTokens = "prompt_tokens", RequestBody = "request_body",
    RequestId = "request_id", RequestTime = "request_time", ResponseCode = "response_code",
    ResponseModel = "response_model", StartTime = "start_time", Status = "status",
    SystemPrompt = "system_prompt", SystemPromptHash = "system_prompt_hash", Tenant = "tenant",
    Time = "time", Timestamp = "timestamp", TlsJa3 = "tls_ja3", TlsJa4 = "tls_ja4",
    TokenCount = "token_count", Tokens = "tokens", Ts = "ts", Uri = "uri", UserAgent = "user_agent",
    XAccountId = "x_account_id", XForwardedFor = "x_forwarded_for", XModel = "x_model", XOrg = "x_org",
    XPayment = "x_payment",
}

const SLOTS: usize = 256;

/// An open-addressing table over the names, made when this is compiled: 255 means free.
static TABLE: [u8; SLOTS] = {
    let mut table = [255; SLOTS];
    let mut index = 0;
    while index < Key::NAMES.len() {
        let mut slot = slot_of(Key::NAMES[index].as_bytes());
        while table[slot] != 255 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
};

const fn slot_of(name: &[u8]) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    (name[0] as usize * 7 + name[length / 2] as usize * 31 + name[length - 1] as usize * 3 + length * 17)
        % SLOTS
}

impl Key {
    /// The key as a line spells it.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The key with this name, if any format reads it.
    pub fn named(name: &str) -> Option<Self> {
        let mut slot = slot_of(name.as_bytes());
        while TABLE[slot] != 255 {
            let index = usize::from(TABLE[slot]);
            if Self::NAMES[index] == name {
                return Some(Self::ALL[index]);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

/// The values of a line that any format reads. It holds raw ids and text, so it cannot be printed.
pub struct Fields<'a> {
    values: [Value<'a>; Key::ALL.len()],
}

impl<'a> Fields<'a> {
    /// Parses one JSON object. Keys that no format reads are skipped; of a key that occurs twice the
    /// last one counts, as in most parsers.
    pub fn parse(line: &'a str) -> Result<Self, Refusal> {
        if !line.trim_start().starts_with('{') {
            return Err(Refusal::not_json("the line is not a JSON object"));
        }
        let mut fields = Self { values: [const { Value::Absent }; Key::ALL.len()] };
        let mut parser = serde_json::Deserializer::from_str(line);
        let parsed = parser.deserialize_map(Collect(&mut fields)).and_then(|()| parser.end());
        match parsed {
            Ok(()) => Ok(fields),
            // The parser's own message may quote the line; its column does not.
            Err(error) => {
                Err(Refusal::not_json(format!("the line is not JSON at column {}", error.column())))
            }
        }
    }

    fn value(&self, key: Key) -> &Value<'a> {
        &self.values[key as usize]
    }

    /// Whether the line has this key with a value other than null.
    pub(crate) fn has(&self, key: Key) -> bool {
        !matches!(self.value(key), Value::Absent)
    }

    /// A text: absent where it is null, empty, or the dash that log writers put for it.
    pub(crate) fn text(&self, key: Key) -> Result<Option<&str>, Refusal> {
        match self.value(key) {
            Value::Absent => Ok(None),
            Value::Text(text) => Ok(known(text)),
            _ => Err(Refusal::invalid(key.name(), "a string")),
        }
    }

    /// A text that a person wrote: absent only where it is null or empty.
    pub(crate) fn prose(&self, key: Key) -> Result<Option<Cow<'_, str>>, Refusal> {
        match self.value(key) {
            Value::Absent => Ok(None),
            Value::Text(text) if text.is_empty() => Ok(None),
            Value::Text(text) => Ok(Some(Cow::Borrowed(text))),
            _ => Err(Refusal::invalid(key.name(), "a string")),
        }
    }

    /// An id: a text, or a whole number for those who count their accounts.
    pub(crate) fn id(&self, key: Key) -> Result<Option<Cow<'_, str>>, Refusal> {
        match self.value(key) {
            Value::Absent => Ok(None),
            Value::Text(text) => Ok(known(text).map(Cow::Borrowed)),
            Value::Integer(number) => Ok(Some(Cow::Owned(number.to_string()))),
            _ => Err(Refusal::invalid(key.name(), "a string or a whole number")),
        }
    }

    /// The account of the first of these keys that has one, without `Bearer` or `Basic`.
    pub(crate) fn account(&self, keys: &[Key]) -> Result<Cow<'_, str>, Refusal> {
        for key in keys {
            let Some(id) = self.id(*key)? else { continue };
            let account = match id {
                Cow::Borrowed(text) => Cow::Borrowed(without_scheme(text)),
                Cow::Owned(number) => Cow::Owned(number),
            };
            if account.is_empty() {
                continue;
            }
            if account.len() > ACCOUNT_BYTES_MAX {
                return Err(Refusal::invalid(key.name(), "an id of at most 512 bytes"));
            }
            return Ok(account);
        }
        Err(Refusal::missing(keys.first().map_or("account", |key| key.name())))
    }

    /// A number of something, from 0, as a number or a text.
    pub(crate) fn count(&self, key: Key) -> Result<Option<i64>, Refusal> {
        let refused = || Refusal::invalid(key.name(), "a whole number from 0 to 10^12");
        let number = match self.value(key) {
            Value::Absent => return Ok(None),
            Value::Integer(number) => Some(*number),
            Value::Float(number) => whole(*number),
            Value::Text(text) => match known(text) {
                None => return Ok(None),
                Some(text) => text.parse().ok().or_else(|| text.parse().ok().and_then(whole)),
            },
            _ => None,
        };
        number.filter(|number| (0..=COUNT_MAX).contains(number)).map(Some).ok_or_else(refused)
    }

    /// An HTTP status; nginx's 0 for a request that ended without one is absent.
    pub(crate) fn status(&self, key: Key) -> Result<Option<i32>, Refusal> {
        match self.count(key)? {
            None | Some(0) => Ok(None),
            Some(status @ 100..=999) => Ok(Some(status as i32)),
            Some(_) => Err(Refusal::invalid(key.name(), "an HTTP status")),
        }
    }

    /// An autonomous system number, with or without `AS` before it; 0 is absent.
    pub(crate) fn asn(&self, key: Key) -> Result<Option<i64>, Refusal> {
        let refused = || Refusal::invalid(key.name(), "an autonomous system number");
        let number = match self.value(key) {
            Value::Text(text) => match known(text) {
                None => None,
                Some(text) => {
                    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
                    Some(digits.parse::<u32>().map_err(|_| refused())?.into())
                }
            },
            _ => self.count(key).map_err(|_| refused())?,
        };
        match number {
            Some(0) => Ok(None),
            Some(number) if number > i64::from(u32::MAX) => Err(refused()),
            number => Ok(number),
        }
    }

    /// Seconds with a fraction, as milliseconds.
    pub(crate) fn seconds_ms(&self, key: Key) -> Result<Option<i64>, Refusal> {
        let seconds = match self.value(key) {
            Value::Absent => return Ok(None),
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            Value::Text(text) => match known(text) {
                None => return Ok(None),
                Some(text) => text.parse().unwrap_or(f64::NAN),
            },
            _ => f64::NAN,
        };
        let ms = (seconds * 1000.0).round();
        if (0.0..=COUNT_MAX as f64).contains(&ms) {
            return Ok(Some(ms as i64));
        }
        Err(Refusal::invalid(key.name(), "a number of seconds"))
    }

    /// The time of the first of these keys that is there, in milliseconds since the Unix epoch.
    pub(crate) fn time_ms(&self, keys: &[Key]) -> Result<i64, Refusal> {
        for key in keys {
            let time = match self.value(*key) {
                Value::Absent => continue,
                Value::Integer(number) => epoch_ms(*number as f64),
                Value::Float(number) => epoch_ms(*number),
                Value::Text(text) => match known(text) {
                    None => continue,
                    Some(text) => text_ms(text),
                },
                _ => None,
            };
            let what = "a time in RFC 3339, or in seconds or milliseconds since 1970";
            return time.ok_or_else(|| Refusal::invalid(key.name(), what));
        }
        Err(Refusal::missing(keys.first().map_or("time", |key| key.name())))
    }

    /// A client address, with or without a port; a Unix socket is absent.
    pub(crate) fn address(&self, key: Key) -> Result<Option<IpAddr>, Refusal> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) if text.starts_with("unix:") => Ok(None),
            Some(text) => {
                parse_address(text).map(Some).ok_or_else(|| Refusal::invalid(key.name(), "an IP address"))
            }
        }
    }

    /// Header names in their order: an array, or a text with commas.
    pub(crate) fn headers(&self, key: Key) -> Result<Option<HeaderNames<'_>>, Refusal> {
        match self.value(key) {
            Value::Absent => Ok(None),
            Value::Text(text) => Ok(known(text).map(HeaderNames::Joined)),
            Value::List(names) if names.is_empty() => Ok(None),
            Value::List(names) => Ok(Some(HeaderNames::List(names))),
            _ => Err(Refusal::invalid(key.name(), "an array of strings")),
        }
    }

    /// A fingerprint: a text, or an object that has one.
    pub(crate) fn fingerprint(&self, key: Key) -> Result<Option<&str>, Refusal> {
        match self.value(key) {
            Value::Fingerprint(text) => Ok(known(text)),
            Value::Other => Err(Refusal::invalid(key.name(), "an object with a fingerprint")),
            _ => self.text(key),
        }
    }
}

/// The text without blanks around it, unless it only says that nothing is known.
fn known(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text != "-").then_some(text)
}

/// The number as an integer, if it is one that a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= COUNT_MAX as f64).then_some(number as i64)
}

fn without_scheme(account: &str) -> &str {
    let (scheme, rest) = account.split_once(' ').unwrap_or((account, ""));
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("basic") {
        return rest.trim_start();
    }
    account
}

/// An address as log writers spell them: bare, in brackets, with a zone, with a port.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip());
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.split('%').next().and_then(|address| address.parse().ok())
}

struct Collect<'f, 'a>(&'f mut Fields<'a>);

impl<'de: 'a, 'a> Visitor<'de> for Collect<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key_seed(Name(Key::named))? {
            match key {
                Some(key) => self.0.values[key as usize] = entries.next_value()?,
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

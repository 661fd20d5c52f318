//! The file of others' indicators: who imports them writes it, and collectors compare requests with it.
//!
//! Text, a line each: a head with the format's version, an indicator a line, fields divided by tabs, and an
//! end with their number, so that half a file is known for one:
//!
//! ```text
//! weir-indicators 1
//! ADDRESS <TAB> 192.0.2.7 <TAB> from_ms <TAB> until_ms <TAB> trust_permille <TAB> source <TAB> id
//! end 1
//! ```

use crate::hex::{hex, unhex};
use crate::records::{IndicatorKind, LinkKind, ValueHash};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// Its name in the directory of others' indicators.
pub const FILE_NAME: &str = "indicators";

/// Most indicators of a file.
pub const INDICATORS_MAX: usize = 100_000;

/// Longest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Longest name of a source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 64;

/// Longest id of an indicator, in bytes.
pub const ID_BYTES_MAX: usize = 96;

/// Longest fingerprint, in bytes.
const FINGERPRINT_BYTES_MAX: usize = 128;

/// Longest user agent, in bytes: what events keep of one.
const USER_AGENT_BYTES_MAX: usize = 256;

/// Shortest prefix of a network, in bits: what is wider is nobody's.
const PREFIX_BITS_MIN: (u8, u8) = (16, 32);

/// Fewest and most bytes of a token: what is shorter may stand in any text, and nobody needs longer ones.
pub const CANARY_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// The source of tokens that the operator planted. No bundle is imported under this name.
pub const CANARY_SOURCE: &str = "canary";

/// Name and version of the format.
const HEAD: &str = "weir-indicators 1";

/// An indicator of others, as an operator took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indicator {
    /// What it is compared with.
    pub pattern: Pattern,
    /// From when on it holds, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// Until when, in milliseconds since the Unix epoch, not included.
    pub until_ms: i64,
    /// How far its source is trusted, times how sure the source is, in thousandths.
    pub trust_permille: u16,
    /// Who told of it, as the operator calls them.
    pub source: String,
    /// Its id, as its source tells it.
    pub id: String,
}

/// What a request is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// The client's address.
    Address(IpAddr),
    /// A network that the client's address lies in.
    Network(Network),
    /// The number of its autonomous system.
    Asn(u32),
    /// JA3 of its TLS hello, 32 lower-case hex digits.
    Ja3(String),
    /// JA4 of its TLS hello.
    Ja4(String),
    /// Its whole User-Agent header.
    UserAgent(String),
    /// The keyed hash of its address.
    KeyedAddress(ValueHash),
    /// The keyed hash of its /24 or /48.
    KeyedSubnet(ValueHash),
    /// The keyed hash of its payment method.
    KeyedPayment(ValueHash),
    /// The keyed hash of its system prompt.
    KeyedPreamble(ValueHash),
    /// The keyed hash of its prompt's template.
    KeyedTemplate(ValueHash),
    /// A token in the text of its prompt.
    Canary(Canary),
}

/// A token that an operator planted where nobody who is honest takes it from, such as in a document that is
/// for no customer. Of the token itself nothing is kept but its hash and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Canary {
    bytes: u8,
    sha256: [u8; 32],
}

impl Canary {
    /// The canary of a token; none where it is shorter or longer than [`CANARY_BYTES`] or has other
    /// characters than [a token may have](Self::is_of_tokens).
    pub fn of(token: &str) -> Option<Self> {
        let bytes = token.as_bytes();
        let is_token = CANARY_BYTES.contains(&bytes.len()) && bytes.iter().copied().all(Self::is_of_tokens);
        is_token.then(|| Self { bytes: bytes.len() as u8, sha256: Sha256::digest(bytes).into() })
    }

    /// Bytes of the token.
    pub fn bytes(&self) -> usize {
        self.bytes.into()
    }

    /// Whether a token may have this character: ASCII letters, digits, `-` and `_`. All others divide tokens.
    pub const fn is_of_tokens(character: u8) -> bool {
        character.is_ascii_alphanumeric() || matches!(character, b'-' | b'_')
    }
}

impl fmt::Display for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "canary:{}:{}", self.bytes, hex(&self.sha256))
    }
}

impl FromStr for Canary {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fields = text.strip_prefix("canary:").and_then(|fields| fields.split_once(':'));
        let (bytes, sha256) = fields.ok_or(PatternError::Unsupported)?;
        let bytes: u8 = bytes.parse().map_err(|_| PatternError::Malformed)?;
        let sha256 = unhex::<32>(sha256).ok_or(PatternError::Malformed)?;
        let is_sound = CANARY_BYTES.contains(&bytes.into());
        is_sound.then_some(Self { bytes, sha256 }).ok_or(PatternError::Malformed)
    }
}

/// A network: an address whose bits behind the prefix are zero, and the bits of the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `address` with a prefix of so many bits; none where there are no so many.
    pub fn of(address: IpAddr, bits: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if bits <= 32 => {
                IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) if bits <= 128 => {
                IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into())
            }
            _ => return None,
        };
        Some(Self { address, bits })
    }

    /// Bits of its prefix.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether it is one of version 6.
    pub fn is_v6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether it is wider than anything that one hand moves.
    fn is_too_wide(&self) -> bool {
        let (v4, v6) = PREFIX_BITS_MIN;
        self.bits < if self.is_v6() { v6 } else { v4 }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (address, bits) = text.split_once('/').ok_or(PatternError::Malformed)?;
        let address = address.parse().map_err(|_| PatternError::Malformed)?;
        let bits = bits.parse().map_err(|_| PatternError::Malformed)?;
        Self::of(address, bits).ok_or(PatternError::Malformed)
    }
}

/// Why nothing can be compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum PatternError {
    /// It is not what its kind says.
    #[error("is not of its kind")]
    Malformed,
    /// It is a network that is wider than /16 (IPv4) or /32 (IPv6).
    #[error("is a network wider than /16 or /32")]
    TooWide,
    /// It is of a kind that requests are not compared with.
    #[error("is of a kind that requests are not compared with")]
    Unsupported,
}

impl Pattern {
    /// The pattern of a value of this kind. A network of one address is that address.
    pub fn parse(kind: IndicatorKind, value: &str) -> Result<Self, PatternError> {
        let malformed = PatternError::Malformed;
        let hash = || unhex::<16>(value).map(ValueHash).ok_or(malformed);
        let text = |bytes_max| match value.len() {
            1.. if value.len() <= bytes_max && !value.contains(char::is_control) => Ok(value.to_owned()),
            _ => Err(malformed),
        };
        Ok(match kind {
            IndicatorKind::Address => {
                Self::Address(value.parse::<IpAddr>().map_err(|_| malformed)?.to_canonical())
            }
            IndicatorKind::Network => match value.parse::<Network>()? {
                network if network.bits == if network.is_v6() { 128 } else { 32 } => {
                    Self::Address(network.address.to_canonical())
                }
                network if network.is_too_wide() => return Err(PatternError::TooWide),
                network => Self::Network(network),
            },
            IndicatorKind::Asn => Self::Asn(value.parse().map_err(|_| malformed)?),
            IndicatorKind::Ja3 => Self::Ja3(hex(&unhex::<16>(&value.to_ascii_lowercase()).ok_or(malformed)?)),
            IndicatorKind::Ja4 => Self::Ja4(text(FINGERPRINT_BYTES_MAX)?),
            IndicatorKind::UserAgent => Self::UserAgent(text(USER_AGENT_BYTES_MAX)?),
            IndicatorKind::KeyedAddress => Self::KeyedAddress(hash()?),
            IndicatorKind::KeyedSubnet => Self::KeyedSubnet(hash()?),
            IndicatorKind::KeyedPayment => Self::KeyedPayment(hash()?),
            IndicatorKind::KeyedPreamble => Self::KeyedPreamble(hash()?),
            IndicatorKind::KeyedTemplate => Self::KeyedTemplate(hash()?),
            // Of all others there is one that requests are compared with.
            IndicatorKind::Other => Self::Canary(value.parse()?),
        })
    }

    /// The pattern of a value that accounts of a campaign share, as [`crate::Campaign`] has it.
    pub fn of_link(kind: &str, value: &str) -> Result<Self, PatternError> {
        let link = LinkKind::ALL.iter().find(|link| link.as_str() == kind).copied().unwrap_or_default();
        let kind = match link {
            LinkKind::Address => IndicatorKind::KeyedAddress,
            LinkKind::Subnet => IndicatorKind::KeyedSubnet,
            // An owner is told by the means of payment.
            LinkKind::Payment | LinkKind::Org => IndicatorKind::KeyedPayment,
            LinkKind::Preamble => IndicatorKind::KeyedPreamble,
            LinkKind::Template => IndicatorKind::KeyedTemplate,
            _ => return Err(PatternError::Unsupported),
        };
        Self::parse(kind, value)
    }

    /// What it is compared with.
    pub fn kind(&self) -> IndicatorKind {
        match self {
            Self::Address(_) => IndicatorKind::Address,
            Self::Network(_) => IndicatorKind::Network,
            Self::Asn(_) => IndicatorKind::Asn,
            Self::Ja3(_) => IndicatorKind::Ja3,
            Self::Ja4(_) => IndicatorKind::Ja4,
            Self::UserAgent(_) => IndicatorKind::UserAgent,
            Self::KeyedAddress(_) => IndicatorKind::KeyedAddress,
            Self::KeyedSubnet(_) => IndicatorKind::KeyedSubnet,
            Self::KeyedPayment(_) => IndicatorKind::KeyedPayment,
            Self::KeyedPreamble(_) => IndicatorKind::KeyedPreamble,
            Self::KeyedTemplate(_) => IndicatorKind::KeyedTemplate,
            Self::Canary(_) => IndicatorKind::Other,
        }
    }

    /// Whether it is a hash under a pseudonym key, which only deployments with the same key can compare with.
    pub fn is_keyed(&self) -> bool {
        matches!(
            self,
            Self::KeyedAddress(_)
                | Self::KeyedSubnet(_)
                | Self::KeyedPayment(_)
                | Self::KeyedPreamble(_)
                | Self::KeyedTemplate(_)
        )
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Asn(asn) => asn.fmt(f),
            Self::Ja3(text) | Self::Ja4(text) | Self::UserAgent(text) => f.write_str(text),
            Self::KeyedAddress(hash)
            | Self::KeyedSubnet(hash)
            | Self::KeyedPayment(hash)
            | Self::KeyedPreamble(hash)
            | Self::KeyedTemplate(hash) => hash.fmt(f),
            Self::Canary(canary) => canary.fmt(f),
        }
    }
}

/// Why a file of indicators is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndicatorsError {
    /// Another format, or another version of it.
    #[error("it does not begin with `{HEAD}`: a build that writes another format made it")]
    Head,
    /// A line is no indicator.
    #[error("line {line}: {field} {reason}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It has more than any has.
    #[error("it has more than {INDICATORS_MAX} indicators")]
    TooMany,
    /// It ends early.
    #[error("its end is missing: it is not whole")]
    Torn,
}

/// The text of a file with these indicators.
pub fn to_text(indicators: &[Indicator]) -> String {
    let mut text = format!("{HEAD}\n");
    for Indicator { pattern, from_ms, until_ms, trust_permille, source, id } in indicators {
        let kind = pattern.kind();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{kind}\t{pattern}\t{from_ms}\t{until_ms}\t{trust_permille}\t{source}\t{id}");
    }
    let _ = writeln!(text, "end {}", indicators.len());
    text
}

/// The indicators of a file.
///
/// # Errors
/// When it is not whole, or not as [`to_text`] writes it.
pub fn parse(text: &str) -> Result<Vec<Indicator>, IndicatorsError> {
    let mut lines = text.lines().enumerate();
    if lines.next().map(|(_, line)| line) != Some(HEAD) {
        return Err(IndicatorsError::Head);
    }
    let mut indicators = Vec::new();
    for (index, line) in lines {
        if line.strip_prefix("end ") == Some(indicators.len().to_string().as_str()) && text.ends_with('\n') {
            return Ok(indicators);
        }
        if indicators.len() == INDICATORS_MAX {
            return Err(IndicatorsError::TooMany);
        }
        indicators.push(parse_line(line, index + 1)?);
    }
    Err(IndicatorsError::Torn)
}

fn parse_line(text: &str, line: usize) -> Result<Indicator, IndicatorsError> {
    let wrong = |field, reason: &str| IndicatorsError::Line { line, field, reason: reason.to_owned() };
    let mut fields = text.split('\t');
    let mut next = |field| fields.next().ok_or_else(|| wrong(field, "is missing"));
    let kind = next("the kind")?;
    let kind = IndicatorKind::ALL.iter().find(|known| known.as_str() == kind).copied().unwrap_or_default();
    let pattern = Pattern::parse(kind, next("the value")?);
    let pattern = pattern.map_err(|error| wrong("the value", &error.to_string()))?;
    let number = |field, text: &str| text.parse::<i64>().map_err(|_| wrong(field, "is no number"));
    let from_ms = number("the beginning", next("the beginning")?)?;
    let until_ms = number("the end", next("the end")?)?;
    let trust = number("the trust", next("the trust")?)?;
    let trust_permille = u16::try_from(trust).ok().filter(|trust| *trust <= 1_000);
    let trust_permille = trust_permille.ok_or_else(|| wrong("the trust", "is not 0 to 1000"))?;
    let source = next("the source")?;
    if !is_name(source, SOURCE_BYTES_MAX) {
        return Err(wrong("the source", "is no name"));
    }
    let id = next("the id")?;
    if !is_name(id, ID_BYTES_MAX) {
        return Err(wrong("the id", "is no id"));
    }
    if fields.next().is_some() {
        return Err(wrong("the line", "has too many fields"));
    }
    Ok(Indicator { pattern, from_ms, until_ms, trust_permille, source: source.into(), id: id.into() })
}

/// Whether a text is a name or an id of at most so many bytes: of printable ASCII without spaces, so that it
/// is one word wherever it is shown.
pub fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn indicator(kind: IndicatorKind, value: &str) -> Indicator {
        Indicator {
            pattern: Pattern::parse(kind, value).unwrap(),
            from_ms: -5,
            until_ms: 1_800_000_000_000,
            trust_permille: 600,
            source: "partner".into(),
            id: "indicator--1".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_whatever_it_is_compared_with() {
        let canary = Canary::of("canary-token_0123").unwrap().to_string();
        let values = [
            (IndicatorKind::Address, "192.0.2.7"),
            (IndicatorKind::Address, "2001:db8::7"),
            (IndicatorKind::Network, "192.0.2.0/24"),
            (IndicatorKind::Network, "2001:db8::/32"),
            (IndicatorKind::Asn, "4294967295"),
            (IndicatorKind::Ja3, "e7d705a3286e19ea42f587b344ee6865"),
            (IndicatorKind::Ja4, "t13d1516h2_8daaf6152771_b186095e22b6"),
            (IndicatorKind::UserAgent, "evil bot/1.0 (ä)"),
            (IndicatorKind::KeyedAddress, "07070707070707070707070707070707"),
            (IndicatorKind::KeyedSubnet, "07070707070707070707070707070707"),
            (IndicatorKind::KeyedPayment, "07070707070707070707070707070707"),
            (IndicatorKind::KeyedPreamble, "07070707070707070707070707070707"),
            (IndicatorKind::KeyedTemplate, "07070707070707070707070707070707"),
            (IndicatorKind::Other, &canary),
        ];
        let told: Vec<Indicator> = values.iter().map(|(kind, value)| indicator(*kind, value)).collect();
        assert_eq!(parse(&to_text(&told)).unwrap(), told);
        assert_eq!(parse(&to_text(&[])).unwrap(), []);
        for (kind, value) in values {
            let pattern = indicator(kind, value).pattern;
            assert_eq!((pattern.kind(), pattern.to_string().as_str()), (kind, value));
        }
    }

    #[test]
    fn of_a_token_nothing_is_kept_but_its_length_and_hash_and_what_might_stand_in_any_text_is_none() {
        let canary = Canary::of("canary-token_0123").unwrap();
        assert_eq!(canary.bytes(), 17);
        expect!["canary:17:b7303e958455b7633b95210ff53053b2e2b828f8fbe147798c1db8fe18fb3e22"]
            .assert_eq(&canary.to_string());
        assert_eq!(canary.to_string().parse(), Ok(canary));
        assert!(Canary::of(&"a".repeat(16)).is_some() && Canary::of(&"a".repeat(128)).is_some());
        for none in ["a".repeat(15), "a".repeat(129), "a token of words".into(), "tökens-of-letters".into()]
        {
            assert_eq!(Canary::of(&none), None, "{none}");
        }
        let hash = "0".repeat(64);
        for none in [format!("canary:15:{hash}"), format!("canary:129:{hash}"), "canary:16:00".into()] {
            assert_eq!(none.parse::<Canary>(), Err(PatternError::Malformed), "{none}");
        }
        assert_eq!(Pattern::parse(IndicatorKind::Other, "x"), Err(PatternError::Unsupported));
        let told = format!("canary:16:{hash}");
        assert_eq!(
            Pattern::of_link("OTHER", &told),
            Err(PatternError::Unsupported),
            "nobody else plants any"
        );
    }

    #[test]
    fn one_value_has_one_pattern_however_it_is_written() {
        let parse = |kind, value| Pattern::parse(kind, value).map(|pattern| pattern.to_string());
        let network = IndicatorKind::Network;
        assert_eq!(parse(network, "192.0.2.7/24").unwrap(), "192.0.2.0/24");
        assert_eq!(parse(network, "192.0.2.7/32").unwrap(), "192.0.2.7");
        assert_eq!(parse(network, "2001:db8:1:2::9/33").unwrap(), "2001:db8::/33");
        assert_eq!(parse(IndicatorKind::Address, "::ffff:192.0.2.7").unwrap(), "192.0.2.7");
        let digits = "E7D705A3286E19EA42F587B344EE6865";
        assert_eq!(parse(IndicatorKind::Ja3, digits).unwrap(), digits.to_ascii_lowercase());
        assert_eq!(parse(network, "10.0.0.0/15"), Err(PatternError::TooWide));
        assert_eq!(parse(network, "::/31"), Err(PatternError::TooWide));
        assert_eq!(parse(network, "0.0.0.0/0"), Err(PatternError::TooWide));
        assert_eq!(parse(network, "192.0.2.0/33"), Err(PatternError::Malformed));
        assert_eq!(parse(IndicatorKind::UserAgent, "a\tb"), Err(PatternError::Malformed));
        assert_eq!(Pattern::of_link("THEME", "0".repeat(32).as_str()), Err(PatternError::Unsupported));
    }

    #[test]
    fn what_is_not_whole_or_not_of_this_format_is_refused_with_its_line() {
        let told = to_text(&[indicator(IndicatorKind::Asn, "64500"), indicator(IndicatorKind::Asn, "64501")]);
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        expect!["it does not begin with `weir-indicators 1`: a build that writes another format made it"]
            .assert_eq(&refused(&told.replacen(" 1\n", " 2\n", 1)));
        for length in HEAD.len() + 1..told.len() {
            assert!(parse(&told[..length]).is_err(), "{length}");
        }
        expect!["its end is missing: it is not whole"].assert_eq(&refused(&told[..told.len() - 6]));
        expect!["line 3: the value is not of its kind"].assert_eq(&refused(&told.replace("64501", "x")));
        expect!["line 2: the trust is not 0 to 1000"].assert_eq(&refused(&told.replacen("600", "1001", 1)));
        expect!["line 2: the source is no name"].assert_eq(&refused(&told.replacen("partner", "", 1)));
        expect!["line 3: the line has too many fields"]
            .assert_eq(&refused(&told.replace("--1\nend", "--1\tx\nend")));
        expect!["line 2: the value is of a kind that requests are not compared with"]
            .assert_eq(&refused(&told.replacen("ASN", "SHOE", 1)));
    }
}

//! Indicators by what meets them. A look-up for each thing that a request tells, and one for each length of a
//! prefix that there is.

use crate::exchange::Exchange;
use crate::features::cut;
use crate::limits::{
    CANARY_TEXT_BYTES_MAX, CANARY_WORDS_MAX, INDICATOR_HITS_MAX, INDICATOR_POPULAR_ACCOUNTS,
    TRIPWIRE_ACCOUNTS_MAX, USER_AGENT_BYTES_MAX,
};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;
use weir_schemas::indicators::{Canary, Indicator, Network, Pattern};
use weir_schemas::{IndicatorHit, IndicatorKind, ValueHash};

/// Makes a pattern of a value that a request tells.
type PatternOf<V> = fn(V) -> Pattern;

/// Keyed hashes of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keyed {
    pub address: Option<ValueHash>,
    pub subnet: Option<ValueHash>,
    pub payment: Option<ValueHash>,
    pub preamble: Option<ValueHash>,
    pub template: Option<ValueHash>,
}

/// What an event says of an indicator that its request met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub kind: IndicatorKind,
    indicator: Arc<Indicator>,
    accounts: i32,
}

/// Indicators that a request met.
pub(crate) type Marks = Vec<Mark>;

impl Mark {
    /// What many come with last, since it tells nothing; then what the operator planted himself, those of
    /// more trust first, what is of one hand before what is not, and what few come with before what more do.
    fn rank(&self) -> impl Ord + use<'_> {
        let Indicator { trust_permille, source, id, .. } = &*self.indicator;
        let is_telling = self.accounts < INDICATOR_POPULAR_ACCOUNTS;
        let of_value = (*trust_permille, self.is_of_one_hand(), Reverse(self.accounts));
        (is_telling, self.is_canary(), of_value, Reverse((source, id)))
    }

    /// Whether a value is one hand's: what is a network's or a program's is of many who are honest, however
    /// few were seen with it yet.
    fn is_of_one_hand(&self) -> bool {
        match &self.indicator.pattern {
            Pattern::Address(_)
            | Pattern::KeyedAddress(_)
            | Pattern::KeyedPayment(_)
            | Pattern::KeyedPreamble(_)
            | Pattern::KeyedTemplate(_)
            | Pattern::Canary(_) => true,
            Pattern::Network(_)
            | Pattern::Asn(_)
            | Pattern::Ja3(_)
            | Pattern::Ja4(_)
            | Pattern::UserAgent(_)
            | Pattern::KeyedSubnet(_) => false,
        }
    }

    /// Whether a word may be said of it before anybody judges, by indicators that are trusted as far as
    /// `trust_permille_min`. It must be a value of one hand.
    pub fn trips(&self, trust_permille_min: u16) -> bool {
        self.is_of_one_hand()
            && self.indicator.trust_permille >= trust_permille_min
            && self.accounts <= TRIPWIRE_ACCOUNTS_MAX
    }

    /// Whether it is a token that the operator planted.
    pub fn is_canary(&self) -> bool {
        matches!(self.indicator.pattern, Pattern::Canary(_))
    }

    /// As the event has it.
    pub fn hit(&self) -> IndicatorHit<'_> {
        IndicatorHit {
            kind: self.kind,
            source: &self.indicator.source,
            indicator: &self.indicator.id,
            trust_permille: self.indicator.trust_permille.into(),
            accounts: self.accounts,
        }
    }
}

/// Indicators by their patterns; which kinds there are, and which lengths of prefixes of either version.
#[derive(Debug, Default)]
pub(super) struct Table {
    indicators: HashMap<Pattern, Vec<Arc<Indicator>>>,
    kinds: BTreeSet<IndicatorKind>,
    prefixes: BTreeSet<(bool, u8)>,
    /// Lengths of tokens that there are.
    tokens: BTreeSet<usize>,
    count: u64,
}

impl Table {
    pub fn of(indicators: Vec<Indicator>) -> Self {
        let mut table = Self { count: indicators.len() as u64, ..Self::default() };
        for indicator in indicators.into_iter().map(Arc::new) {
            if let Pattern::Network(network) = &indicator.pattern {
                table.prefixes.insert((network.is_v6(), network.bits()));
            }
            if let Pattern::Canary(canary) = &indicator.pattern {
                table.tokens.insert(canary.bytes());
            }
            table.kinds.insert(indicator.pattern.kind());
            table.indicators.entry(indicator.pattern.clone()).or_default().push(indicator);
        }
        // However often a source names a value, a request looks at few of them.
        for same in table.indicators.values_mut() {
            same.sort_by(|a, b| {
                (&a.source, Reverse(a.trust_permille), &a.id).cmp(&(
                    &b.source,
                    Reverse(b.trust_permille),
                    &b.id,
                ))
            });
            let mut of_source = (String::new(), 0);
            same.retain(|indicator| {
                if of_source.0 != indicator.source {
                    of_source = (indicator.source.clone(), 0);
                }
                of_source.1 += 1;
                of_source.1 <= INDICATOR_HITS_MAX
            });
        }
        table
    }

    /// Number of indicators.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Which indicators a request met, those that tell most first, and of a source no more than one for each
    /// value. They must hold both when the request was
    /// made and now. `accounts` is asked once for each value that was met, and says how many came with it.
    pub fn met(
        &self,
        exchange: &Exchange<'_>,
        keyed: Keyed,
        now_ms: i64,
        accounts: &mut dyn FnMut(u64) -> i32,
    ) -> Marks {
        let mut marks = Marks::new();
        let mut look = |pattern: Pattern| {
            let Some(indicators) = self.indicators.get(&pattern) else { return };
            let holds = |indicator: &&Arc<Indicator>| {
                let lasts = indicator.from_ms..indicator.until_ms;
                lasts.contains(&exchange.time_ms) && now_ms < indicator.until_ms
            };
            let mut holding = indicators.iter().filter(holds).peekable();
            if holding.peek().is_none() {
                return;
            }
            let accounts = accounts(number_of(&pattern));
            let kind = pattern.kind();
            let from = marks.len();
            for indicator in holding {
                // A source's stand side by side, that of most trust first.
                let is_told =
                    marks[from..].last().is_some_and(|mark| mark.indicator.source == indicator.source);
                if !is_told {
                    marks.push(Mark { kind, indicator: indicator.clone(), accounts });
                }
            }
        };
        if let Some(address) = exchange.address.map(|address| address.to_canonical()) {
            if self.kinds.contains(&IndicatorKind::Address) {
                look(Pattern::Address(address));
            }
            self.networks_of(address).for_each(|network| look(Pattern::Network(network)));
        }
        let asn = exchange.asn.and_then(|asn| u32::try_from(asn).ok());
        if let Some(asn) = asn.filter(|_| self.kinds.contains(&IndicatorKind::Asn)) {
            look(Pattern::Asn(asn));
        }
        let texts: [(_, &Option<Cow<'_, str>>, PatternOf<String>); 3] = [
            (IndicatorKind::Ja3, &exchange.ja3, |ja3| Pattern::Ja3(ja3.to_ascii_lowercase())),
            (IndicatorKind::Ja4, &exchange.ja4, Pattern::Ja4),
            (IndicatorKind::UserAgent, &exchange.user_agent, Pattern::UserAgent),
        ];
        for (kind, text, pattern) in texts {
            if let Some(text) = text.as_deref().filter(|_| self.kinds.contains(&kind)) {
                look(pattern(cut(text, USER_AGENT_BYTES_MAX).to_owned()));
            }
        }
        let hashes: [(_, PatternOf<ValueHash>); 5] = [
            (keyed.address, Pattern::KeyedAddress),
            (keyed.subnet, Pattern::KeyedSubnet),
            (keyed.payment, Pattern::KeyedPayment),
            (keyed.preamble, Pattern::KeyedPreamble),
            (keyed.template, Pattern::KeyedTemplate),
        ];
        if self.kinds.last().is_some_and(|kind| *kind >= IndicatorKind::KeyedAddress) {
            hashes.into_iter().filter_map(|(hash, pattern)| hash.map(pattern)).for_each(&mut look);
        }
        if !self.tokens.is_empty() {
            let texts = [&exchange.prompt, &exchange.prompt_before, &exchange.system_prompt];
            let words = texts.into_iter().flatten().flat_map(|text| self.words_of(text));
            // Each once, however often it stands there.
            let met: BTreeSet<Canary> = words.take(CANARY_WORDS_MAX).filter_map(Canary::of).collect();
            met.into_iter().map(Pattern::Canary).for_each(look);
        }
        // Those of one trust by their ids, so that the same request has the same marks.
        marks.sort_by(|a, b| b.rank().cmp(&a.rank()));
        marks.truncate(INDICATOR_HITS_MAX);
        marks
    }

    /// The words of a text that are as long as a token that there is.
    fn words_of<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let text = cut(text, CANARY_TEXT_BYTES_MAX);
        let divides = |character: char| !u8::try_from(character).is_ok_and(Canary::is_of_tokens);
        text.split(divides).filter(|word| self.tokens.contains(&word.len()))
    }

    /// The networks of the lengths that there are which an address lies in.
    fn networks_of(&self, address: IpAddr) -> impl Iterator<Item = Network> {
        let of_version = self.prefixes.iter().filter(move |(is_v6, _)| *is_v6 == address.is_ipv6());
        of_version.filter_map(move |(_, bits)| Network::of(address, *bits))
    }
}

/// A number for a value, by which accounts are counted that come with it.
fn number_of(pattern: &Pattern) -> u64 {
    let mut hasher = DefaultHasher::new();
    pattern.hash(&mut hasher);
    hasher.finish()
}

//! How an account's prompts begin.
//!
//! Who divides a list of tasks among accounts wraps each in a few words, and has a stock of such words.
//! Accounts that share nothing else meet where they have the same words in stock. The openings that are kept
//! are the least by hash, which are the same wherever the stock is.

use crate::measure::short;
use weir_schemas::PromptFeatures;

/// Characters of a text below which its opening, which has 32, is most of it.
const CHARS_MIN: i32 = 48;

/// Openings of a stock.
pub const STOCK: usize = 16;

/// Openings whose values are told: the least.
pub const TOLD: usize = 4;

/// Texts by which it shows that two ask for the same.
const TEXTS: usize = 8;

/// The openings of an account: 8 bytes, and 96 once it asks for something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Openings {
    least: Option<Box<Least>>,
}
persist_fields!(Openings { least });

/// Parts of the least hashes in ascending order; 0 is free and comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Least {
    openings: [u32; STOCK],
    texts: [u32; TEXTS],
}
persist_fields!(Least { openings, texts });

impl Openings {
    /// Takes a text.
    #[inline]
    pub fn observe(&mut self, prompt: &PromptFeatures<'_>) {
        let opening = short(&prompt.head_hash.0);
        if prompt.chars < CHARS_MIN || opening == 0 {
            return;
        }
        let least = self.least.get_or_insert_default();
        keep(&mut least.openings, opening);
        // 0 is a place that is free.
        keep(&mut least.texts, short(&prompt.text_hash.0).max(1));
    }

    /// Parts of the hashes of the openings whose values are told.
    pub fn told(&self) -> impl Iterator<Item = u32> {
        let openings = self.least.as_ref().map_or([0; STOCK], |least| least.openings);
        openings.into_iter().take(TOLD).filter(|opening| *opening != 0)
    }

    /// The stock.
    pub fn stock(&self) -> Stock {
        let least = self.least.as_deref().cloned().unwrap_or_default();
        Stock { openings: least.openings, texts: least.texts }
    }
}

/// Keeps a hash among the least, each once.
fn keep(least: &mut [u32], hash: u32) {
    let place = least.iter().position(|known| *known == 0 || hash <= *known);
    if let Some(place) = place.filter(|place| least[*place] != hash) {
        least[place..].rotate_right(1);
        least[place] = hash;
    }
}

/// A stock as a value remembers it: 96 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    openings: [u32; STOCK],
    texts: [u32; TEXTS],
}
persist_fields!(Stock { openings, texts });

impl Stock {
    /// What goes along with a link.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.openings.iter().chain(&self.texts).flat_map(|part| part.to_le_bytes()).collect()
    }

    /// Reads what goes along with a link; none where it has another form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (parts, rest) = bytes.as_chunks::<4>();
        let is_whole = rest.is_empty() && parts.len() == STOCK + TEXTS;
        let part = |place: usize| u32::from_le_bytes(parts[place]);
        is_whole.then(|| Self {
            openings: std::array::from_fn(part),
            texts: std::array::from_fn(|place| part(STOCK + place)),
        })
    }

    /// The openings that both have.
    pub fn common(&self, other: &Self) -> usize {
        self.openings.iter().filter(|opening| **opening != 0 && other.openings.contains(opening)).count()
    }

    /// How many of the least texts both asked for.
    pub fn common_texts(&self, other: &Self) -> usize {
        self.texts.iter().filter(|text| **text != 0 && other.texts.contains(text)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::hash;
    use crate::persist::Persist as _;
    use weir_schemas::ValueHash;

    fn text(opening: &str, text: &str) -> PromptFeatures<'static> {
        PromptFeatures { head_hash: hash(opening), text_hash: hash(text), chars: 100, ..Default::default() }
    }

    fn openings(texts: impl IntoIterator<Item = (String, String)>) -> Openings {
        let mut openings = Openings::default();
        texts.into_iter().for_each(|(opening, rest)| openings.observe(&text(&opening, &rest)));
        let mut saved = Vec::new();
        openings.save(&mut saved);
        assert_eq!(Openings::load(&mut saved.as_slice()), Ok(openings.clone()));
        openings
    }

    /// An account that begins its prompts in thirty ways.
    fn campaign(account: usize) -> Openings {
        openings((0..200).map(|index| {
            let opening = format!("opening {}", (index * 7 + account) % 30);
            (opening, format!("text {account} {index}"))
        }))
    }

    #[test]
    fn the_least_openings_are_kept_each_once_in_ascending_order() {
        let stock = campaign(1).stock();
        let mut all: Vec<u32> = (0..30).map(|index| short(&hash(&format!("opening {index}")).0)).collect();
        all.sort_unstable();
        assert_eq!(stock.openings.to_vec(), all[..STOCK]);
        assert_eq!(campaign(1).told().collect::<Vec<_>>(), all[..TOLD]);
        let one = openings([("explain".to_owned(), "a".to_owned()), ("explain".to_owned(), "b".to_owned())]);
        assert_eq!(one.stock().openings[..2], [short(&hash("explain").0), 0]);
    }

    #[test]
    fn accounts_with_one_stock_of_openings_have_it_in_common() {
        let (one, other) = (campaign(1).stock(), campaign(2).stock());
        assert_eq!((one.common(&other), one.common_texts(&other)), (STOCK, 0));
        assert_eq!((one.common(&Stock::default()), one.common_texts(&one)), (0, TEXTS));
    }

    #[test]
    fn texts_that_are_short_in_any_script_and_those_of_which_no_opening_is_told_have_none() {
        let mut openings = Openings::default();
        openings.observe(&PromptFeatures { head_hash: ValueHash::default(), ..text("translate", "a text") });
        openings.observe(&PromptFeatures { chars: 47, bytes: 141, ..text("hello", "hello") });
        assert_eq!(openings, Openings::default());
    }

    #[test]
    fn a_stock_is_read_back_and_another_form_is_none() {
        let stock = campaign(1).stock();
        assert_eq!(Stock::from_bytes(&stock.to_bytes()), Some(stock));
        assert_eq!((Stock::from_bytes(&[0; 95]), Stock::from_bytes(&[0; 100])), (None, None));
    }
}

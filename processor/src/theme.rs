//! What an account asks for, as one direction: the mean of its texts' embeddings.
//!
//! Accounts that share nothing else meet where they ask for the same kind of thing. The collector tells of
//! each text the signs of 64 coordinates; their mean over many texts is a direction, the same in whatever
//! words and language. Cells part all directions, so that near ones mostly fall into one cell of several.
//! People who do one job meet there too; what their cards say tells them from one hand. And a class that
//! hands in one homework asks for the *same texts*, where a campaign divides a list: so a few hashes of texts
//! go along.

use crate::measure::{quick_hash, short};
use crate::persist::{Damage, Persist, take};
use std::sync::LazyLock;
use weir_schemas::PromptFeatures;
use weir_schemas::rotation::{DIMENSIONS, Turn};

/// Texts from which a direction is told.
const TEXTS_MIN: u8 = 10;

/// Texts after which old ones begin to count less, so that sums fit in a byte each.
const TEXTS_MAX: u8 = 120;

/// Bytes of a text below which it is a word in between, which tells no theme.
const BYTES_MIN: i32 = 48;

/// Hashes that are kept of an account's texts: the least, which are the same wherever the texts are.
const HASHES: usize = 8;

/// Cells that a direction lies in.
const CELLS: usize = 6;

/// Directions of chance by which a cell is chosen.
const CHOICES: usize = 2;

/// The turns that lead to each direction of chance.
static TURNS: LazyLock<[[[Turn; 2]; CHOICES]; CELLS]> = LazyLock::new(|| {
    let mut state = 0x77_65_69_72;
    let mut turn = || {
        state = quick_hash("rotation", state);
        Turn::new(state)
    };
    std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| turn())))
});

/// What each byte of signs adds to sums: 1 for a bit that is set, and else -1.
static SIGNS: [[i8; 8]; 256] = {
    let mut signs = [[-1; 8]; 256];
    let mut at = 0;
    while at < 256 * 8 {
        if (at / 8) >> (at % 8) & 1 == 1 {
            signs[at / 8][at % 8] = 1;
        }
        at += 1;
    }
    signs
};

/// Square of the cosine from which two directions are near, in thousandths: 28 degrees.
const NEAR_PERMILLE: i64 = 780;

/// The texts of an account, summed: 8 bytes, and 100 once it asks for something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Theme {
    texts: Option<Box<Texts>>,
}
persist_fields!(Theme { texts });

#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts {
    sums: [i8; DIMENSIONS],
    count: u8,
    least: [u32; HASHES],
}

impl Default for Texts {
    fn default() -> Self {
        Self { sums: [0; DIMENSIONS], count: 0, least: [u32::MAX; HASHES] }
    }
}

impl Persist for Texts {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.sums.map(|sum| sum as u8));
        self.count.save(out);
        self.least.save(out);
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let mut texts = Texts::default();
        for (sum, byte) in texts.sums.iter_mut().zip(take(input, DIMENSIONS)?) {
            *sum = *byte as i8;
        }
        texts.count = u8::load(input)?;
        if texts.count > TEXTS_MAX {
            return Err(Damage("a theme counts too many texts"));
        }
        texts.least = Persist::load(input)?;
        Ok(texts)
    }
}

impl Theme {
    /// Takes a text.
    #[inline]
    pub fn observe(&mut self, prompt: &PromptFeatures<'_>) {
        if prompt.embedding == 0 || prompt.bytes < BYTES_MIN {
            return;
        }
        let texts = self.texts.get_or_insert_default();
        // MAX stands for no hash.
        let hash = short(&prompt.text_hash.0).min(u32::MAX - 1);
        if texts.least.contains(&hash) {
            return;
        }
        if let Some(place) = texts.least.iter().position(|least| hash < *least) {
            texts.least[place..].rotate_right(1);
            texts.least[place] = hash;
        }
        if texts.count >= TEXTS_MAX {
            texts.count /= 2;
            texts.sums.iter_mut().for_each(|sum| *sum /= 2);
        }
        texts.count += 1;
        let (sums, _) = texts.sums.as_chunks_mut::<8>();
        for (sums, byte) in sums.iter_mut().zip(prompt.embedding.to_le_bytes()) {
            sums.iter_mut().zip(SIGNS[usize::from(byte)]).for_each(|(sum, sign)| *sum += sign);
        }
    }

    fn known(&self) -> Option<&Texts> {
        self.texts.as_deref().filter(|texts| texts.count >= TEXTS_MIN)
    }

    /// The cells in which its direction lies; none while it has asked for too little.
    pub fn cells(&self) -> Vec<u64> {
        let Some(texts) = self.known() else { return Vec::new() };
        let cell = |(place, choices): (usize, &[[Turn; 2]; CHOICES])| {
            let choose = |chosen: u64, turns: &[Turn; 2]| {
                let mut vector = texts.sums.map(i32::from);
                turns.iter().for_each(|turn| turn.apply(&mut vector));
                let axis = (0..DIMENSIONS).max_by_key(|axis| (vector[*axis].abs(), std::cmp::Reverse(*axis)));
                let axis = axis.unwrap_or_default();
                chosen << 8 | (axis as u64) << 1 | u64::from(vector[axis] > 0)
            };
            quick_hash("cell", choices.iter().fold(place as u64, choose))
        };
        TURNS.iter().enumerate().map(cell).collect()
    }

    /// What goes along with a link: the means in hundredths, and the hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Some(texts) = self.known() else { return Vec::new() };
        let mean = |sum: i8| (i32::from(sum) * 100 / i32::from(texts.count)) as i8 as u8;
        let hashes = texts.least.iter().filter(|hash| **hash != u32::MAX);
        texts.sums.map(mean).into_iter().chain(hashes.flat_map(|hash| hash.to_le_bytes())).collect()
    }
}

/// A direction as a value remembers it: 96 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direction {
    means: [i8; DIMENSIONS],
    least: [u32; HASHES],
}

impl Persist for Direction {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.means.map(|mean| mean as u8));
        self.least.save(out);
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let mut direction = Direction { means: [0; DIMENSIONS], least: [0; HASHES] };
        for (mean, byte) in direction.means.iter_mut().zip(take(input, DIMENSIONS)?) {
            *mean = *byte as i8;
        }
        direction.least = Persist::load(input)?;
        Ok(direction)
    }
}

impl Direction {
    /// Reads what goes along with a link; none where it has another form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (means, hashes) = bytes.split_at_checked(DIMENSIONS)?;
        let (hashes, rest) = hashes.as_chunks::<4>();
        if !rest.is_empty() || hashes.len() > HASHES {
            return None;
        }
        let mut direction = Self { means: [0; DIMENSIONS], least: [u32::MAX; HASHES] };
        direction.means.iter_mut().zip(means).for_each(|(mean, byte)| *mean = *byte as i8);
        direction.least.iter_mut().zip(hashes).for_each(|(least, hash)| *least = u32::from_le_bytes(*hash));
        Some(direction)
    }

    /// Whether two ask for the same kind of thing.
    pub fn is_near(&self, other: &Self) -> bool {
        // 64 products of bytes fit into 32 bits.
        let product = |one: &Self, other: &Self| -> i64 {
            let products = one.means.iter().zip(&other.means).map(|(a, b)| i32::from(*a) * i32::from(*b));
            products.sum::<i32>().into()
        };
        let both = product(self, other);
        both > 0 && both * both >= product(self, self) * product(other, other) / 1_000 * NEAR_PERMILLE
    }

    /// How many of the least texts both asked for.
    pub fn common_texts(&self, other: &Self) -> usize {
        self.least.iter().filter(|hash| **hash != u32::MAX && other.least.contains(hash)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::hash;
    use proptest::prelude::*;

    fn text(embedding: i64, text: &str) -> PromptFeatures<'static> {
        PromptFeatures { embedding, bytes: 100, text_hash: hash(text), ..Default::default() }
    }

    /// An account whose texts have most of the bits of `about`, each with three others.
    fn asks(about: u64, name: &str, texts: usize) -> Theme {
        let mut theme = Theme::default();
        for index in 0..texts {
            let noise =
                (0..3).fold(0, |noise, bit| noise | 1 << (quick_hash(name, (index * 3 + bit) as u64) % 64));
            theme.observe(&text((about ^ noise) as i64, &format!("{name} {index}")));
        }
        theme
    }

    fn direction(theme: &Theme) -> Direction {
        Direction::from_bytes(&theme.to_bytes()).expect("a theme that is known")
    }

    #[test]
    fn accounts_that_ask_for_one_kind_of_thing_meet_and_others_do_not() {
        let about = 0x0f35_9a71_c2d4_8e66;
        let (one, other, far) = (asks(about, "a", 40), asks(about, "b", 60), asks(!about << 9, "c", 40));
        let meet = |one: &Theme, other: &Theme| {
            let cells = other.cells();
            one.cells().into_iter().filter(|cell| cells.contains(cell)).count()
        };
        assert!(meet(&one, &other) >= 2, "{}", meet(&one, &other));
        assert_eq!(meet(&one, &far), 0);
        assert!(direction(&one).is_near(&direction(&other)) && !direction(&one).is_near(&direction(&far)));
    }

    #[test]
    fn one_homework_shows_by_its_texts_and_a_divided_list_does_not() {
        let (one, same, other) = (asks(77, "task", 12), asks(77, "task", 14), asks(77, "another task", 12));
        assert!(direction(&one).common_texts(&direction(&same)) >= 6);
        assert_eq!(direction(&one).common_texts(&direction(&other)), 0);
    }

    #[test]
    fn few_texts_words_in_between_and_texts_without_an_embedding_tell_nothing() {
        assert_eq!((asks(7, "a", 9).cells(), asks(7, "a", 9).to_bytes()), (Vec::new(), Vec::new()));
        let mut theme = Theme::default();
        theme.observe(&PromptFeatures { bytes: 47, ..text(5, "why?") });
        theme.observe(&text(0, "🙂"));
        assert_eq!(theme, Theme::default());
    }

    #[test]
    fn what_a_collector_cannot_have_written_is_no_direction() {
        assert_eq!(Direction::from_bytes(&[0; 63]), None);
        assert_eq!(Direction::from_bytes(&[0; 66]), None);
        assert_eq!(Direction::from_bytes(&[0; 64 + 36]), None);
    }

    proptest! {
        #[test]
        fn what_is_saved_is_taken_back_and_sums_stay_in_their_bytes(bits in prop::collection::vec(any::<i64>(), 0..400)) {
            let mut theme = Theme::default();
            for (index, bits) in bits.iter().enumerate() {
                theme.observe(&text(*bits, &index.to_string()));
            }
            let mut saved = Vec::new();
            theme.save(&mut saved);
            prop_assert_eq!(Theme::load(&mut saved.as_slice()), Ok(theme));
        }
    }
}

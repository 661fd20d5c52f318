//! What is kept of a prompt and of the header lines: features and keyed hashes instead of text.
//!
//! Everything here is integer arithmetic, so that the bytes are the same on every platform.

pub mod embedding;
mod entropy;
mod headers;
mod marks;
pub mod phrases;
mod text;
mod words;

use crate::limits::{KEPT_TEXT_BYTES_MAX, PREAMBLE_BYTES_MAX, PROMPT_BYTES_MAX};
use crate::privacy::{Pseudonymizer, ValueKind};
use embedding::Embedding;
use entropy::Census;
pub use headers::of_headers;
use phrases::Phrases;
use text::{Normal, at_char_end, at_char_start};
use weir_schemas::{PromptFeatures, ValueHash};

/// Characters of the normalised text whose hash is the head hash.
const HEAD_CHARS: usize = 32;

/// Where a translation is asked for within so many characters, all who ask for one begin alike, and there is
/// no head hash. Further on in a text the word hides nothing.
const ASKS_WITHIN_CHARS: usize = 64;

/// Takes features, with buffers that are used again for every prompt.
#[derive(Default)]
pub struct Features {
    normal: Normal,
    census: Census,
    template: Vec<u8>,
    phrases: Phrases,
    embedding: Embedding,
}

impl Features {
    /// The features of a prompt.
    ///
    /// Of a long one only the first and last 32 KiB are looked at, and `marks` says so; the lengths
    /// are those of the whole.
    pub fn of_prompt<'t>(
        &mut self,
        prompt: &'t str,
        keep_text: bool,
        keys: &Pseudonymizer,
    ) -> PromptFeatures<'t> {
        self.normal.clear();
        self.census.clear();
        let is_cut = prompt.len() > PROMPT_BYTES_MAX;
        if is_cut {
            let head = &prompt[..at_char_end(prompt, PROMPT_BYTES_MAX / 2)];
            let tail = &prompt[at_char_start(prompt, prompt.len() - PROMPT_BYTES_MAX / 2)..];
            self.normal.push(head, &mut self.census);
            self.normal.push(" ", &mut Census::default());
            self.normal.push(tail, &mut self.census);
        } else {
            self.normal.push(prompt, &mut self.census);
        }
        let normal = self.normal.text();
        let words = words::survey(normal, keys.simhash_seed(), &mut self.template);
        let found = self.phrases.find(normal);
        // What is nowhere in the text is not in its beginning: most texts are searched once.
        let is_translation = found.classes & phrases::TRANSLATION != 0
            && self.phrases.find(self.normal.head(ASKS_WITHIN_CHARS)).classes & phrases::TRANSLATION != 0;
        let head = (!is_translation).then(|| self.normal.head(HEAD_CHARS));
        let mut marks = self.normal.marks();
        if self.census.is_mostly_not_ascii() {
            marks |= marks::NOT_ASCII;
        }
        if is_cut {
            marks |= marks::CUT;
        }
        let template: &[u8] = if words.has_template { &self.template } else { normal };
        PromptFeatures {
            bytes: saturating(prompt.len()),
            chars: saturating(if is_cut { prompt.chars().count() } else { self.census.chars() }),
            words: saturating(if is_cut { prompt.split_whitespace().count() } else { words.count }),
            text_hash: keys.rare_value(ValueKind::Text, normal),
            template_hash: keys.rare_value(ValueKind::Template, template),
            head_hash: head.map(|head| keys.rare_value(ValueKind::Head, head)).unwrap_or_default(),
            simhash: words.simhash as i64,
            embedding: self.embedding.signs(normal, keys.simhash_seed()),
            entropy_millibits: self.census.entropy_millibits(),
            phrases: found.classes,
            phrase_hits: found.hits,
            marks,
            text: keep_text.then(|| &prompt[..at_char_end(prompt, KEPT_TEXT_BYTES_MAX)]),
        }
    }
}

/// Says that so many bytes of a prompt were left out before its features were taken.
pub fn note_left_out(features: &mut PromptFeatures<'_>, bytes: u64) {
    if bytes > 0 {
        features.bytes = features.bytes.saturating_add(i32::try_from(bytes).unwrap_or(i32::MAX));
        features.marks |= marks::CUT;
    }
}

/// The hash of a system prompt.
pub fn of_preamble(preamble: &str, keys: &mut Pseudonymizer) -> ValueHash {
    let preamble = preamble.trim();
    keys.value(ValueKind::Preamble, &preamble.as_bytes()[..at_char_end(preamble, PREAMBLE_BYTES_MAX)])
}

/// A text of at most `bytes_max` bytes, cut between characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..at_char_end(text, bytes_max)]
}

fn saturating(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;

//! What all accounts of a run live in.

use crate::random::{Random, mixed};
use crate::texts::Texts;

/// Names of the models that there are from the start, by popularity, and the one that a release day brings.
pub const MODELS: [&str; 6] = ["atlas-4", "atlas-4-mini", "atlas-3", "quill-2", "quill-2-small", "atlas-5"];

/// Index of the released model in [`MODELS`].
pub const RELEASED: u8 = 5;

const POPULARITY: [u32; 5] = [38, 30, 12, 14, 6];

/// Time, release and news of a run, and the texts that are said in it.
#[derive(Debug)]
pub struct World {
    /// Seed of everything.
    pub seed: u64,
    /// First millisecond since the Unix epoch.
    pub start_ms: i64,
    /// The millisecond after the last.
    pub end_ms: i64,
    /// When a new model comes out.
    pub release_ms: Option<i64>,
    /// When something happens that everybody asks about, and which event it is.
    pub news: Option<(i64, u64)>,
    /// Share of the people who chat for nothing, without a payment method.
    pub free_share: f64,
    /// Everybody has the newest version of their client.
    pub is_up_to_date: bool,
    /// What is said.
    pub texts: Texts,
}

impl World {
    /// A stream of chance for these parts of the world.
    pub fn random(&self, parts: &[u64]) -> Random {
        Random::of(&[self.seed, mixed(parts)])
    }

    /// How long it lasts, in milliseconds.
    pub fn length_ms(&self) -> i64 {
        self.end_ms - self.start_ms
    }

    /// A moment in this part of the run: from and to are shares of its length.
    pub fn moment(&self, from: f64, to: f64, random: &mut Random) -> i64 {
        self.start_ms + ((from + (to - from) * random.unit()) * self.length_ms() as f64) as i64
    }
}

/// A model that somebody uses.
pub fn any_model(random: &mut Random) -> u8 {
    random.weighted(POPULARITY.into_iter()) as u8
}

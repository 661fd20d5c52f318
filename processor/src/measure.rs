//! Small counters that forget: what share of the last few hundred observations had a property, and
//! which value was the most common among them. Integers only, so that every machine agrees.

/// Observations after which both counts are halved, so that the past fades.
const MEMORY: u16 = 512;

/// The share of recent observations that had a property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    hits: u16,
    total: u16,
}
persist_fields!(Share { hits, total });

impl Share {
    /// Counts one observation.
    #[inline]
    pub fn note(&mut self, hit: bool) {
        if self.total >= MEMORY {
            self.hits /= 2;
            self.total /= 2;
        }
        self.total += 1;
        self.hits += u16::from(hit);
    }

    /// Observations that are remembered.
    #[inline]
    pub fn total(&self) -> u32 {
        self.total.into()
    }

    /// How many of them had the property.
    pub fn hits(&self) -> u32 {
        self.hits.into()
    }

    /// The share in thousandths, 0 where nothing was observed.
    #[inline]
    pub fn permille(&self) -> i32 {
        if self.total == 0 { 0 } else { (u32::from(self.hits) * 1_000 / u32::from(self.total)) as i32 }
    }

    /// The share, 0 where nothing was observed.
    #[inline]
    pub fn value(&self) -> f64 {
        if self.total == 0 { 0.0 } else { f64::from(self.hits) / f64::from(self.total) }
    }
}

/// The most common value of a stream, by Boyer and Moore's vote, and how often it occurs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Common {
    value: u32,
    votes: u16,
    share: Share,
}
persist_fields!(Common { value, votes, share });

impl Common {
    /// Counts one value.
    #[inline]
    pub fn note(&mut self, value: u32) {
        let same = self.votes > 0 && self.value == value;
        if same {
            // The cap lets another value take over within as many observations.
            self.votes = (self.votes + 1).min(64);
        } else if self.votes == 0 {
            (self.value, self.votes) = (value, 1);
        } else {
            self.votes -= 1;
        }
        self.share.note(same);
    }

    /// The most common value; 0 before any.
    #[inline]
    pub fn value(&self) -> u32 {
        self.value
    }

    /// How much of the stream is the same value again.
    #[inline]
    pub fn share(&self) -> f64 {
        self.share.value()
    }

    /// The same in thousandths.
    #[inline]
    pub fn share_permille(&self) -> i32 {
        self.share.permille()
    }
}

/// A quick 64-bit hash of a short text, to notice that it changed. Not for keys, not against forgery.
#[inline]
pub fn quick_hash(text: &str, seed: u64) -> u64 {
    const M: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(M);
        mixed ^ mixed >> 32
    };
    let (words, tail) = text.as_bytes().as_chunks::<8>();
    let mut hash = mix(seed ^ M, text.len() as u64);
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix(mix(hash, u64::from_le_bytes(last)), seed)
}

/// The first four bytes of a hash that is already uniform.
#[inline]
pub fn short(hash: &[u8; 16]) -> u32 {
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_forgets_what_was_long_ago() {
        let mut share = Share::default();
        (0..400).for_each(|_| share.note(true));
        assert_eq!(share.value(), 1.0);
        (0..4000).for_each(|_| share.note(false));
        assert!(share.value() < 0.01, "{share:?}");
    }

    #[test]
    fn the_common_value_is_found_and_replaced() {
        let mut common = Common::default();
        (0..90).for_each(|index| common.note(if index % 10 == 0 { index } else { 7 }));
        assert!(common.share() > 0.8, "{common:?}");
        let mut varied = Common::default();
        (0..90).for_each(|index| varied.note(index));
        assert_eq!(varied.share(), 0.0);
    }

    #[test]
    fn texts_that_differ_in_length_or_a_byte_hash_apart() {
        let texts = ["", "\0", "a", "a\0", "abcdefgh", "abcdefgh\0", "abcdefgi"];
        for (index, one) in texts.iter().enumerate() {
            for other in &texts[index + 1..] {
                assert_ne!(quick_hash(one, 1), quick_hash(other, 1), "{one:?} {other:?}");
            }
        }
    }
}

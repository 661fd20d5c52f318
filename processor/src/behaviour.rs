//! What an account does, in counters of fixed size: how it pauses, how long its prompts are, whether
//! they are new, which limit, system prompt and client it mostly uses. Whole numbers only.

use crate::measure::{Common, Share, quick_hash, short};
use crate::nats::{Moments, ln};
use crate::pauses::Pauses;
use weir_schemas::{Request, ValueHash};

/// Minutes at the start of an hour in which schedules fire.
const ON_HOUR_MS: i64 = 180_000;

/// Different texts, by HyperLogLog with 128 registers of four bits: 64 bytes, right to a tenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Texts {
    registers: [u8; 64],
    seen: u32,
}
persist_fields!(Texts { registers, seen });

/// What two registers in one byte come to: the sum of two to the 15 minus each rank, and above 32 bits how
/// many are empty.
static PAIRS: [u64; 256] = {
    let mut table = [0; 256];
    let mut pair = 0;
    while pair < table.len() {
        let (low, high) = (pair & 0xF, pair >> 4);
        let empty = (low == 0) as u64 + (high == 0) as u64;
        table[pair] = empty << 32 | ((1 << (15 - low)) + (1 << (15 - high)));
        pair += 1;
    }
    table
};

impl Default for Texts {
    fn default() -> Self {
        Self { registers: [0; 64], seen: 0 }
    }
}

impl Texts {
    #[inline]
    fn note(&mut self, text: &ValueHash) {
        self.seen = self.seen.saturating_add(1);
        let place = usize::from(text.0[15] & 0x7F);
        let rank = (short(&text.0).trailing_zeros() + 1).min(15) as u8;
        let (byte, shift) = (&mut self.registers[place / 2], place % 2 * 4);
        if *byte >> shift & 0xF < rank {
            *byte = *byte & !(0xF << shift) | rank << shift;
        }
    }

    /// Prompts that were counted.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// The estimated number of different ones.
    pub fn different(&self) -> u32 {
        let pairs: u64 = self.registers.iter().map(|pair| PAIRS[usize::from(*pair)]).sum();
        let (sum, empty) = (pairs & 0xFFFF_FFFF, pairs >> 32);
        // 0.7153 * 128 * 128, times the 2^15 that the sum is scaled by.
        let raw = (11_719u64 << 15) / sum.max(1);
        let estimate = if raw <= 320 && empty > 0 {
            // Linear counting: 128 ln(128 / empty).
            128 * (ln(128) - ln(empty)) as u64 / 1_000
        } else {
            raw
        };
        (estimate.max(1) as u32).min(self.seen)
    }

    /// Different texts among all, in thousandths; none without prompts.
    pub fn novelty_permille(&self) -> Option<i32> {
        let seen = u64::from(self.seen);
        (seen > 0).then(|| (u64::from(self.different()) * 1_000 / seen) as i32)
    }
}

/// The counters of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Requests since the account was first seen.
    pub requests: u32,
    /// The pauses between requests.
    pub pauses: Pauses,
    /// Requests at the start of an hour.
    pub on_hour: Share,
    /// Logarithm of the prompts' lengths, in bytes.
    pub lengths: Moments,
    /// Different texts.
    pub texts: Texts,
    /// The limit that it asks for, in tokens; 0 for none.
    pub limit: Common,
    /// The system prompt, in part; 0 for none.
    pub preamble: Common,
    /// TLS, HTTP/2 and header order together.
    pub stack: Common,
    /// The organisation, in part; 0 for none.
    pub org: Common,
    /// The payment method, in part; 0 for none.
    pub payment: Common,
}
persist_fields!(Behaviour {
    requests,
    pauses,
    on_hour,
    lengths,
    texts,
    limit,
    preamble,
    stack,
    org,
    payment
});

impl Behaviour {
    /// Counts a request that began at `time_ms`.
    #[inline]
    pub fn observe(&mut self, request: &Request<'_>, time_ms: i64) {
        self.requests = self.requests.saturating_add(1);
        self.pauses.note(time_ms);
        self.on_hour.note(time_ms.rem_euclid(3_600_000) < ON_HOUR_MS);
        if let Some(prompt) = &request.prompt {
            self.lengths.note(ln(prompt.bytes.max(1) as u64));
            self.texts.note(&prompt.text_hash);
        }
        self.limit.note(request.max_tokens.map_or(0, |limit| limit.clamp(1, u32::MAX.into()) as u32));
        self.preamble.note(part(request.preamble));
        self.stack.note(stack(request));
        self.org.note(part(request.org));
        self.payment.note(part(request.payment));
    }
}

/// A part of a hash that is never 0; 0 for none.
pub(crate) fn part(value: Option<ValueHash>) -> u32 {
    value.map_or(0, |value| short(&value.0) | 1)
}

/// What the connection and the header order are, in one number. The user agent is what a client says of
/// itself, and rotates most easily: it is left out.
fn stack(request: &Request<'_>) -> u32 {
    let hello = request.ja4.or(request.ja3).map_or(0, |hello| quick_hash(hello, 21));
    let settings = request.h2.map_or(0, |settings| quick_hash(settings, 22));
    let order = request.headers.as_ref().map_or(0, |headers| headers.order_hash as u64);
    (hello ^ settings.rotate_left(21) ^ order.rotate_left(42)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::hash;

    fn texts(different: u32, seen: u32) -> Texts {
        let mut texts = Texts::default();
        (0..seen).for_each(|index| texts.note(&hash(&format!("text {}", index % different))));
        texts
    }

    #[test]
    fn different_texts_are_estimated_to_a_quarter_whatever_their_number() {
        for (different, seen) in [(1, 500), (12, 12), (20, 20), (160, 2_880), (400, 4_000), (8_000, 9_000)] {
            let estimate = texts(different, seen).different();
            let off = f64::from(estimate) / f64::from(different) - 1.0;
            assert!(off.abs() <= 0.25, "{estimate} for {different}");
        }
    }

    #[test]
    fn what_an_account_mostly_does_is_counted() {
        let mut behaviour = Behaviour::default();
        for index in 0..40 {
            let request = Request {
                max_tokens: Some(if index % 10 == 0 { 16 } else { 4_096 }),
                payment: Some(hash("card")),
                ..Default::default()
            };
            behaviour.observe(&request, 1 + index * 900_000);
        }
        assert_eq!((behaviour.requests, behaviour.limit.value(), behaviour.org.value()), (40, 4_096, 0));
        assert_eq!((behaviour.on_hour.permille(), behaviour.pauses.pace().spread), (250, 0));
        assert_eq!(behaviour.texts.novelty_permille(), None);
    }
}

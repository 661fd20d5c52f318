//! What was found in a record, by the places that formats ask for. The buffers are used again for every
//! record.

use crate::json::{Kind, Span, Value};

/// Bits, one a slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// No bit of so many.
    pub(crate) fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    #[inline]
    pub(crate) fn set(&mut self, bit: u16, is_set: bool) {
        let (word, mask) = (&mut self.0[usize::from(bit) / 64], 1 << (bit % 64));
        if is_set { *word |= mask } else { *word &= !mask }
    }

    #[inline]
    pub(crate) fn has(&self, bit: u16) -> bool {
        self.0[usize::from(bit) / 64] & 1 << (bit % 64) != 0
    }

    #[inline]
    fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The bits that `other` lacks.
    pub(crate) fn without<'b>(&'b self, other: &'b Self) -> impl Iterator<Item = u16> + 'b {
        self.0.iter().zip(&other.0).enumerate().filter(|(_, (mine, its))| *mine & !*its != 0).flat_map(
            |(word, (mine, its))| {
                (0..64u16)
                    .filter(move |bit| mine & !its & 1 << bit != 0)
                    .map(move |bit| word as u16 * 64 + bit)
            },
        )
    }
}

/// A value, and in which buffer it stands.
#[derive(Debug, Clone, Copy, Default)]
struct Spot {
    span: Span,
    /// 0 is the record; from 1 on the texts that were read as JSON themselves.
    buffer: u8,
}

/// One of several values whose keys differ by a number.
#[derive(Debug, Clone, Copy)]
struct Numbered {
    slot: u16,
    number: u32,
    spot: Spot,
}

/// Most values of keys that differ by a number.
const NUMBERED_MAX: usize = 4_096;

/// Most texts of a record that are read as JSON themselves.
const NESTED_MAX: usize = 12;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Found {
    spots: Vec<Spot>,
    /// Slots that are there, with any value but null.
    present: Bits,
    /// Slots whose value says something.
    filled: Bits,
    numbered: Vec<Numbered>,
    nested: Vec<Vec<u8>>,
    nested_count: usize,
    /// The slot that was kept last, and the offset behind its value.
    last: Option<(u16, usize)>,
}

impl Found {
    /// Room for so many slots.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            spots: vec![Spot::default(); slots],
            present: Bits::none(slots),
            filled: Bits::none(slots),
            ..Self::default()
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.present.clear();
        self.filled.clear();
        self.numbered.clear();
        self.nested_count = 0;
        self.last = None;
    }

    pub(crate) fn present(&self) -> &Bits {
        &self.present
    }

    pub(crate) fn filled(&self) -> &Bits {
        &self.filled
    }

    /// Keeps a value. Of two the later one counts, as in most parsers; but what says nothing erases nothing.
    #[inline]
    pub(crate) fn keep(&mut self, slot: u16, bytes: &[u8], span: Span, buffer: u8) {
        let is_filled = !span.is_empty(bytes);
        if !is_filled && self.filled.has(slot) {
            return;
        }
        if span.kind != Kind::Null {
            self.present.set(slot, true);
        }
        self.filled.set(slot, is_filled);
        self.spots[usize::from(slot)] = Spot { span, buffer };
        if buffer == 0 {
            let is_quoted = matches!(span.kind, Kind::Text | Kind::Escaped);
            self.last = Some((slot, span.to + usize::from(is_quoted)));
        }
    }

    /// Keeps one of the values whose keys differ by a number.
    pub(crate) fn keep_numbered(&mut self, slot: u16, number: u32, bytes: &[u8], span: Span, buffer: u8) {
        if self.numbered.len() < NUMBERED_MAX && !span.is_empty(bytes) {
            self.present.set(slot, true);
            self.filled.set(slot, true);
            self.numbered.push(Numbered { slot, number, spot: Spot { span, buffer } });
        }
    }

    /// Forgets the last value when a record could not be read right behind it: it may be half a value.
    pub(crate) fn doubt_last(&mut self, bytes: &[u8], fault_at: usize) {
        if let Some((slot, end)) = self.last.take()
            && bytes.get(end..fault_at).is_some_and(|between| between.trim_ascii().is_empty())
        {
            self.present.set(slot, false);
            self.filled.set(slot, false);
        }
    }

    /// A buffer for a text that is JSON itself, with its number; none when there are too many.
    pub(crate) fn take_nested(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.nested_count == NESTED_MAX {
            return None;
        }
        if self.nested.len() == self.nested_count {
            self.nested.push(Vec::new());
        }
        let mut buffer = std::mem::take(&mut self.nested[self.nested_count]);
        buffer.clear();
        self.nested_count += 1;
        Some((self.nested_count as u8, buffer))
    }

    /// Gives the buffer back, filled.
    pub(crate) fn put_nested(&mut self, number: u8, buffer: Vec<u8>) {
        self.nested[usize::from(number) - 1] = buffer;
    }

    fn bytes<'r>(&'r self, record: &'r [u8], spot: Spot) -> &'r [u8] {
        match spot.buffer {
            0 => record,
            number => &self.nested[usize::from(number) - 1],
        }
    }

    /// The value of a slot; null where it is not there.
    #[inline]
    pub(crate) fn value<'r>(&'r self, record: &'r [u8], slot: u16) -> Value<'r> {
        if !self.present.has(slot) {
            return Value::Null;
        }
        let spot = self.spots[usize::from(slot)];
        Value::of(self.bytes(record, spot), spot.span)
    }

    /// The value of a slot as it is spelled.
    pub(crate) fn spelled<'r>(&'r self, record: &'r [u8], slot: u16) -> &'r [u8] {
        let spot = self.spots[usize::from(slot)];
        &self.bytes(record, spot)[spot.span.from..spot.span.to]
    }

    /// Where in the record the value of a slot stands; none where it is not there, or in a text of its own.
    pub(crate) fn range(&self, slot: u16) -> Option<std::ops::Range<usize>> {
        let spot = self.spots[usize::from(slot)];
        (self.present.has(slot) && spot.buffer == 0).then_some(spot.span.from..spot.span.to)
    }

    /// The values of a slot by their numbers, in order.
    pub(crate) fn numbered<'r>(&'r self, record: &'r [u8], slot: u16) -> Vec<(u32, Value<'r>)> {
        let of_slot = self.numbered.iter().filter(|value| value.slot == slot);
        let mut values: Vec<_> =
            of_slot.map(|v| (v.number, Value::of(self.bytes(record, v.spot), v.spot.span))).collect();
        values.sort_by_key(|(number, _)| *number);
        values
    }
}

//! What a file leaves of itself: keyed hashes of short windows of its bytes, by which it is known again
//! under another name, as a copy, or compressed.
//!
//! A print is taken of the window that ends at every power of two, and of the one that ends at the
//! position. So a long head that all files have in common tells nothing and costs nothing, and a copy that is
//! shorter than what was read is known for at least half of its length.

use crate::privacy::Pseudonymizer;
use std::io;
use weir_schemas::keyed::KeyedHash;

/// Length of a window, in bytes; less where the file begins within it.
pub const WINDOW_BYTES: usize = 256;

/// The first power of two at which a print is taken.
const FIRST_POWER: u32 = 4;

/// Most prints: a file of 2^48 bytes.
const POWERS_MAX: usize = 45;

/// Takes prints, under the pseudonym key: windows are raw text.
#[derive(Clone)]
pub struct PrintKey(KeyedHash);

impl PrintKey {
    /// The key of a deployment.
    pub fn new(keys: &Pseudonymizer) -> Self {
        Self(keys.domain("weir.file.window"))
    }

    /// The print of a window.
    pub(super) fn print(&self, window: &[u8]) -> u64 {
        self.0.first_16(&[window]).iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
    }
}

/// What a file left up to some offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prints {
    /// Of the windows that end at 16, 32, 64 … bytes.
    powers: Vec<u64>,
    /// Of the window that ends at the offset.
    last: u64,
}

/// How a file stands to the prints of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It has the same bytes up to the offset, or it would be a wonder.
    Same,
    /// It is shorter than the offset, and the same as far as it goes.
    Shorter,
    /// It is another file.
    Other,
}

impl Prints {
    /// The same prints as of an earlier offset, or this one, with the print of the window that ends there.
    pub(super) fn up_to(&self, offset: u64, last: u64) -> Self {
        let powers = self.powers.iter().enumerate().take_while(|(index, _)| end_of(*index) <= offset);
        Self { powers: powers.map(|(_, print)| *print).collect(), last }
    }

    /// Takes the prints of the windows that end after `from` and not after `to`; `bytes` end at `to`.
    pub(super) fn take(&mut self, key: &PrintKey, from: u64, to: u64, bytes: &[u8]) {
        while self.powers.len() < POWERS_MAX {
            let end = end_of(self.powers.len());
            if end <= from || end > to {
                return;
            }
            let at = bytes.len() - (to - end) as usize;
            self.powers.push(key.print(&bytes[at.saturating_sub(WINDOW_BYTES)..at]));
        }
    }

    /// Whether the file of `length` bytes, of which `window` gives those before an offset, left these prints
    /// up to `offset`.
    pub(super) fn likeness(
        &self,
        key: &PrintKey,
        offset: u64,
        length: u64,
        mut window: impl FnMut(u64) -> io::Result<Vec<u8>>,
    ) -> io::Result<Likeness> {
        let mut compared = 0;
        for (index, print) in self.powers.iter().enumerate().rev() {
            let end = end_of(index);
            if end <= length {
                if key.print(&window(end)?) != *print {
                    return Ok(Likeness::Other);
                }
                compared += 1;
            }
        }
        if length < offset {
            return Ok(if compared > 0 { Likeness::Shorter } else { Likeness::Other });
        }
        Ok(if key.print(&window(offset)?) == self.last { Likeness::Same } else { Likeness::Other })
    }

    /// The prints of a file of which `window` gives the bytes before an offset, up to `offset`.
    pub(super) fn of(
        key: &PrintKey,
        offset: u64,
        mut window: impl FnMut(u64) -> io::Result<Vec<u8>>,
    ) -> io::Result<Self> {
        let ends = (0..POWERS_MAX).map(end_of).take_while(|end| *end <= offset);
        let powers = ends.map(|end| Ok(key.print(&window(end)?))).collect::<io::Result<_>>()?;
        Ok(Self { powers, last: key.print(&window(offset)?) })
    }

    /// Whether the file of whose windows `next` gives the one after the other, each that ends at one of
    /// [`Self::ends`], left these prints; none where the file ends before.
    pub(super) fn in_order(
        &self,
        key: &PrintKey,
        offset: u64,
        mut next: impl FnMut() -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<Likeness> {
        for (compared, end) in self.ends(offset).enumerate() {
            let Some(window) = next()? else {
                return Ok(if compared > 0 { Likeness::Shorter } else { Likeness::Other });
            };
            let print = if end == offset { self.last } else { self.powers[compared] };
            if key.print(&window) != print {
                return Ok(Likeness::Other);
            }
        }
        Ok(Likeness::Same)
    }

    /// Where windows end of which prints were taken, up to and with `offset`.
    pub(super) fn ends(&self, offset: u64) -> impl Iterator<Item = u64> {
        let powers = (0..self.powers.len()).map(end_of).filter(move |end| *end < offset);
        powers.chain([offset])
    }

    pub(super) fn write(&self, into: &mut Vec<u8>) {
        into.push(self.powers.len() as u8);
        into.extend(self.powers.iter().chain([&self.last]).flat_map(|print| print.to_be_bytes()));
    }

    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (count, rest) = bytes.split_first()?;
        let count = usize::from(*count);
        let (prints, rest) = rest.split_at_checked(8 * (count + 1))?;
        let (prints, _) = prints.as_chunks::<8>();
        let mut prints: Vec<u64> = prints.iter().map(|print| u64::from_be_bytes(*print)).collect();
        let last = prints.pop()?;
        (count <= POWERS_MAX).then_some((Self { powers: prints, last }, rest))
    }
}

fn end_of(index: usize) -> u64 {
    1 << (FIRST_POWER as usize + index)
}

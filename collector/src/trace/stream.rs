//! One direction of a connection: chunks in the order in which the tap heard them become pieces of a stream,
//! and what is missing between them is known to the byte.

use super::loss::{Loss, Losses};

/// A piece of a stream.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'c> {
    /// These bytes; whether a chunk begins with them.
    Bytes(&'c [u8], bool),
    /// So many bytes that were not heard.
    Missing(u64),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Where the next chunk stands if nothing is missing.
    next: u64,
}

impl Stream {
    /// The pieces of a chunk. Of one that was heard before, because the process tried again to send it,
    /// nothing is handed on a second time.
    pub(crate) fn take<'c>(
        &mut self,
        (offset, bytes, length): (u64, &'c [u8], u64),
        losses: &mut Losses,
        each: &mut dyn FnMut(Piece<'c>),
    ) {
        let end = offset.saturating_add(length);
        if end <= self.next {
            return;
        }
        let known = self.next.saturating_sub(offset);
        if offset > self.next {
            losses.add(Loss::GapBytes, offset - self.next);
            each(Piece::Missing(offset - self.next));
        }
        self.next = end;
        let copied = &bytes[..bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
        let new = copied.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
        if !new.is_empty() {
            each(Piece::Bytes(new, true));
        }
        let cut = length - known - new.len() as u64;
        if cut > 0 {
            losses.add(Loss::CutBytes, cut);
            each(Piece::Missing(cut));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a stream of these bytes gives when each chunk is copied up to its limit, or not heard at all; and
    /// twice where the process tried again.
    fn heard(bytes: &[u8], chunks: &[(usize, usize, bool, bool)]) -> (Vec<Option<u8>>, Losses, [u64; 2]) {
        let (mut stream, mut losses) = (Stream::default(), Losses::default());
        let (mut at, mut out) = (0, Vec::new());
        let (mut gaps, mut cuts, mut waiting) = (0, 0, 0);
        for (length, cap, is_heard, is_again) in chunks {
            let chunk = &bytes[at..(at + length).min(bytes.len())];
            if *is_heard && !chunk.is_empty() {
                gaps += std::mem::take(&mut waiting);
                cuts += chunk.len().saturating_sub(*cap) as u64;
                for _ in 0..=u32::from(*is_again) {
                    let copied = &chunk[..chunk.len().min(*cap)];
                    stream.take(
                        (at as u64, copied, chunk.len() as u64),
                        &mut losses,
                        &mut |piece| match piece {
                            Piece::Bytes(bytes, _) => out.extend(bytes.iter().copied().map(Some)),
                            Piece::Missing(count) => out.extend((0..count).map(|_| None)),
                        },
                    );
                }
            } else {
                waiting += chunk.len() as u64;
            }
            at += chunk.len();
        }
        (out, losses, [gaps, cuts])
    }

    proptest! {
        #[test]
        fn every_byte_is_handed_on_once_or_known_to_be_missing(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            chunks in proptest::collection::vec((1usize..40, 1usize..40, any::<bool>(), any::<bool>()), 0..40),
        ) {
            let (out, losses, [gaps, cuts]) = heard(&bytes, &chunks);
            for (index, byte) in out.iter().enumerate() {
                prop_assert!(byte.is_none_or(|byte| byte == bytes[index]));
            }
            prop_assert_eq!(losses.of(Loss::GapBytes), gaps);
            prop_assert_eq!(losses.of(Loss::CutBytes), cuts);
            let missing = out.iter().filter(|byte| byte.is_none()).count() as u64;
            prop_assert_eq!(missing, gaps + cuts);
        }
    }
}

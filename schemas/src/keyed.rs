//! HMAC-SHA256 for many short messages under one key.
//!
//! The key's two blocks are hashed once, and what stands before every message of a kind is kept with them: a
//! message of a line costs its own blocks and one more. That is what a collector does most, half a dozen
//! times a line.

use sha2::block_api::compress256;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// SHA-256 before its first block.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A key, with the message so far. A copy of it goes on by itself; the key is wiped when it is dropped, and
/// cannot be printed.
#[derive(Clone)]
pub struct KeyedHash {
    inner: [u32; 8],
    outer: [u32; 8],
    /// Bytes of the message that fill no block yet: `length` modulo 64 of them.
    rest: [u8; BLOCK],
    /// Bytes of the message.
    length: u64,
}

impl Drop for KeyedHash {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl KeyedHash {
    /// The key, before any message.
    pub fn new(key: &[u8; 32]) -> Self {
        let padded = |pad: u8| {
            // HMAC fills a key up with zeros to a block.
            let mut block = Zeroizing::new([pad; BLOCK]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress256(&mut state, &[*block]);
            state
        };
        Self { inner: padded(0x36), outer: padded(0x5c), rest: [0; BLOCK], length: 0 }
    }

    /// Goes on with the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length = absorb(&mut self.inner, &mut self.rest, self.length, bytes);
    }

    /// The first 16 bytes of the hash of the message, as it goes on with these parts.
    #[inline]
    pub fn first_16(&self, parts: &[&[u8]]) -> [u8; 16] {
        let (mut inner, mut rest, mut length) = (self.inner, self.rest, self.length);
        for part in parts {
            length = absorb(&mut inner, &mut rest, length, part);
        }
        end(&mut inner, &mut rest, length);
        let mut block = [0; BLOCK];
        for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(inner) {
            *bytes = word.to_be_bytes();
        }
        let mut outer = self.outer;
        end(&mut outer, &mut block, 32);
        let mut first = [0; 16];
        for (bytes, word) in first.as_chunks_mut::<4>().0.iter_mut().zip(outer) {
            *bytes = word.to_be_bytes();
        }
        first
    }
}

/// Takes a piece of a message of which so many bytes were taken before; its new length.
#[inline]
fn absorb(state: &mut [u32; 8], block: &mut [u8; BLOCK], length: u64, mut bytes: &[u8]) -> u64 {
    let filled = (length % BLOCK as u64) as usize;
    let length = length + bytes.len() as u64;
    if filled > 0 {
        let (first, others) = bytes.split_at(bytes.len().min(BLOCK - filled));
        block[filled..filled + first.len()].copy_from_slice(first);
        if filled + first.len() < BLOCK {
            return length;
        }
        compress256(state, &[*block]);
        bytes = others;
    }
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    if !blocks.is_empty() {
        compress256(state, blocks);
    }
    block[..rest.len()].copy_from_slice(rest);
    length
}

/// Ends a message of so many bytes behind the key's block.
#[inline]
fn end(state: &mut [u32; 8], block: &mut [u8; BLOCK], length: u64) {
    const LENGTH_AT: usize = BLOCK - 8;
    let filled = (length % BLOCK as u64) as usize;
    block[filled] = 0x80;
    block[filled + 1..].fill(0);
    if filled >= LENGTH_AT {
        compress256(state, &[*block]);
        block.fill(0);
    }
    block[LENGTH_AT..].copy_from_slice(&((BLOCK as u64 + length) * 8).to_be_bytes());
    compress256(state, &[*block]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use proptest::prelude::*;
    use sha2::Sha256;

    proptest! {
        #[test]
        fn it_is_the_hmac_of_the_library_however_the_message_is_cut(
            key in any::<[u8; 32]>(), parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 0..5),
        ) {
            let mut ours = KeyedHash::new(&key);
            let mut reference = <Hmac<Sha256>>::new_from_slice(&key).unwrap();
            for part in &parts {
                reference.update(part);
            }
            let (before, after) = parts.split_at(parts.len() / 2);
            before.iter().for_each(|part| ours.update(part));
            let after: Vec<&[u8]> = after.iter().map(|part| &part[..]).collect();
            prop_assert_eq!(&ours.first_16(&after)[..], &reference.finalize().into_bytes()[..16]);
        }
    }

    #[test]
    fn messages_of_every_length_around_a_block_are_hashed_alike() {
        for length in 0..200 {
            let message = vec![7; length];
            let ours = KeyedHash::new(&[3; 32]);
            let mut reference = <Hmac<Sha256>>::new_from_slice(&[3; 32]).unwrap();
            reference.update(&message);
            assert_eq!(ours.first_16(&[&message]), reference.finalize().into_bytes()[..16], "{length}");
        }
    }
}

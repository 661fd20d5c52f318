//! Reading and writing of Avro's binary encoding, as the generated code needs it.

use thiserror::Error;

/// Largest number of items that an array may have on the wire.
///
/// Arrays in Weir's records are short (evidence, members, event ids); the limit keeps a forged
/// count from reserving memory.
pub const ARRAY_ITEMS_MAX: u64 = 65_536;

/// Why bytes are not a datum of the expected schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The datum ends inside a field.
    #[error("the record ends inside {field}")]
    Truncated {
        /// Record and field.
        field: &'static str,
    },
    /// A number does not fit its type.
    #[error("{field} is out of range")]
    OutOfRange {
        /// Record and field.
        field: &'static str,
    },
    /// A string is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// Record and field.
        field: &'static str,
    },
    /// An enum or union has no such branch.
    #[error("{name} has no branch {index}")]
    BadIndex {
        /// Enum or union.
        name: &'static str,
        /// The index that was read.
        index: i64,
    },
    /// An array claims more items than [`ARRAY_ITEMS_MAX`].
    #[error("{field} has more items than the limit of {ARRAY_ITEMS_MAX}")]
    TooManyItems {
        /// Record and field.
        field: &'static str,
    },
    /// Bytes are left over after the last field.
    #[error("{bytes} bytes follow the record")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// A record with a schema: what the code generator implements for every `.avsc`.
pub trait Record<'a>: Sized {
    /// Name of the record: the stem of its schema file.
    const NAME: &'static str;
    /// The schema as it stands in its file.
    const SCHEMA: &'static str;
    /// The schema's parsing canonical form.
    const CANONICAL: &'static str;
    /// CRC-64-AVRO of the canonical form.
    const FINGERPRINT: u64;

    /// Reads the fields from `reader` and leaves it after the last one.
    fn decode_fields(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Appends the Avro binary encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a whole datum; bytes left over are an error.
    fn decode(datum: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(datum);
        let record = Self::decode_fields(&mut reader)?;
        match reader.rest.len() {
            0 => Ok(record),
            bytes => Err(DecodeError::Trailing { bytes }),
        }
    }

    /// The Avro binary encoding in a new vector.
    fn to_datum(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode(&mut out);
        out
    }
}

/// A cursor over a datum.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Items that arrays may still have, over the whole datum.
    items_left: u64,
}

impl<'a> Reader<'a> {
    /// A cursor at the first byte.
    pub fn new(datum: &'a [u8]) -> Self {
        Self { rest: datum, items_left: ARRAY_ITEMS_MAX }
    }

    #[inline(always)]
    pub(crate) fn long(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        // Lengths, branches and small counts, which most numbers are, take one byte.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(unzigzag((*byte).into()));
        }
        self.long_of_many(field)
    }

    #[inline(never)]
    fn long_of_many(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte holds the last bit of 64.
            if index == 9 && *byte > 1 {
                return Err(DecodeError::OutOfRange { field });
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(unzigzag(value));
            }
        }
        Err(DecodeError::Truncated { field })
    }

    #[inline]
    pub(crate) fn int(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        i32::try_from(self.long(field)?).map_err(|_| DecodeError::OutOfRange { field })
    }

    #[inline]
    pub(crate) fn boolean(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.take(1, field)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::OutOfRange { field }),
        }
    }

    #[inline]
    pub(crate) fn double(&mut self, field: &'static str) -> Result<f64, DecodeError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8, field)?);
        Ok(f64::from_le_bytes(bytes))
    }

    #[inline]
    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.long(field)?;
        let length = usize::try_from(length).map_err(|_| DecodeError::OutOfRange { field })?;
        self.take(length, field)
    }

    #[inline]
    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| DecodeError::NotUtf8 { field })
    }

    #[inline]
    pub(crate) fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N, field)?);
        Ok(bytes)
    }

    /// The branch of a union of null and something else: is the something there?
    #[inline]
    pub(crate) fn present(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.long(field)? {
            0 => Ok(false),
            1 => Ok(true),
            index => Err(DecodeError::BadIndex { name: field, index }),
        }
    }

    #[inline]
    pub(crate) fn index(&mut self, name: &'static str) -> Result<i64, DecodeError> {
        self.long(name)
    }

    #[cold]
    pub(crate) fn bad_index(&self, name: &'static str, index: i64) -> DecodeError {
        DecodeError::BadIndex { name, index }
    }

    /// The next block of an array: its number of items, or none after the last.
    #[inline]
    pub(crate) fn block(&mut self, field: &'static str) -> Result<Option<u64>, DecodeError> {
        let count = self.long(field)?;
        if count < 0 {
            // A negative count is followed by the block's size in bytes, which only skipping needs.
            self.long(field)?;
        }
        let count = count.unsigned_abs();
        if count == 0 {
            return Ok(None);
        }
        self.items_left = self.items_left.checked_sub(count).ok_or(DecodeError::TooManyItems { field })?;
        Ok(Some(count))
    }

    #[inline]
    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Avro writes small numbers of either sign as small ones without.
#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[inline]
pub(crate) fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected {digits} lower-case hex digits")]
pub struct IdError {
    /// How many digits the id has.
    pub digits: usize,
}

/// What each byte stands for as a digit of lower-case hex; of anything else the upper half is set.
const DIGITS: [u8; 256] = {
    let mut digits = [0xF0; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Parses exactly `N` bytes of lower-case hex.
pub(crate) fn parse_hex<const N: usize>(text: &[u8]) -> Result<[u8; N], IdError> {
    let error = IdError { digits: 2 * N };
    if text.len() != 2 * N {
        return Err(error);
    }
    // Every key of every record comes this way: one look for foreign digits at the end, not one at each.
    let (mut bytes, mut seen) = ([0; N], 0);
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    if seen > 0x0F { Err(error) } else { Ok(bytes) }
}

/// Lower-case hex; `DIGITS` is twice `N`.
#[inline]
pub(crate) fn hex_digits<const N: usize, const DIGITS: usize>(bytes: [u8; N]) -> [u8; DIGITS] {
    const ALPHABET: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; DIGITS];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = ALPHABET[usize::from(byte >> 4)];
        pair[1] = ALPHABET[usize::from(byte & 15)];
    }
    text
}

/// A newtype for an Avro fixed: printed and parsed as lower-case hex.
macro_rules! fixed_type {
    ($doc:expr, $name:ident, $size:expr) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);
        impl $name {
            /// The id as the ASCII hex digits that topics use for keys.
            pub fn to_key(self) -> Vec<u8> {
                crate::codec::hex_digits::<$size, { 2 * $size }>(self.0).to_vec()
            }
            /// The id that [`Self::to_key`] wrote.
            pub fn from_key(key: &[u8]) -> Result<Self, crate::codec::IdError> {
                crate::codec::parse_hex(key).map(Self)
            }
            #[inline]
            fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.fixed(stringify!($name)).map(Self)
            }
            #[inline]
            fn encode_body(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }
        impl Default for $name {
            fn default() -> Self {
                Self([0; $size])
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let text = crate::codec::hex_digits::<$size, { 2 * $size }>(self.0);
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = crate::codec::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_key(text.as_bytes())
            }
        }
    };
}
pub(crate) use fixed_type;

//! The compact encoding of state entries: numbers as LEB128, fields in order, no names.

use thiserror::Error;
use weir_schemas::{AccountId, EventId, ValueHash, VerdictId};

/// A state entry's bytes do not fit its format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Damage(pub &'static str);

/// What can be written to and taken back from a state entry.
pub trait Persist: Sized {
    /// Appends the encoding.
    fn save(&self, out: &mut Vec<u8>);

    /// Reads the encoding from the front of `input`.
    fn load(input: &mut &[u8]) -> Result<Self, Damage>;
}

/// The encoding of a state entry.
pub fn saved(value: &impl Persist) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    value.save(&mut body);
    body
}

/// Splits `length` bytes off the front.
pub fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], Damage> {
    let (taken, rest) = input.split_at_checked(length).ok_or(Damage("it ends too early"))?;
    *input = rest;
    Ok(taken)
}

impl Persist for u64 {
    fn save(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    #[inline]
    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        // Most numbers in a state entry are small.
        if let Some((byte, rest)) = input.split_first()
            && *byte < 0x80
        {
            *input = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for (index, byte) in input.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                return Err(Damage("a number is too large"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                *input = &input[index + 1..];
                return Ok(value);
            }
        }
        Err(Damage("it ends inside a number"))
    }
}

macro_rules! persist_unsigned {
    ($($type:ty),+) => {$(
        impl Persist for $type {
            fn save(&self, out: &mut Vec<u8>) {
                (*self as u64).save(out);
            }
            fn load(input: &mut &[u8]) -> Result<Self, Damage> {
                <$type>::try_from(u64::load(input)?).map_err(|_| Damage("a number is too large"))
            }
        }
    )+};
}
persist_unsigned!(u8, u16, u32, usize);

impl Persist for i64 {
    fn save(&self, out: &mut Vec<u8>) {
        (((self << 1) ^ (self >> 63)) as u64).save(out);
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let value = u64::load(input)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

macro_rules! persist_signed {
    ($($type:ty),+) => {$(
        impl Persist for $type {
            fn save(&self, out: &mut Vec<u8>) {
                i64::from(*self).save(out);
            }
            fn load(input: &mut &[u8]) -> Result<Self, Damage> {
                <$type>::try_from(i64::load(input)?).map_err(|_| Damage("a number is too large"))
            }
        }
    )+};
}
persist_signed!(i16, i32);

impl Persist for bool {
    fn save(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        match take(input, 1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage("a flag is neither 0 nor 1")),
        }
    }
}

impl Persist for f32 {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bits().to_le_bytes());
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        <[u8; 4]>::load_raw(input).map(Self::from_le_bytes)
    }
}

impl Persist for () {
    fn save(&self, _: &mut Vec<u8>) {}

    fn load(_: &mut &[u8]) -> Result<Self, Damage> {
        Ok(())
    }
}

/// Fixed bytes without a length.
trait LoadRaw: Sized {
    fn load_raw(input: &mut &[u8]) -> Result<Self, Damage>;
}

impl<const N: usize> LoadRaw for [u8; N] {
    fn load_raw(input: &mut &[u8]) -> Result<Self, Damage> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(take(input, N)?);
        Ok(bytes)
    }
}

macro_rules! persist_ids {
    ($($type:ident),+) => {$(
        impl Persist for $type {
            fn save(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn load(input: &mut &[u8]) -> Result<Self, Damage> {
                LoadRaw::load_raw(input).map(Self)
            }
        }
    )+};
}
persist_ids!(AccountId, EventId, ValueHash, VerdictId);

impl<T: Persist + Default + Copy, const N: usize> Persist for [T; N] {
    fn save(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.save(out));
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let mut items = [T::default(); N];
        for item in &mut items {
            *item = T::load(input)?;
        }
        Ok(items)
    }
}

impl<T: Persist> Persist for Vec<T> {
    fn save(&self, out: &mut Vec<u8>) {
        self.len().save(out);
        self.iter().for_each(|item| item.save(out));
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let length = usize::load(input)?;
        // Every item takes a byte or more, so a forged length reserves no more than the input's size.
        if length > input.len() {
            return Err(Damage("a list is longer than the entry"));
        }
        let mut items = Self::with_capacity(length);
        for _ in 0..length {
            items.push(T::load(input)?);
        }
        Ok(items)
    }
}

impl<T: Persist> Persist for Option<Box<T>> {
    fn save(&self, out: &mut Vec<u8>) {
        self.is_some().save(out);
        if let Some(inner) = self {
            inner.save(out);
        }
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        Ok(if bool::load(input)? { Some(Box::new(T::load(input)?)) } else { None })
    }
}

impl Persist for String {
    fn save(&self, out: &mut Vec<u8>) {
        self.len().save(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn load(input: &mut &[u8]) -> Result<Self, Damage> {
        let length = usize::load(input)?;
        let bytes = take(input, length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Damage("a text is not UTF-8"))
    }
}

/// Implements [`Persist`] for a struct by its fields, in the order given, which is the format. What is loaded
/// goes through `then`, where one is named: it refuses what cannot be, or fills in a field that is not saved
/// because it follows from the others.
macro_rules! persist_fields {
    ($name:ident { $($field:ident),+ $(; $unsaved:ident)? } then $then:path) => {
        impl $crate::persist::Persist for $name {
            fn save(&self, out: &mut Vec<u8>) {
                $($crate::persist::Persist::save(&self.$field, out);)+
            }
            fn load(input: &mut &[u8]) -> Result<Self, $crate::persist::Damage> {
                $then(Self {
                    $($field: $crate::persist::Persist::load(input)?,)+
                    $($unsaved: Default::default())?
                })
            }
        }
    };
    ($name:ident $(<$generic:ident>)? { $($field:ident),+ $(,)? }) => {
        impl $(<$generic: $crate::persist::Persist>)? $crate::persist::Persist for $name $(<$generic>)? {
            fn save(&self, out: &mut Vec<u8>) {
                $($crate::persist::Persist::save(&self.$field, out);)+
            }
            fn load(input: &mut &[u8]) -> Result<Self, $crate::persist::Damage> {
                Ok(Self { $($field: $crate::persist::Persist::load(input)?),+ })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_saved_is_loaded_again(a: u64, b: i64, c: bool, d: f32, e: Vec<u16>, f in ".{0,9}") {
            let mut out = Vec::new();
            a.save(&mut out);
            b.save(&mut out);
            c.save(&mut out);
            d.save(&mut out);
            e.save(&mut out);
            f.save(&mut out);
            let mut input = &out[..];
            prop_assert_eq!(u64::load(&mut input).unwrap(), a);
            prop_assert_eq!(i64::load(&mut input).unwrap(), b);
            prop_assert_eq!(bool::load(&mut input).unwrap(), c);
            prop_assert_eq!(f32::load(&mut input).unwrap().to_bits(), d.to_bits());
            prop_assert_eq!(Vec::<u16>::load(&mut input).unwrap(), e);
            prop_assert_eq!(String::load(&mut input).unwrap(), f);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn damaged_bytes_are_refused_and_never_panic(bytes: Vec<u8>) {
            let _ = Vec::<u32>::load(&mut &bytes[..]);
            let _ = String::load(&mut &bytes[..]);
            let _ = <[i64; 4]>::load(&mut &bytes[..]);
        }
    }
}

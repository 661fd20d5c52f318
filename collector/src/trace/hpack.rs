//! Header blocks of HTTP/2 (RFC 7541), read field by field as servers read them.
//!
//! Of our own because whoever listens has to bound what others need not: clients choose the bytes, one thread
//! reads those of all, and a table holds credentials, which are wiped when they leave it.

use crate::limits::TRACE_HPACK_TABLE_BYTES_MAX;
use httlib_huffman::DecoderSpeed;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// Bytes of a table that nobody asked to be larger (RFC 9113, 6.5.2).
const TABLE_BYTES_DEFAULT: usize = 4_096;

/// What an entry takes beside its bytes (RFC 7541, 4.1).
const ENTRY_BYTES: usize = 32;

/// A field; its bytes are the name and the value behind it.
struct Field {
    bytes: Zeroizing<Vec<u8>>,
    name_end: usize,
}

impl Field {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.name_end)
    }

    fn size(&self) -> usize {
        self.bytes.len() + ENTRY_BYTES
    }
}

/// What later blocks of one direction may refer to.
pub(super) struct Table {
    /// The latest first.
    entries: VecDeque<Field>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES_DEFAULT }
    }
}

impl Table {
    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        self.bytes
    }

    /// Hands the fields of a block over in their order. None where it is malformed, or asks for a larger
    /// table than any server allows: what follows cannot be read then.
    pub(super) fn read(&mut self, mut block: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Option<()> {
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let (name, value) = self.get(integer(&mut block, 7)?)?;
                    each(name, value);
                }
                0x40.. => {
                    let field = self.literal(&mut block, 6)?;
                    let (name, value) = field.parts();
                    each(name, value);
                    self.insert(field);
                }
                0x20.. => {
                    self.bytes_max =
                        integer(&mut block, 5).filter(|size| *size <= TRACE_HPACK_TABLE_BYTES_MAX)?;
                    self.make_room(0);
                }
                _ => {
                    let field = self.literal(&mut block, 4)?;
                    let (name, value) = field.parts();
                    each(name, value);
                }
            }
        }
        Some(())
    }

    fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.as_bytes(), value.as_bytes())),
            None => self.entries.get(index - STATIC.len()).map(Field::parts),
        }
    }

    fn literal(&self, block: &mut &[u8], prefix_bits: u32) -> Option<Field> {
        let index = integer(block, prefix_bits)?;
        let name = match index {
            0 => string(block)?,
            _ => (false, self.get(index)?.0),
        };
        let value = string(block)?;
        // No byte of Huffman's code stands for two characters: room for all at once, so that nothing is left
        // behind where it grew.
        let room = 2 * (name.1.len() + value.1.len());
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        append(&mut bytes, name)?;
        let name_end = bytes.len();
        append(&mut bytes, value)?;
        Some(Field { bytes, name_end })
    }

    fn insert(&mut self, field: Field) {
        self.make_room(field.size());
        if field.size() <= self.bytes_max {
            self.bytes += field.size();
            self.entries.push_front(field);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.bytes -= oldest.size();
        }
    }
}

/// An integer behind the bits that say what it is of.
fn integer(block: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1usize << prefix_bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        // Four more bytes say more than any block is long.
        for shift in [0, 7, 14, 21] {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Some(number);
            }
        }
        return None;
    }
    *block = rest;
    Some(number)
}

/// A string as it is written, and whether in Huffman's code.
fn string<'b>(block: &mut &'b [u8]) -> Option<(bool, &'b [u8])> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (own, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((is_coded, own))
}

fn append(bytes: &mut Vec<u8>, (is_coded, text): (bool, &[u8])) -> Option<()> {
    if is_coded {
        return httlib_huffman::decode(text, bytes, DecoderSpeed::FiveBits).ok();
    }
    bytes.extend_from_slice(text);
    Some(())
}

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(table: &mut Table, block: &[u8]) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        table.read(block, &mut |name, value| fields.push((text(name), text(value)))).map(|()| fields)
    }

    fn unhex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut table = Table::default();
        // Appendix C.4: requests in Huffman's code, which refer to earlier ones.
        let blocks = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        let fields: Vec<_> =
            blocks.iter().map(|block| read(&mut table, &unhex(block)).unwrap().pop().unwrap()).collect();
        let expected = [
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
            ("custom-key", "custom-value"),
        ];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((table.held(), table.entries.len()), (164, 3));
    }

    #[test]
    fn a_table_is_sized_wherever_that_is_said_and_nothing_that_is_none_is_read() {
        let mut table = Table::default();
        read(&mut table, &unhex("4001 6101 62")).unwrap();
        // Behind a field, as servers allow.
        assert_eq!(read(&mut table, &unhex("be3f e11f")).unwrap(), [("a".to_owned(), "b".to_owned())]);
        assert_eq!(read(&mut table, &unhex("20")).unwrap(), []);
        assert_eq!((table.held(), read(&mut table, &unhex("be"))), (0, None));
        for malformed in ["80", "ff", "ffff ffff ff01", "3fff ffff 7f", "4005 61", "0181", "40"] {
            assert_eq!(read(&mut Table::default(), &unhex(malformed)), None, "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn what_another_implementation_writes_is_read(
            blocks in prop::collection::vec(prop::collection::vec((0usize..70, "[ -~]{0,40}"), 0..8), 0..30),
        ) {
            let (mut table, mut encoder) = (Table::default(), loona_hpack::Encoder::new());
            for block in blocks {
                let name = |index: usize| STATIC.get(index).map_or("x-own", |(name, _)| name).to_owned();
                let fields: Vec<_> = block.into_iter().map(|(index, value)| (name(index), value)).collect();
                let bytes = encoder.encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
                prop_assert_eq!(read(&mut table, &bytes), Some(fields));
                prop_assert!(table.held() <= table.bytes_max);
            }
        }

        #[test]
        fn no_bytes_are_read_otherwise_than_another_implementation_reads_them(
            blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
        ) {
            let (mut table, mut other) = (Table::default(), loona_hpack::Decoder::new());
            other.set_max_allowed_table_size(TRACE_HPACK_TABLE_BYTES_MAX);
            for block in blocks {
                let Ok(expected) = other.decode(&block) else { break };
                let mut fields = Vec::new();
                let read = table.read(&block, &mut |name, value| fields.push((name.to_vec(), value.to_vec())));
                prop_assert_eq!(read.map(|()| fields), Some(expected));
            }
        }
    }
}

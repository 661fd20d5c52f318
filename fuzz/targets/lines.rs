//! A log file: arbitrary bytes in arbitrary pieces, through every format, features and all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_collector::features::Features;
use weir_collector::format::{self, Reader};
use weir_collector::tail::{Line, LineReader, PrintKey, SourcePosition};
use weir_collector::{Format, Pseudonymizer};

const LINE_BYTES_MAX: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, mut rest)) = bytes.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    let keys = Pseudonymizer::new([7; 32], 0);
    drop(SourcePosition::from_bytes(bytes, rest));
    let mut reader = LineReader::new(LINE_BYTES_MAX, PrintKey::new(&keys));
    let mut records = Reader::new(&Format::Auto, LINE_BYTES_MAX).expect("the shipped formats are formats");
    let mut features = Features::default();
    let mut take = |record: format::Record<'_>| {
        assert!(record.unread().count() < 1_000);
        if let Ok(exchange) = &record.read {
            assert!(!exchange.account.is_empty());
            if let Some(prompt) = &exchange.prompt {
                drop(features.of_prompt(prompt, false, &keys));
            }
        }
    };
    let mut given = 0u64;
    while !rest.is_empty() {
        let (mut now, later) = rest.split_at(piece.min(rest.len()));
        while !now.is_empty() {
            reader.fill(&mut now).expect("a slice can be read");
        }
        rest = later;
        while let Some(line) = reader.next_line() {
            match line {
                Line::TooLong { offset, length, bytes, cuts } => {
                    assert!(length as usize > LINE_BYTES_MAX);
                    given = given.max(offset + length);
                    records.read(format::Line { offset, bytes, cuts }, &mut take);
                }
                Line::Text { offset, bytes } => {
                    assert!(bytes.len() <= LINE_BYTES_MAX && !bytes.contains(&b'\n'));
                    given = given.max(offset + bytes.len() as u64);
                    records.read(format::Line::whole(offset, bytes), &mut take);
                }
            }
        }
        assert!(reader.memory() <= 4 << 20);
    }
    assert!(given <= bytes.len() as u64);
});

//! Sites in files that are made here: an object with functions of these bytes.

use super::*;
use crate::process::BioLibrary;
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

/// Bytes as disassemblers print them.
fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// A file whose code is these functions, each 256 bytes behind the one before, and the rest of it `nop`.
struct Made {
    directory: TempDir,
    library: Library,
    /// Where the first function is in the file.
    text: u64,
}

impl Made {
    fn of(architecture: Architecture, functions: &[(&str, &str)]) -> Self {
        let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
        let section = object.section_id(StandardSection::Text);
        let mut text = vec![0x90; functions.len() * 256];
        for (place, (_, code)) in functions.iter().enumerate() {
            let code = hex(code);
            text[place * 256..place * 256 + code.len()].copy_from_slice(&code);
        }
        object.set_section_data(section, text.clone(), 16);
        for (place, (name, code)) in functions.iter().enumerate().filter(|(_, (name, _))| !name.is_empty()) {
            object.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: place as u64 * 256,
                size: hex(code).len() as u64,
                kind: SymbolKind::Text,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("libssl.so.3");
        let bytes = object.write().unwrap();
        let text = bytes.windows(text.len()).position(|window| window == text).unwrap() as u64;
        fs::write(&path, bytes).unwrap();
        let symbols: BTreeSet<String> = functions.iter().map(|(name, _)| (*name).to_owned()).collect();
        let name = "/libssl.so.3".to_owned();
        let bio = Bio::In(BioLibrary { name: name.clone(), path: path.clone() });
        let library = Library { name, path, is_deleted: false, symbols, bio };
        Self { directory, library, text }
    }

    /// Each site, as `PROBE FUNCTION` and where it is from its function's beginning on.
    fn told(&self, placing: Placing) -> Vec<String> {
        let told = |site: &Site| {
            let place = match site.placement {
                Placement::Entry(cause) => format!("entry: {cause:?}"),
                Placement::Emulated { behind_entry, offset } => {
                    assert_eq!((offset - self.text) % 256, behind_entry);
                    format!("emulated: {behind_entry:#x}")
                }
                Placement::Callee { offset } => format!("callee: function {}", (offset - self.text) / 256),
            };
            format!("{}{} {place}", site.probe, if site.at_return { " (return)" } else { "" })
        };
        Sites::of(&self.library, placing).all().map(told).collect()
    }
}

const FREELY: Placing = Placing { entry_only: false, may_be_call: true };

const WITHOUT_CALLS: Placing = Placing { may_be_call: false, ..FREELY };

/// OpenSSL 3.0 of Debian 12, with the calls of its reads leading to the third function here.
const DEBIAN: [(&str, &str); 7] = [
    (
        "SSL_read",
        "48 83 ec 18 64 48 8b 04 25 28 00 00 00 48 89 44 24 08 31 c0 85 d2 78 2f 48 89 e1 48 63 d2 e8 dd 01 00 00 c3",
    ),
    ("SSL_read_ex", "48 83 ec 08 e8 f7 00 00 00 31 d2 85 c0 0f 48 c2 48 83 c4 08 c3"),
    ("", "41 55 41 54 55 53 48 83 ec 38 c3"),
    ("SSL_write", "48 83 ec 18 31 c0 85 d2 78 2f 48 89 e1 48 63 d2 e8 00 10 00 00 c3"),
    ("SSL_write_ex", "48 83 ec 08 e8 87 10 00 00 c3"),
    ("SSL_free", "48 85 ff 0f 84 97 00 00 00 41 55 c3"),
    ("BIO_write", "48 83 ec 18 31 c0 85 d2 7e 12 c3"),
];

#[test]
fn each_probe_goes_to_the_first_instruction_that_is_emulated_and_reads_to_where_they_hand_on() {
    let made = Made::of(Architecture::X86_64, &DEBIAN);
    assert_eq!(
        made.told(FREELY),
        [
            "ssl_free emulated: 0x3",
            "ssl_write emulated: 0x8",
            "ssl_write_ex emulated: 0x4",
            "ssl_read_return (return) callee: function 2",
            "ssl_read_ex callee: function 2",
            "bio_write emulated: 0x8",
        ]
    );
    let sites = Sites::of(&made.library, FREELY);
    assert!(sites.has_callee() && !Sites::refused(&made.library).has_callee());
    let all = Sites::refused(&made.library);
    assert_eq!(all.messages.len(), 7, "a read has its probes of its own where it hands nothing on");
    assert!(all.all().all(|site| site.placement == Placement::Entry(EntryCause::Refused)));
}

#[test]
fn where_there_may_be_shadow_stacks_no_call_is_a_site_and_whoever_asks_for_entries_has_them() {
    let made = Made::of(Architecture::X86_64, &DEBIAN);
    let told = made.told(WITHOUT_CALLS);
    assert!(told.contains(&"ssl_write_ex entry: NoneBefore".to_owned()), "{told:?}");
    assert!(told.contains(&"ssl_write emulated: 0x8".to_owned()), "{told:?}");
    assert!(told.contains(&"ssl_read_ex callee: function 2".to_owned()), "its first is a push: {told:?}");
    // What is handed the arguments, and what returns, may begin with a call too.
    let mut functions = DEBIAN;
    functions[2].1 = "e8 00 01 00 00 c3";
    let made = Made::of(Architecture::X86_64, &functions);
    assert!(made.told(FREELY).contains(&"ssl_read_ex callee: function 2".to_owned()));
    let told = made.told(WITHOUT_CALLS);
    assert!(told.contains(&"ssl_read_ex entry: Return".to_owned()), "{told:?}");
    functions[1].1 = "e8 00 01 00 00 c3";
    let told = Made::of(Architecture::X86_64, &functions).told(WITHOUT_CALLS);
    assert!(told.contains(&"ssl_read_ex entry: Return".to_owned()), "{told:?}");
    let made = Made::of(Architecture::X86_64, &DEBIAN);
    let told = made.told(Placing { entry_only: true, ..FREELY });
    assert!(told.len() == 8 && told.iter().all(|site| site.ends_with("entry: Asked")), "{told:?}");
}

#[test]
fn reads_that_are_not_seen_to_hand_on_keep_their_entries_because_of_their_returns() {
    let mut functions = DEBIAN;
    // To another one than the other read.
    functions[1].1 = "48 83 ec 08 e8 f7 01 00 00 31 d2 85 c0 0f 48 c2 48 83 c4 08 c3";
    let told = Made::of(Architecture::X86_64, &functions).told(FREELY);
    let reads: Vec<_> = told.iter().filter(|site| site.starts_with("ssl_read")).collect();
    assert_eq!(
        reads,
        [
            "ssl_read_return (return) entry: Return",
            "ssl_read_return (return) entry: Return",
            "ssl_read entry: Return",
            "ssl_read_ex entry: Return",
        ]
    );
    // To one that begins no better.
    functions = DEBIAN;
    functions[2].1 = "48 83 ec 38 c3";
    let told = Made::of(Architecture::X86_64, &functions).told(FREELY);
    assert!(told.contains(&"ssl_read entry: Return".to_owned()), "{told:?}");
    // Where they begin with a `push`, as Node's do, they need nobody else.
    functions = DEBIAN;
    functions[0].1 = "55 48 89 e5 c3";
    functions[1].1 = "55 48 83 ec 08 e8 f6 00 00 00 5d c3";
    let told = Made::of(Architecture::X86_64, &functions).told(FREELY);
    for site in
        ["ssl_read_return (return) emulated: 0x0", "ssl_read emulated: 0x0", "ssl_read_ex emulated: 0x0"]
    {
        assert!(told.iter().any(|told| told == site), "{site} is not in {told:?}");
    }
}

#[test]
fn a_way_in_behind_the_entry_keeps_the_probe_there_wherever_it_comes_from() {
    // Of its own: back to the comparison, before the site.
    let mut functions = DEBIAN;
    functions[3].1 = "48 83 ec 18 31 c0 85 d2 78 2f 48 89 e1 48 63 d2 eb f4";
    let told = Made::of(Architecture::X86_64, &functions).told(FREELY);
    assert!(told.contains(&"ssl_write entry: WayIn".to_owned()), "{told:?}");
    // From another function, as of a part that is seldom run: to 3 bytes behind SSL_free's entry.
    functions = DEBIAN;
    functions[6].1 = "48 83 ec 18 e9 fa fe ff ff c3";
    let told = Made::of(Architecture::X86_64, &functions).told(FREELY);
    assert!(told.contains(&"ssl_free entry: WayIn".to_owned()), "{told:?}");
}

#[test]
fn what_cannot_be_read_or_is_of_another_processor_keeps_its_entries() {
    let made = Made::of(Architecture::Aarch64, &DEBIAN);
    let told = made.told(FREELY);
    assert!(told.len() == 8 && told.iter().all(|site| site.ends_with("entry: Architecture")), "{told:?}");
    let made = Made::of(Architecture::X86_64, &DEBIAN);
    fs::write(made.directory.path().join("libssl.so.3"), "no library").unwrap();
    let told = made.told(FREELY);
    assert!(told.len() == 8 && told.iter().all(|site| site.ends_with("entry: Unreadable")), "{told:?}");
}

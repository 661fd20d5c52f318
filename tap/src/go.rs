//! Programs of Go's, which speak TLS by code of their own.

use object::{ObjectSection as _, ObjectSymbol as _};

/// Where Go's linker says which version built a program.
const BUILD_INFO: &str = ".go.buildinfo";

/// What that begins with, and which of its flags says that the version stands in it.
const MAGIC: &[u8] = b"\xff Go buildinf:";
const FLAGS_AT: usize = 15;
const IS_INLINE: u8 = 2;

/// Where in it the version stands, behind a byte that says how long it is.
const VERSION_AT: usize = 32;

/// What a program calls that speaks TLS by Go's own library.
const READ_AND_WRITE: [&str; 2] = ["crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write"];

/// What to do where one cannot be traced.
pub(crate) const REMEDY: &str = "read its log instead, or trace the proxy in front of it: Go passes arguments in registers of \
                                 its own, and moves its stacks, which a probe at a return does not outlast";

/// Why a program cannot be traced, where it is one of Go's.
pub(crate) fn why_not<'d>(file: &impl object::Object<'d>) -> Option<String> {
    let info = file.section_by_name(BUILD_INFO)?;
    let version = info.data().ok().and_then(version).unwrap_or("a version that it does not say");
    let has = |wanted: &str| file.symbols().any(|symbol| symbol.name() == Ok(wanted));
    let speaks = match (file.symbols().next().is_some(), READ_AND_WRITE.map(has)) {
        (_, [true, true]) => "it speaks TLS by Go's crypto/tls, which is not traced",
        (true, _) => "it has no crypto/tls of Go's own",
        (false, _) => "it was stripped, so that it is not to be seen whether it speaks TLS",
    };
    Some(format!("it is a program of Go's ({version}): {speaks}"))
}

/// The version that built it.
fn version(info: &[u8]) -> Option<&str> {
    if !info.starts_with(MAGIC) || info.get(FLAGS_AT)? & IS_INLINE == 0 {
        return None;
    }
    let length = usize::from(*info.get(VERSION_AT)?);
    let text = std::str::from_utf8(info.get(VERSION_AT + 1..)?.get(..length)?).ok()?;
    text.chars().all(|char| char.is_ascii_graphic()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    /// A file with these symbols and this section.
    fn file(section: &str, info: &[u8], symbols: &[&str]) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let id = object.add_section(Vec::new(), section.into(), SectionKind::Data);
        object.set_section_data(id, info.to_vec(), 16);
        for name in symbols {
            object.add_symbol(Symbol {
                name: (*name).into(),
                value: 0,
                size: 1,
                kind: SymbolKind::Text,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(id),
                flags: SymbolFlags::None,
            });
        }
        object.write().unwrap()
    }

    fn told(section: &str, info: &[u8], symbols: &[&str]) -> Option<String> {
        let bytes = file(section, info, symbols);
        why_not(&object::File::parse(&*bytes).unwrap())
    }

    fn info(version: &str) -> Vec<u8> {
        let mut info =
            [MAGIC, &[8, IS_INLINE], &[0; 16], &[version.len() as u8], version.as_bytes()].concat();
        info.extend([0; 8]);
        info
    }

    #[test]
    fn a_program_of_go_is_known_with_its_version_and_whether_it_speaks_tls() {
        let of = |symbols: &[&str]| told(BUILD_INFO, &info("go1.26.1"), symbols).unwrap();
        assert_eq!(
            of(&READ_AND_WRITE),
            "it is a program of Go's (go1.26.1): it speaks TLS by Go's crypto/tls, which is not traced"
        );
        assert!(of(&["main.main"]).ends_with("it has no crypto/tls of Go's own"));
        assert!(of(&[]).ends_with("it was stripped, so that it is not to be seen whether it speaks TLS"));
        assert_eq!(told(".data", &info("go1.26.1"), &READ_AND_WRITE), None, "it only has the names");
    }

    #[test]
    fn a_version_is_read_where_it_is_one() {
        assert_eq!(version(&info("go1.26.1")), Some("go1.26.1"));
        for (bad, why) in [
            (Vec::new(), "nothing"),
            (info("go1.26.1")[..36].to_vec(), "cut off"),
            (info("go1\u{1b}[2J"), "not to be printed"),
            ([MAGIC, &[8, 0], &[0; 16], &[1], b"x"].concat(), "it stands elsewhere"),
            (info("go1.26.1")[1..].to_vec(), "another beginning"),
        ] {
            assert_eq!(version(&bad), None, "{why}");
        }
    }
}

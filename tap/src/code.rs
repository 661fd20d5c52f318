//! The code of the functions that are listened to, as the file has it.

use crate::prologue::jumps_into;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// Most bytes of a function that are looked at.
const FUNCTION_BYTES_MAX: u64 = 1 << 16;

/// Most bytes of a file's code that are searched for jumps into a function.
const SECTION_BYTES_MAX: u64 = 1 << 26;

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Where it is in the file.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The section that it is in.
    section: usize,
}

/// Functions of a file.
pub(crate) struct Code {
    file: object::ReadCache<fs::File>,
    functions: BTreeMap<String, Function>,
}

impl Code {
    /// Those of x86-64 that have these names, and a length; none of a file of another architecture.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(crate) fn of(path: &Path, names: &[&str]) -> Result<Option<Self>, String> {
        let file = object::ReadCache::new(fs::File::open(path).map_err(|error| error.to_string())?);
        let mut functions = BTreeMap::new();
        {
            let parsed = object::File::parse(&file).map_err(|error| error.to_string())?;
            if parsed.architecture() != object::Architecture::X86_64 {
                return Ok(None);
            }
            // As who attaches by a name finds it: the dynamic ones come first.
            for symbol in parsed.dynamic_symbols().chain(parsed.symbols()).filter(|s| s.is_definition()) {
                let Some(name) = symbol.name().ok().filter(|name| names.contains(name)) else { continue };
                if functions.contains_key(name) {
                    continue;
                }
                if let Some(function) = function(&parsed, &symbol) {
                    functions.insert(name.to_owned(), function);
                }
            }
        }
        Ok(Some(Self { file, functions }))
    }

    /// The function of this name.
    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// What is at an address that code of the function leads to, and where that is in the file.
    pub(crate) fn led_to(&self, from: &Function, by: i64) -> Option<(u64, [u8; 16])> {
        let offset = from.offset.checked_add_signed(by)?;
        let bytes = self.section_of(from)?;
        let start = from.offset - self.section_start(from)?;
        let at = usize::try_from(start.checked_add_signed(by)?).ok()?;
        Some((offset, bytes.get(at..at + 16)?.try_into().ok()?))
    }

    /// Whether anything in the function or elsewhere in its section jumps to one of these places of it.
    pub(crate) fn has_way_in(&self, function: &Function, places: &RangeInclusive<u64>) -> bool {
        let Some(section) = self.section_of(function) else { return true };
        let Some(start) = self.section_start(function) else { return true };
        let base = function.offset - start;
        jumps_into(&function.bytes, places)
            || leads_into(section, &(base + places.start()..=base + places.end()))
    }

    fn section_of(&self, function: &Function) -> Option<&[u8]> {
        let file = object::File::parse(&self.file).ok()?;
        let section = file.section_by_index(object::SectionIndex(function.section)).ok()?;
        (section.size() <= SECTION_BYTES_MAX).then(|| section.data().ok())?
    }

    fn section_start(&self, function: &Function) -> Option<u64> {
        let file = object::File::parse(&self.file).ok()?;
        let section = file.section_by_index(object::SectionIndex(function.section)).ok()?;
        section.file_range().map(|(start, _)| start)
    }
}

fn function<'d>(
    file: &object::File<'d, &'d object::ReadCache<fs::File>>,
    symbol: &object::Symbol<'d, '_, &'d object::ReadCache<fs::File>>,
) -> Option<Function> {
    let index = symbol.section_index()?;
    let section = file.section_by_index(index).ok()?;
    let (start, _) = section.file_range()?;
    let (address, size) = (symbol.address(), symbol.size());
    if size == 0 {
        return None;
    }
    let bytes = section.data_range(address, size.min(FUNCTION_BYTES_MAX)).ok()??;
    let offset = address.checked_sub(section.address())?.checked_add(start)?;
    Some(Function { offset, bytes: bytes.to_vec(), section: index.0 })
}

/// Whether any bytes that may be a jump or a call over any distance lead to one of these places of their
/// section. Not all of them are instructions: it may find a way in where there is none, and overlooks none.
fn leads_into(section: &[u8], places: &RangeInclusive<u64>) -> bool {
    section.windows(5).enumerate().any(|(at, window)| {
        let is_branch = match window[0] {
            0xe8 | 0xe9 => true,
            // The second byte of a conditional jump.
            0x80..=0x8f => at > 0 && section[at - 1] == 0x0f,
            _ => false,
        };
        let distance = i32::from_le_bytes([window[1], window[2], window[3], window[4]]);
        is_branch
            && (at as u64 + 5)
                .checked_add_signed(i64::from(distance))
                .is_some_and(|target| places.contains(&target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_lead_to_a_place_is_found_however_it_is_written() {
        let mut section = vec![0x90; 64];
        assert!(!leads_into(&section, &(1..=8)));
        // From 32 on, to 4: a call, a jump, and a conditional one, of which the last has two bytes.
        for (bytes, end) in [(&[0xe8][..], 37), (&[0xe9], 37), (&[0x0f, 0x85], 38)] {
            section[32..40].fill(0x90);
            section[32..32 + bytes.len()].copy_from_slice(bytes);
            let distance = i32::to_le_bytes(4 - end);
            section[32 + bytes.len()..36 + bytes.len()].copy_from_slice(&distance);
            assert!(leads_into(&section, &(1..=8)), "{bytes:x?}");
            assert!(!leads_into(&section, &(5..=8)), "{bytes:x?} leads before them");
            assert!(!leads_into(&section, &(1..=3)), "{bytes:x?} leads behind them");
        }
        assert!(!leads_into(&[0xe9, 0, 0], &(0..=8)), "cut off");
    }

    #[test]
    fn a_file_that_is_none_is_an_error_and_names_that_it_lacks_are_not_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "no library").unwrap();
        assert!(Code::of(file.path(), &["SSL_write"]).is_err());
        let own = Code::of(&std::env::current_exe().unwrap(), &["SSL_write", "main"]).unwrap();
        if cfg!(target_arch = "x86_64") {
            let own = own.unwrap();
            assert!(own.function("SSL_write").is_none());
            assert!(own.function("main").is_some_and(|main| !main.bytes.is_empty()));
        }
    }
}

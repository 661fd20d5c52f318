//! Measures what probes cost, on a function of this process that does next to nothing.

use crate::error::TapError;
use crate::prologue::one_of_each;
use crate::traps::TrapCosts;
use aya::Ebpf;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use std::fs;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

/// Calls of a round, and rounds: some tens of milliseconds in all.
const CALLS: u32 = 200;
const ROUNDS: u32 = 8;

/// Bytes of the function that are looked at.
const CODE_BYTES: usize = 128;

const OWN: &str = "/proc/self/exe";

/// What is called. It reads and branches, so that it has an instruction of each kind.
#[inline(never)]
extern "C" fn called(number: u64) -> u64 {
    let number = black_box(number);
    if number > u64::from(u32::MAX) {
        return black_box(number / 3);
    }
    number
}

/// Measures with two programs that keep nothing here: one for a call and one for a return.
///
/// # Errors
/// When nothing can be attached, or this build's own code has no place for one of them.
pub(crate) fn measure(ebpf: &mut Ebpf, [call, end]: [&str; 2]) -> Result<TrapCosts, TapError> {
    let failed = |reason: String| TapError::Kernel { what: "measuring what probes cost".into(), reason };
    if cfg!(not(target_arch = "x86_64")) {
        return Err(failed("what the kernel emulates is known of x86-64 only".into()));
    }
    let (entry, code) = own_code().map_err(failed)?;
    let none = || failed("this build's own code has no place for it".into());
    let (emulated, apart) = one_of_each(&code).ok_or_else(none)?;
    let bare = least_ns();
    let mut with = |program: &str, at: usize| -> Result<u64, TapError> {
        let program: &mut UProbe = ebpf
            .program_mut(program)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| failed(format!("the object has no program {program}: build Weir again")))?;
        let own =
            NonZeroU32::new(std::process::id()).ok_or_else(|| failed("this process has no number".into()))?;
        let place = UProbeAttachLocation::AbsoluteOffset(entry + at as u64);
        let link = program
            .attach(place, OWN, UProbeScope::OneProcess(own))
            .map_err(|error| failed(error.to_string()))?;
        let ns = least_ns();
        program.detach(link).map_err(|error| failed(error.to_string()))?;
        Ok(ns.saturating_sub(bare))
    };
    let (emulated_ns, apart_ns) = (with(call, emulated)?, with(call, apart)?);
    // At the entry the return is arranged, by a trap of the one kind or the other.
    let at_entry = if emulated == 0 { emulated_ns } else { apart_ns };
    let return_ns = with(end, 0)?.saturating_sub(at_entry);
    // Beside much other work a difference may come out as nothing, and 0 says that nothing was measured.
    let measured = |ns: u64| ns.max(1);
    Ok(TrapCosts {
        emulated_ns: measured(emulated_ns),
        apart_ns: measured(apart_ns),
        return_ns: measured(return_ns),
    })
}

/// What a call costs, in nanoseconds: the least of several rounds.
fn least_ns() -> u64 {
    let round = |_| {
        let began = Instant::now();
        for number in 0..CALLS {
            let _ = black_box(called(black_box(u64::from(number))));
        }
        u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX) / u64::from(CALLS)
    };
    (0..ROUNDS).map(round).min().unwrap_or(0)
}

/// Where that function is in this process's executable, and how it begins.
fn own_code() -> Result<(u64, [u8; CODE_BYTES]), String> {
    let text = |error: std::io::Error| error.to_string();
    let maps = fs::read_to_string("/proc/self/maps").map_err(text)?;
    let address = called as extern "C" fn(u64) -> u64 as usize as u64;
    let offset = offset_of(&maps, address).ok_or("it is in no file that is mapped")?;
    let mut code = [0; CODE_BYTES];
    fs::File::open(OWN).and_then(|file| file.read_exact_at(&mut code, offset)).map_err(text)?;
    Ok((offset, code))
}

/// Where in its file an address is.
fn offset_of(maps: &str, address: u64) -> Option<u64> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end, offset) = (number(start)?, number(end)?, number(fields.nth(1)?)?);
        (start..end).contains(&address).then(|| address - start + offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_file() {
        let maps = "1000-2000 r--p 00000000 fe:00 1 /x\n2000-3000 r-xp 00000400 fe:00 1 /x\n";
        assert_eq!(offset_of(maps, 0x2010), Some(0x410));
        assert_eq!(offset_of(maps, 0x3000), None);
        assert_eq!(offset_of("nonsense\n", 1), None);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_is_measured_on_has_an_instruction_of_each_kind() {
        let (_, code) = own_code().unwrap();
        assert!(one_of_each(&code).is_some(), "{code:x?}");
        assert_eq!((called(7), called(3 << 40)), (7, 1 << 40));
    }
}

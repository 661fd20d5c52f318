//! How functions begin: which instruction a probe can be placed at for less than at the entry.
//!
//! Every call that comes in by the entry has to come by that instruction, once and with its arguments as they
//! were. So nothing is passed over that branches, or writes to a register that holds one. What is found here
//! is only right where nothing jumps in between: see [`jumps_into`] and `code`.
//!
//! What the kernel emulates of x86-64 since 4.15, and so wherever Weir traces: `nop` of a byte, `push` of a
//! register, and jumps, conditional jumps and calls that are relative. Longer `nop`s newer kernels emulate
//! too (6.18), and may make a call of one of five bytes, which writes below the stack's pointer: they are
//! passed over, and `endbr64` with them.

use crate::placement::EntryCause;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};
use std::ops::RangeInclusive;

/// The registers of a function's arguments, in their order.
const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// Most instructions that are looked at behind an entry.
const INSTRUCTIONS_MAX: usize = 32;

/// Whether the kernel emulates the instruction that these bytes are.
fn is_emulated(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x90 | 0x50..=0x57]
            | [0x41, 0x50..=0x57]
            | [0xeb | 0x70..=0x7f, _]
            | [0xe8 | 0xe9, _, _, _, _]
            | [0x0f, 0x80..=0x8f, _, _, _, _]
    )
}

/// Instructions one behind the other, from the beginning of a function on.
struct Walk<'c> {
    code: &'c [u8],
    decoder: Decoder<'c>,
    info: InstructionInfoFactory,
}

/// An instruction, and where it is.
struct Step<'c> {
    at: usize,
    bytes: &'c [u8],
    instruction: Instruction,
}

impl<'c> Walk<'c> {
    fn new(code: &'c [u8]) -> Self {
        let decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        Self { code, decoder, info: InstructionInfoFactory::new() }
    }

    /// The next one; none behind the last, or where there is no instruction.
    fn next(&mut self) -> Option<Step<'c>> {
        if !self.decoder.can_decode() {
            return None;
        }
        let at = self.decoder.position();
        let instruction = self.decoder.decode();
        let bytes = self.code.get(at..at + instruction.len())?;
        (!instruction.is_invalid()).then_some(Step { at, bytes, instruction })
    }

    /// Whether an instruction writes to one of the first so many arguments.
    fn overwrites(&mut self, instruction: &Instruction, arguments: usize) -> bool {
        let kept = &ARGUMENTS[..arguments.min(ARGUMENTS.len())];
        let used = self.info.info(instruction).used_registers();
        used.iter().any(|used| writes(used.access()) && kept.contains(&used.register().full_register()))
    }

    /// Whether an instruction writes to memory.
    fn stores(&mut self, instruction: &Instruction) -> bool {
        self.info.info(instruction).used_memory().iter().any(|used| writes(used.access()))
    }
}

fn writes(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// Where a call that is relative leads, from the beginning of the function on.
fn called(step: &Step<'_>) -> Option<i64> {
    let is_near =
        step.instruction.mnemonic() == Mnemonic::Call && step.instruction.op0_kind() == OpKind::NearBranch64;
    is_near.then(|| step.instruction.near_branch_target().cast_signed())
}

/// Where the first instruction is that the kernel emulates, in bytes from the beginning of the function,
/// while the first so many arguments are as they were. A call is none unless `may_be_call` says so.
///
/// # Errors
/// Why there is none.
pub(crate) fn emulated(code: &[u8], arguments: usize, may_be_call: bool) -> Result<usize, EntryCause> {
    let mut walk = Walk::new(code);
    for _ in 0..INSTRUCTIONS_MAX {
        let step = walk.next().ok_or(EntryCause::NoneBefore)?;
        let is_call = step.instruction.flow_control() == FlowControl::Call;
        if is_emulated(step.bytes) && (may_be_call || !is_call) {
            return Ok(step.at);
        }
        if step.instruction.flow_control() != FlowControl::Next
            || walk.overwrites(&step.instruction, arguments)
        {
            return Err(EntryCause::NoneBefore);
        }
    }
    Err(EntryCause::NoneBefore)
}

/// Whether a function begins with an instruction that the kernel emulates. A call is none unless
/// `may_be_call` says so.
pub(crate) fn begins_emulated(code: &[u8], may_be_call: bool) -> bool {
    emulated(code, 0, may_be_call) == Ok(0)
}

/// Where the first instructions are that the kernel emulates and does not, of those that every call comes by.
#[cfg_attr(not(feature = "ebpf"), allow(dead_code))]
pub(crate) fn one_of_each(code: &[u8]) -> Option<(usize, usize)> {
    let mut walk = Walk::new(code);
    let (mut emulated, mut apart) = (None, None);
    for _ in 0..INSTRUCTIONS_MAX {
        let step = walk.next()?;
        let kind = if is_emulated(step.bytes) { &mut emulated } else { &mut apart };
        kind.get_or_insert(step.at);
        if let (Some(emulated), Some(apart)) = (emulated, apart) {
            return Some((emulated, apart));
        }
        if step.instruction.flow_control() != FlowControl::Next {
            return None;
        }
    }
    None
}

/// Whether any branch of a function's own leads to one of these places in it.
pub(crate) fn jumps_into(code: &[u8], places: &RangeInclusive<u64>) -> bool {
    // What is no code, such as a table of jumps, is read as code here: it may make a way in, and hide none
    // for long.
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    decoder.iter().any(|instruction| {
        let is_near = !instruction.is_invalid() && instruction.op0_kind() == OpKind::NearBranch64;
        is_near && places.contains(&instruction.near_branch_target())
    })
}

/// Where the function leads that this one hands its arguments on to, all of them and as they were, and after
/// which it does no more than to make its result narrower: from its beginning on, in bytes.
pub(crate) fn hands_on(code: &[u8]) -> Option<i64> {
    let mut walk = Walk::new(code);
    let callee = loop {
        let step = walk.next()?;
        if let Some(callee) = called(&step) {
            break callee;
        }
        if step.instruction.flow_control() != FlowControl::Next
            || walk.overwrites(&step.instruction, ARGUMENTS.len())
        {
            return None;
        }
    };
    for _ in 0..INSTRUCTIONS_MAX {
        let step = walk.next()?;
        match step.instruction.flow_control() {
            FlowControl::Next if !walk.stores(&step.instruction) => {}
            FlowControl::Return => return Some(callee),
            _ => return None,
        }
    }
    None
}

/// Whether a function hands its first two arguments on to that one too, unless its third is negative.
pub(crate) fn hands_two_on(code: &[u8], callee: i64) -> bool {
    let mut walk = Walk::new(code);
    for _ in 0..INSTRUCTIONS_MAX {
        let Some(step) = walk.next() else { return false };
        if let Some(called) = called(&step) {
            return called == callee;
        }
        let is_straight = match step.instruction.flow_control() {
            FlowControl::Next => !walk.overwrites(&step.instruction, 2),
            FlowControl::ConditionalBranch => step.instruction.mnemonic() == Mnemonic::Js,
            _ => false,
        };
        if !is_straight {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as disassemblers print them.
    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    /// OpenSSL 3.0 of Debian 12.
    const WRITE: &str = "48 83 ec 18 64 48 8b 04 25 28 00 00 00 48 89 44 24 08 31 c0 85 d2 78 2f 48 89 e1 48 63 d2 e8 fd fb ff ff";
    const WRITE_EX: &str =
        "48 83 ec 08 e8 87 fb ff ff 31 d2 85 c0 0f 48 c2 48 83 c4 08 31 d2 31 c9 31 f6 31 ff c3";
    const READ: &str = "48 83 ec 18 64 48 8b 04 25 28 00 00 00 48 89 44 24 08 31 c0 85 d2 78 2f 48 89 e1 48 63 d2 e8 3d fe ff ff 85 c0 7e 03";
    const READ_EX: &str =
        "48 83 ec 08 e8 c7 fd ff ff 31 d2 85 c0 0f 48 c2 48 83 c4 08 31 d2 31 c9 31 f6 31 ff c3";
    const GET_ERROR: &str = "31 c0 85 f6 7e 0a 31 d2 31 f6 31 ff c3";
    const SET_FD: &str = "41 54 41 89 f4 55 48 89 fd 53";
    const FREE: &str = "48 85 ff 0f 84 97 03 00 00 41 55";
    /// Node's, in its executable.
    const NODE_WRITE: &str = "55 48 89 e5 41 56 41 55 41 54 48 83 ec 48 85 d2 0f 88 1d 01 00 00";
    const NODE_BIO_WRITE: &str = "31 c0 85 d2 0f 8e 06 01 00 00 55";
    /// As compilers begin functions with `-fcf-protection`, which Ubuntu's OpenSSL has.
    const WITH_ENDBR: &str = "f3 0f 1e fa 48 83 ec 18 85 d2 78 2f";
    const ENDBR_AND_PUSH: &str = "f3 0f 1e fa 41 57 41 56";

    #[test]
    fn the_first_instruction_that_is_emulated_is_found_in_what_real_libraries_begin_with() {
        let found = |code, arguments| emulated(&hex(code), arguments, true);
        assert_eq!(found(WRITE, 3), Ok(0x16), "js");
        assert_eq!(found(WRITE_EX, 3), Ok(4), "call");
        assert_eq!(found(GET_ERROR, 2), Ok(4), "jle");
        assert_eq!(found(SET_FD, 2), Ok(0), "push %r12");
        assert_eq!(found(FREE, 1), Ok(3), "je");
        assert_eq!(found(NODE_WRITE, 3), Ok(0), "push %rbp");
        assert_eq!(found(NODE_BIO_WRITE, 3), Ok(4), "jle");
        assert_eq!(found(WITH_ENDBR, 3), Ok(10), "js");
        assert_eq!(found(ENDBR_AND_PUSH, 4), Ok(4), "push %r15");
        assert_eq!(emulated(&hex(WRITE_EX), 3, false), Err(EntryCause::NoneBefore), "a call is none there");
    }

    #[test]
    fn nothing_is_passed_over_that_branches_ends_or_overwrites_an_argument() {
        for (code, why) in [
            ("48 89 f7 55", "mov %rsi,%rdi"),
            ("89 f2 55", "mov %esi,%edx: the upper half too"),
            ("40 b6 01 55", "mov $1,%sil: a part of it"),
            ("0f b6 d1 55", "movzbl %cl,%edx"),
            ("48 87 f8 55", "xchg %rdi,%rax"),
            ("48 0f 44 fe 55", "cmove %rsi,%rdi: it may"),
            ("f3 48 a4 55", "rep movsb: it counts in them"),
            ("5f 55", "pop %rdi"),
            ("0f a2 55", "cpuid: %edx without naming it"),
            ("0f 05 55", "syscall"),
            ("cc 55", "int3: somebody's breakpoint"),
            ("ff e0 55", "jmp *%rax"),
            ("ff 25 00 00 00 00 55", "jmp *0(%rip): a hot patch"),
            ("ff d0 55", "call *%rax"),
            ("66 e9 00 00 00 00 55", "jmp with a prefix: the kernel takes none"),
            ("e2 10 55", "loop: not emulated"),
            ("e3 10 55", "jrcxz: not emulated"),
            ("c3 55", "ret"),
            ("0f 0b 55", "ud2"),
            ("06 55", "no instruction in 64 bits"),
            ("48 83 ec", "cut off within"),
            ("48 83 ec 18", "cut off behind"),
            ("e8 87 fb ff", "cut off within what would do"),
            ("", "nothing"),
        ] {
            assert_eq!(emulated(&hex(code), 3, true), Err(EntryCause::NoneBefore), "{why}");
        }
        let long = [hex("31 c0").repeat(INSTRUCTIONS_MAX), hex("55")].concat();
        assert_eq!(emulated(&long, 3, true), Err(EntryCause::NoneBefore), "it is not looked for for ever");
    }

    #[test]
    fn what_comes_first_and_is_emulated_is_the_entry_itself_and_other_registers_are_nobodys_arguments() {
        for (code, at, why) in [
            ("e9 00 10 00 00", 0, "a jump first, as a hot patch makes it"),
            ("eb 05", 0, "a short one"),
            ("90", 0, "nop"),
            ("66 90 55", 2, "nop of two bytes is passed over"),
            ("0f 1f 44 00 00 55", 5, "nop of five"),
            ("f3 90 55", 2, "pause"),
            ("41 90 55", 2, "xchg %r8,%rax is no nop"),
            ("8b ff 55", 2, "mov %edi,%edi clears half of it"),
            ("31 c9 55", 2, "the fourth argument, of three"),
            ("48 39 fe 75 10", 3, "cmp reads"),
            ("48 89 7c 24 08 55", 5, "a store of one"),
        ] {
            let expected = if why.contains("clears") { Err(EntryCause::NoneBefore) } else { Ok(at) };
            assert_eq!(emulated(&hex(code), 3, true), expected, "{why}");
        }
        assert_eq!(emulated(&hex("31 c9 55"), 4, true), Err(EntryCause::NoneBefore), "of four");
    }

    #[test]
    fn a_loop_that_leads_back_between_entry_and_site_is_a_way_in_and_one_to_the_entry_is_none() {
        // sub; dec %eax; jne to where it leads.
        let loops = |back: i8| {
            let mut code = hex("48 83 ec 08 ff c8 75 00 c3");
            code[7] = back.cast_unsigned();
            code
        };
        for (back, is_way_in) in [(-8, false), (-4, true), (-2, true), (0, false)] {
            let code = loops(back);
            let at = emulated(&code, 3, true).unwrap() as u64;
            assert_eq!(jumps_into(&code, &(1..=at)), is_way_in, "{back}");
        }
    }

    #[test]
    fn a_read_hands_its_arguments_on_where_all_of_them_are_as_they_were_and_nothing_follows() {
        // From SSL_read_ex on, and from SSL_read on, which is 0x90 before it: to the same.
        assert_eq!(hands_on(&hex(READ_EX)), Some(-0x230));
        assert!(hands_two_on(&hex(READ), -0x230 + 0x90));
        assert!(!hands_two_on(&hex(READ), -0x230), "to another one");
        for (code, why) in [
            ("48 83 ec 08 41 b8 01 00 00 00 e8 c7 fd ff ff c3", "a fifth argument"),
            ("48 83 ec 08 31 c9 e8 c7 fd ff ff c3", "without the fourth"),
            ("48 83 ec 08 85 d2 78 02 e8 c7 fd ff ff c3", "not always"),
            ("48 83 ec 08 e8 c7 fd ff ff 89 07 c3", "it writes to memory behind it"),
            ("48 83 ec 08 e8 c7 fd ff ff e8 00 00 00 00 c3", "it calls another one"),
            ("48 83 ec 08 e8 c7 fd ff ff 85 c0 75 01 c3 c3", "it branches behind it"),
            ("48 83 ec 08 ff d0 c3", "nobody knows to whom"),
            ("e9 c7 fd ff ff", "it jumps"),
            ("48 83 ec 08 e8 c7 fd", "cut off"),
        ] {
            assert_eq!(hands_on(&hex(code)), None, "{why}");
        }
        for (code, callee, why) in [
            ("85 d2 79 02 e8 3d fe ff ff", -0x1ba, "by another condition"),
            ("48 89 f7 e8 3d fe ff ff", -0x1bb, "another first"),
            ("c3 e8 3d fe ff ff", -0x1bd, "it has returned"),
        ] {
            assert!(!hands_two_on(&hex(code), callee), "{why}");
        }
        assert!(hands_two_on(&hex("85 d2 78 02 e8 3d fe ff ff"), -0x1ba));
    }

    #[test]
    fn one_of_each_is_found_before_the_function_branches() {
        assert_eq!(one_of_each(&hex(WRITE)), Some((0x16, 0)));
        assert_eq!(one_of_each(&hex(NODE_WRITE)), Some((0, 1)));
        assert_eq!(one_of_each(&hex("c3 55")), None);
        assert_eq!(one_of_each(&hex("55 53 c3")), Some((0, 2)), "ret is executed apart");
        assert_eq!(one_of_each(&hex("55 e9 00 00 00 00")), None);
    }
}

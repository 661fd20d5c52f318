//! Logarithms in integers, for numbers that every machine must make alike: the last bits of a mathematical
//! library differ between platforms. Collectors measure entropy by them, and the processor weighs evidence.

/// Fractional bits of the logarithms.
pub const FRACTION: u32 = 16;

/// Logarithm of a number from 1 to base 2, in 1/65536. Digit by digit, and so for tables: squaring a number
/// in [1, 2) doubles its logarithm.
pub const fn log2(number: u32) -> u32 {
    let whole = number.ilog2();
    let mut mantissa = (number as u64) << (31 - whole);
    let mut log = whole;
    let mut digit = 0;
    while digit < FRACTION {
        mantissa = (mantissa * mantissa) >> 31;
        let carry = (mantissa >> 32) as u32;
        mantissa >>= carry;
        log = log << 1 | carry;
        digit += 1;
    }
    log
}

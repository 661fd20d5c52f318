//! The fingerprint that names a schema on the wire.

/// CRC-64-AVRO (Rabin) of a schema's canonical form, as the Avro specification gives it.
pub fn rabin(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let step = |byte: u64| (0..8).fold(byte, |fp, _| (fp >> 1) ^ (EMPTY & (fp & 1).wrapping_neg()));
    bytes.iter().fold(EMPTY, |fp, byte| (fp >> 8) ^ step((fp ^ u64::from(*byte)) & 0xff))
}

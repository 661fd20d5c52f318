//! Rotations of 64 coordinates in integers, which every machine makes alike: signs turned by a mask, then a Hadamard
//! transform. Two or three with masks of chance mix all coordinates. Collectors hide an embedding by them, and the
//! processor looks along directions of chance.

/// Number of coordinates.
pub const DIMENSIONS: usize = 64;

/// Turns a vector: coordinates whose bit of `mask` is set change their sign, then come sums and differences of all. It
/// grows by a factor of eight.
pub fn turn(vector: &mut [i64; DIMENSIONS], mask: u64) {
    for (index, part) in vector.iter_mut().enumerate() {
        if mask >> index & 1 == 1 {
            *part = -*part;
        }
    }
    let mut width = 1;
    while width < DIMENSIONS {
        for block in vector.chunks_exact_mut(2 * width) {
            let (low, high) = block.split_at_mut(width);
            for (one, other) in low.iter_mut().zip(high) {
                (*one, *other) = (*one + *other, *one - *other);
            }
        }
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_angles_and_grows_lengths_eightfold() {
        let mut one: [i64; DIMENSIONS] = std::array::from_fn(|index| (index as i64 * 37) % 101 - 50);
        let mut other: [i64; DIMENSIONS] = std::array::from_fn(|index| (index as i64 * 53) % 97 - 48);
        let product = |one: &[i64], other: &[i64]| -> i64 { one.iter().zip(other).map(|(a, b)| a * b).sum() };
        let before = (product(&one, &one), product(&one, &other));
        turn(&mut one, 0x0123_4567_89ab_cdef);
        turn(&mut other, 0x0123_4567_89ab_cdef);
        assert_eq!((product(&one, &one), product(&one, &other)), (64 * before.0, 64 * before.1));
    }
}

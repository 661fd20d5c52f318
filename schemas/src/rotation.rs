//! Rotations of 64 coordinates in integers, which every machine makes alike: signs turned by a mask, then a
//! Hadamard transform. Two or three with masks of chance mix all coordinates. Collectors hide an embedding by
//! them, and the processor looks along directions of chance.

/// Number of coordinates.
pub const DIMENSIONS: usize = 64;

/// One turn: which coordinates change their sign, before sums and differences are taken of all.
#[derive(Debug, Clone)]
pub struct Turn {
    /// All ones where the sign changes: without a branch that nobody can predict.
    changes: [i32; DIMENSIONS],
}

impl Turn {
    /// Changes the signs of the coordinates whose bit of `mask` is set.
    pub fn new(mask: u64) -> Self {
        Self { changes: std::array::from_fn(|index| -((mask >> index & 1) as i32)) }
    }

    /// Turns a vector. It grows by a factor of eight, so one that is shorter than 2^22 may be turned three
    /// times.
    pub fn apply(&self, vector: &mut [i32; DIMENSIONS]) {
        for (parts, changes) in vector.as_chunks_mut::<4>().0.iter_mut().zip(self.changes.as_chunks::<4>().0)
        {
            let [a, b, c, d] = [0, 1, 2, 3].map(|index| (parts[index] ^ changes[index]) - changes[index]);
            // Neighbours, and those that are two apart, without a way to memory between.
            let (sum, difference, other_sum, other_difference) = (a + b, a - b, c + d, c - d);
            *parts = [
                sum + other_sum,
                difference + other_difference,
                sum - other_sum,
                difference - other_difference,
            ];
        }
        mix::<4>(vector);
        mix::<8>(vector);
        mix::<16>(vector);
        mix::<32>(vector);
    }
}

/// Sums and differences of coordinates that are so far apart.
#[inline]
fn mix<const WIDTH: usize>(vector: &mut [i32; DIMENSIONS]) {
    for block in vector.chunks_exact_mut(2 * WIDTH) {
        let (low, high) = block.split_at_mut(WIDTH);
        for (one, other) in low.iter_mut().zip(high) {
            (*one, *other) = (*one + *other, *one - *other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_the_transform_as_it_is_defined() {
        let vector: [i32; DIMENSIONS] = std::array::from_fn(|index| (index as i32 * 37) % 101 - 50);
        let mask = 0x0123_4567_89ab_cdef_u64;
        let changed: [i32; DIMENSIONS] =
            std::array::from_fn(|index| if mask >> index & 1 == 1 { -vector[index] } else { vector[index] });
        let defined: [i32; DIMENSIONS] = std::array::from_fn(|row| {
            let sign = |column: usize| if (row & column).count_ones() % 2 == 1 { -1 } else { 1 };
            changed.iter().enumerate().map(|(column, part)| sign(column) * part).sum()
        });
        let mut turned = vector;
        Turn::new(mask).apply(&mut turned);
        assert_eq!(turned, defined);
    }

    #[test]
    fn a_rotation_keeps_angles_and_grows_lengths_eightfold() {
        let mut one: [i32; DIMENSIONS] = std::array::from_fn(|index| (index as i32 * 37) % 101 - 50);
        let mut other: [i32; DIMENSIONS] = std::array::from_fn(|index| (index as i32 * 53) % 97 - 48);
        let product = |one: &[i32], other: &[i32]| -> i32 { one.iter().zip(other).map(|(a, b)| a * b).sum() };
        let before = (product(&one, &one), product(&one, &other));
        let turn = Turn::new(0x0123_4567_89ab_cdef);
        turn.apply(&mut one);
        turn.apply(&mut other);
        assert_eq!((product(&one, &one), product(&one, &other)), (64 * before.0, 64 * before.1));
    }
}

//! Vectors, as both stores compare them.

/// How many numbers the vectors of a model have, from what is stored.
pub(crate) fn dimensions(stored: i64) -> Option<usize> {
    usize::try_from(stored).ok().filter(|&dimensions| dimensions > 0)
}

/// The numbers of a stored vector; `None` if it is none, or has what is not a number.
pub(crate) fn from_stored(stored: &[u8]) -> Option<Vec<f32>> {
    let (numbers, rest) = stored.as_chunks::<4>();
    let numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
    (rest.is_empty()).then_some(numbers).filter(|numbers| numbers.clone().all(f32::is_finite)).map(Iterator::collect)
}

/// Scales a vector to length 1. In 64 bits neither the largest nor the smallest numbers of 32 bits are lost.
pub(crate) fn normalise(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|&number| f64::from(number) * f64::from(number)).sum();
    if square > 0.0 {
        let factor = square.sqrt().recip();
        vector.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
    }
}

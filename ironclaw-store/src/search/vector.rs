//! Vectors, as both stores compare them.

/// Scales a vector to length 1. In 64 bits neither the largest nor the smallest numbers of 32 bits are lost.
pub(crate) fn normalise(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|&number| f64::from(number) * f64::from(number)).sum();
    if square > 0.0 {
        let factor = square.sqrt().recip();
        vector.iter_mut().for_each(|number| *number = (f64::from(*number) * factor) as f32);
    }
}

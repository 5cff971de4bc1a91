//! Vectors as rows have them.

use sha2::{Digest, Sha256};

/// The number that stands for a model and its dimensions in the rows of vectors.
pub(in crate::postgres) fn model_key(model: &str, dimensions: usize) -> i64 {
    let digest: [u8; 32] =
        Sha256::new().chain_update((dimensions as u64).to_be_bytes()).chain_update(model).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A vector with a length near 1, and the power of 2 by which it was divided for that: from 1 to 2, or as it is if its
/// smallest numbers would be lost and its length does not need it.
pub(super) fn scaled(vector: &[f32]) -> (i16, Vec<f32>) {
    let square: f64 = vector.iter().map(|&number| f64::from(number) * f64::from(number)).sum();
    // A vector of numbers of 32 bits has a length between 2^-149 and 2^136.
    let exponent = if square > 0.0 { square.sqrt().log2().floor() as i16 } else { 0 };
    let factor = f64::from(-exponent).exp2();
    let scaled: Vec<f32> = vector.iter().map(|&number| (f64::from(number) * factor) as f32).collect();
    match unscaled(exponent, &scaled) == vector || exponent.abs() > SHORT {
        true => (exponent, scaled),
        false => (0, vector.to_vec()),
    }
}

/// The powers of 2 between which a length neither overflows nor vanishes in numbers of 16 bits.
const SHORT: i16 = 12;

/// The vector that [`scaled`] was given.
pub(in crate::postgres) fn unscaled(exponent: i16, vector: &[f32]) -> Vec<f32> {
    let factor = f64::from(exponent).exp2();
    vector.iter().map(|number| (f64::from(*number) * factor) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_keeps_numbers_and_brings_lengths_near_one() {
        for vector in [[0.6_f32, -0.8, 0.0], [3e38, -2e38, 1e30], [1e-44, 3e-45, 0.0], [1.0, 1.0, 1.0]] {
            let (exponent, numbers) = scaled(&vector);
            let length = numbers.iter().map(|n| f64::from(*n).powi(2)).sum::<f64>().sqrt();
            assert!((0.999_999..2.0).contains(&length), "{vector:?} became {numbers:?}");
            assert_eq!(unscaled(exponent, &numbers), vector);
        }
        assert_eq!(scaled(&[0.0, 0.0]).0, 0);
        // Dividing this one would lose its second number.
        assert_eq!(scaled(&[4.0, 1e-45]), (0, vec![4.0, 1e-45]));
    }

    #[test]
    fn models_and_dimensions_have_keys_of_their_own() {
        // Frozen: rows are found by them.
        assert_eq!(model_key("a", 3), model_key("a", 3));
        assert_ne!(model_key("a", 3), model_key("a", 4));
        assert_ne!(model_key("a", 3), model_key("b", 3));
    }
}

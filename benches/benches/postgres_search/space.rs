//! Vectors with the shape of real embeddings: topics, and within them few directions in which texts differ.

use ironclaw_benches::Random;

pub(crate) const DIMENSIONS: usize = 384;
/// In how many directions the texts of a topic differ.
const LATENT: usize = 24;
const TOPICS: u64 = 200;

/// Where vectors come from.
pub(crate) struct Space {
    topics: Vec<Vec<f32>>,
    directions: Vec<Vec<f32>>,
}

impl Space {
    pub(crate) fn new() -> Self {
        let mut random = Random::new(11);
        let mut vectors = |count| (0..count).map(|_| gaussian(&mut random, DIMENSIONS)).collect();
        Self { topics: vectors(TOPICS as usize), directions: vectors(LATENT) }
    }

    /// A vector of length 1.
    pub(crate) fn vector(&self, random: &mut Random) -> Vec<f32> {
        let topic = &self.topics[random.below(TOPICS) as usize];
        let latent = gaussian(random, LATENT);
        let noise = gaussian(random, DIMENSIONS);
        let mut vector: Vec<f32> = (0..DIMENSIONS)
            .map(|i| {
                let within: f32 = latent.iter().zip(&self.directions).map(|(weight, axis)| weight * axis[i]).sum();
                topic[i] + 0.25 * within + 0.15 * noise[i]
            })
            .collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }
}

/// Normally distributed numbers (Box and Muller, 1958).
fn gaussian(random: &mut Random, count: usize) -> Vec<f32> {
    let mut unit = || (random.below(1 << 24) as f32 + 0.5) / (1 << 24) as f32;
    (0..count).map(|_| (-2.0 * unit().ln()).sqrt() * (std::f32::consts::TAU * unit()).cos()).collect()
}

//! The embedders that come with this crate.

mod hash;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "model2vec")]
mod model2vec;

pub use hash::HashEmbedder;
#[cfg(feature = "http")]
pub use http::{HttpEmbedder, HttpEmbedderBuilder};
#[cfg(feature = "model2vec")]
pub use model2vec::StaticEmbedder;

/// Scales a vector to length 1. One of zeros stays as it is.
fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

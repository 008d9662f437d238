//! What a sampler asks of tensors.

use super::SamplerError;

/// Values combined in one pass: few enough to stay in registers and the nearest cache.
const CHUNK: usize = 256;

/// Tensors of which linear combinations can be made.
pub trait LinearCombination: Sized {
    /// What can go wrong: the tensor library's error, and that of a sampler used beyond its end.
    type Error: From<SamplerError>;

    /// The sum of `coefficient * tensor` over `terms`, of which there is at least one; all tensors have one shape.
    ///
    /// Each element of the result must depend on that element of the terms alone, so that a sample is the same in
    /// every batch.
    fn combine(terms: &[(f64, &Self)]) -> Result<Self, Self::Error>;
}

/// Elementwise; summed in f64 in the order of the terms and rounded once.
impl LinearCombination for Vec<f32> {
    type Error = SamplerError;

    fn combine(terms: &[(f64, &Self)]) -> Result<Self, SamplerError> {
        let expected = terms.first().map_or(0, |(_, tensor)| tensor.len());
        if let Some((_, tensor)) = terms.iter().find(|(_, tensor)| tensor.len() != expected) {
            return Err(SamplerError::Length { len: tensor.len(), expected });
        }
        let mut result = vec![0.0; expected];
        for (index, chunk) in result.chunks_mut(CHUNK).enumerate() {
            let mut sums = [0.0; CHUNK];
            let sums = &mut sums[..chunk.len()];
            for (coefficient, tensor) in terms {
                for (sum, value) in sums.iter_mut().zip(&tensor[index * CHUNK..]) {
                    *sum += coefficient * f64::from(*value);
                }
            }
            for (value, sum) in chunk.iter_mut().zip(sums) {
                *value = *sum as f32;
            }
        }
        Ok(result)
    }
}

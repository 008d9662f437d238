//! Parameters without a file: random, and the same for the same seed.

use pleach_model::{
    backend::{Backend, Constant},
    error::Result,
    noise::Generator,
    params::Source,
    tensor::TensorSpec,
};

/// Normal parameters, scaled as those of the fixtures: with variance `0.6 / fan-in` for weights of layers, around 1 for weights of
/// norms, around 0 for biases. Each depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub struct RandomWeights {
    seed: u64,
}

impl RandomWeights {
    /// Parameters of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The elements of a parameter.
    pub fn values(&self, spec: &TensorSpec) -> Vec<f32> {
        let fan_in: usize = spec.shape.iter().skip(1).product();
        let (scale, shift) = match spec.shape.as_slice() {
            [_] if spec.name.ends_with("weight") => (0.1, 1.0),
            [_] => (0.1, 0.0),
            _ => ((0.6 / fan_in as f32).sqrt(), 0.0),
        };
        // FNV-1a: the name decides where the generator starts.
        let start = spec.name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ self.seed, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut values = Generator::new(start).randn(spec.numel());
        values.iter_mut().for_each(|x| *x = *x * scale + shift);
        values
    }
}

impl<B: Backend> Source<B> for RandomWeights {
    fn parameter(&self, backend: &B, spec: &TensorSpec) -> Result<B::Value> {
        backend.constant(Constant::F32(self.values(spec)), &spec.shape)
    }
}

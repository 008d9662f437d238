//! Parameters drawn at random, as PyTorch initialises layers.

use super::{Error, Torch, Value};
use crate::random::Random;
use pleach_model::{
    self as model, backend::Backend, backend::Constant, noise::Generator, params::Source, tensor::TensorSpec,
};

/// Parameters of a network that has learnt nothing. Each depends on the seed and its name alone.
///
/// Matrices and kernels are uniform up to `1 / sqrt(inputs)` (`torch.nn.Linear`, `torch.nn.Conv2d`), embeddings standard normal
/// (`torch.nn.Embedding`: a token's own features stand out from what layers add to them), weights of norms 1, biases 0.
#[derive(Clone, Copy, Debug)]
pub struct Initial {
    /// The seed.
    pub seed: u64,
}

impl Source<Torch> for Initial {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let place = spec.name.bytes().map(u64::from).chain([self.seed]).collect::<Vec<_>>();
        let mut random = Random::new(&place);
        let count = spec.numel();
        let data = match spec.shape.as_slice() {
            [_] if spec.name.ends_with("weight") => vec![1.0; count],
            [] | [_] => vec![0.0; count],
            _ if spec.name.ends_with("_embedding.weight") => Generator::new(random.bits()).randn(count),
            [outputs, ..] => {
                let bound = 1.0 / ((count / outputs.max(&1)) as f32).sqrt();
                let unit = |bits: u64| (bits >> 40) as f32 * 2f32.powi(-23) - 1.0;
                (0..count).map(|_| bound * unit(random.bits())).collect()
            }
        };
        let wide = torch.constant(Constant::F32(data), &spec.shape)?;
        let tensor = wide.tensor().f_to_kind(super::value::kind(torch.dtype));
        tensor
            .map_err(Error::from)
            .and_then(Value::try_from)
            .map_err(|error| model::error::Error::Parameter { name: spec.name.clone(), reason: error.to_string() })
    }
}

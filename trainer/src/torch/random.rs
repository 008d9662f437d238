//! Parameters drawn at random, as PyTorch initialises layers.

use super::{Error, Torch, Value};
use crate::random::Random;
use pleach_model::{
    self as model, backend::Backend, backend::Constant, noise::Generator, params::Source, tensor::TensorSpec,
};
use tch::Tensor;

/// Parameters of a network that has learnt nothing. Each depends on the seed and its name alone.
///
/// Matrices and kernels are uniform up to `1 / sqrt(inputs)` (`torch.nn.Linear`, `torch.nn.Conv2d`), embeddings standard normal
/// (`torch.nn.Embedding`: a token's own features stand out from what layers add to them), weights of norms 1, biases 0.
#[derive(Clone, Copy, Debug)]
pub struct Initial {
    /// The seed.
    pub seed: u64,
}

/// Random numbers for a parameter.
fn seeded(name: &str, seed: u64) -> Random {
    Random::new(&name.bytes().map(u64::from).chain([seed]).collect::<Vec<_>>())
}

impl Source<Torch> for Initial {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let mut random = seeded(&spec.name, self.seed);
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

/// Linear layers as APTP's predictor and codes begin (`torch.nn.init.orthogonal_`): matrices with orthonormal rows, or columns where there
/// are fewer of these; biases 0. Each depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub struct Orthogonal {
    /// The seed.
    pub seed: u64,
}

impl Source<Torch> for Orthogonal {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let failed = |reason| model::error::Error::Parameter { name: spec.name.clone(), reason };
        let data = match spec.shape.as_slice() {
            [rows, columns] => orthogonal(*rows, *columns, seeded(&spec.name, self.seed).bits()).map_err(failed)?,
            _ => vec![0.0; spec.numel()],
        };
        torch.constant(Constant::F32(data), &spec.shape)
    }
}

/// A matrix with orthonormal rows or columns, uniformly distributed: the first factor of a QR decomposition of normal numbers, its signs
/// such that the second has a positive diagonal.
fn orthogonal(rows: usize, columns: usize, seed: u64) -> Result<Vec<f32>, String> {
    let (long, short) = (rows.max(columns) as i64, rows.min(columns) as i64);
    let make = || -> Result<Tensor, tch::TchError> {
        let normal = Tensor::f_from_slice(&Generator::new(seed).randn(rows * columns))?.f_reshape([long, short])?;
        let (q, r) = Tensor::f_linalg_qr(&normal, "reduced")?;
        let q = q.f_mul(&r.f_diagonal(0, 0, 1)?.f_sign()?)?;
        if rows < columns { q.f_transpose(0, 1)?.f_contiguous() } else { q.f_contiguous() }
    };
    make().map_err(Error::from).and_then(Value::try_from).and_then(|value| value.to_f32()).map_err(|e| e.to_string())
}

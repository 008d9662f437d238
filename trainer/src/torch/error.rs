//! What can go wrong with libtorch outside of a network.

use crate::libtorch::WrongVersion;
use pleach_model::{samplers::SamplerError, tensor::Dtype};
use tch::{Kind, TchError};

/// Result of everything that uses libtorch directly.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of libtorch, or of what it is used for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another libtorch than the one needed.
    #[error(transparent)]
    Version(#[from] WrongVersion),
    /// A device that this machine does not have.
    #[error("device {device} is not there: libtorch can use the CPU and {cuda} CUDA devices")]
    Device {
        /// The device asked for.
        device: String,
        /// CUDA devices that there are.
        cuda: usize,
    },
    /// Parameters that are not floating-point numbers.
    #[error("parameters cannot be of type {0}")]
    Dtype(Dtype),
    /// A tensor whose elements no network here uses.
    #[error("a tensor has elements of type {0:?}; f32, f16, bf16, i64 and i32 can be used")]
    Kind(Kind),
    /// libtorch failed.
    #[error("libtorch: {0}")]
    Torch(String),
    /// A sampler failed.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(reason(error))
    }
}

/// The first line of libtorch's message: what follows is a trace of C++.
pub(super) fn reason(error: TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text,
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().trim_end().to_owned()
}

//! Where a command computes.

use tch::Device;

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Place {
    /// A CUDA device where there is one
    Auto,
    /// The processor
    Cpu,
    /// The first CUDA device
    Cuda,
}

impl Place {
    /// The device. libtorch must have been loaded with its CUDA part before ([`libtorch`](crate::libtorch::libtorch)).
    pub fn device(self) -> Device {
        match self {
            Self::Auto => Device::cuda_if_available(),
            Self::Cpu => Device::Cpu,
            Self::Cuda => Device::Cuda(0),
        }
    }
}

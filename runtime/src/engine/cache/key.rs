//! What an optimised graph depends on.

use crate::engine::{Engine, Provider, Providers};
use pleach_model::files::Sha256;
use serde::Serialize;
use std::{collections::BTreeMap, ops::Not};

/// Counts the changes of what is written into an entry, and of the options that it is made with.
const FORMAT: u32 = 4;

/// Everything that an optimised graph depends on: two starts with equal keys may share one.
#[derive(Debug, Serialize)]
pub(in crate::engine) struct Key<'a> {
    format: u32,
    /// ONNX Runtime's version and build.
    runtime: [&'a str; 2],
    /// Optimisation chooses memory layouts by the processor's instruction sets.
    cpu: Vec<&'static str>,
    providers: &'a [Provider],
    dimensions: &'a BTreeMap<String, usize>,
    graph: Sha256,
    weights: Vec<Sha256>,
    /// Whether its 8-bit convolutions take kernels whose weights can be kept.
    #[serde(skip_serializing_if = "<&bool>::not")]
    maps_convolutions: bool,
}

impl<'a> Key<'a> {
    pub fn new(
        engine: &'a Engine,
        providers: &'a Providers,
        dimensions: &'a BTreeMap<String, usize>,
        graph: Sha256,
        weights: Vec<Sha256>,
        maps_convolutions: bool,
    ) -> Self {
        let runtime = [engine.dylib().version.as_str(), engine.build_info()];
        Self {
            format: FORMAT,
            runtime,
            cpu: cpu_features(),
            providers: providers.list(),
            dimensions,
            graph,
            weights,
            maps_convolutions,
        }
    }

    /// It as text: what an entry holds to tell whose it is.
    pub fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// Instruction sets of this processor for which ONNX Runtime has kernels or layouts of their own.
pub fn cpu_features() -> Vec<&'static str> {
    macro_rules! detected {
        ($detect:ident, $($name:tt)+) => {
            [$(($name, std::arch::$detect!($name))),+].into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
        };
    }
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return detected!(is_x86_feature_detected,
        "sse4.1" "avx" "f16c" "fma" "avx2" "avxvnni" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx512vnni"
        "avx512bf16" "avx512fp16");
    #[cfg(target_arch = "aarch64")]
    return detected!(is_aarch64_feature_detected, "neon" "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return vec![std::env::consts::ARCH];
}

//! Arguments that every command which draws has.

mod bytes;
mod cache;
mod provider;
mod source;

pub use cache::CacheArgs;
pub use provider::ProviderArgs;
pub use source::{OpenError, open_bundle};

use crate::{
    engine::{EngineOptions, Providers},
    pipeline::Options,
};
use std::{num::NonZeroUsize, path::PathBuf};

/// How networks are run.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Runtime options")]
pub struct RuntimeArgs {
    /// Threads to compute with [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Most memory to take, such as 2GB: opens one network at a time and decodes in tiles where that is needed
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    max_memory: Option<u64>,

    /// Most experts to keep open at one time, those used last [default: all, or what --max-memory allows]
    #[arg(long, value_name = "N")]
    max_resident: Option<NonZeroUsize>,

    #[command(flatten)]
    cache: CacheArgs,

    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,
}

impl RuntimeArgs {
    /// How ONNX Runtime is started.
    pub fn engine(&self) -> EngineOptions {
        EngineOptions { dylib: self.ort_lib.clone(), threads: self.threads }
    }

    /// How a pipeline is opened over these providers, no expert chosen.
    pub fn options(&self, providers: Providers) -> Options {
        Options {
            expert: None,
            max_resident: self.max_resident,
            max_memory: self.max_memory,
            providers,
            cache: self.cache.cache(),
        }
    }
}

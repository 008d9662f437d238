//! What is kept on the device for the next start.

use crate::engine::{CACHE_LIMIT, HostCache};

/// What is kept on this device.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct CacheArgs {
    /// Keep nothing on this device that would make the next start faster, and use nothing
    #[arg(long)]
    no_cache: bool,

    /// Map the weights of 8-bit convolutions from what is kept, too: with several experts in int8 each takes little memory of its own, and
    /// steps take longer
    #[arg(long, conflicts_with = "no_cache")]
    map_weights: bool,
}

impl CacheArgs {
    /// The cache: the user's.
    pub fn cache(self) -> HostCache {
        match self {
            Self { no_cache: true, .. } => HostCache::off(),
            Self { map_weights: true, .. } => HostCache::of_user(CACHE_LIMIT).mapping_all(),
            Self { .. } => HostCache::of_user(CACHE_LIMIT),
        }
    }
}

//! From prompts to pictures, as diffusers' `StableDiffusionPipeline` does it.

mod size;
mod tiles;

pub use size::{Size, SizeError};

//! What can end a run.

use crate::{data, encoders, torch, world};
use pleach_model::{checkpoint, files, manifest, pipeline, samplers::SamplerError, schedule::ScheduleError, tokenizer};
use std::path::PathBuf;

/// Result of a run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can end a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A loss or gradients became infinite or no numbers.
    #[error(
        "the {what} of step {step} is not finite; the last checkpoint is kept: lower the learning rate, or set a norm to clip at"
    )]
    NotFinite {
        /// The loss, or the gradient.
        what: &'static str,
        /// The step, counted from 0.
        step: u64,
    },
    /// A value of the recipe that no run can have.
    #[error("`{key}` is {value}; it must be {expected}")]
    Setting {
        /// Key of the recipe.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A concept that cannot be forgotten.
    #[error("the concept {name:?}: {reason}")]
    Concept {
        /// What it is called.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More should be pruned than can be.
    #[error(
        "the target is {target} of the network's multiply-accumulates, but {least:.3} of them are in layers that are never pruned: \
         choose a target above that"
    )]
    Target {
        /// What was asked for.
        target: f64,
        /// What is left where everything is pruned that can be.
        least: f64,
    },
    /// A file that is no part of a published family.
    #[error("{} is not what the family needs: {reason}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds a run that was not asked to go on.
    #[error("{} holds a run already: continue it with --resume, or choose another folder", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no run to go on with.
    #[error("{} holds no run that could be resumed: it has no recipe.toml", folder.display())]
    NoRun {
        /// The folder.
        folder: PathBuf,
    },
    /// The recipe is not the one that the run began with.
    #[error(
        "the run in {} began with another recipe: `{key}` was {stored} and is now {given}; \
         resume with the same recipe, or start a new run",
        folder.display()
    )]
    Changed {
        /// The folder.
        folder: PathBuf,
        /// Path of the first key that differs.
        key: String,
        /// Its value when the run began.
        stored: String,
        /// Its value now.
        given: String,
    },
    /// An expert that has nothing to learn.
    #[error(
        "no caption goes to the expert {expert:?}: leave it out, or have experts learn all captions (`all_captions = true`)"
    )]
    Idle {
        /// Its name.
        expert: String,
    },
    /// Routes that do not fit the data.
    #[error("the routes do not fit the data: {reason}; make them again with `pleach-train route`")]
    Routes {
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint does not fit the run.
    #[error("the checkpoint {} does not fit: {reason}", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture cannot be written.
    #[error("cannot write the picture {}: {reason}", path.display())]
    Picture {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A manifest is wrong, or a file that it lists.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] checkpoint::Error),
    /// Weights that are not the network's.
    #[error(transparent)]
    Mismatch(#[from] checkpoint::Mismatch),
    /// A network failed.
    #[error(transparent)]
    Network(#[from] pleach_model::error::Error),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] torch::Error),
    /// The data failed.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A frozen network failed.
    #[error(transparent)]
    Encoder(#[from] encoders::Error),
    /// A network's files cannot be opened.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The small world's tokenizer cannot be written.
    #[error(transparent)]
    World(#[from] world::tokenizer::Error),
    /// The cache of latents failed.
    #[error(transparent)]
    Cache(#[from] data::cache::Error),
    /// The noise schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The sampler.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

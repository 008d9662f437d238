//! Every way in which a pipeline's folder can be wrong, or be something else.

use super::INDEX;
use crate::{checkpoint, files, schedule::ScheduleError};
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a pipeline's folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the pipeline cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// Weights that cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// There is nothing at the path.
    #[error("{} does not exist", path.display())]
    Nothing {
        /// The path.
        path: PathBuf,
    },
    /// There is nothing at the path, but it reads like a Hugging Face id.
    #[error("there is no folder {id}; if it is a Hugging Face id, fetch it first: `hf download {id}` tells its folder")]
    HubId {
        /// The path.
        id: String,
    },
    /// A single file in the format of the original Stable Diffusion.
    #[error(
        "{} is a checkpoint in the original single-file format; make a folder of it with diffusers: \
         `StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)`",
        path.display()
    )]
    OriginalFormat {
        /// The file.
        path: PathBuf,
    },
    /// A pickle, which a checkpoint in the original format often is.
    #[error(
        "{} is a pickle, which can run code when it is opened; where you trust it, make a folder of it with diffusers: \
         `StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)`",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// The weights of one network, or their folder.
    #[error("{} is one network of a pipeline; give the folder of the whole pipeline, which holds {INDEX}", path.display())]
    OneNetwork {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file of no kind that helps.
    #[error("{} is a file; expected the folder of a diffusers pipeline, which holds {INDEX}", path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
    },
    /// A folder of no kind that helps.
    #[error("{} is not the folder of a diffusers pipeline: {} is missing", folder.display(), folder.join(INDEX).display())]
    OtherFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A checkpoint is needed, and the folder holds ONNX graphs only.
    #[error("{} is an ONNX pipeline: it is run as it is, there is no checkpoint in it", folder.display())]
    Onnx {
        /// The folder.
        folder: PathBuf,
    },
    /// A pipeline made of other networks.
    #[error(
        "{}: {class} has a {component}, which is not supported; supported are pipelines of one CLIP text encoder, a UNet and an \
         autoencoder",
        path.display()
    )]
    Architecture {
        /// The pipeline's index.
        path: PathBuf,
        /// Class of the pipeline.
        class: String,
        /// What no supported pipeline has.
        component: &'static str,
    },
    /// A network of a class that is not supported.
    #[error("{}: {component}: the class {found} is not supported; supported: {}", path.display(), supported.join(", "))]
    Class {
        /// The pipeline's index.
        path: PathBuf,
        /// The network.
        component: &'static str,
        /// Its class; `null` where the index names none.
        found: String,
        /// The classes that are.
        supported: &'static [&'static str],
    },
    /// A configuration that is not a JSON object.
    #[error("{}: not a JSON object: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A scheduler's configuration that makes no noise schedule.
    #[error("{}: {source}", path.display())]
    Scheduler {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ScheduleError,
    },
    /// Files of the pipeline that are not there, all of them.
    #[error("{} is not whole; missing: {}", folder.display(), files.join(", "))]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// Where each should be.
        files: Vec<String>,
    },
}

//! Every way in which an export can fail.

use pleach_model::{
    checkpoint::{self, Mismatch},
    error, family, files, manifest, pipeline,
};
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network does not accept its configuration or its operands.
    #[error(transparent)]
    Network(#[from] error::Error),
    /// Parameters or inputs that have no influence on the outputs.
    #[error("the network never uses: {}", names.join(", "))]
    Unused {
        /// Their names.
        names: Vec<String>,
    },
    /// Two inputs, outputs or parameters of one name.
    #[error("the name {name} is declared twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An operation or an output takes a value that the graph does not have.
    #[error("{path}: a value that was not declared as an input of this graph")]
    Undeclared {
        /// Module path and operation, or name of the output.
        path: String,
    },
    /// An operation cannot be written for the target.
    #[error("{path}: {op} cannot be written as ONNX: {reason}")]
    Lowering {
        /// Module path.
        path: String,
        /// The operation.
        op: &'static str,
        /// Why not.
        reason: String,
    },
    /// The checkpoint cannot be read or does not fit.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The caller asked to stop.
    #[error("interrupted: nothing was written")]
    Interrupted,
    /// ONNX Runtime does not run what was written.
    #[error(transparent)]
    Engine(#[from] pleach_runtime::engine::Error),
    /// A graph gives something else than it declares.
    #[error("{file} gives {found:?} where {expected:?} is expected")]
    Output {
        /// The graph's file in the bundle.
        file: String,
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape found; none where there is no output at all.
        found: Option<Vec<usize>>,
    },
    /// The folder is no pipeline that can be exported.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// Checkpoints that do not hold what their networks need, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mismatch(Vec<Mismatch>),
    /// Two networks of a pipeline do not fit together.
    #[error("the UNet's {field} is {found}, {other} is {expected}: these networks do not belong together")]
    Disagreement {
        /// Key of the UNet's configuration.
        field: &'static str,
        /// Its value.
        found: usize,
        /// What it must equal.
        other: &'static str,
        /// The value of that.
        expected: usize,
    },
    /// A network that there is none of.
    #[error("there is no network {name:?} to export; there are: {}", known.join(", "))]
    Component {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A size that the autoencoder cannot make.
    #[error("a picture of {width}x{height} cannot be drawn: both sides must be multiples of {factor}")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// What divides them.
        factor: usize,
    },
    /// Something that only ONNX Runtime can do, without it.
    #[error("files in ONNX Runtime's own format are written by ONNX Runtime, which was not started")]
    NoRuntime,
    /// A graph that is too large for ONNX Runtime's own format.
    #[error(
        "{file} would have {bytes} bytes, and ONNX Runtime's own format ends at 2 GB: export it in fewer bits, or --only the other networks"
    )]
    OrtFormat {
        /// The file that would be written.
        file: String,
        /// Bytes of graph and weights.
        bytes: u64,
    },
    /// A family that cannot be read.
    #[error(transparent)]
    Family(#[from] family::Error),
    /// Experts named of something that has none.
    #[error("{} is no family: it has no expert {name:?}", checkpoint.display())]
    NoFamily {
        /// What was to be exported.
        checkpoint: PathBuf,
        /// The expert.
        name: String,
    },
    /// A pipeline without a CLIP of its own.
    #[error(
        "{} has no {folder}/: only the small world's base model, as `pleach-train pretrain` leaves it, brings a CLIP; `--clip` takes that pipeline's folder",
        pipeline.display()
    )]
    NoClip {
        /// What was to be exported.
        pipeline: PathBuf,
        /// The folder that it lacks.
        folder: &'static str,
    },
    /// A CLIP that is not the small world's.
    #[error(
        "{}: a {found}, and only the small world's own CLIP is exported; let Optimum export a published one, and give it a description of `pleach-audit`",
        path.display()
    )]
    OtherClip {
        /// Its configuration.
        path: PathBuf,
        /// Its class.
        found: String,
    },
    /// A family or a student, and a pipeline that it was not cut out of.
    #[error(
        "what is in {} was not cut out of the UNet of {}: their configurations differ; --base names another pipeline",
        experts.display(),
        base.display()
    )]
    Base {
        /// The family's folder, or that of the student's UNet.
        experts: PathBuf,
        /// The pipeline.
        base: PathBuf,
    },
    /// The folder to be replaced is a family or a checkpoint: what was trained does not go for what is exported in seconds.
    #[error("{} is a family or a checkpoint and no bundle: it is not overwritten, choose another folder", folder.display())]
    Trained {
        /// The folder.
        folder: PathBuf,
    },
    /// An expert that a family does not have.
    #[error("{} has no expert {name:?}; it has: {}", family.display(), known.join(", "))]
    Expert {
        /// The family.
        family: PathBuf,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// An expert whose files would have the names of another's.
    #[error(
        "an expert cannot be called {name:?}: its files would have the names of the default expert's; rename it in the family"
    )]
    ExpertName {
        /// The name.
        name: String,
    },
    /// A router whose predictor reads other embeddings than its sentence encoder gives.
    #[error(
        "the router reads embeddings of {expected} features, its sentence encoder gives {found}: they do not belong together"
    )]
    SentenceEncoder {
        /// What the encoder gives.
        found: usize,
        /// What the predictor reads.
        expected: usize,
    },
    /// The pipeline's scheduler cannot be sampled with, which calibration does.
    #[error("calibration: {0}")]
    Sampler(#[from] pleach_model::samplers::SamplerError),
    /// Its tokenizer fails on a prompt.
    #[error("calibration: {0}")]
    Tokenizer(#[from] pleach_model::tokenizer::Error),
    /// A precision that is found by running graphs, without anything to run them.
    #[error("{0} weights need ONNX Runtime, which runs the network to see what goes through it")]
    NoEngine(pleach_model::manifest::Precision),
    /// What was written cannot be opened again.
    #[error(transparent)]
    Bundle(#[from] pleach_runtime::bundle::Error),
    /// The judge sees nothing.
    #[error(transparent)]
    Judge(#[from] pleach_runtime::classifier::Error),
    /// What was written draws nothing.
    #[error(transparent)]
    Drawing(Box<pleach_runtime::pipeline::Error>),
    /// The manifest contradicts itself or cannot be written.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
}

impl From<pleach_runtime::pipeline::Error> for Error {
    fn from(error: pleach_runtime::pipeline::Error) -> Self {
        match error {
            pleach_runtime::pipeline::Error::Cancelled => Self::Interrupted,
            other => Self::Drawing(Box::new(other)),
        }
    }
}

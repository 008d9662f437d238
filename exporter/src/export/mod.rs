//! From a checkpoint to a bundle, or to a graph where it is a classifier.

mod classifier;
mod index;
mod network;
mod others;
mod source;

pub use network::{Context, Plan};

use crate::{
    error::{Error, Result},
    verify::{Difference, verify},
    watch::{Stage, Watch},
};
use pleach_model::{
    checkpoint::Bound,
    files::{AtomicFolder, Overwrite, Sha256},
    manifest::{self, Bundle, Component, Components, Expert, FileEntry, Kind, Producer, Provenance, Schema},
    tensor::Dtype,
};
use pleach_runtime::engine::Engine;
use source::{Part, Source};
use std::{
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

/// Name of the one expert that a plain checkpoint has, and of the files of every network.
const NAME: &str = "model";

/// How a checkpoint is exported.
#[derive(Clone, Debug)]
pub struct Options {
    /// Type of the weights and of what the networks compute: f32 or f16.
    pub precision: Dtype,
    /// Which weights of a checkpoint that has several (`fp16`).
    pub variant: Option<String>,
    /// Whether a bundle that is there already is replaced.
    pub overwrite: bool,
    /// What to verify the bundle with, where that is wanted.
    pub verify: Option<Engine>,
}

/// What came of an export.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The bundle's folder; none where it was verified and failed, and therefore not kept.
    pub folder: Option<PathBuf>,
    /// What it holds.
    pub what: What,
    /// How far its graphs are from the reference.
    pub differences: Vec<Difference>,
}

/// What an export has made.
#[derive(Clone, Debug)]
pub enum What {
    /// A bundle, with this manifest.
    Bundle(Box<Bundle>),
    /// A classifier.
    Classifier(Component),
}

impl Exported {
    /// The manifest of a bundle.
    pub fn manifest(&self) -> Option<&Bundle> {
        match &self.what {
            What::Bundle(manifest) => Some(manifest),
            What::Classifier(_) => None,
        }
    }

    /// The networks with their names, in the order of the pipeline.
    pub fn components(&self) -> Vec<(&'static str, &Component)> {
        match &self.what {
            What::Bundle(manifest) => {
                let Components { text_encoder, unet, vae_decoder, vae_encoder } = &manifest.components;
                let mut all = vec![("text_encoder", text_encoder)];
                all.extend(unet.iter().map(|expert| ("unet", &expert.component)));
                all.push(("vae_decoder", vae_decoder));
                all.extend(vae_encoder.iter().map(|component| ("vae_encoder", component)));
                all
            }
            What::Classifier(component) => vec![("classifier", component)],
        }
    }
}

/// Writes the bundle of the diffusers pipeline in the folder `checkpoint`, or the graph of the classifier there. It appears whole or
/// not at all.
///
/// # Errors
/// Whatever is wrong with the checkpoint, before anything is written; files that cannot be written; [`Error::Interrupted`].
pub fn export(checkpoint: &Path, bundle: &Path, options: &Options, watch: &dyn Watch) -> Result<Exported> {
    if let Some(network) = classifier::find(checkpoint)? {
        return classifier::export(network, bundle, options, watch);
    }
    let source = Source::open(checkpoint, options.variant.as_deref())?;
    let tensors = source.bind()?;
    let jobs = jobs(&source, &tensors, options.precision)?;
    let overwrite = if options.overwrite { Overwrite::IfItHolds(manifest::FILE_NAME) } else { Overwrite::Never };
    let folder = AtomicFolder::create(bundle, overwrite)?;
    watch.begin(Stage::Writing { bytes: jobs.iter().flat_map(|job| &job.plans).map(Plan::bytes).sum() });
    let outcomes = jobs.iter().map(|job| job.write(&source, folder.path(), watch)).collect::<Result<Vec<_>>>()?;
    let mut differences = Vec::new();
    if let Some(engine) = &options.verify {
        watch.begin(Stage::Verifying);
        for (job, outcome) in jobs.iter().zip(&outcomes) {
            for (plan, component) in job.plans.iter().zip(&outcome.components) {
                differences.extend(verify(engine, plan.network(), job.tensors, component, folder.path())?);
                if watch.interrupted() {
                    return Err(Error::Interrupted);
                }
            }
        }
    }
    let files = others::write_others(&source, folder.path())?;
    let manifest = assemble(&source, outcomes, files);
    manifest.write(folder.path())?;
    let passed = differences.iter().all(Difference::passed);
    let folder = passed.then(|| folder.persist()).transpose()?;
    Ok(Exported { folder, what: What::Bundle(Box::new(manifest)), differences })
}

/// The networks of one checkpoint.
struct Job<'a> {
    part: &'a Part,
    tensors: &'a Bound<'a>,
    plans: Vec<Plan>,
}

fn jobs<'a>(source: &'a Source, tensors: &'a [Bound<'a>], precision: Dtype) -> Result<Vec<Job<'a>>> {
    let job = |(part, tensors): (&'a Part, &'a Bound)| {
        let plans = part.networks.iter().map(|network| Plan::new(network.clone(), precision));
        Ok(Job { part, tensors, plans: plans.collect::<Result<_>>()? })
    };
    source.parts.iter().zip(tensors).map(job).collect()
}

/// What a job has written, and from what.
struct Outcome {
    components: Vec<Component>,
    checkpoint: Vec<FileEntry>,
}

impl Job<'_> {
    fn write(&self, source: &Source, root: &Path, watch: &dyn Watch) -> Result<Outcome> {
        let (written, checkpoint) = thread::scope(|scope| {
            let hashing = scope.spawn(|| self.part.files(source.folder.root()));
            let write = |plan: &Plan| plan.write_weights(NAME, self.tensors, root, watch);
            let written = self.plans.iter().map(write).collect::<Result<Vec<_>>>();
            let hashed = hashing.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok::<_, Error>((written?, hashed?))
        })?;
        let sources: Vec<Sha256> = checkpoint.iter().map(|file| file.sha256).collect();
        let mut components = Vec::new();
        for (plan, written) in self.plans.iter().zip(&written) {
            let metadata = source.metadata(plan.network());
            let context = Context { counted_at: source.counted_at, sources: sources.clone(), metadata };
            components.push(plan.write_graphs(NAME, &context, written, root)?);
        }
        Ok(Outcome { components, checkpoint })
    }
}

/// The manifest of what the jobs have written.
fn assemble(source: &Source, outcomes: Vec<Outcome>, files: Vec<FileEntry>) -> Bundle {
    let (components, checkpoint): (Vec<_>, Vec<_>) =
        outcomes.into_iter().map(|outcome| (outcome.components, outcome.checkpoint)).unzip();
    let mut components = components.into_iter().flatten();
    let (Some(text_encoder), Some(unet), Some(vae_decoder)) = (components.next(), components.next(), components.next())
    else {
        unreachable!("a source has text encoder, UNet and both halves of the autoencoder, in this order");
    };
    let expert = Expert { name: NAME.to_owned(), default: true, component: unet };
    Bundle {
        schema: Schema,
        kind: Kind::Bundle,
        producer: Producer { name: "pleach-export".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        components: Components { text_encoder, vae_decoder, vae_encoder: components.next(), unet: vec![expert] },
        counted_at: source.counted_at,
        files,
        suppressed: Vec::new(),
        provenance: Provenance {
            checkpoint: checkpoint.into_iter().flatten().collect(),
            prediction_type: source.prediction_type,
        },
    }
}

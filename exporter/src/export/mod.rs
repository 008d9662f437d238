//! From a checkpoint to a bundle, or to graphs alone where it is a classifier or a CLIP.

mod alone;
mod classifier;
mod clip;
mod drawn;
mod index;
mod network;
mod others;
mod quantizing;
mod source;
mod triton;

pub use drawn::Drawn;
pub use network::{Context, Plan};
pub use quantizing::Calibrated;

use crate::{
    error::{Error, Result},
    network::Network,
    quantize::calibrate,
    verify::{Difference, verify},
    watch::{Stage, Watch},
};
use pleach_model::{
    checkpoint::Bound,
    family::FamilyFolder,
    files::{AtomicFolder, Overwrite, Sha256},
    manifest::{
        self, Bundle, Component, Components, Expert, FileEntry, Flavour, Kind, Precision, Producer, Provenance, Schema,
    },
    pipeline::PipelineFolder,
    student::Student,
};
use pleach_runtime::engine::{self, Engine, GraphFile, HostCache};
use source::{ExpertPart, Instead, NAME, Part, Source};
use std::{
    collections::HashMap,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

/// The largest file in ONNX Runtime's own format.
const ORT_LIMIT: u64 = 2_000_000_000;

/// How a checkpoint is exported.
#[derive(Clone, Debug)]
pub struct Options {
    /// Type of the weights.
    pub precision: Precision,
    /// Which weights of a checkpoint that has several (`fp16`).
    pub variant: Option<String>,
    /// The experts of a family that are exported; all where none are named.
    pub experts: Option<Vec<String>>,
    /// The one size that can be drawn, in pixels, width and height; any where none is given.
    pub size: Option<[usize; 2]>,
    /// Networks that are exported ([`Network::component`]); all where none are named. Without text encoder, UNet and decoder there is no bundle, only
    /// graphs.
    pub only: Option<Vec<String>>,
    /// What is written.
    pub layout: Layout,
    /// Whether the portable graphs are written in ONNX Runtime's own format as well, with their weights (`unet/model.ort`).
    pub ort_format: bool,
    /// Whether a bundle that is there already is replaced.
    pub overwrite: bool,
    /// Whether every graph is compared with the reference, and pictures with those in single precision.
    pub verify: bool,
    /// How many of the prompts that calibration draws are drawn by every expert to verify it.
    pub pictures: usize,
    /// A classifier that was exported, which says whether it finds something else in them.
    pub judge: Option<PathBuf>,
    /// What runs graphs: for verification, and for calibration where weights are whole numbers.
    pub engine: Option<Engine>,
    /// How calibration draws.
    pub calibration: calibrate::Options,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// A bundle, which `pleach` and Optimum's pipelines open.
    #[default]
    Bundle,
    /// A model repository of Triton Inference Server, with what a client needs beside it.
    Triton,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            precision: Precision::F32,
            variant: None,
            experts: None,
            size: None,
            only: None,
            layout: Layout::Bundle,
            ort_format: false,
            overwrite: false,
            verify: false,
            pictures: 4,
            judge: None,
            engine: None,
            calibration: calibrate::Options::default(),
        }
    }
}

impl Options {
    /// What verifies, where that is wanted.
    fn verifier(&self) -> Option<&Engine> {
        self.engine.as_ref().filter(|_| self.verify)
    }
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
    /// Pictures beside those in single precision.
    pub drawn: Vec<Drawn>,
    /// What calibration found, where weights are whole numbers.
    pub calibrated: Vec<Calibrated>,
}

/// What an export has made.
#[derive(Clone, Debug)]
pub enum What {
    /// A bundle, with this manifest.
    Bundle(Box<Bundle>),
    /// Networks that are no bundle, by their names: some of a bundle's, a classifier, or the towers of a CLIP.
    Networks(Vec<(&'static str, Component)>),
}

impl Exported {
    /// The manifest of a bundle.
    pub fn manifest(&self) -> Option<&Bundle> {
        match &self.what {
            What::Bundle(manifest) => Some(manifest),
            What::Networks(_) => None,
        }
    }

    /// The networks with their names, in the order of the pipeline.
    pub fn components(&self) -> Vec<(&'static str, &Component)> {
        match &self.what {
            What::Bundle(manifest) => {
                let Components { text_encoder, unet, vae_decoder, vae_encoder, router } = &manifest.components;
                let mut all = vec![("text_encoder", text_encoder)];
                all.extend(unet.iter().map(|expert| ("unet", &expert.component)));
                all.push(("vae_decoder", vae_decoder));
                all.extend(vae_encoder.iter().map(|component| ("vae_encoder", component)));
                all.extend(router.iter().map(|component| ("router", component)));
                all
            }
            What::Networks(networks) => networks.iter().map(|(name, component)| (*name, component)).collect(),
        }
    }
}

/// What is exported.
#[derive(Clone, Debug)]
pub enum Input {
    /// Folder of a diffusers pipeline, or of a classifier.
    Checkpoint(PathBuf),
    /// The experts and the router of a family, and the folder of the pipeline that everything else comes from.
    Family(Box<FamilyFolder>, PathBuf),
    /// A student in the place of the UNet, and the folder of the pipeline that it was cut out of.
    Student(Box<Student>, PathBuf),
    /// The CLIP that lies beside the parts of the pipeline in this folder: the small world's.
    Clip(PathBuf),
}

impl Input {
    /// A pipeline or a classifier.
    pub fn checkpoint(folder: impl Into<PathBuf>) -> Self {
        Self::Checkpoint(folder.into())
    }
}

/// Writes the bundle of a diffusers pipeline, or of a student or a family's experts and router with everything else from the pipeline that they were cut
/// out of; or the graph of a classifier, or the two of a CLIP. It appears whole or not at all.
///
/// # Errors
/// Whatever is wrong with the checkpoints, before anything is written; files that cannot be written; [`Error::Interrupted`].
pub fn export(input: &Input, bundle: &Path, options: &Options, watch: &dyn Watch) -> Result<Exported> {
    let chosen = options.experts.as_deref();
    let (pipeline, instead) = match input {
        Input::Clip(pipeline) => return clip::export(pipeline, bundle, options, watch),
        Input::Family(family, base) => (base, Instead::Family(family, chosen)),
        Input::Student(student, base) => (base, Instead::Student(student)),
        Input::Checkpoint(checkpoint) => match classifier::find(checkpoint)? {
            Some(network) => return classifier::export(network, bundle, options, watch),
            None => (checkpoint, Instead::Nothing),
        },
    };
    let no_family = |name: &String, checkpoint: &Path| {
        Err(Error::NoFamily { checkpoint: checkpoint.to_owned(), name: name.clone() })
    };
    match (chosen.and_then(<[_]>::first), instead) {
        (Some(name), Instead::Nothing) => return no_family(name, pipeline),
        (Some(name), Instead::Student(student)) => return no_family(name, &student.unet.folder),
        _ => {}
    }
    let mut source = Source::open(pipeline, options.variant.as_deref(), instead)?;
    if let Some(only) = &options.only {
        source.keep(only)?;
    }
    let latents = options.size.map(|size| source.latents(size)).transpose()?;
    let tensors = source.bind()?;
    let mark = match options.layout {
        Layout::Triton => "client/model_index.json",
        // Some networks have no manifest.
        Layout::Bundle if options.only.is_some() => "model_index.json",
        Layout::Bundle => manifest::FILE_NAME,
    };
    if options.overwrite && is_trained(bundle) {
        return Err(Error::Trained { folder: bundle.to_owned() });
    }
    let overwrite = if options.overwrite { Overwrite::IfItHolds(mark) } else { Overwrite::Never };
    let folder = AtomicFolder::create(bundle, overwrite)?;
    let mut plans = plan_all(&source, options.precision, latents)?;
    let calibrated = quantizing::calibrate(&source, &tensors, &mut plans, bundle, options, watch)?;
    // Files of a repository lie in folders of their own, so that nothing can be shared.
    let jobs = jobs(&source, &tensors, plans, options.layout == Layout::Bundle)?;
    let (outcomes, mut manifest) = write(&source, &jobs, folder.path(), watch)?;
    if options.ort_format {
        let files = convert(&outcomes, options, folder.path(), watch)?;
        if let Some(manifest) = &mut manifest {
            manifest.files.extend(files);
            manifest.write(folder.path())?;
        }
    }
    let (mut differences, mut drawn) = (Vec::new(), Vec::new());
    if let Some(engine) = options.verifier() {
        watch.begin(Stage::Verifying);
        for (job, outcome) in jobs.iter().zip(&outcomes) {
            for (plan, (_, component)) in job.plans.iter().zip(&outcome.components) {
                differences.extend(verify(
                    engine,
                    plan.network(),
                    job.tensors,
                    component,
                    folder.path(),
                    plan.latents(),
                )?);
                if watch.interrupted() {
                    return Err(Error::Interrupted);
                }
            }
        }
        if options.precision != Precision::F32
            && options.pictures > 0
            && let Some(manifest) = &manifest
        {
            let single = AtomicFolder::create(&beside(bundle, "single"), Overwrite::Never)?;
            let plans = plan_all(&source, Precision::F32, latents)?;
            write(&source, &self::jobs(&source, &tensors, plans, true)?, single.path(), watch)?;
            watch.begin(Stage::Drawing);
            drawn = drawn::compare(engine, [single.path(), folder.path()], manifest, options, watch)?;
        }
    }
    if let (Layout::Triton, Some(manifest)) = (options.layout, &manifest) {
        triton::rearrange(folder.path(), manifest)?;
    }
    let passed = differences.iter().all(Difference::passed);
    let folder = passed.then(|| folder.persist()).transpose()?;
    let what = match manifest {
        Some(manifest) => What::Bundle(Box::new(manifest)),
        None => What::Networks(outcomes.into_iter().flat_map(|outcome| outcome.components).collect()),
    };
    Ok(Exported { folder, what, differences, drawn, calibrated })
}

/// Writes the portable graphs of networks with their weights in ONNX Runtime's own format, and lists what was written.
fn convert(outcomes: &[Outcome], options: &Options, root: &Path, watch: &dyn Watch) -> Result<Vec<FileEntry>> {
    let engine = options.engine.as_ref().ok_or(Error::NoRuntime)?;
    let mut files = Vec::new();
    for (_, component) in outcomes.iter().flat_map(|outcome| &outcome.components) {
        let Some(graph) = component.graph(Flavour::Portable) else { continue };
        let file = format!("{}.ort", graph.file.trim_end_matches(".onnx"));
        let bytes = graph.bytes + component.weights.iter().map(|entry| entry.bytes).sum::<u64>();
        if bytes > ORT_LIMIT {
            return Err(Error::OrtFormat { file, bytes });
        }
        let opened = GraphFile::open(root, &graph.file, None, &HostCache::off()).map_err(engine::Error::from)?;
        engine.convert(&opened, &root.join(&file))?;
        files.push(FileEntry::of(root, file)?);
        if watch.interrupted() {
            return Err(Error::Interrupted);
        }
    }
    Ok(files)
}

/// A folder beside the bundle that is gone in the end.
fn beside(bundle: &Path, what: &str) -> PathBuf {
    let mut name = bundle.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    bundle.with_file_name(name)
}

/// Plans of every network of every part.
fn plan_all(source: &Source, precision: Precision, latents: Option<[usize; 2]>) -> Result<Vec<Vec<Plan>>> {
    let plan = |network: &Network| Plan::at(network.clone(), network.precision(precision), latents);
    source.parts.iter().map(|part| part.networks.iter().map(plan).collect()).collect()
}

/// Writes everything of a bundle to a folder; without a manifest where there are not all the networks of one.
fn write(source: &Source, jobs: &[Job<'_>], root: &Path, watch: &dyn Watch) -> Result<(Vec<Outcome>, Option<Bundle>)> {
    watch.begin(Stage::Writing { bytes: jobs.iter().flat_map(|job| &job.plans).map(Plan::bytes).sum() });
    let (mut outcomes, mut data_files) = (Vec::new(), Vec::new());
    for job in jobs {
        let outcome = job.write(source, &data_files, root, watch)?;
        data_files.extend(outcome.components.iter().flat_map(|(_, component)| component.weights.clone()));
        outcomes.push(outcome);
    }
    let files = others::write_others(source, root)?;
    let manifest = assemble(source, &outcomes, files);
    if let Some(manifest) = &manifest {
        manifest.write(root)?;
    }
    Ok((outcomes, manifest))
}

/// The networks of one part.
struct Job<'a> {
    part: &'a Part,
    tensors: &'a Bound<'a>,
    plans: Vec<Plan>,
}

/// The jobs in the order in which they are written: of the experts the default one first, because its files should stand alone.
fn jobs<'a>(source: &'a Source, tensors: &'a [Bound<'a>], plans: Vec<Vec<Plan>>, share: bool) -> Result<Vec<Job<'a>>> {
    let parts = source.parts.iter().zip(tensors).zip(plans);
    let mut jobs: Vec<Job<'a>> = parts.map(|((part, tensors), plans)| Job { part, tensors, plans }).collect();
    jobs.sort_by_key(|job| job.part.expert.is_some() && job.part.stem() != NAME);
    for i in (0..jobs.len()).filter(|_| share) {
        let (before, rest) = jobs.split_at_mut(i);
        let Some(job) = rest.first_mut().filter(|job| job.part.expert.is_some()) else { continue };
        let others = before.iter().filter(|job| job.part.expert.is_some());
        let others: Vec<_> =
            others.flat_map(|other| other.plans.iter().map(|plan| (plan, other.part.stem(), other.tensors))).collect();
        for plan in &mut job.plans {
            plan.share(job.tensors, &others)?;
        }
    }
    Ok(jobs)
}

/// What a job has written, and from what.
struct Outcome {
    /// With the folders that they are in.
    components: Vec<(&'static str, Component)>,
    checkpoint: Vec<FileEntry>,
    expert: Option<ExpertPart>,
}

impl Job<'_> {
    fn write(&self, source: &Source, data_files: &[FileEntry], root: &Path, watch: &dyn Watch) -> Result<Outcome> {
        let stem = self.part.stem();
        let (written, checkpoint) = thread::scope(|scope| {
            let hashing = scope.spawn(|| self.part.files());
            let write = |plan: &Plan| plan.write_weights(stem, self.tensors, root, watch);
            let written = self.plans.iter().map(write).collect::<Result<Vec<_>>>();
            let hashed = hashing.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok::<_, Error>((written?, hashed?))
        })?;
        let sources: Vec<Sha256> = checkpoint.iter().map(|file| file.sha256).collect();
        let mut components = Vec::new();
        for (plan, written) in self.plans.iter().zip(&written) {
            let metadata = source.metadata(plan.network());
            let context = Context { counted_at: source.counted_at, sources: sources.clone(), metadata, data_files };
            components.push((plan.network().component(), plan.write_graphs(stem, &context, written, root)?));
        }
        Ok(Outcome { components, checkpoint, expert: self.part.expert.clone() })
    }
}

/// The manifest of what the jobs have written, where that is a bundle.
fn assemble(source: &Source, outcomes: &[Outcome], files: Vec<FileEntry>) -> Option<Bundle> {
    let mut experts = Vec::new();
    let (mut others, mut checkpoint) = (HashMap::new(), Vec::new());
    for outcome in outcomes {
        checkpoint.extend(outcome.checkpoint.clone());
        match &outcome.expert {
            None => others.extend(outcome.components.iter().cloned()),
            Some(ExpertPart { name, stem, suppressed, made }) => {
                let of = |component: &Component| Expert {
                    name: name.clone(),
                    default: stem == NAME,
                    component: component.clone(),
                    suppressed: suppressed.clone(),
                    made: made.clone(),
                };
                experts.extend(outcome.components.first().map(|(_, component)| of(component)));
            }
        }
    }
    // In the order of the family, which is that of the router's scores.
    let place = |expert: &Expert| {
        source.parts.iter().position(|part| part.expert.as_ref().is_some_and(|part| part.name == expert.name))
    };
    experts.sort_by_key(place);
    let everywhere = |concept: &&String| experts.iter().all(|expert| expert.suppressed.contains(concept));
    let suppressed = experts.first().map_or(&[][..], |expert| &expert.suppressed).iter().filter(everywhere);
    let suppressed = suppressed.cloned().collect();
    if experts.is_empty() {
        return None;
    }
    let mut take = |name| others.remove(name);
    Some(Bundle {
        schema: Schema,
        kind: Kind::Bundle,
        producer: Producer { name: "pleach-export".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        components: Components {
            text_encoder: take("text_encoder")?,
            vae_decoder: take("vae_decoder")?,
            vae_encoder: take("vae_encoder"),
            unet: experts,
            router: take("router"),
        },
        counted_at: source.counted_at,
        files,
        suppressed,
        provenance: Provenance { checkpoint, family: source.family, prediction_type: source.prediction_type },
    })
}

/// Whether a folder that the mark of a bundle is in holds what was trained: families have a manifest, checkpoints an index.
fn is_trained(folder: &Path) -> bool {
    let checkpoint = || PipelineFolder::open(folder).is_ok_and(|found| found.class_name() != Some(index::CLASS));
    matches!(manifest::Bundle::read(folder), Err(manifest::Error::Kind { .. })) || checkpoint()
}

//! `pleach-train erase`: finished networks are made to forget, by the methods of second stages.

use super::{
    concepts::Concepts,
    finetune::SampleRecipe,
    forget::ForgetArgs,
    model::{Member, Model, Step},
    runs::{Left, Tensors},
    source::{Base, Source, Wanted},
    watch::Shown,
};
use crate::{
    data::Position,
    encoders::TextEncoder,
    finetune::Batches,
    libtorch::libtorch,
    run::{self, Outcome, RunFolder, Task, train},
    sampling::Denoiser,
    suppress::{
        ConceptRecipe, EraseRecipe, EraseSetting, Erasing, ValueFunction, ValueRecipe,
        neurons::{self, NeuronsRecipe},
        uce::{self, Edits, UceRecipe},
    },
    torch::Torch,
};
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Interrupt, Printer};
use pleach_model::{checkpoint::Checkpoint, samplers::SamplerKind, tensor::Dtype};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// How networks forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// Negative guidance on sampled latents, in cross-attention: for styles (Gandikota et al. 2023)
    EsdX,
    /// The same in everything but cross-attention: for things and nudity
    EsdU,
    /// Keys and values of cross-attention are changed in closed form (Gandikota et al. 2024)
    Uce,
    /// Weights that matter more with the concept than without it are cut (Chavhan et al. 2024)
    ConceptPrune,
    /// The concept becomes its anchor, on pictures of the anchor (Kumari et al. 2023)
    ConceptAblation,
    /// The concept becomes its anchor in the weights that matter most for it (SalUn, Fan et al. 2024)
    Saliency,
    /// The concept becomes its anchor by a bilevel problem's value function (Wu et al. 2024)
    Erasediff,
}

impl Method {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The published settings of methods that learn.
    fn learning(self) -> EraseRecipe {
        match self {
            Self::EsdU => EraseRecipe::esd_u(),
            Self::ConceptAblation => EraseRecipe::concept_ablation(),
            Self::Saliency => EraseRecipe::saliency(),
            Self::Erasediff => EraseRecipe::erasediff(),
            Self::EsdX | Self::Uce | Self::ConceptPrune => EraseRecipe::esd_x(),
        }
    }

    fn learns(self) -> bool {
        !matches!(self, Self::Uce | Self::ConceptPrune)
    }
}

/// The whole recipe. What the method does not use has no effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The pipeline that a student was cut out of, or where a family's base is now.
    pub teacher: String,
    /// What should be kept: a folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO.
    pub data: PathBuf,
    /// Folder of the pictures, where the captions file does not lie beside them.
    pub images: Option<PathBuf>,
    /// A cache that `pleach-train cache` made of these data.
    pub cache: Option<PathBuf>,
    /// Side of the pictures; 0 for what the UNet was made for.
    pub resolution: usize,
    /// Threads that decode pictures.
    pub workers: usize,
    /// What is forgotten.
    pub concepts: Vec<ConceptRecipe>,
    /// What is drawn on the way.
    pub samples: SampleRecipe,
    /// Methods that learn.
    pub erase: EraseRecipe,
    /// `erasediff`.
    pub value: ValueRecipe,
    /// `uce`.
    pub uce: UceRecipe,
    /// `concept-prune`.
    pub neurons: NeuronsRecipe,
}

impl Recipe {
    fn wanted(&self, device: Device) -> Wanted<'_> {
        Wanted {
            teacher: &self.teacher,
            data: &self.data,
            images: self.images.as_deref(),
            cache: self.cache.as_deref(),
            resolution: self.resolution,
            flip: false,
            workers: self.workers,
            device,
        }
    }

    /// What can be said before anything is read.
    fn check(&self, method: Method) -> anyhow::Result<()> {
        match method {
            Method::Uce => {
                let erased: Vec<String> = self.concepts.iter().flat_map(|concept| concept.targets.clone()).collect();
                Ok(self.uce.check(&erased)?)
            }
            Method::ConceptPrune => Ok(self.neurons.check()?),
            _ => Ok(self.erase.check()?),
        }
    }
}

/// Arguments of `pleach-train erase`.
#[derive(Args, Clone, Debug)]
pub struct EraseArgs {
    #[command(flatten)]
    forget: ForgetArgs,
    /// How
    #[arg(long, value_enum)]
    method: Method,
}

/// Runs the command.
///
/// # Errors
/// A recipe, a model or data that are wrong; a loss that is not finite; a full disk.
pub fn run(arguments: &EraseArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let EraseArgs { forget, method } = arguments;
    let method = *method;
    let default = Recipe { erase: method.learning(), ..Recipe::default() };
    let mut recipe: Recipe = forget.recipe.load_over(&default)?;
    forget.concept.replace(&mut recipe.concepts);
    recipe.check(method)?;
    if forget.recipe.printed(&recipe, printer)? {
        return Ok(ExitCode::Done);
    }
    libtorch()?;
    let device = forget.device.device();
    let interrupt = Interrupt::install(printer)?;
    let wanted = recipe.wanted(device);
    let Model { base, family, members } = Model::open(&forget.named(&recipe.teacher), &wanted, printer)?;
    let keeps = method == Method::Erasediff || (method.learns() && recipe.erase.retention.weight > 0.0);
    let ground = if keeps { Ground::Data(Source::of(base, &wanted, printer)?) } else { Ground::alone(base, device)? };
    let origin = method.learns().then_some(recipe.erase.forgetting.x_t);
    let around = (ground.base(), ground.text(), device);
    let concepts = Concepts::open(&recipe.concepts, origin, around, &forget.concepts(), printer)?;
    let work = Work { method, recipe: &recipe, ground: &ground, concepts: &concepts, device };
    let finished = forget.runs().each(&members, &ground.base().teacher, printer, |member, run, start| {
        let opened = RunFolder::open(run, &recipe, start)?;
        match method {
            Method::Uce => work.edit(member).map(Ok),
            Method::ConceptPrune => work.cut(member, run, printer).map(Ok),
            _ => work.learn(member, &opened, &interrupt, printer),
        }
    })?;
    if !finished {
        return Ok(ExitCode::Incomplete);
    }
    let name = method.name();
    let step = Step { method: &name, recipe: json!(recipe), concepts: concepts.names() };
    drop(concepts);
    let more = [("method".to_owned(), json!(name))];
    forget.runs().finish(Model { base: ground.into_base(), family, members }, &step, more, printer)
}

/// The pipeline around the networks, with data where some must be kept.
enum Ground {
    Data(Source),
    Alone { base: Base, text: TextEncoder, null: Tensor },
}

impl Ground {
    fn alone(base: Base, device: Device) -> anyhow::Result<Self> {
        let text = TextEncoder::open(&base.pipeline, device, Dtype::F32)?;
        let null = text.encode(&[String::new()])?;
        Ok(Self::Alone { base, text, null })
    }

    fn base(&self) -> &Base {
        match self {
            Self::Data(source) => &source.base,
            Self::Alone { base, .. } => base,
        }
    }

    fn text(&self) -> &TextEncoder {
        match self {
            Self::Data(source) => &source.text,
            Self::Alone { text, .. } => text,
        }
    }

    fn null(&self) -> &Tensor {
        match self {
            Self::Data(source) => &source.null,
            Self::Alone { null, .. } => null,
        }
    }

    fn into_base(self) -> Base {
        match self {
            Self::Data(source) => source.base,
            Self::Alone { base, .. } => base,
        }
    }
}

/// What is common to all members.
struct Work<'a> {
    method: Method,
    recipe: &'a Recipe,
    ground: &'a Ground,
    concepts: &'a Concepts,
    device: Device,
}

impl Work<'_> {
    /// What a method that learns leaves.
    fn learn(
        &self,
        member: &Member,
        folder: &RunFolder,
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Left> {
        let Self { method, recipe, ground, concepts, device } = *self;
        let (base, text, null) = (ground.base(), ground.text(), ground.null());
        let erase = &recipe.erase;
        let retained = match ground {
            Ground::Data(source) => {
                let open = move |position| source.batches((erase.retention.batch, erase.seed), None, position, printer);
                Some(Box::new(open) as Box<dyn FnMut(Position) -> run::Result<Batches>>)
            }
            Ground::Alone { .. } => None,
        };
        let setting = EraseSetting {
            recipe: erase,
            teacher: &base.teacher,
            architecture: &member.architecture,
            weights: member.weights.as_ref(),
            forgetting: concepts.setting(erase.forgetting, (base, text, null), erase.seed, device),
            retained,
        };
        let samples = if erase.settings.sample_every > 0 {
            let prompts = self.concepts.list.iter().flat_map(|concept| concept.prompts.iter().cloned()).collect();
            Some(recipe.samples.of(base, text, null, prompts, device)?)
        } else {
            None
        };
        let shown = Shown::new(printer, interrupt, &member.name);
        let run = |task: &mut dyn Task| train(task, &erase.settings, folder, &shown);
        let (outcome, student) = if method == Method::Erasediff {
            let mut task = ValueFunction::new(setting, recipe.value)?;
            if let Some(samples) = samples {
                task = task.with_samples(samples);
            }
            (run(&mut task)?, task.student().tensors())
        } else {
            let mut task = Erasing::new(setting)?;
            if let Some(samples) = samples {
                task = task.with_samples(samples);
            }
            printer.status(
                "Erasing",
                format_args!("{}: {:.1} % of its weights may change", member.name, 100.0 * task.share()?),
            );
            (run(&mut task)?, task.student().tensors())
        };
        Ok(match outcome {
            Outcome::Finished => Ok(student),
            Outcome::Interrupted { step } => Err(step),
        })
    }

    fn parameters(&self, member: &Member) -> anyhow::Result<Tensors> {
        let teacher = &self.ground.base().teacher;
        let stored = |own: &Checkpoint| teacher.stored(&member.architecture, own);
        let (tensors, _) = member.weights.as_ref().map_or_else(|| teacher.cut(&member.architecture), stored)?;
        let wide = |(name, tensor): (String, Tensor)| Ok((name, tensor.f_to_kind(tch::Kind::Float)?));
        tensors.into_iter().map(wide).collect()
    }

    /// What UCE leaves.
    fn edit(&self, member: &Member) -> anyhow::Result<Tensors> {
        let uce = &self.recipe.uce;
        let phrases = self.concepts.list.iter().flat_map(|concept| concept.edits(&uce.guide));
        let edits = Edits::of(&phrases.collect::<Vec<_>>(), uce, self.ground.text())?;
        Ok(uce::edited(&self.parameters(member)?, &edits.on(Device::Cpu)?, uce.lambda)?)
    }

    /// What ConceptPrune leaves. Its masks are written beside it.
    fn cut(&self, member: &Member, run: &Path, printer: &Printer) -> anyhow::Result<Tensors> {
        let Self { recipe, ground, device, .. } = *self;
        let (base, neurons) = (ground.base(), &recipe.neurons);
        let kind = match &neurons.sampler {
            Some(name) => name.parse()?,
            None => SamplerKind::from_config(&base.pipeline.common.scheduler)?,
        };
        let torch = Torch::new(device, Dtype::F32)?;
        let unet = base.teacher.network(&member.architecture, member.weights.as_ref(), &torch, false)?;
        let denoiser = Denoiser::new(&torch, &unet, &base.schedule);
        let latents = base.latents();
        let bar = printer.progress(2 * neurons.pairs.len() as u64, "Observing", "prompts");
        let observe = |which: usize| {
            let prompts: Vec<String> = neurons.pairs.iter().map(|pair| pair[which].clone()).collect();
            let embeddings = ground.text().encode(&prompts)?;
            let done = |done| bar.set((which * neurons.pairs.len() + done) as u64);
            neurons::observe(&denoiser, (&embeddings, ground.null()), latents, kind, neurons, &done)
        };
        let (without, with) = (observe(0)?, observe(1)?);
        let parameters = self.parameters(member)?;
        let masks = neurons::masks(&parameters, &without, &with, neurons)?;
        let all: usize = parameters.iter().map(|(_, tensor)| tensor.numel()).sum();
        let cut = neurons::count(&masks)?;
        let share = 100.0 * cut as f64 / all as f64;
        printer.status("Cut", format_args!("{}: {cut} of {all} weights ({share:.3} %)", member.name));
        neurons::write_masks(&run.join("masks.safetensors"), &masks)?;
        Ok(neurons::cut(&parameters, &masks)?)
    }
}

//! The network and the data that a command works on: what `finetune` and `prune` share.

use super::checkpoint;
use crate::{
    data::{
        Crop, Dataset, Loader, LoaderOptions, OpenOptions, Part, Position, Subset, Transform,
        cache::{Cache, CachedLoader, CachedOptions, Key},
        open,
    },
    encoders::{LatentEncoder, TextEncoder},
    finetune::{Batches, Setting, Teacher, TrainRecipe},
    run,
};
use pleach_console::Printer;
use pleach_model::{
    architecture::Architecture,
    clip::ClipTextConfig,
    counter::At,
    pipeline::{CheckpointPipeline, PipelineFolder},
    schedule::Schedule,
    tensor::Dtype,
    vae::VaeConfig,
};
use std::{path::Path, path::PathBuf, sync::Arc};
use tch::{Device, Tensor};

/// What is fetched of a teacher that is a Hugging Face id.
const FILES: [&str; 6] = ["model_index.json", "tokenizer/*", "scheduler/*", "unet/*", "text_encoder/*", "vae/*"];

/// What a recipe says about network and data.
pub(super) struct Wanted<'a> {
    /// Folder of a diffusers pipeline, or a Hugging Face id.
    pub teacher: &'a str,
    /// Folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO.
    pub data: &'a Path,
    /// Folder of the pictures, where the captions file does not lie beside them.
    pub images: Option<&'a Path>,
    /// A cache that was made of these data.
    pub cache: Option<&'a Path>,
    /// Side of the pictures; 0 for what the UNet was made for.
    pub resolution: usize,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
    /// Threads that decode pictures.
    pub workers: usize,
    /// Where to compute.
    pub device: Device,
}

impl Wanted<'static> {
    /// No data at all.
    pub fn network_only(resolution: usize, device: Device) -> Self {
        Self {
            teacher: "",
            data: Path::new(""),
            images: None,
            cache: None,
            resolution,
            flip: false,
            workers: 0,
            device,
        }
    }
}

/// A network, opened.
pub(super) struct Base {
    /// Where its pipeline lies.
    pub folder: PathBuf,
    pub pipeline: CheckpointPipeline,
    pub teacher: Teacher,
    pub schedule: Schedule,
    pub vae: VaeConfig,
    /// Side of the pictures.
    pub side: usize,
    /// Length of the text embedding.
    tokens: usize,
}

/// Network and data, opened.
pub(super) struct Source {
    pub base: Base,
    pub text: TextEncoder,
    /// Embedding of the empty caption, `[1, N, D]`.
    pub null: Tensor,
    pub dataset: Arc<dyn Dataset>,
    device: Device,
    cache: Option<Arc<Cache>>,
    flip: bool,
    workers: usize,
}

impl Base {
    pub fn open(wanted: &Wanted<'_>, printer: &Printer) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !wanted.teacher.is_empty(),
            "no `teacher` is named, in the recipe or with --set teacher=PIPELINE: a pipeline's folder or a Hugging Face id"
        );
        let folder = checkpoint::resolve(wanted.teacher, &FILES, printer)?;
        let pipeline = PipelineFolder::open(&folder)?.checkpoint()?;
        let teacher = Teacher::new(pipeline.unet.clone())?;
        let vae = VaeConfig::from_json(&pipeline.vae.config)?;
        let native = teacher.config().sample_size.unwrap_or(64) * vae.factor();
        Ok(Self {
            schedule: Schedule::from_config(&pipeline.common.scheduler)?,
            tokens: ClipTextConfig::from_json(&pipeline.text_encoder.config)?.max_position_embeddings,
            side: if wanted.resolution == 0 { native } else { wanted.resolution },
            folder,
            pipeline,
            teacher,
            vae,
        })
    }

    /// Channels, height and width of the latents.
    pub fn latents(&self) -> [i64; 3] {
        let At { height, width, .. } = self.at();
        [self.vae.latent_channels, height, width].map(|size| size as i64)
    }

    /// Sizes of latents and text.
    pub fn at(&self) -> At {
        let side = self.side / self.vae.factor();
        At { height: side, width: side, tokens: self.tokens }
    }
}

impl Source {
    /// What fine-tuning a student of this architecture works with.
    pub fn setting<'a>(&'a self, recipe: &'a TrainRecipe, architecture: &'a Architecture) -> Setting<'a> {
        let Self { base, null, device, .. } = self;
        Setting {
            recipe,
            teacher: &base.teacher,
            architecture,
            schedule: &base.schedule,
            scaling: base.vae.scaling_factor,
            null: null.shallow_clone(),
            device: *device,
        }
    }

    pub fn open(wanted: &Wanted<'_>, printer: &Printer) -> anyhow::Result<Self> {
        Self::of(Base::open(wanted, printer)?, wanted, printer)
    }

    /// The data for a network that is open already.
    pub fn of(base: Base, wanted: &Wanted<'_>, printer: &Printer) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !wanted.data.as_os_str().is_empty(),
            "no `data` are named, in the recipe or with --set data=PATH: a folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO"
        );
        let device = wanted.device;
        let options = OpenOptions { images: wanted.images.map(Path::to_owned), caption_column: None };
        let opened = open(wanted.data, &options)?;
        opened.warnings.iter().for_each(|warning| printer.warn(warning));
        let text = TextEncoder::open(&base.pipeline, device, Dtype::F32)?;
        let key = || Key::of(&*opened.dataset, &base.pipeline, base.side);
        let cache = wanted.cache.map(|folder| Ok::<_, anyhow::Error>(Arc::new(Cache::open(folder, &key()?)?)));
        Ok(Self {
            cache: cache.transpose()?,
            null: text.encode(&[String::new()])?,
            dataset: opened.dataset,
            workers: wanted.workers.max(1),
            flip: wanted.flip,
            base,
            text,
            device,
        })
    }

    /// Batches of so many pictures from a position on, of the whole data set or of a part of it.
    pub fn batches(
        &self,
        (batch, seed): (usize, u64),
        only: Option<&Arc<Part>>,
        position: Position,
        printer: &Printer,
    ) -> run::Result<Batches> {
        if let Some(cache) = &self.cache {
            let options = CachedOptions { batch, seed, flip: self.flip };
            let loader = Box::new(CachedLoader::of_part(cache.clone(), only.cloned(), options, position)?);
            return Ok(Batches::Cached { loader, dataset: self.dataset.clone() });
        }
        let dataset: Arc<dyn Dataset> = match only {
            Some(part) => Arc::new(Subset::new(self.dataset.clone(), part.clone())),
            None => self.dataset.clone(),
        };
        let transform = Transform { resolution: self.base.side, crop: Crop::Random, flip: self.flip };
        let options = LoaderOptions { batch, seed, workers: self.workers, prefetch: 2 };
        let printer = printer.clone();
        Ok(Batches::Fresh {
            loader: Box::new(Loader::start(dataset, transform, options, position)?),
            latents: Box::new(LatentEncoder::open(&self.base.pipeline, self.device, Dtype::F32)?),
            text: Box::new(TextEncoder::open(&self.base.pipeline, self.device, Dtype::F32)?),
            side: self.base.side,
            warn: Box::new(move |line| printer.warn(line)),
        })
    }
}

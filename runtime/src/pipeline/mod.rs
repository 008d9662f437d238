//! From prompts to pictures, as diffusers' `StableDiffusionPipeline` does it.
//!
//! ```no_run
//! use pleach_runtime::{bundle::Bundle, engine::Engine, pipeline::{Options, Pipeline, Request}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bundle = Bundle::open("bundle".as_ref())?;
//! let mut pipeline = Pipeline::open(bundle, &Engine::start(&Default::default())?, Options::default())?;
//! let request = Request { prompts: vec!["a red star".into()], seeds: vec![42], ..Request::default() };
//! for drawn in pipeline.generate(&request, &mut ())? {
//!     println!("{:?}", drawn.image);
//! }
//! # Ok(())
//! # }
//! ```

mod decode;
mod denoise;
mod error;
mod job;
mod memory;
mod networks;
mod request;
mod size;
mod text;
mod tiles;

pub use error::{Error, Result};
pub use memory::MemoryError;
pub use request::{Component, Drawn, Event, Observer, Request};
pub use size::{Size, SizeError};

use crate::{
    bundle::Bundle,
    engine::{Engine, HostCache},
    png::{Model, Recipe, Software},
    tokenizer::Tokenizer,
};
use decode::Decoder;
use denoise::{Denoised, denoise};
use job::Job;
use memory::{Needs, Plan};
use networks::Networks;
use text::{Embedding, Unconditional};

/// Pictures that go through the networks together where only one network is open at a time: enough that opening costs little.
const PER_TURN: usize = 16;

/// How a pipeline is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The expert that draws; the default one where none is named.
    pub expert: Option<String>,
    /// The most memory that the process may take, in bytes.
    pub max_memory: Option<u64>,
    /// Where the optimised graphs are kept for the next time.
    pub cache: HostCache,
}

/// A bundle that draws.
#[derive(Debug)]
pub struct Pipeline {
    bundle: Bundle,
    expert: Option<String>,
    max_memory: Option<u64>,
    runtime_version: String,
    tokenizer: Tokenizer,
    networks: Networks,
    unconditional: Unconditional,
}

impl Pipeline {
    /// Checks a bundle's tokenizer and networks, and makes them ready to be opened.
    pub fn open(bundle: Bundle, engine: &Engine, options: Options) -> Result<Self> {
        let tokenizer = Tokenizer::clip(bundle.tokenizer(), bundle.text_encoder().max_position_embeddings)?;
        Ok(Self {
            networks: Networks::check(engine, &bundle, &options)?,
            expert: options.expert.or_else(|| bundle.experts().first().map(|&name| name.to_owned())),
            max_memory: options.max_memory,
            runtime_version: String::new(),
            tokenizer,
            unconditional: Unconditional::default(),
            bundle,
        })
    }

    /// What it draws with.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Draws all pictures of a request: every prompt with every seed, prompt by prompt.
    pub fn generate(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Vec<Drawn>> {
        let mut pictures = Vec::new();
        self.generate_each(request, observer, |drawn| {
            pictures.push(drawn);
            Ok::<_, Error>(())
        })?;
        Ok(pictures)
    }

    /// Draws all pictures of a request and hands each over as soon as it is ready, in order. An error of `take` ends the work.
    pub fn generate_each<E: From<Error>>(
        &mut self,
        request: &Request,
        observer: &mut dyn Observer,
        mut take: impl FnMut(Drawn) -> Result<(), E>,
    ) -> Result<(), E> {
        let job = Job::new(&self.bundle, request)?;
        let plan = self.plan(&job)?;
        let (height, width) = plan.tiling.tile();
        let factor = self.bundle.vae().factor();
        let tile = (plan.tiling.count() > 1)
            .then(|| Size { width: (width * factor) as u32, height: (height * factor) as u32 });
        let round = if plan.turns { job.batch.max(PER_TURN) } else { job.batch };
        for (index, pictures) in job.pictures.chunks(round).enumerate() {
            let first = index * round;
            let denoised = self.denoise(&job, &plan, request, pictures, first, observer)?;
            let network = self.networks.get(Component::VaeDecoder, plan.turns, observer)?;
            let mut decoder = Decoder::bind(network, &job, &plan.tiling, self.bundle.vae())?;
            for (i, (denoised, &(prompt, seed))) in denoised.iter().zip(pictures).enumerate() {
                let image = decoder.decode(denoised, [first + i, job.pictures.len()], observer)?;
                take(Drawn { prompt, seed, tile, image })?;
            }
        }
        Ok(())
    }

    /// How a picture of `request` was made.
    pub fn recipe(&self, request: &Request, drawn: &Drawn) -> Result<Recipe> {
        let job = Job::new(&self.bundle, request)?;
        Ok(Recipe {
            schema: Recipe::SCHEMA,
            prompt: request.prompts.get(drawn.prompt).cloned().unwrap_or_default(),
            negative: request.negative.clone(),
            seed: drawn.seed,
            steps: request.steps,
            sampler: job.sampler.kind(),
            guidance: request.guidance,
            width: drawn.image.width(),
            height: drawn.image.height(),
            tile: drawn.tile,
            model: Model {
                name: self.bundle.name().to_owned(),
                sha256: self.bundle.sha256().map(|hash| hash.to_string()),
                expert: self.expert.clone(),
            },
            software: Software {
                pleach: env!("CARGO_PKG_VERSION").to_owned(),
                onnxruntime: self.runtime_version.clone(),
            },
        })
    }

    fn plan(&self, job: &Job) -> Result<Plan> {
        let [_, _, height, width] = job.latents;
        let needs = Needs { bundle: &self.bundle, networks: self.networks.sizes() };
        needs.plan(job.size, [height, width], self.max_memory)
    }

    /// The latents of `pictures`, which begin with number `first` of the request.
    fn denoise(
        &mut self,
        job: &Job,
        plan: &Plan,
        request: &Request,
        pictures: &[(usize, u64)],
        first: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Denoised>> {
        let negative = request.negative.as_str();
        let unconditional = job.guided.then(|| self.negative(negative, plan, observer)).transpose()?;
        let mut denoised = Vec::with_capacity(pictures.len());
        let mut last: Option<(usize, Embedding)> = None;
        for &(prompt, seed) in pictures {
            let embedding = match last.take() {
                Some((index, embedding)) if index == prompt => embedding,
                _ => self.encode(request.prompts.get(prompt).map_or("", String::as_str), plan, observer)?,
            };
            denoised.push(Denoised::begin(job, seed, embedding.clone())?);
            last = Some((prompt, embedding));
        }
        let unet = self.networks.get(Component::Unet, plan.turns, observer)?;
        for (index, batch) in denoised.chunks_mut(job.batch).enumerate() {
            denoise(unet, job, unconditional.as_ref(), batch, first + index * job.batch, observer)?;
        }
        Ok(denoised)
    }

    fn negative(&mut self, prompt: &str, plan: &Plan, observer: &mut dyn Observer) -> Result<Embedding> {
        if let Some(embedding) = self.unconditional.get(prompt) {
            return Ok(embedding);
        }
        let embedding = self.encode(prompt, plan, observer)?;
        self.unconditional.keep(prompt, &embedding);
        Ok(embedding)
    }

    fn encode(&mut self, prompt: &str, plan: &Plan, observer: &mut dyn Observer) -> Result<Embedding> {
        if observer.cancelled() {
            return Err(Error::Cancelled);
        }
        let network = self.networks.get(Component::TextEncoder, plan.turns, observer)?;
        text::encode(network, &self.tokenizer, prompt, observer)
    }
}

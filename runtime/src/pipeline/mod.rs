//! From prompts to pictures, as diffusers' `StableDiffusionPipeline` does it.
//!
//! ```no_run
//! use pleach_runtime::{bundle::Bundle, engine::Engine, pipeline::{Options, Picture, Pipeline, Request}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bundle = Bundle::open("bundle".as_ref())?;
//! let mut pipeline = Pipeline::open(bundle, &Engine::start(&Default::default())?, Options::default())?;
//! let pictures = vec![Picture { prompt: "a red star".into(), seed: 42 }];
//! let request = Request { pictures, ..Request::default() };
//! for image in pipeline.generate(&request, &mut ())? {
//!     println!("{} x {}", image.width(), image.height());
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
#[cfg(test)]
mod tests;
mod text;
mod tiles;

pub use error::{Error, Result};
pub use memory::MemoryError;
pub use request::{Component, Drawn, Event, Observer, Picture, Request};
pub use size::{Size, SizeError};

use crate::{
    bundle::Bundle,
    engine::{Engine, HostCache},
    image::Image,
    png::{Model, Recipe, Software},
};
use decode::Decoder;
use denoise::{Denoised, denoise};
use job::Job;
use memory::{Needs, Plan};
use networks::Networks;
use pleach_model::tokenizer::Tokenizer;
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
            runtime_version: engine.dylib().version.clone(),
            tokenizer,
            unconditional: Unconditional::default(),
            bundle,
        })
    }

    /// What it draws with.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Draws all pictures of a request, in order.
    pub fn generate(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        self.generate_each(request, observer, |drawn| {
            images.push(drawn.image);
            Ok::<_, Error>(())
        })?;
        Ok(images)
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
        let round = if plan.turns { request.batch.max(PER_TURN) } else { request.batch };
        for (number, pictures) in request.pictures.chunks(round).enumerate() {
            let first = number * round;
            let denoised = self.denoise(&job, &plan, pictures, first, observer)?;
            let network = self.networks.get(Component::VaeDecoder, plan.turns, observer)?;
            let mut decoder = Decoder::bind(network, &job, &plan.tiling, self.bundle.vae())?;
            for (index, denoised) in (first..).zip(&denoised) {
                let image = decoder.decode(denoised, index, observer)?;
                take(Drawn { index, image })?;
            }
        }
        Ok(())
    }

    /// How each picture of a request is made.
    pub fn recipes(&self, request: &Request) -> Result<Vec<Recipe>> {
        let job = Job::new(&self.bundle, request)?;
        let plan = self.plan(&job)?;
        let (height, width) = plan.tiling.tile();
        let pixels = |latents| u32::try_from(latents * self.bundle.vae().factor()).unwrap_or(u32::MAX);
        let tile = Size { width: pixels(width), height: pixels(height) };
        let recipe = |picture: &Picture| Recipe {
            schema: Recipe::SCHEMA,
            prompt: picture.prompt.clone(),
            negative: request.negative.clone(),
            seed: picture.seed,
            steps: request.steps,
            sampler: job.sampler.kind(),
            guidance: request.guidance,
            size: job.size,
            tile: (plan.tiling.count() > 1).then_some(tile),
            model: Model {
                name: self.bundle.name().to_owned(),
                sha256: self.bundle.sha256(),
                expert: self.expert.clone(),
            },
            software: Software {
                pleach: env!("CARGO_PKG_VERSION").to_owned(),
                onnxruntime: self.runtime_version.clone(),
            },
        };
        Ok(request.pictures.iter().map(recipe).collect())
    }

    fn plan(&self, job: &Job<'_>) -> Result<Plan> {
        let [_, _, height, width] = job.latents;
        let needs = Needs { bundle: &self.bundle, networks: self.networks.footprints() };
        needs.plan(job.size, [height, width], self.max_memory)
    }

    /// The latents of `pictures`, which begin with number `first` of the request.
    fn denoise(
        &mut self,
        job: &Job<'_>,
        plan: &Plan,
        pictures: &[Picture],
        first: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Denoised>> {
        let negative = &job.request.negative;
        let unconditional = job.guided.then(|| self.negative(negative, plan, observer)).transpose()?;
        let mut denoised: Vec<Denoised> = Vec::with_capacity(pictures.len());
        let mut last: Option<(&str, Embedding)> = None;
        for Picture { prompt, seed } in pictures {
            let embedding = match last.take() {
                Some((text, embedding)) if text == prompt => embedding,
                _ => self.encode(prompt, plan, observer)?,
            };
            denoised.push(Denoised::begin(job, *seed, embedding.clone())?);
            last = Some((prompt, embedding));
        }
        let batch = job.request.batch;
        let unet = self.networks.get(Component::Unet, plan.turns, observer)?;
        for (number, pictures) in denoised.chunks_mut(batch).enumerate() {
            denoise(unet, job, unconditional.as_ref(), pictures, first + number * batch, observer)?;
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

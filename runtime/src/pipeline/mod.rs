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
mod placement;
mod request;
mod routing;
mod shapes;
mod size;
#[cfg(test)]
mod tests;
mod text;
mod tiles;

pub use error::{Error, Result};
pub use memory::MemoryError;
pub use placement::{Placed, placements};
pub use request::{Component, Drawn, Event, Observer, Picture, Request};
pub use routing::Router;
pub(crate) use shapes::Shapes;
pub use size::{Size, SizeError};

use crate::{
    bundle::Bundle,
    engine::{Engine, HostCache, Providers},
    image::Image,
    png::{Model, Recipe, Software},
};
use decode::Decoder;
use denoise::{Denoised, denoise};
use job::Job;
use memory::Plan;
use networks::Networks;
use pleach_model::{router::Route, tokenizer::Tokenizer};
use std::num::NonZeroUsize;
use text::{Embedding, Unconditional};

/// Pictures that go through the networks together where only one network is open at a time: enough that opening costs little.
const PER_TURN: usize = 16;

/// How a pipeline is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The expert that draws every prompt. Where none is named the bundle's router chooses for each, or the default one draws.
    pub expert: Option<String>,
    /// The most experts that stay open at one time, those used last; all unless told otherwise.
    pub max_resident: Option<NonZeroUsize>,
    /// The most memory that the process may take, in bytes.
    pub max_memory: Option<u64>,
    /// What computes the networks. The router, which is small, is always the CPU's.
    pub providers: Providers,
    /// Where the optimised graphs are kept for the next time.
    pub cache: HostCache,
}

/// A bundle that draws.
#[derive(Debug)]
pub struct Pipeline {
    bundle: Bundle,
    max_resident: Option<NonZeroUsize>,
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
            max_resident: options.max_resident,
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

    /// Draws all pictures of a request and hands each over as soon as it is ready: those of one expert after those of another, each in
    /// order. An error of `take` ends the work.
    pub fn generate_each<E: From<Error>>(
        &mut self,
        request: &Request,
        observer: &mut dyn Observer,
        mut take: impl FnMut(Drawn) -> Result<(), E>,
    ) -> Result<(), E> {
        let job = Job::new(&self.bundle, request)?;
        let plan = self.plan(&job)?;
        let [_, _, height, width] = job.latents;
        self.networks.prepare(Shapes::new(&self.bundle, [height, width], plan.tiling.tile()))?;
        let round = if plan.turns { request.batch.max(PER_TURN) } else { request.batch };
        let mut before = 0;
        for (expert, pictures) in self.by_expert(request, &plan, observer)? {
            for pictures in pictures.chunks(round) {
                let denoised = self.denoise(&job, &plan, expert, (pictures, before), observer)?;
                before += pictures.len();
                let network = self.networks.vae_decoder(plan.turns, observer)?;
                let mut decoder = Decoder::bind(network, &job, &plan.tiling, self.bundle.vae())?;
                for (&index, denoised) in pictures.iter().zip(&denoised) {
                    let image = decoder.decode(denoised, index, observer)?;
                    take(Drawn { index, image })?;
                }
            }
        }
        Ok(())
    }

    /// Where a prompt goes; none where the bundle has no router, or the caller has chosen the expert.
    pub fn route(&mut self, prompt: &str) -> Result<Option<Route>> {
        self.networks.router(false).map(|router| router.route(prompt)).transpose()
    }

    /// Indices of pictures by the expert that draws them, experts in the order in which they are met.
    fn by_expert(
        &mut self,
        request: &Request,
        plan: &Plan,
        observer: &mut dyn Observer,
    ) -> Result<Vec<(usize, Vec<usize>)>> {
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (index, picture) in request.pictures.iter().enumerate() {
            if observer.cancelled() {
                return Err(Error::Cancelled);
            }
            let router = self.networks.router(plan.turns);
            let expert =
                router.map(|router| router.route(&picture.prompt)).transpose()?.map_or(0, |route| route.expert);
            match groups.iter_mut().find(|(known, _)| *known == expert) {
                Some((_, pictures)) => pictures.push(index),
                None => groups.push((expert, vec![index])),
            }
        }
        Ok(groups)
    }

    /// How each picture of a request is made.
    pub fn recipes(&mut self, request: &Request) -> Result<Vec<Recipe>> {
        let job = Job::new(&self.bundle, request)?;
        let plan = self.plan(&job)?;
        let (height, width) = plan.tiling.tile();
        let pixels = |latents| u32::try_from(latents * self.bundle.vae().factor()).unwrap_or(u32::MAX);
        let tile = Size { width: pixels(width), height: pixels(height) };
        let groups = self.by_expert(request, &plan, &mut ())?;
        let expert = |index: usize| {
            let (expert, _) = groups.iter().find(|(_, pictures)| pictures.contains(&index))?;
            Some(self.networks.expert_name(*expert)?.to_owned())
        };
        let recipe = |(index, picture): (usize, &Picture)| Recipe {
            schema: Recipe::SCHEMA,
            prompt: picture.prompt.clone(),
            negative: request.negative.clone(),
            seed: picture.seed,
            steps: request.steps,
            sampler: job.sampler.kind(),
            guidance: request.guidance,
            size: job.size,
            tile: (plan.tiling.count() > 1).then_some(tile),
            model: Model { name: self.bundle.name().to_owned(), sha256: self.bundle.sha256(), expert: expert(index) },
            software: Software {
                pleach: env!("CARGO_PKG_VERSION").to_owned(),
                onnxruntime: self.runtime_version.clone(),
                providers: self.networks.provider_names(),
            },
        };
        Ok(request.pictures.iter().enumerate().map(recipe).collect())
    }

    fn plan(&self, job: &Job<'_>) -> Result<Plan> {
        let [_, _, height, width] = job.latents;
        let resident = self.max_resident.map_or(usize::MAX, NonZeroUsize::get);
        self.networks.needs(&self.bundle).plan(job.size, [height, width], self.max_memory, resident)
    }

    /// The latents of these pictures of the request, which an expert draws when `before` others are done.
    fn denoise(
        &mut self,
        job: &Job<'_>,
        plan: &Plan,
        expert: usize,
        (indices, before): (&[usize], usize),
        observer: &mut dyn Observer,
    ) -> Result<Vec<Denoised>> {
        let negative = &job.request.negative;
        let unconditional = job.guided.then(|| self.negative(negative, plan, observer)).transpose()?;
        let mut denoised: Vec<Denoised> = Vec::with_capacity(indices.len());
        let mut last: Option<(&str, Embedding)> = None;
        for Picture { prompt, seed } in indices.iter().filter_map(|&index| job.request.pictures.get(index)) {
            let embedding = match last.take() {
                Some((text, embedding)) if text == prompt => embedding,
                _ => self.encode(prompt, plan, observer)?,
            };
            denoised.push(Denoised::begin(job, *seed, embedding.clone())?);
            last = Some((prompt, embedding));
        }
        let batch = job.request.batch;
        let unet = self.networks.expert(expert, plan.resident, plan.turns, observer)?;
        let firsts = indices.iter().step_by(batch).zip((before..).step_by(batch));
        for (pictures, (&first, before)) in denoised.chunks_mut(batch).zip(firsts) {
            denoise(unet, job, unconditional.as_ref(), pictures, (first, before), observer)?;
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
        let network = self.networks.text_encoder(plan.turns, observer)?;
        text::encode(network, &self.tokenizer, prompt, observer)
    }
}

//! How fast a bundle draws on this machine, network by network.

use crate::{
    bundle::Bundle,
    engine::{self, Engine, GraphFile, HostCache, Network, NetworkOptions, Providers, TensorRef},
    pipeline::{self, Component, Picture, Pipeline, Request, Result, Shapes},
};
use pleach_model::{
    manifest::Precision,
    noise::Generator,
    samplers::{Sampler, SamplerKind},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The expert; the default one where none is named.
    pub expert: Option<String>,
    /// The first picture. Its steps, guidance and size are those that pictures a minute are told for.
    pub request: Request,
    /// How long each network runs before it is timed.
    pub warm_up: Duration,
    /// How many times each network is timed.
    pub repeats: usize,
    /// What computes the networks.
    pub providers: Providers,
    /// Where the optimised graphs are kept.
    pub cache: HostCache,
}

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The expert.
    pub expert: Option<String>,
    /// Type of its weights; none for a pipeline without a manifest.
    pub precision: Option<Precision>,
    /// Multiply-accumulates of one pass of it, as the manifest counts them.
    pub macs: Option<u64>,
    /// Seconds from nothing to the first picture: everything is opened in this time.
    pub first_picture: f64,
    /// The networks, in the order of their work.
    pub networks: Vec<Timed>,
    /// Pictures a minute once everything is open, from the medians.
    pub pictures_per_minute: f64,
    /// The most memory that the process ever had, in bytes, mapped files included; none where the system does not tell.
    pub peak: Option<u64>,
}

/// A network, timed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Its folder: `unet`.
    pub network: String,
    /// The graph's file.
    pub graph: String,
    /// Seconds to open it.
    pub opened: f64,
    /// How often it runs for a picture.
    pub runs: usize,
    /// Seconds of a run: the median.
    pub median: f64,
    /// Median of the distances from it.
    pub deviation: f64,
    /// Every run that was timed.
    pub seconds: Vec<f64>,
}

/// Draws the first picture, then times each network by itself.
///
/// # Errors
/// Everything that can keep a picture from being drawn.
pub fn measure(bundle: &Bundle, engine: &Engine, options: &Options) -> Result<Measured> {
    let begun = Instant::now();
    let opening = pipeline::Options {
        expert: options.expert.clone().or_else(|| bundle.experts().first().map(|&name| name.to_owned())),
        providers: options.providers.clone(),
        cache: options.cache.clone(),
        ..pipeline::Options::default()
    };
    let expert = opening.expert.clone();
    let picture = request_of_one(&options.request);
    let mut pipeline = Pipeline::open(bundle.clone(), engine, opening)?;
    pipeline.generate(&picture, &mut ())?;
    let first_picture = begun.elapsed().as_secs_f64();
    drop(pipeline);

    let providers = engine.check(&options.providers)?;
    let networks = Component::DRAWING.into_iter().map(|component| {
        let expert = if component == Component::Unet { expert.as_deref() } else { None };
        let entry = bundle.graph_of(component, expert, providers.flavours())?;
        let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &options.cache);
        time(bundle, engine, options, component, &graph.map_err(engine::Error::from)?)
    });
    let networks = networks.collect::<Result<Vec<_>>>()?;
    let picture: f64 = networks.iter().map(|network| network.runs as f64 * network.median).sum();
    let known = bundle.manifest().zip(expert.as_deref()).and_then(|(manifest, name)| manifest.expert(name));
    Ok(Measured {
        precision: known.map(|expert| expert.component.precision),
        macs: known.map(|expert| expert.component.macs.exact),
        expert,
        first_picture,
        networks,
        pictures_per_minute: 60.0 / picture,
        peak: peak(),
    })
}

/// One picture of the request's first prompt.
fn request_of_one(request: &Request) -> Request {
    let first = request.pictures.first().cloned().unwrap_or(Picture { prompt: String::new(), seed: 0 });
    Request { pictures: vec![first], ..request.clone() }
}

fn time(bundle: &Bundle, engine: &Engine, options: &Options, component: Component, graph: &GraphFile) -> Result<Timed> {
    let begun = Instant::now();
    let mut open = NetworkOptions {
        providers: options.providers.clone(),
        cache: options.cache.clone(),
        ..NetworkOptions::default()
    };
    if options.providers.want_fixed_sizes() {
        let size = options.request.size.unwrap_or_else(|| bundle.default_size());
        open.dimensions = Shapes::of_size(bundle, size)?.dimensions(component, graph);
    }
    let mut network = engine.open(graph, &open)?;
    let opened = begun.elapsed().as_secs_f64();
    let inputs = Inputs::new(bundle, &options.request, component)?;
    let warm = Instant::now();
    loop {
        inputs.run(&mut network)?;
        if warm.elapsed() >= options.warm_up {
            break;
        }
    }
    let mut seconds = Vec::new();
    for _ in 0..options.repeats.max(1) {
        let begun = Instant::now();
        inputs.run(&mut network)?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let middle = median(&seconds);
    let distances: Vec<f64> = seconds.iter().map(|time| (time - middle).abs()).collect();
    Ok(Timed {
        network: component.folder().to_owned(),
        graph: graph.name().to_owned(),
        opened,
        runs: runs(bundle, &options.request, component)?,
        median: middle,
        deviation: median(&distances),
        seconds,
    })
}

/// How often a network runs for a picture.
fn runs(bundle: &Bundle, request: &Request, component: Component) -> Result<usize> {
    let branches = if request.guidance > 1.0 { 2 } else { 1 };
    Ok(match component {
        Component::TextEncoder => branches,
        Component::Unet => {
            let kind = request.sampler.map_or_else(|| SamplerKind::from_config(bundle.schedule().config()), Ok)?;
            branches * Sampler::new(kind, bundle.schedule(), request.steps)?.timesteps().len()
        }
        Component::VaeDecoder | Component::Router => 1,
    })
}

/// What a network is run on: noise, of the shapes of one picture.
struct Inputs(Vec<(&'static str, Vec<usize>, Numbers)>);

enum Numbers {
    Floats(Vec<f32>),
    Ids(Vec<i64>),
}

impl Inputs {
    fn new(bundle: &Bundle, request: &Request, component: Component) -> Result<Self> {
        let size = request.size.unwrap_or_else(|| bundle.default_size());
        size.check(bundle.size_multiple())?;
        let [height, width] = [size.height, size.width].map(|pixels| pixels as usize / bundle.vae().factor());
        let (text, unet) = (bundle.text_encoder(), bundle.unet());
        let mut noise = Generator::new(0);
        let mut floats = |name, shape: Vec<usize>| {
            let numbers = noise.randn(shape.iter().product());
            (name, shape, Numbers::Floats(numbers))
        };
        let tokens = text.max_position_embeddings;
        Ok(Self(match component {
            Component::TextEncoder | Component::Router => {
                vec![("input_ids", vec![1, tokens], Numbers::Ids(vec![1; tokens]))]
            }
            Component::Unet => vec![
                floats("sample", vec![1, unet.in_channels, height, width]),
                ("timestep", vec![1], Numbers::Floats(vec![500.0])),
                floats("encoder_hidden_states", vec![1, tokens, unet.cross_attention_dim]),
            ],
            Component::VaeDecoder => {
                vec![floats("latent_sample", vec![1, bundle.vae().latent_channels, height, width])]
            }
        }))
    }

    fn run(&self, network: &mut Network) -> Result<()> {
        let mut inputs = Vec::new();
        for (name, shape, numbers) in &self.0 {
            let tensor = match numbers {
                Numbers::Floats(numbers) => TensorRef::new(shape, numbers)?,
                Numbers::Ids(numbers) => TensorRef::new(shape, numbers)?,
            };
            inputs.push((*name, tensor));
        }
        Ok(network.run(&inputs).map(drop)?)
    }
}

/// The middle one, or the mean of the two in the middle; not a number where there is none.
pub fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (middle(half.wrapping_sub(1)) + middle(half)) / 2.0 } else { middle(half) }
}

/// The most of this process that was ever resident, in bytes, mapped files included; none where the system does not tell.
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn every_network_is_timed() {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2");
        let bundle = Bundle::open(&bundle).unwrap();
        let engine = Engine::start(&Default::default()).unwrap();
        let request = Request { steps: 3, ..Request::default() };
        let (providers, cache) = (Providers::default(), HostCache::off());
        let options = Options { expert: None, request, warm_up: Duration::ZERO, repeats: 3, providers, cache };
        let measured = measure(&bundle, &engine, &options).unwrap();
        let found: Vec<(&str, usize, usize)> =
            measured.networks.iter().map(|n| (n.network.as_str(), n.runs, n.seconds.len())).collect();
        // PNDM makes one call more than it has steps, and each is made twice for guidance.
        assert_eq!(found, [("text_encoder", 2, 3), ("unet", 8, 3), ("vae_decoder", 1, 3)]);
        let sum: f64 = measured.networks.iter().map(|n| n.runs as f64 * n.median).sum();
        assert!((measured.pictures_per_minute * sum - 60.0).abs() < 1e-9);
        assert!(measured.first_picture > 0.0 && measured.networks.iter().all(|n| n.opened > 0.0 && n.deviation >= 0.0));
    }
}

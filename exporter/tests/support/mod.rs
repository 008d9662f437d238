//! The small world's pipeline, drawn by a provider and by the CPU of the same ONNX Runtime.

use pleach_exporter::export::{self, Input, export};
use pleach_model::noise::Generator;
use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, Error, GraphFile, HostCache, Network, NetworkOptions, Provider, Providers, TensorRef},
    pipeline::{Component, Options, Picture, Pipeline, Request, Size},
};
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Latents of a picture of 64x64.
const SIDE: usize = 16;
const TOKENS: usize = 77;

/// A file that `cargo xtask setup --providers NAME` installs; the test is skipped where it is not there.
pub fn installed(name: &str, file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.native").join(name).join(file);
    if path.is_file() {
        return Some(path);
    }
    // Past the harness, which keeps what tests that pass print.
    let _ = writeln!(io::stderr(), "skipped: {name} is not there; `cargo xtask setup --providers {name}` fetches it");
    None
}

/// The small world as a bundle.
pub fn world() -> (tempfile::TempDir, Bundle) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world");
    export(&Input::checkpoint(checkpoint), &folder.path().join("world"), &export::Options::default(), &()).unwrap();
    let bundle = Bundle::open(&folder.path().join("world")).unwrap();
    (folder, bundle)
}

/// These providers and nothing else: a graph of which a node is left to the CPU is not opened.
pub fn only(list: &str) -> Providers {
    Providers::new(Provider::list(list).unwrap()).unwrap().refusing_cpu(true).unwrap()
}

/// The UNet, opened for pictures of 64x64.
pub fn unet(bundle: &Bundle, engine: &Engine, providers: &Providers) -> Network {
    let dimensions = [("batch", 1), ("height", SIDE), ("width", SIDE), ("tokens", TOKENS)];
    open_unet(bundle, engine, providers, &dimensions).unwrap()
}

/// The UNet, opened with these sizes.
pub fn open_unet(
    bundle: &Bundle,
    engine: &Engine,
    providers: &Providers,
    dimensions: &[(&str, usize)],
) -> Result<Network, Error> {
    let entry = bundle.graph_of(Component::Unet, None, providers.flavours()).unwrap();
    let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &HostCache::off()).unwrap();
    let dimensions = dimensions.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    engine.open(&graph, &NetworkOptions { providers: providers.clone(), dimensions, ..Default::default() })
}

/// What it predicts for noise and an embedding of noise.
pub fn predict(unet: &mut Network, bundle: &Bundle, timestep: f32) -> Vec<f32> {
    let mut noise = Generator::new(7);
    let (sample, context) =
        ([1, bundle.unet().in_channels, SIDE, SIDE], [1, TOKENS, bundle.unet().cross_attention_dim]);
    let [latents, embedding] =
        [&sample[..], &context].map(|shape| noise.randn(shape.iter().product()).into_iter().collect::<Vec<f32>>());
    let inputs = [
        ("sample", TensorRef::new(&sample, &latents).unwrap()),
        ("timestep", TensorRef::new(&[1], std::slice::from_ref(&timestep)).unwrap()),
        ("encoder_hidden_states", TensorRef::new(&context, &embedding).unwrap()),
    ];
    unet.run(&inputs).unwrap().remove(0).into_f32()
}

/// Root of the mean square of the differences, in units of that of `expected`.
pub fn relative_rms(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    (difference / expected.iter().copied().map(square).sum::<f64>()).sqrt()
}

/// A pipeline that draws with these providers.
pub fn pipeline(bundle: &Bundle, engine: &Engine, providers: &Providers) -> Pipeline {
    let options = Options { providers: providers.clone(), ..Options::default() };
    Pipeline::open(bundle.clone(), engine, options).unwrap()
}

/// A picture of this size: its channels around the middle grey.
pub fn draw(pipeline: &mut Pipeline, size: &str, steps: usize, guidance: f64) -> Vec<f32> {
    let picture = Picture { prompt: "a red star on the left, black background".into(), seed: 3 };
    let size: Size = size.parse().unwrap();
    let request = Request { pictures: vec![picture], steps, guidance, size: Some(size), ..Request::default() };
    let images = pipeline.generate(&request, &mut ()).unwrap();
    images[0].rgb().iter().map(|&value| f32::from(value) - 127.5).collect()
}

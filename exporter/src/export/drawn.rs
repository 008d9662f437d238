//! Pictures of a bundle beside those of the same in single precision: what a person sees of the difference.

use super::Options;
use crate::{
    error::{Error, Result},
    quantize::calibrate,
    watch::Watch,
};
use pleach_model::{manifest, pipeline, vision::VisionConfig};
use pleach_runtime::{
    bundle::Bundle,
    engine::{self, Engine, GraphFile, HostCache, Network, NetworkOptions, TensorRef},
    image::Image,
    pipeline::{Event, Observer, Options as PipelineOptions, Picture, Pipeline, Request},
};
use serde::Serialize;
use std::path::Path;

/// A picture of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drawn {
    /// The expert that drew it.
    pub expert: String,
    /// What it drew.
    pub prompt: String,
    /// Peak signal-to-noise ratio of the picture against that in single precision, in decibels; none where they are the same.
    pub psnr: Option<f64>,
    /// Heads of the judge that find something else in it; empty where there is none.
    pub changed: Vec<String>,
}

/// Draws every prompt with every expert of both bundles, from the same noise.
pub(super) fn compare(
    engine: &Engine,
    [single, bundle]: [&Path; 2],
    manifest: &manifest::Bundle,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<Drawn>> {
    let calibrate::Options { prompts, steps, guidance } = &options.calibration;
    let prompts: Vec<&String> = prompts.iter().take(options.pictures).collect();
    let mut judge = options.judge.as_deref().map(|folder| Judge::open(engine, folder)).transpose()?;
    let mut drawn = Vec::new();
    for expert in &manifest.components.unet {
        let pictures = prompts.iter().zip(0..).map(|(prompt, seed)| Picture { prompt: (*prompt).clone(), seed });
        let request = Request {
            pictures: pictures.collect(),
            steps: *steps,
            guidance: f64::from(*guidance),
            ..Request::default()
        };
        let draw = |folder: &Path| -> Result<Vec<Image>> {
            let options = PipelineOptions { expert: Some(expert.name.clone()), ..PipelineOptions::default() };
            let mut pipeline = Pipeline::open(Bundle::open(folder)?, engine, options)?;
            Ok(pipeline.generate(&request, &mut Watched(watch))?)
        };
        for ((a, b), prompt) in draw(single)?.iter().zip(draw(bundle)?).zip(&prompts) {
            let changed = judge.as_mut().map(|judge| judge.changed(a, &b)).transpose()?.unwrap_or_default();
            let (expert, prompt) = (expert.name.clone(), (*prompt).clone());
            drawn.push(Drawn { expert, prompt, psnr: a.psnr(&b), changed });
        }
    }
    Ok(drawn)
}

/// Stops between two steps.
struct Watched<'a>(&'a dyn Watch);

impl Observer for Watched<'_> {
    fn event(&mut self, _: Event<'_>) {}

    fn cancelled(&mut self) -> bool {
        self.0.interrupted()
    }
}

/// A classifier that this exporter has written.
struct Judge {
    config: VisionConfig,
    network: Network,
}

impl Judge {
    fn open(engine: &Engine, folder: &Path) -> Result<Self> {
        let config = VisionConfig::from_json(&pipeline::Network::open(folder)?.config)?;
        let graph = GraphFile::open(folder, "model.onnx", None, &HostCache::off()).map_err(engine::Error::from)?;
        Ok(Self { config, network: engine.open(&graph, &NetworkOptions::default())? })
    }

    /// The classes that each head finds.
    fn found(&mut self, picture: &Image) -> Result<Vec<Vec<usize>>> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let plane = |channel: usize| picture.rgb().iter().skip(channel).step_by(3).map(|x| f32::from(*x) / 127.5 - 1.0);
        let planes: Vec<f32> = (0..3).flat_map(plane).collect();
        let outputs = self.network.run(&[("sample", TensorRef::new(&[1, 3, height, width], &planes)?)])?;
        let find = |head: &pleach_model::vision::Head| {
            let position = self.network.outputs().iter().position(|output| output.name == head.name);
            let output = position.and_then(|position| outputs.get(position));
            let output = output.filter(|output| output.shape().last() == Some(&head.classes.len()));
            let output = output.ok_or_else(|| Error::Output {
                file: self.network.name().to_owned(),
                expected: vec![1, head.classes.len()],
                found: None,
            })?;
            Ok(head.found(&output.view().to_f32()))
        };
        self.config.heads.iter().map(find).collect()
    }

    /// Heads that find something else in the second.
    fn changed(&mut self, a: &Image, b: &Image) -> Result<Vec<String>> {
        let (a, b) = (self.found(a)?, self.found(b)?);
        let heads = self.config.heads.iter().zip(a.iter().zip(&b));
        Ok(heads.filter(|(_, (a, b))| a != b).map(|(head, _)| head.name.clone()).collect())
    }
}

//! Pictures of a bundle beside those of the same in single precision: what a person sees of the difference.

use super::Options;
use crate::{error::Result, quantize::calibrate, watch::Watch};
use pleach_model::manifest;
use pleach_runtime::{
    bundle::Bundle,
    classifier::{Classifier, Pixels, Seen},
    engine::Engine,
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
    let mut judge = options.judge.as_deref().map(|folder| Classifier::open(engine, folder)).transpose()?;
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
            let changed = judge.as_mut().map(|judge| changed(judge, [a, &b])).transpose()?.unwrap_or_default();
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

/// Heads of the judge that find something else in the second picture.
fn changed(judge: &mut Classifier, pictures: [&Image; 2]) -> Result<Vec<String>> {
    let seen = judge.look(&pictures.map(Pixels::from))?;
    let found = |head: usize, seen: &Seen| Some(judge.heads().get(head)?.found(seen.scores.get(head)?));
    let finds_same = |head| seen.windows(2).all(|pair| found(head, &pair[0]) == found(head, &pair[1]));
    let changed = judge.heads().iter().enumerate().filter(|(head, _)| !finds_same(*head));
    Ok(changed.map(|(_, head)| head.name.clone()).collect())
}

//! The pictures of each bundle beside those of the first.

use anyhow::{Context, Result};
use image::RgbImage;
use pleach_evaluator::{judge::Classifier, stats::wilson_interval};
use pleach_runtime::{
    bundle::Bundle,
    engine::Engine,
    image::Image,
    pipeline::{self, Options, Picture, Pipeline, Request},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Pictures that the judge looks at together.
const TOGETHER: usize = 50;

/// The classes that each head finds in each picture.
type Findings = Vec<Vec<Vec<usize>>>;

/// What became of a bundle's pictures.
#[derive(Serialize)]
pub struct Drawn {
    /// Peak signal-to-noise ratios against the first bundle, in decibels, from the least up; infinite where nothing differs.
    pub psnr: Vec<f64>,
    /// For each head of the judge.
    pub agreement: Vec<Agreement>,
}

/// How often a head of the judge finds the same in both pictures.
#[derive(Serialize)]
pub struct Agreement {
    pub head: String,
    pub same: u64,
    pub of: u64,
}

impl Agreement {
    /// In words, with the 95 % Wilson interval.
    pub fn rate(&self) -> String {
        let percent = |share: f64| 100.0 * share;
        let interval = wilson_interval(self.same, self.of).ok();
        let ends = interval.map_or_else(String::new, |interval| {
            format!(" ({:.1} to {:.1})", percent(interval.low), percent(interval.high))
        });
        format!("{:.1} %{ends}", percent(self.same as f64 / self.of.max(1) as f64))
    }
}

impl Drawn {
    /// The median, and what a tenth of the pictures is below.
    pub fn decibels(&self) -> String {
        let at = |share: usize| self.psnr.get(self.psnr.len() * share / 10).copied().unwrap_or(f64::NAN);
        if at(1).is_infinite() { "-".into() } else { format!("{:.1} dB ({:.1})", at(5), at(1)) }
    }
}

/// Lets every bundle draw all prompts, and compares.
pub fn compare(
    engine: &Engine,
    folders: &[PathBuf],
    judge: &Path,
    prompts: &[String],
    (steps, guidance): (usize, f64),
) -> Result<Vec<Drawn>> {
    let pictures = prompts.iter().zip(0..).map(|(prompt, seed)| Picture { prompt: prompt.clone(), seed });
    let request = Request { pictures: pictures.collect(), steps, guidance, ..Request::default() };
    let mut judge = Classifier::open(engine, judge)?;
    let heads: Vec<_> = judge.heads().to_vec();
    let mut first: Option<(Vec<Image>, Findings)> = None;
    let mut all = Vec::new();
    for folder in folders {
        let mut pipeline = Pipeline::open(Bundle::open(folder)?, engine, Options::default())?;
        let mut images: Vec<Option<Image>> = vec![None; prompts.len()];
        pipeline.generate_each(&request, &mut (), |drawn| {
            if let Some(place) = images.get_mut(drawn.index) {
                *place = Some(drawn.image);
            }
            Ok::<_, pipeline::Error>(())
        })?;
        let images = images.into_iter().collect::<Option<Vec<_>>>().context("a picture was not drawn")?;
        let rgb = |image: &Image| RgbImage::from_raw(image.width(), image.height(), image.rgb().to_vec());
        let rgb = images.iter().map(rgb).collect::<Option<Vec<_>>>().context("a picture of another size")?;
        let mut found = Vec::new();
        for part in rgb.chunks(TOGETHER) {
            for seen in judge.look(&part.iter().collect::<Vec<_>>())? {
                found.push(heads.iter().zip(&seen.scores).map(|(head, scores)| head.found(scores)).collect());
            }
        }
        let (base, known) = first.get_or_insert_with(|| (images.clone(), found.clone()));
        let mut psnr: Vec<f64> = base.iter().zip(&images).map(|(a, b)| a.psnr(b).unwrap_or(f64::INFINITY)).collect();
        psnr.sort_by(f64::total_cmp);
        let agreement = heads.iter().enumerate().map(|(i, head)| Agreement {
            head: head.name.clone(),
            same: known.iter().zip(&found).filter(|(a, b): &(&Vec<_>, &Vec<_>)| a.get(i) == b.get(i)).count() as u64,
            of: found.len() as u64,
        });
        all.push(Drawn { psnr, agreement: agreement.collect() });
    }
    Ok(all)
}

//! Pictures of prompts, drawn by one network after another: what `probe` and `concept-images` share.

use super::{model::Member, source::Base};
use crate::{
    encoders::{LatentDecoder, TextEncoder},
    sampling::{Artist, Denoiser, Sampling, Start},
    torch::Torch,
};
use anyhow::{Context, ensure};
use clap::Args;
use image::RgbImage;
use pleach_model::{
    files::{json_object, read_bounded},
    samplers::SamplerKind,
    tensor::Dtype,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};
use tch::{Device, Tensor};

/// Ten million prompts.
const MAX_BYTES: u64 = 4 << 30;

/// How pictures are drawn.
#[derive(Args, Clone, Debug)]
pub struct DrawingArgs {
    /// Sampler [default: the pipeline's own]
    #[arg(long, value_name = "NAME")]
    sampler: Option<SamplerKind>,
    /// Denoising steps
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// Scale of the guidance
    #[arg(long, default_value_t = 7.5)]
    guidance: f64,
    /// Seed of the noise; each prompt has noise of its own
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Pictures drawn together
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Side of the pictures; 0 for what the UNet was made for
    #[arg(long, default_value_t = 0)]
    pub resolution: usize,
}

/// A prompt, and what its picture should show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The prompt.
    pub text: String,
    /// For each head of a classifier the classes that should be found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
}

/// Reads prompts: JSON lines with `text` and perhaps `labels`, or plain lines.
pub(super) fn prompts(path: &Path) -> anyhow::Result<Vec<Prompt>> {
    let bytes = read_bounded(path, MAX_BYTES)?;
    let lines = (1..).zip(bytes.split(|&byte| byte == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
    let json = path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json");
    let read = |(number, line): (usize, &[u8])| -> anyhow::Result<Prompt> {
        let place = || format!("{}, line {number}", path.display());
        if json {
            return json_object(line).with_context(place);
        }
        let text = std::str::from_utf8(line).with_context(place)?.trim();
        Ok(Prompt { text: text.to_owned(), ..Prompt::default() })
    };
    let prompts: Vec<Prompt> = lines.map(read).collect::<anyhow::Result<_>>()?;
    ensure!(!prompts.is_empty(), "there are no prompts in {}", path.display());
    Ok(prompts)
}

/// What draws for every member of a model.
pub(super) struct Drawing<'a> {
    base: &'a Base,
    text: TextEncoder,
    null: Tensor,
    decoder: LatentDecoder,
    device: Device,
    sampling: Sampling,
    seed: u64,
    batch: usize,
}

impl<'a> Drawing<'a> {
    pub fn open(base: &'a Base, arguments: &DrawingArgs, device: Device) -> anyhow::Result<Self> {
        ensure!(arguments.batch > 0, "--batch is 0; it must be at least 1");
        let pipeline = &base.pipeline;
        let kind = arguments.sampler.map_or_else(|| SamplerKind::from_config(&pipeline.common.scheduler), Ok)?;
        let text = TextEncoder::open(pipeline, device, Dtype::F32)?;
        Ok(Self {
            null: text.encode(&[String::new()])?,
            text,
            decoder: LatentDecoder::of(&pipeline.vae, device, Dtype::F32)?,
            base,
            device,
            sampling: Sampling { kind, steps: arguments.steps, guidance: arguments.guidance },
            seed: arguments.seed,
            batch: arguments.batch,
        })
    }

    /// A picture for each prompt, as a member draws it. `done` hears how many there are; it may say stop.
    pub fn draw(
        &self,
        member: &Member,
        prompts: &[Prompt],
        done: &dyn Fn(usize) -> bool,
    ) -> anyhow::Result<Option<Vec<RgbImage>>> {
        let torch = Torch::new(self.device, Dtype::F32)?;
        let unet = self.base.teacher.network(&member.architecture, member.weights.as_ref(), &torch, false)?;
        let latents = self.base.latents();
        let mut pictures = Vec::with_capacity(prompts.len());
        for part in prompts.chunks(self.batch) {
            let texts: Vec<String> = part.iter().map(|prompt| prompt.text.clone()).collect();
            let start = Start {
                latents,
                embeddings: &self.text.encode(&texts)?,
                null: &self.null,
                seed: self.seed,
                first: pictures.len() as u64,
            };
            let denoiser = Denoiser::new(&torch, &unet, &self.base.schedule);
            pictures.extend(Artist { denoiser, decoder: &self.decoder }.draw(&start, self.sampling)?);
            if !done(pictures.len()) {
                return Ok(None);
            }
        }
        Ok(Some(pictures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::tempdir;

    #[test]
    fn prompts_are_lines_or_json_lines() {
        let folder = tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let plain = prompts(&file("a.txt", "a star\n\n a ring \n")).unwrap();
        assert_eq!(plain.iter().map(|prompt| prompt.text.as_str()).collect::<Vec<_>>(), ["a star", "a ring"]);
        let lines = r#"{"file_name": "0.png", "text": "a star", "labels": {"style": ["flat"]}}"#;
        assert_eq!(prompts(&file("a.jsonl", lines)).unwrap()[0].labels["style"], ["flat"]);
        let wrong = format!("{:#}", prompts(&file("b.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n")).unwrap_err());
        assert!(wrong.contains("b.jsonl, line 2") && wrong.contains("text"), "{wrong}");
        assert!(prompts(&file("c.txt", "\n")).unwrap_err().to_string().contains("no prompts"));
    }
}

//! An engine's networks held against what diffusers and transformers computed.

use crate::{
    fixtures::{self, Values},
    networks::Networks,
    pipeline::{Drawn, Request, draw},
    tensor::Tensor,
};
use anyhow::Result;
use pleach_model::tokenizer::Tokenizer;
use pleach_model::{
    samplers::{Sampler, SamplerKind},
    schedule::Schedule,
    vae::VaeConfig,
};

/// Largest difference of a network's output in f32.
pub const NETWORK: f32 = 1e-4;
/// Largest difference of the latents of a guided run, at every step.
pub const LATENTS: f32 = 1e-3;
/// Largest difference of the picture drawn, of which 1 is white.
pub const PICTURE: f32 = 2.0 / 255.0;

/// Panics where the difference is larger than the limit.
#[track_caller]
pub fn within(what: &str, found: &Tensor, expected: &Tensor, limit: f32) {
    let difference = found.difference(expected);
    assert!(difference <= limit, "{what}: differs by {difference:e}, more than {limit:e}");
}

/// The text encoder on three prompts.
pub fn text(networks: &mut dyn Networks, variant: &str) -> Result<()> {
    let values = Values::of(variant)?;
    let found = networks.text(&values.ids("text.input_ids")?)?;
    within("text encoder", &found, &values.floats("text.last_hidden_state")?, NETWORK);
    Ok(())
}

/// Sample, timestep, text embedding and output of the square and of the other case.
pub fn unet_cases(values: &Values) -> Result<[[Tensor; 4]; 2]> {
    let timesteps = values.ids("unet.timestep")?;
    let timesteps = Tensor::new(&timesteps.shape, timesteps.data.iter().map(|&t| t as f32).collect());
    let context = values.floats("unet.encoder_hidden_states")?;
    let first = context.rows(0..1);
    let rect =
        [values.floats("unet.rect.sample")?, Tensor::new(&[1], vec![250.0]), first, values.floats("unet.rect.out")?];
    Ok([[values.floats("unet.sample")?, timesteps, context, values.floats("unet.out")?], rect])
}

/// The UNet, square and not.
pub fn unet(networks: &mut dyn Networks, variant: &str) -> Result<()> {
    for [sample, timestep, context, expected] in unet_cases(&Values::of(variant)?)? {
        let found = networks.unet(&sample, &timestep, &context)?;
        within(&format!("UNet of {:?}", sample.shape), &found, &expected, NETWORK);
    }
    Ok(())
}

/// The outputs of the UNet's blocks, each under its path.
pub fn blocks(found: &[(String, Tensor)], variant: &str) -> Result<()> {
    let values = Values::of(variant)?;
    let path = |name: &str| name.strip_prefix("unet.").filter(|path| path.contains("_block")).map(str::to_owned);
    let mut expected: Vec<String> = values.names().filter_map(path).collect();
    let mut paths: Vec<&String> = found.iter().map(|(path, _)| path).collect();
    expected.sort();
    paths.sort();
    assert_eq!(paths, expected.iter().collect::<Vec<_>>());
    for (path, output) in found {
        within(path, output, &values.floats(&format!("unet.{path}"))?, NETWORK);
    }
    Ok(())
}

/// The autoencoder, both ways.
pub fn vae(networks: &mut dyn Networks, variant: &str) -> Result<()> {
    let values = Values::of(variant)?;
    let moments = networks.encode(&values.floats("vae.image")?)?;
    let (mean, logvar) = halves(&moments);
    within("mean", &mean, &values.floats("vae.mean")?, NETWORK);
    // diffusers keeps the clamped log-variance.
    within("log-variance", &logvar.map(|x| x.clamp(-30.0, 20.0)), &values.floats("vae.logvar")?, NETWORK);
    let decoded = networks.decode(&values.floats("vae.latent")?)?;
    within("decoded picture", &decoded, &values.floats("vae.decoded")?, NETWORK);
    Ok(())
}

/// `[B, 2 C, H, W]` to two of `[B, C, H, W]`.
fn halves(moments: &Tensor) -> (Tensor, Tensor) {
    let mut shape = moments.shape.clone();
    shape[1] /= 2;
    let half: usize = shape[1..].iter().product();
    let part = |i: usize| moments.data.chunks(half).skip(i).step_by(2).flatten().copied().collect();
    (Tensor::new(&shape, part(0)), Tensor::new(&shape, part(1)))
}

/// A guided run of the pipeline's own sampler: the latents of every step, and the pictures.
pub fn guided_run(networks: &mut dyn Networks, variant: &str) -> Result<()> {
    let (values, pipeline) = (Values::of(variant)?, fixtures::pipeline(variant)?);
    let noise = values.floats("pipeline.latents0")?;
    let expected = values.floats("pipeline.latents")?;
    let tokenizer = Tokenizer::clip(&pipeline.common.tokenizer, 77)?;
    let encode = |prompts: Vec<String>| -> Result<Tensor<i64>> {
        let tokens = prompts.iter().take(noise.shape[0]).map(|prompt| tokenizer.encode(prompt));
        let ids = tokens.map(|tokens| Ok(tokens?.ids)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::new(&[ids.len(), 77], ids.concat().into_iter().map(i64::from).collect()))
    };
    let config = &pipeline.common.scheduler;
    let steps = values.metadata("num_inference_steps")?;
    let sampler = Sampler::new(SamplerKind::from_config(config)?, &Schedule::from_config(config)?, steps)?;
    let request = Request {
        prompts: &encode(values.metadata("prompts")?)?,
        negative: &encode(values.metadata("negative_prompts")?)?,
        guidance: values.metadata("guidance_scale")?,
        noise: &noise,
        scaling_factor: VaeConfig::from_json(&pipeline.vae.config)?.scaling_factor as f32,
    };
    let Drawn { latents, pictures } = draw(networks, &sampler, &request)?;
    assert_eq!(latents.len(), expected.shape[0]);
    for (step, found) in latents.iter().enumerate() {
        let expected = Tensor::new(&noise.shape, expected.rows(step..step + 1).data);
        within(&format!("latents of step {step}"), found, &expected, LATENTS);
    }
    within("picture", &channels_last(&pictures), &values.floats("pipeline.image")?, PICTURE);
    Ok(())
}

/// `[B, C, H, W]` to `[B, H, W, C]`.
pub fn channels_last(pictures: &Tensor) -> Tensor {
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| pictures.shape[i]);
    let area = height * width;
    let data = (0..batch * area * channels).map(|i| {
        let (b, position, channel) = (i / (area * channels), i / channels % area, i % channels);
        pictures.data[(b * channels + channel) * area + position]
    });
    Tensor::new(&[batch, height, width, channels], data.collect())
}

//! Drawing with guidance, as diffusers' `StableDiffusionPipeline` does it.

use crate::{networks::Networks, tensor::Tensor};
use anyhow::Result;
use pleach_model::samplers::Sampler;

/// What is drawn: one picture for each row of the latents.
pub struct Request<'a> {
    /// Token ids `[B, N]` of the prompts.
    pub prompts: &'a Tensor<i64>,
    /// Token ids of the negative prompts.
    pub negative: &'a Tensor<i64>,
    /// Factor between the two predictions.
    pub guidance: f32,
    /// Standard normal noise `[B, 4, h, w]`.
    pub noise: &'a Tensor,
    /// Divides the latents before they are decoded.
    pub scaling_factor: f32,
}

/// What was drawn.
pub struct Drawn {
    /// Latents after each call of the network.
    pub latents: Vec<Tensor>,
    /// Pictures `[B, 3, H, W]` in [0, 1].
    pub pictures: Tensor,
}

/// Draws with a sampler that adds no noise.
pub fn draw(networks: &mut dyn Networks, sampler: &Sampler, request: &Request) -> Result<Drawn> {
    let batch = request.noise.shape[0];
    let context = networks.text(&Tensor::concat(&[request.negative, request.prompts]))?;
    let mut x = request.noise.map(|noise| noise * sampler.init_noise_sigma() as f32);
    let (mut trajectory, mut latents) = (sampler.trajectory(), Vec::new());
    for (call, &timestep) in sampler.timesteps().iter().enumerate() {
        let scaled = x.map(|value| value * sampler.input_scale(call) as f32);
        let timestep = Tensor::new(&[1], vec![timestep as f32]);
        let output = networks.unet(&Tensor::concat(&[&scaled, &scaled]), &timestep, &context)?;
        let (without, with) = (output.rows(0..batch), output.rows(batch..2 * batch));
        let guided = without.data.iter().zip(&with.data).map(|(a, b)| a + request.guidance * (b - a));
        let next = trajectory.step(&x.data, guided.collect(), &mut || unreachable!("the sampler adds no noise"))?;
        x = Tensor::new(&x.shape, next);
        latents.push(x.clone());
    }
    let decoded = networks.decode(&x.map(|value| value / request.scaling_factor))?;
    Ok(Drawn { latents, pictures: decoded.map(|value| (value / 2.0 + 0.5).clamp(0.0, 1.0)) })
}

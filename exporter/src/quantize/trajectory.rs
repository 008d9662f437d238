//! Pictures on their way from noise, as the runtime denoises them: what goes through a UNet.

use super::calibrate::Calibration;
use crate::error::Result;
use pleach_model::{
    noise::Generator,
    samplers::{LinearCombination as _, Sampler, SamplerError},
};
use pleach_runtime::engine::{Network, Tensor, TensorRef};

/// The text encoder's last hidden state of a prompt.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// `[1, tokens, width]`.
    pub shape: [usize; 3],
    /// Its numbers.
    pub values: Vec<f32>,
}

/// Lets a UNet denoise a picture of each prompt, with guidance, and tells what each call gave: whether it was with the prompt, and all
/// outputs, of which the first is the prediction.
pub(super) fn walk(
    unet: &mut Network,
    calibration: &Calibration<'_>,
    pictures: &[Embedding],
    steps: usize,
    heard: &mut dyn FnMut(&[Tensor]) -> Result<()>,
) -> Result<()> {
    let sampler = Sampler::new(calibration.sampler, calibration.schedule, steps)?;
    for (seed, prompt) in pictures.iter().enumerate() {
        let mut generator = Generator::new(seed as u64);
        let noise = generator.randn(calibration.latents.iter().product());
        let mut latents = Vec::combine(&[(sampler.init_noise_sigma(), &noise)])?;
        let mut trajectory = sampler.trajectory();
        for (call, &timestep) in sampler.timesteps().iter().enumerate() {
            if calibration.watch.interrupted() {
                return Err(crate::error::Error::Interrupted);
            }
            let sample = Vec::combine(&[(sampler.input_scale(call), &latents)])?;
            let mut predict = |embedding: &Embedding| -> Result<Vec<f32>> {
                let outputs = unet.run(&[
                    ("sample", TensorRef::new(&calibration.latents, &sample)?),
                    ("timestep", TensorRef::new(&[1], &[timestep as f32])?),
                    ("encoder_hidden_states", TensorRef::new(&embedding.shape, &embedding.values)?),
                ])?;
                heard(&outputs)?;
                Ok(outputs.first().map(|output| output.view().to_f32().into_owned()).unwrap_or_default())
            };
            let (without, with) = (predict(&calibration.null)?, predict(prompt)?);
            let guided = without.iter().zip(&with).map(|(a, b)| a + calibration.guidance * (b - a)).collect();
            let length = latents.len();
            let mut fresh = || Ok::<_, SamplerError>(generator.randn(length));
            latents = trajectory.step(&latents, guided, &mut fresh)?;
        }
    }
    Ok(())
}

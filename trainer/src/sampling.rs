//! Pictures drawn with libtorch: to look at during training, and to be judged between runs.

use crate::{
    encoders::LatentDecoder,
    run::{
        Result,
        streams::{Use, noise},
    },
    torch::{Torch, Value},
};
use image::RgbImage;
use pleach_model::{
    samplers::{Sampler, SamplerKind},
    schedule::Schedule,
    sites::{Identity, Pass, Sites},
    unet::UNet,
};
use tch::{Device, Kind, Tensor, no_grad};

/// How pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The sampler.
    pub kind: SamplerKind,
    /// Its steps.
    pub steps: usize,
    /// Scale of the guidance; 1 or less for none.
    pub guidance: f64,
}

/// What takes noise away.
#[derive(Clone, Copy)]
pub struct Denoiser<'a> {
    /// The interpreter of the network.
    pub torch: &'a Torch,
    /// The UNet.
    pub unet: &'a UNet<Torch>,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// What the network's sites come by.
    sites: &'a dyn Sites<Torch>,
}

/// What is denoised.
pub struct Start<'a> {
    /// Channels, height and width of the latents.
    pub latents: [i64; 3],
    /// `[B, N, D]`.
    pub embeddings: &'a Tensor,
    /// Embedding of the empty caption, `[1, N, D]`.
    pub null: &'a Tensor,
    /// Latents number i begin with the noise of this seed and number `first + i`.
    pub seed: u64,
    /// Number of the first ones.
    pub first: u64,
}

impl<'a> Denoiser<'a> {
    /// With a network.
    pub fn new(torch: &'a Torch, unet: &'a UNet<Torch>, schedule: &'a Schedule) -> Self {
        Self { torch, unet, schedule, sites: &Identity }
    }

    /// The same, with a hook.
    #[must_use]
    pub fn watched(self, sites: &'a dyn Sites<Torch>) -> Self {
        Self { sites, ..self }
    }

    /// Latents `[B, C, h, w]` after the first `calls` calls of the network, or after all of them, and the timestep of the call that would
    /// follow. No gradients are recorded.
    ///
    /// # Errors
    /// What libtorch or the sampler says.
    pub fn denoise(
        &self,
        start: &Start<'_>,
        sampling: Sampling,
        calls: Option<usize>,
    ) -> Result<(Tensor, Option<f64>)> {
        no_grad(|| self.without_gradients(start, sampling, calls.unwrap_or(usize::MAX)))
    }

    fn without_gradients(&self, start: &Start<'_>, sampling: Sampling, calls: usize) -> Result<(Tensor, Option<f64>)> {
        let Start { latents: [channels, height, width], embeddings, null, seed, first } = *start;
        let sampler = Sampler::new(sampling.kind, self.schedule, sampling.steps)?;
        let batch = embeddings.size().first().copied().unwrap_or(0);
        let each = (channels * height * width) as usize;
        let start: Vec<f32> =
            (first..first + batch as u64).flat_map(|i| noise(seed, Use::Sample, i).randn(each)).collect();
        let shape = [batch, channels, height, width];
        let start = Tensor::f_from_slice(&start)?.f_reshape(shape)?.f_to_device(self.torch.device())?;
        let guided = sampling.guidance > 1.0;
        let context = if guided {
            Tensor::f_cat(&[null.f_expand(embeddings.size(), false)?, embeddings.shallow_clone()], 0)?
        } else {
            embeddings.shallow_clone()
        };
        let context = self.torch.input(&context)?;
        let mut trajectory = sampler.trajectory::<Value>();
        let mut x = Value::try_from(start.f_mul_scalar(sampler.init_noise_sigma())?)?;
        let pass = Pass::new(self.torch, self.sites);
        let mut fresh = 0;
        for (call, &timestep) in sampler.timesteps().iter().enumerate().take(calls) {
            let input = x.tensor().f_mul_scalar(sampler.input_scale(call))?;
            let input = if guided { Tensor::f_cat(&[&input, &input], 0)? } else { input };
            let timestep = Tensor::f_from_slice(&[timestep as f32])?.f_to_device(self.torch.device())?;
            let output = self.unet.forward(&pass, &self.torch.input(&input)?, &Value::try_from(timestep)?, &context)?;
            let output = output.tensor().f_to_kind(Kind::Float)?;
            let output = match output.f_chunk(2, 0)?.as_slice() {
                [without, with] if guided => without.f_add(&with.f_sub(without)?.f_mul_scalar(sampling.guidance)?)?,
                _ => output,
            };
            let mut draw = || {
                fresh += 1;
                let values = noise(seed, Use::Noise, fresh).randn(each * batch as usize);
                Value::try_from(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(self.torch.device())?)
            };
            x = trajectory.step(&x, Value::try_from(output)?, &mut draw)?;
        }
        Ok((x.tensor().shallow_clone(), sampler.timesteps().get(calls).copied()))
    }
}

/// What draws.
pub struct Artist<'a> {
    /// Takes the noise away.
    pub denoiser: Denoiser<'a>,
    /// The autoencoder's decoder.
    pub decoder: &'a LatentDecoder,
}

impl Artist<'_> {
    /// One picture for each embedding.
    ///
    /// # Errors
    /// What libtorch or the sampler says.
    pub fn draw(&self, start: &Start<'_>, sampling: Sampling) -> Result<Vec<RgbImage>> {
        let (latents, _) = self.denoiser.denoise(start, sampling, None)?;
        pictures(&self.decoder.decode(&latents)?)
    }
}

/// `[B, 3, H, W]` in [-1, 1] as pictures; what lies outside is cut.
///
/// # Errors
/// What libtorch says.
pub fn pictures(planes: &Tensor) -> Result<Vec<RgbImage>> {
    let scaled = planes.f_detach()?.f_to_kind(Kind::Float)?.f_add_scalar(1.0)?.f_mul_scalar(127.5)?;
    let bytes = scaled.f_round()?.f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?.f_permute([0, 2, 3, 1])?;
    let bytes = bytes.f_to_device(Device::Cpu)?.f_contiguous()?;
    let (batch, height, width, _) = bytes.size4()?;
    let mut data = vec![0; bytes.numel()];
    bytes.f_copy_data_u8(&mut data, bytes.numel())?;
    let each = (height * width * 3).max(1) as usize;
    let pictures = data.chunks_exact(each).map(|data| RgbImage::from_raw(width as u32, height as u32, data.to_vec()));
    let pictures: Vec<RgbImage> = pictures.flatten().collect();
    debug_assert_eq!(pictures.len() as i64, batch);
    Ok(pictures)
}

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
    sites::Pass,
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

/// What draws.
pub struct Artist<'a> {
    /// The interpreter of the networks.
    pub torch: &'a Torch,
    /// The UNet.
    pub unet: &'a UNet<Torch>,
    /// The autoencoder's decoder.
    pub decoder: &'a LatentDecoder,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// Height and width of the latents.
    pub latents: [i64; 2],
}

impl Artist<'_> {
    /// One picture for each embedding `[B, N, D]`, against the embedding `null [1, N, D]`; the noise of picture i is that of seed
    /// `seed` and number i.
    ///
    /// # Errors
    /// What libtorch or the sampler says.
    pub fn draw(&self, embeddings: &Tensor, null: &Tensor, seed: u64, sampling: Sampling) -> Result<Vec<RgbImage>> {
        no_grad(|| self.denoise_and_decode(embeddings, null, seed, sampling))
    }

    fn denoise_and_decode(
        &self,
        embeddings: &Tensor,
        null: &Tensor,
        seed: u64,
        sampling: Sampling,
    ) -> Result<Vec<RgbImage>> {
        let sampler = Sampler::new(sampling.kind, self.schedule, sampling.steps)?;
        let batch = embeddings.size().first().copied().unwrap_or(0);
        let [height, width] = self.latents;
        let channels = self.decoder.config().latent_channels as i64;
        let each = (channels * height * width) as usize;
        let start: Vec<f32> = (0..batch as u64).flat_map(|i| noise(seed, Use::Sample, i).randn(each)).collect();
        let shape = [batch, channels, height, width];
        let start = Tensor::f_from_slice(&start)?.f_reshape(shape)?.f_to_device(self.torch.device())?;
        let guided = sampling.guidance > 1.0;
        let context = if guided {
            Tensor::f_cat(&[null.f_expand(embeddings.size(), false)?, embeddings.shallow_clone()], 0)?
        } else {
            embeddings.shallow_clone()
        };
        let context = Value::try_from(context)?;
        let mut trajectory = sampler.trajectory::<Value>();
        let mut x = Value::try_from(start.f_mul_scalar(sampler.init_noise_sigma())?)?;
        let pass = Pass::plain(self.torch);
        let mut fresh = 0;
        for (call, &timestep) in sampler.timesteps().iter().enumerate() {
            let input = x.tensor().f_mul_scalar(sampler.input_scale(call))?;
            let input = if guided { Tensor::f_cat(&[&input, &input], 0)? } else { input };
            let input = Value::try_from(input)?;
            let timestep = Tensor::f_from_slice(&[timestep as f32])?.f_to_device(self.torch.device())?;
            let output = self.unet.forward(&pass, &input, &Value::try_from(timestep)?, &context)?;
            let output = match output.tensor().f_chunk(2, 0)?.as_slice() {
                [without, with] if guided => without.f_add(&with.f_sub(without)?.f_mul_scalar(sampling.guidance)?)?,
                _ => output.tensor().shallow_clone(),
            };
            let mut draw = || {
                fresh += 1;
                let values = noise(seed, Use::Noise, fresh).randn(each * batch as usize);
                Value::try_from(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(self.torch.device())?)
            };
            x = trajectory.step(&x, Value::try_from(output)?, &mut draw)?;
        }
        pictures(&self.decoder.decode(x.tensor())?)
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

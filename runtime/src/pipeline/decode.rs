//! Latents to pictures.

use super::{
    Component, Error, Event, Observer, Result, Size,
    denoise::Denoised,
    job::Job,
    tiles::{Canvas, Tiling},
};
use crate::{
    engine::{Bound, Network, TensorRef},
    image::Image,
};
use pleach_model::vae::VaeConfig;

/// The decoder with its buffers, for pictures of one size.
pub(super) struct Decoder<'n, 'p> {
    bound: Bound<'n>,
    tiling: &'p Tiling,
    config: &'p VaeConfig,
    size: Size,
    pictures: usize,
    /// Shape of one tile of latents.
    tile: [usize; 4],
}

impl<'n, 'p> Decoder<'n, 'p> {
    pub fn bind(network: &'n mut Network, job: &Job<'_>, tiling: &'p Tiling, config: &'p VaeConfig) -> Result<Self> {
        let (height, width) = tiling.tile();
        let tile = [1, job.latents[1], height, width];
        let pixels = [1, config.out_channels, height * config.factor(), width * config.factor()];
        let bound = network.bind(&[("latent_sample", &tile)], &[("sample", &pixels)])?;
        Ok(Self { bound, tiling, config, size: job.size, pictures: job.request.pictures.len(), tile })
    }

    /// Decodes a picture, which is number `picture` of the request.
    pub fn decode(&mut self, denoised: &Denoised, picture: usize, observer: &mut dyn Observer) -> Result<Image> {
        let planes = self.planes(&denoised.latents, picture, observer)?;
        let finite = planes.iter().all(|value| value.is_finite());
        let image = Image::from_planes(self.size.width, self.size.height, &planes);
        image.filter(|_| finite).ok_or(Error::NotFinite { component: Component::VaeDecoder, seed: denoised.seed })
    }

    /// What the decoder gives for `latents`, `[3, height, width]` in about -1 to 1.
    pub fn planes(&mut self, latents: &[f32], picture: usize, observer: &mut dyn Observer) -> Result<Vec<f32>> {
        let scaling = self.config.scaling_factor as f32;
        let latents: Vec<f32> = latents.iter().map(|value| value / scaling).collect();
        let (tiling, tiles, pictures) = (self.tiling, self.tiling.count(), self.pictures);
        let mut canvas = (tiles > 1).then(|| Canvas::new(tiling, self.config.factor()));
        let mut tile = 0;
        for (row, &top) in tiling.rows.starts().iter().enumerate() {
            for (column, &left) in tiling.columns.starts().iter().enumerate() {
                if observer.cancelled() {
                    return Err(Error::Cancelled);
                }
                self.run(&crop(&latents, tiling, top, left))?;
                let output = self.bound.output("sample")?.to_f32();
                tile += 1;
                observer.event(Event::Tile { tile, tiles, picture, pictures });
                match &mut canvas {
                    Some(canvas) => canvas.add(row, column, &output),
                    None => return Ok(output.into_owned()),
                }
            }
        }
        Ok(canvas.map(Canvas::into_planes).unwrap_or_default())
    }

    fn run(&mut self, latents: &[f32]) -> Result<()> {
        self.bound.set("latent_sample", TensorRef::new(&self.tile, latents)?)?;
        Ok(self.bound.run()?)
    }
}

/// The latents of one tile, out of `[channels, height, width]`.
fn crop(latents: &[f32], tiling: &Tiling, top: usize, left: usize) -> Vec<f32> {
    let (height, width) = (tiling.rows.length(), tiling.columns.length());
    let (tall, wide) = tiling.tile();
    let lines = latents.chunks_exact(height * width).flat_map(|plane| plane.chunks_exact(width).skip(top).take(tall));
    lines.flat_map(|line| line.iter().skip(left).take(wide)).copied().collect()
}

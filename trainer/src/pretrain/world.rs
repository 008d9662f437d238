//! Examples of the small world, drawn once and kept in memory.

use super::network::Autoencoder;
use crate::{
    run::streams::{Use, choices},
    torch::Result,
    world::{Change, SIDE, Sample, sample, sibling},
};
use rayon::prelude::*;
use tch::{Kind, Tensor};

/// Members of a family of siblings: a scene, and one for each kind of change.
pub(super) const MEMBERS: u64 = 1 + Change::ALL.len() as u64;

/// Pictures and what is to be seen in them.
pub(super) struct Examples {
    samples: Vec<Sample>,
    pixels: Vec<Vec<u8>>,
    /// How many that follow one another are chosen together.
    family: usize,
}

impl Examples {
    /// The first `count` samples of the series of `seed`.
    pub fn draw(seed: u64, count: u64) -> Self {
        Self::of(count, 1, |index| sample(seed, index))
    }

    /// As [`draw`](Self::draw), in families of [`MEMBERS`].
    pub fn families(seed: u64, count: u64) -> Self {
        Self::of(count, MEMBERS as usize, |index| sibling(seed, index / MEMBERS, index % MEMBERS))
    }

    fn of(count: u64, family: usize, sample: impl Fn(u64) -> Sample + Sync) -> Self {
        let drawn: Vec<(Sample, Vec<u8>)> = (0..count)
            .into_par_iter()
            .map(|index| {
                let sample = sample(index);
                let pixels = sample.scene.draw().into_raw();
                (sample, pixels)
            })
            .collect();
        let (samples, pixels) = drawn.into_iter().unzip();
        Self { samples, pixels, family }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// The example of a number that is below [`len`](Self::len).
    pub fn sample(&self, index: usize) -> &Sample {
        &self.samples[index]
    }

    /// Which examples make micro-batch number `micro` of the run with this seed: whole families; what does not make up one is left out.
    pub fn choose(&self, batch: usize, seed: u64, micro: u64) -> Vec<usize> {
        let mut random = choices(seed, Use::Data, micro);
        let firsts = (0..batch / self.family).map(|_| random.below(self.len() / self.family) * self.family);
        firsts.flat_map(|first| first..first + self.family).collect()
    }

    /// Every second picture as the autoencoder gives it back.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn half_through(&self, autoencoder: &Autoencoder, seed: u64) -> crate::run::Result<Self> {
        let mut pixels = self.pixels.clone();
        let odd: Vec<usize> = (1..self.len()).step_by(2).collect();
        for (micro, part) in (0..).zip(odd.chunks(64)) {
            let back = autoencoder.through(&self.pictures(part)?, seed, micro)?;
            for (&index, picture) in part.iter().zip(crate::sampling::pictures(&back)?) {
                pixels[index] = picture.into_raw();
            }
        }
        Ok(Self { samples: self.samples.clone(), pixels, family: self.family })
    }

    /// Their pictures: `[B, 3, 64, 64]` in [-1, 1].
    ///
    /// # Errors
    /// What libtorch says.
    pub fn pictures(&self, indices: &[usize]) -> Result<Tensor> {
        let bytes: Vec<u8> = indices.iter().flat_map(|&index| &self.pixels[index]).copied().collect();
        let side = i64::from(SIDE);
        let pixels = Tensor::f_from_data_size(&bytes, &[indices.len() as i64, side, side, 3], Kind::Uint8)?;
        let planes = pixels.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
        Ok(planes.f_div_scalar(127.5)?.f_sub_scalar(1.0)?.f_contiguous()?)
    }
}

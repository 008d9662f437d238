//! PyTorch's CPU random number generator, so that a seed gives the noise that `torch.manual_seed` gives.
//!
//! The engine is MT19937. `torch.randn` in f32 has two ways: fewer than 16 values come one by one from Box-Muller in
//! f64, more come in blocks of 16 from Box-Muller in f32. PyTorch computes the latter with eight-lane AVX2 code whose
//! logarithm, sine and cosine are the Cephes polynomials with fused multiply-adds; the same operations in the same
//! order give the same bits here, on every machine.

use serde::{Deserialize, Serialize};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_PI_4};

/// Words of MT19937's state.
const WORDS: usize = 624;
/// Distance between the words that are mixed.
const SHIFT: usize = 397;
/// Values that f32 Box-Muller makes at once: eight radii, then eight angles.
const BLOCK: usize = 16;

/// A stored generator state was not one that a [`Generator`] can be in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state of the noise generator: {0}")]
pub struct StateError(String);

/// `torch.Generator` of the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    words: [u32; WORDS],
    next: usize,
    spare: Option<f64>,
}

/// What a [`Generator`] needs to go on exactly where it was: plain data for a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorState {
    /// MT19937's 624 words.
    pub words: Vec<u32>,
    /// Index of the next word to give out, 624 where the words must be renewed first.
    pub next: usize,
    /// The second value of the last scalar Box-Muller pair, where it has not been given out.
    pub spare: Option<f64>,
}

impl Generator {
    /// As `torch.Generator().manual_seed(seed)`. MT19937 takes 32 bits: like PyTorch, the upper half of `seed` is ignored.
    pub fn new(seed: u64) -> Self {
        let mut words = [0; WORDS];
        let mut word = seed as u32;
        for (index, slot) in words.iter_mut().enumerate() {
            if index > 0 {
                word = 1_812_433_253_u32.wrapping_mul(word ^ (word >> 30)).wrapping_add(index as u32);
            }
            *slot = word;
        }
        Self { words, next: WORDS, spare: None }
    }

    /// The next 32 random bits.
    pub fn random(&mut self) -> u32 {
        if self.next >= WORDS {
            self.renew();
        }
        let mut y = self.words[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// `n` values that are uniform from 0 to below 1, as `torch.rand(n, generator=self)` in f32.
    pub fn rand(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.uniform()).collect()
    }

    /// `n` values of the standard normal distribution, as `torch.randn(n, generator=self)` in f32.
    ///
    /// Only the number of values counts: `[1, 4, 64, 64]` and `[16384]` are the same draw. Drawing `n` and then `m`
    /// values is drawing `n + m` where `n` is a multiple of 16 and `m` at least 16, and otherwise not.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < BLOCK {
            return (0..n).map(|_| self.normal() as f32).collect();
        }
        let mut values = self.rand(n);
        let (blocks, rest) = values.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().for_each(box_muller);
        // PyTorch draws the last 16 values anew where blocks of 16 do not fill the tensor.
        if !rest.is_empty()
            && let Some(last) = values.last_chunk_mut::<BLOCK>()
        {
            last.fill_with(|| self.uniform());
            box_muller(last);
        }
        values
    }

    /// The state, for [`Generator::from_state`].
    pub fn state(&self) -> GeneratorState {
        GeneratorState { words: self.words.to_vec(), next: self.next, spare: self.spare }
    }

    /// The generator that was in `state`.
    pub fn from_state(state: &GeneratorState) -> Result<Self, StateError> {
        let words = state
            .words
            .as_slice()
            .try_into()
            .map_err(|_| StateError(format!("words: {} where MT19937 has {WORDS}", state.words.len())))?;
        if state.next > WORDS {
            return Err(StateError(format!("next: {} is beyond the {WORDS} words", state.next)));
        }
        Ok(Self { words, next: state.next, spare: state.spare })
    }

    /// MT19937's recurrence over all words.
    fn renew(&mut self) {
        for index in 0..WORDS {
            let following = self.words[(index + 1) % WORDS];
            let mixed = (self.words[index] & 0x8000_0000) | (following & 0x7fff_ffff);
            let twist = if following & 1 == 1 { 0x9908_b0df } else { 0 };
            self.words[index] = self.words[(index + SHIFT) % WORDS] ^ (mixed >> 1) ^ twist;
        }
        self.next = 0;
    }

    /// f32 in [0, 1): 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.random() & 0x00ff_ffff) as f32 * 2f32.powi(-24)
    }

    /// f64 in [0, 1): 53 bits, the first word above the second.
    fn uniform_f64(&mut self) -> f64 {
        let (high, low) = (u64::from(self.random()), u64::from(self.random()));
        (((high << 32) | low) & ((1 << 53) - 1)) as f64 * 2f64.powi(-53)
    }

    /// One value of scalar Box-Muller; its twin waits for the next call, whatever is drawn in between.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = 2.0 * std::f64::consts::PI * self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// Sixteen uniform values to sixteen normal ones, in place.
fn box_muller(block: &mut [f32; BLOCK]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (first, second) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * ln(1.0 - *first)).sqrt();
        let (sin, cos) = sin_cos(2.0 * std::f32::consts::PI * *second);
        *first = radius * cos;
        *second = radius * sin;
    }
}

/// Natural logarithm of a positive normal number (Cephes `logf`).
fn ln(x: f32) -> f32 {
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_87e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // x = mantissa * 2^exponent, mantissa in [sqrt(1/2), sqrt(2))
    let bits = x.to_bits();
    let mut mantissa = f32::from_bits((bits & 0x007f_ffff) | 0.5f32.to_bits());
    let mut exponent = (bits >> 23) as f32 - 126.0;
    if mantissa < FRAC_1_SQRT_2 {
        mantissa += mantissa;
        exponent -= 1.0;
    }
    let f = mantissa - 1.0;
    let square = f * f;
    let series = P.into_iter().reduce(|sum, p| sum.mul_add(f, p)).unwrap_or_default() * f;
    // ln 2 in two parts, the larger one exact in ten bits
    let y = series.mul_add(square, exponent * -2.121_944_4e-4);
    let y = square.mul_add(-0.5, y);
    exponent.mul_add(355.0 / 512.0, f + y)
}

/// Sine and cosine of an angle that is not negative (Cephes `sinf`, `cosf`).
fn sin_cos(angle: f32) -> (f32, f32) {
    // The nearest even multiple of pi / 4, subtracted in three parts.
    let octant = ((angle * (1.0 / FRAC_PI_4)) as i32 + 1) & !1;
    let multiple = octant as f32;
    let x = multiple.mul_add(-0.785_156_25, angle);
    let x = multiple.mul_add(-2.418_756_5e-4, x);
    let x = multiple.mul_add(-3.774_895e-8, x);
    let z = x * x;

    let cos = 2.443_315_7e-5f32.mul_add(z, -1.388_731_6e-3).mul_add(z, 4.166_664_6e-2) * z;
    let cos = cos.mul_add(z, -(z * 0.5)) + 1.0;
    let sin = (-1.951_529_6e-4f32).mul_add(z, 8.332_161e-3).mul_add(z, -1.666_665_5e-1) * z;
    let sin = sin.mul_add(x, x);

    match octant & 6 {
        0 => (sin, cos),
        2 => (cos, -sin),
        4 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

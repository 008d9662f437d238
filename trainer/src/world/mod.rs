//! The small world: pictures that are drawn by rule, with captions and the truth about them.
//!
//! One to three coloured shapes on a plain background, in one of six drawing styles. Everything follows from a seed and an
//! index: [`sample`]. The pictures are what a base model learns, a style or a shape is what pruning and suppression forget,
//! and the truth beside each picture lets a classifier be trained that judges the result.

mod caption;
mod draw;
pub mod folder;
mod random;
mod scene;
mod shape;
pub mod tokenizer;

pub use caption::words;
pub use scene::{Background, Change, Colour, Object, Place, Scene, Shape, Style};

use crate::random::Random;
use pleach_model::noise::Generator;

/// Width and height of every picture.
pub const SIDE: u32 = 64;

/// A scene with one of its captions; [`Scene::draw`] draws it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What is to be seen.
    pub scene: Scene,
    /// What is said of it.
    pub caption: String,
}

/// Sample `index` of the endless series that `seed` stands for. Each is drawn from a generator of its own, so that they can be
/// asked for in any order; the series of two seeds are independent.
pub fn sample(seed: u64, index: u64) -> Sample {
    let mut generator = generator(seed, index);
    let scene = Scene::sample(&mut generator);
    finish(scene, &mut generator)
}

/// As [`sample`], from the series of scenes with one object.
pub fn sample_single(seed: u64, index: u64) -> Sample {
    let mut generator = generator(seed, index);
    let scene = Scene::sample_of(1, &mut generator);
    finish(scene, &mut generator)
}

/// Member `member` of family `family`: the first is a scene, the others are the same with one change each, [`Change::ALL`] in turn. Their
/// captions are built alike.
pub fn sibling(seed: u64, family: u64, member: u64) -> Sample {
    let shared = Scene::sample(&mut generator(seed, family));
    let mut own = Generator::new(Random::new(&[seed, family, member]).bits());
    let change = (member as usize).checked_sub(1).and_then(|number| Change::ALL.get(number % Change::ALL.len()));
    let scene = change.map_or_else(|| shared.clone(), |&change| shared.changed(change, &mut own));
    finish(scene, &mut Generator::new(Random::new(&[seed, family, u64::MAX]).bits()))
}

fn finish(scene: Scene, generator: &mut Generator) -> Sample {
    let caption = scene.caption(generator);
    Sample { scene, caption }
}

/// Hashed twice: neither `seed + 1` nor `index + 1` is a neighbour of anything.
fn generator(seed: u64, index: u64) -> Generator {
    Generator::new(Random::new(&[seed, index]).bits())
}

#[cfg(test)]
mod tests;

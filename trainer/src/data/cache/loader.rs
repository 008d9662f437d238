//! Batches out of a cache.

use super::{
    Cache,
    error::{Error, Result},
};
use crate::data::{
    self, Part, Position,
    order::{Choice, Order},
};
use std::{collections::HashSet, sync::Arc};

/// How a cache is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedOptions {
    /// Pictures of a batch.
    pub batch: usize,
    /// Seed of every choice: order, caption, mirroring.
    pub seed: u64,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
}

/// Moments and embeddings of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentBatch {
    /// `[B, 2 C, h, w]`: mean and log-variance of each picture's latents.
    pub moments: Vec<f32>,
    /// `[B, N, D]`: the embedding of one caption of each picture.
    pub embeddings: Vec<f32>,
    /// Which pictures of the data set.
    pub indices: Vec<usize>,
    /// Which of the captions of each.
    pub captions: Vec<usize>,
    /// From where a loader goes on after this batch.
    pub next: Position,
}

/// Gives batches out of a cache: the same pictures with the same captions, mirrored alike, as a [`Loader`](crate::data::Loader) of the same
/// seed from the same position.
#[derive(Debug)]
pub struct CachedLoader {
    cache: Arc<Cache>,
    options: CachedOptions,
    part: Option<Arc<Part>>,
    order: Order,
    broken: HashSet<usize>,
    position: Position,
}

impl CachedLoader {
    /// Begins at `position`.
    ///
    /// # Errors
    /// [`Error::NoFlipped`], [`data::Error::Nothing`], [`data::Error::Position`].
    pub fn new(cache: Arc<Cache>, options: CachedOptions, position: Position) -> Result<Self> {
        Self::of_part(cache, None, options, position)
    }

    /// As [`new`](Self::new), of a part of the data set, as a [`Loader`](crate::data::Loader) goes through a
    /// [`Subset`](crate::data::Subset).
    ///
    /// # Errors
    /// As there.
    pub fn of_part(
        cache: Arc<Cache>,
        part: Option<Arc<Part>>,
        options: CachedOptions,
        position: Position,
    ) -> Result<Self> {
        if options.flip && !cache.has_flipped() {
            return Err(Error::NoFlipped { folder: cache.folder().to_owned() });
        }
        let pictures = part.as_ref().map_or(cache.pictures().len(), |part| part.len());
        let broken: HashSet<usize> = cache.broken().iter().map(|broken| broken.index).collect();
        let whole = |turn| part.as_ref().map_or(turn, |part| part.get(turn).map_or(turn, |(picture, _)| picture));
        if options.batch == 0 || (0..pictures).all(|turn| broken.contains(&whole(turn))) {
            return Err(data::Error::Nothing { pictures, batch: options.batch }.into());
        }
        let order = Order::new(options.seed, pictures, position)?;
        Ok(Self { cache, options, part, order, broken, position })
    }

    /// The next batch.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], [`Error::NoRow`] never, as long as the files stay as they are.
    #[expect(clippy::should_implement_trait, reason = "as the loader of pictures has it")]
    pub fn next(&mut self) -> Result<LatentBatch> {
        let CachedOptions { batch: size, seed, flip } = self.options;
        let numel = |shape: &[usize]| size * shape.iter().product::<usize>();
        let mut batch = LatentBatch {
            moments: Vec::with_capacity(numel(&self.cache.moments_shape())),
            embeddings: Vec::with_capacity(numel(&self.cache.embedding_shape())),
            indices: Vec::with_capacity(size),
            captions: Vec::with_capacity(size),
            next: self.position,
        };
        while batch.indices.len() < size
            && let Some(turn) = self.order.next()
        {
            self.position = turn.next;
            let chosen = self.part.as_ref().map(|part| part.get(turn.index).unwrap_or((turn.index, &[])));
            let picture = chosen.map_or(turn.index, |(picture, _)| picture);
            if self.broken.contains(&picture) {
                continue;
            }
            let mut choice = Choice::new(seed, &turn);
            let flipped = choice.draw().flip && flip;
            let captions = self.cache.pictures().get(picture).map_or(&[][..], |picture| &picture.captions);
            // A picture without captions has the empty one.
            let number = match chosen {
                Some((_, numbers)) => numbers.get(choice.one_of(numbers.len())).copied().unwrap_or(0),
                None => choice.one_of(captions.len()),
            };
            let caption = captions.get(number).copied().unwrap_or(0);
            self.cache.moments(picture, flipped, &mut batch.moments)?;
            self.cache.embedding(caption, &mut batch.embeddings)?;
            batch.indices.push(picture);
            batch.captions.push(number);
        }
        batch.next = self.position;
        Ok(batch)
    }

    /// From where another loader would go on.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
}

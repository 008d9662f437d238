//! Batches, decoded ahead by threads, in an order that does not depend on them.

use super::{
    Dataset, Error, Position, Transform,
    error::Result,
    files::is_too_much,
    order::{Choice, Order, Turn},
    picture::{Broken, attempt},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// How pictures are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Pictures of a batch.
    pub batch: usize,
    /// Seed of every choice: order, caption, crop, mirroring.
    pub seed: u64,
    /// Threads that decode; at least one.
    pub workers: usize,
    /// Batches that are decoded ahead; at least one.
    pub prefetch: usize,
}

/// Pictures and their captions.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[B, 3, S, S]` in [-1, 1].
    pub pictures: Vec<f32>,
    /// One caption of each picture.
    pub captions: Vec<String>,
    /// Which pictures of the data set.
    pub indices: Vec<usize>,
    /// Pictures that were to be in the batch and cannot be used, each told once by a loader.
    pub broken: Vec<Broken>,
    /// From where a loader goes on after this batch.
    pub next: Position,
}

/// Decodes in the background. Batches are always full: an epoch's last one is completed from the next epoch.
///
/// A picture that cannot be used is passed over. Batches depend on the data set, the transform, the seed and the position, on nothing else.
/// Dropping the loader ends its threads.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    batch: usize,
    position: Position,
    taken: u64,
    told: BTreeMap<usize, Broken>,
}

/// What the threads share.
struct Shared {
    dataset: Arc<dyn Dataset>,
    transform: Transform,
    seed: u64,
    /// Pictures that are decoded ahead at most.
    ahead: u64,
    state: Mutex<State>,
    /// A picture is ready.
    ready: Condvar,
    /// There is work, or no more.
    work: Condvar,
}

struct State {
    order: Order,
    /// Turns that a thread took on.
    issued: u64,
    /// Turns that went into batches.
    taken: u64,
    /// What waits for its turn.
    done: BTreeMap<u64, (Turn, Outcome)>,
    stopped: bool,
    /// The most that waited or was being decoded.
    #[cfg(test)]
    most: u64,
}

/// What became of a picture.
type Outcome = Result<(Vec<f32>, String), Broken>;

impl Loader {
    /// Begins to decode, from `position` on.
    ///
    /// # Errors
    /// [`Error::Nothing`], [`Error::Position`], [`Error::Thread`].
    pub fn start(
        dataset: Arc<dyn Dataset>,
        transform: Transform,
        options: LoaderOptions,
        position: Position,
    ) -> Result<Self> {
        let LoaderOptions { batch, seed, workers, prefetch } = options;
        if dataset.is_empty() || batch == 0 {
            return Err(Error::Nothing { pictures: dataset.len(), batch });
        }
        let order = Order::new(seed, dataset.len(), position)?;
        let shared = Arc::new(Shared {
            dataset,
            transform,
            seed,
            ahead: (batch as u64).saturating_mul(prefetch.max(1) as u64),
            state: Mutex::new(State {
                order,
                issued: 0,
                taken: 0,
                done: BTreeMap::new(),
                stopped: false,
                #[cfg(test)]
                most: 0,
            }),
            ready: Condvar::new(),
            work: Condvar::new(),
        });
        // Made first, so that an error ends the threads that did start.
        let mut loader = Self { shared, threads: Vec::new(), batch, position, taken: 0, told: BTreeMap::new() };
        for number in 0..workers.max(1) {
            let shared = loader.shared.clone();
            let thread = thread::Builder::new().name(format!("pictures-{number}")).spawn(move || shared.work());
            loader.threads.push(thread.map_err(Error::Thread)?);
        }
        Ok(loader)
    }

    /// The next batch, as soon as it is there.
    ///
    /// # Errors
    /// [`Error::Broken`] where more than one picture of a hundred cannot be used.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless sequence of results is no iterator that anybody could collect"
    )]
    pub fn next(&mut self) -> Result<Batch> {
        let mut batch = Batch {
            pictures: Vec::with_capacity(self.batch * self.shared.transform.numel()),
            captions: Vec::with_capacity(self.batch),
            indices: Vec::with_capacity(self.batch),
            broken: Vec::new(),
            next: self.position,
        };
        while batch.indices.len() < self.batch {
            let (turn, outcome) = self.shared.take(self.taken);
            self.taken += 1;
            self.position = turn.next;
            match outcome {
                Ok((picture, caption)) => {
                    batch.pictures.extend_from_slice(&picture);
                    batch.captions.push(caption);
                    batch.indices.push(turn.index);
                }
                Err(broken) => self.tell(broken, &mut batch.broken)?,
            }
        }
        batch.next = self.position;
        Ok(batch)
    }

    /// From where another loader would go on.
    pub fn position(&self) -> Position {
        self.position
    }

    fn tell(&mut self, broken: Broken, new: &mut Vec<Broken>) -> Result<()> {
        if self.told.insert(broken.index, broken.clone()).is_none() {
            new.push(broken);
        }
        let total = self.shared.dataset.len();
        if is_too_much(self.told.len(), total) {
            return Err(Error::Broken { broken: self.told.values().cloned().collect(), total });
        }
        Ok(())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // Threads catch what decoders do; there is nobody to tell of anything else.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// No thread panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until the loader is dropped.
    fn work(&self) {
        while let Some((number, turn)) = self.issue() {
            let outcome = self.load(&turn);
            self.lock().done.insert(number, (turn, outcome));
            self.ready.notify_all();
        }
    }

    /// The next turn, once it is near enough.
    fn issue(&self) -> Option<(u64, Turn)> {
        let mut state = self.lock();
        while !state.stopped && state.issued >= state.taken + self.ahead {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return None;
        }
        let turn = state.order.next()?;
        let number = state.issued;
        state.issued += 1;
        #[cfg(test)]
        {
            state.most = state.most.max(state.issued - state.taken);
        }
        Some((number, turn))
    }

    fn load(&self, turn: &Turn) -> Outcome {
        let mut choice = Choice::new(self.seed, turn);
        let draw = choice.draw();
        let picture = attempt(&*self.dataset, turn.index, |picture| self.transform.apply(picture, &draw))?;
        let captions = self.dataset.captions(turn.index);
        let caption = captions.get(choice.one_of(captions.len())).cloned().unwrap_or_default();
        Ok((picture, caption))
    }

    /// Waits for a turn's picture.
    fn take(&self, number: u64) -> (Turn, Outcome) {
        let mut state = self.lock();
        loop {
            if let Some(done) = state.done.remove(&number) {
                state.taken += 1;
                self.work.notify_one();
                return done;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests;

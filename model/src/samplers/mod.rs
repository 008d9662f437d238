//! The samplers, as diffusers 0.42.1 computes them.
//!
//! Every step of every sampler is a linear combination of the sample, the network's output, what earlier steps left and
//! fresh noise. A [`Sampler`] is the list of their coefficients, computed once in f64 for a schedule and a number of
//! steps; a [`Trajectory`] applies them to tensors of the caller's own kind.
//!
//! ```text
//! let sampler = Sampler::new(kind, &schedule, steps)?;
//! let mut trajectory = sampler.trajectory();
//! let mut x = initial noise * sampler.init_noise_sigma();
//! for (call, t) in sampler.timesteps().iter().enumerate() {
//!     let output = network(x * sampler.input_scale(call), t);
//!     x = trajectory.step(&x, output, &mut noise)?;
//! }
//! ```

mod ddim;
mod dpmpp_2m;
mod euler;
mod euler_a;
mod kind;
mod linear;
mod plan;
mod pndm;
mod sigmas;
mod timesteps;
mod trajectory;

pub use kind::SamplerKind;
pub use linear::LinearCombination;
pub use trajectory::Trajectory;

use crate::schedule::{Schedule, ScheduleError};
use plan::Plan;
use std::sync::Arc;

/// A sampler that cannot be made or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// The scheduler's configuration does not fit.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A name that is no sampler's.
    #[error("unknown sampler `{name}` (known: {known})")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// No steps, or more than the schedule has timesteps.
    #[error("{steps} steps: a schedule of {timesteps} timesteps can be sampled in 1 to {timesteps}")]
    Steps {
        /// The steps asked for.
        steps: usize,
        /// The timesteps of the schedule.
        timesteps: usize,
    },
    /// `eta` outside 0 to 1, or not 0 for a sampler that adds no noise.
    #[error("eta {eta}: {kind} takes {range}")]
    Eta {
        /// The sampler.
        kind: SamplerKind,
        /// The value asked for.
        eta: f64,
        /// What the sampler takes.
        range: &'static str,
    },
    /// The formulas divide by zero: two calls share a noise level, or a level holds no signal.
    #[error("{kind} cannot do {steps} steps: its coefficients at timestep {timestep} are not finite; try fewer steps")]
    Degenerate {
        /// The sampler.
        kind: SamplerKind,
        /// The steps asked for.
        steps: usize,
        /// Where it fails.
        timestep: f64,
    },
    /// A step beyond the last.
    #[error("the trajectory has ended after {calls} calls of the network")]
    Ended {
        /// Calls of the whole trajectory.
        calls: usize,
    },
    /// Tensors of different sizes cannot be combined.
    #[error("cannot combine {len} values with {expected}")]
    Length {
        /// Values of one tensor.
        len: usize,
        /// Values of the first.
        expected: usize,
    },
}

/// One sampler over one schedule in a given number of steps.
#[derive(Clone, Debug)]
pub struct Sampler {
    kind: SamplerKind,
    timesteps: Vec<f64>,
    init_noise_sigma: f64,
    plan: Arc<Plan>,
}

impl Sampler {
    /// A sampler with its usual noise: DDIM adds none, Euler ancestral all (`eta` 1).
    pub fn new(kind: SamplerKind, schedule: &Schedule, steps: usize) -> Result<Self, SamplerError> {
        let eta = if kind == SamplerKind::EulerA { 1.0 } else { 0.0 };
        Self::with_eta(kind, schedule, steps, eta)
    }

    /// A sampler that adds `eta` (0 to 1) times the noise of the ancestral process after each step: DDIM with `eta` 1 is
    /// DDPM, Euler ancestral with `eta` 0 is Euler. The other samplers take only 0.
    pub fn with_eta(kind: SamplerKind, schedule: &Schedule, steps: usize, eta: f64) -> Result<Self, SamplerError> {
        let count = schedule.alphas_cumprod().len();
        if !(1..=count).contains(&steps) {
            return Err(SamplerError::Steps { steps, timesteps: count });
        }
        let range = if kind.takes_eta() { 0.0..=1.0 } else { 0.0..=0.0 };
        if !range.contains(&eta) {
            let range = if kind.takes_eta() { "0 to 1" } else { "only 0" };
            return Err(SamplerError::Eta { kind, eta, range });
        }
        let plan = match kind {
            SamplerKind::Pndm => pndm::plan(schedule, steps),
            SamplerKind::Ddim => ddim::plan(schedule, steps, eta),
            SamplerKind::Dpmpp2m => dpmpp_2m::plan(schedule, steps, false),
            SamplerKind::Dpmpp2mKarras => dpmpp_2m::plan(schedule, steps, true),
            SamplerKind::Euler => euler::plan(schedule, steps),
            SamplerKind::EulerA => euler_a::plan(schedule, steps, eta),
        }?;
        if let Some(step) = plan.steps.iter().find(|step| !step.is_finite()) {
            return Err(SamplerError::Degenerate { kind, steps, timestep: step.timestep });
        }
        let timesteps = plan.steps.iter().map(|step| step.timestep).collect();
        Ok(Self { kind, timesteps, init_noise_sigma: plan.init_noise_sigma, plan: Arc::new(plan) })
    }

    /// Which sampler this is.
    pub fn kind(&self) -> SamplerKind {
        self.kind
    }

    /// The timestep of each call of the network, in order; PNDM makes one call more than it has steps.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// Standard deviation of the sample at the start: the factor of the initial noise.
    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// Factor of the sample as the network sees it in call number `call` (`scale_model_input` of diffusers); 1 beyond
    /// the last call.
    pub fn input_scale(&self, call: usize) -> f64 {
        self.plan.steps.get(call).map_or(1.0, |step| step.input_scale)
    }

    /// A run of this sampler from its first step.
    pub fn trajectory<T: LinearCombination>(&self) -> Trajectory<T> {
        Trajectory::new(Arc::clone(&self.plan))
    }
}

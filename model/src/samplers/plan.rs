//! A sampler's whole run as coefficients.

/// Something that a step combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// The noisy sample before the step.
    Sample,
    /// What the network said of it.
    Output,
    /// What an earlier step kept: 0 is the latest.
    Kept(usize),
}

/// A sum of coefficient times term.
pub(super) type Combination = Vec<(f64, Term)>;

/// One call of the network and what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What the network is told.
    pub timestep: f64,
    /// Factor of the sample as the network sees it.
    pub input_scale: f64,
    /// The sample after the step, before noise is added.
    pub next: Combination,
    /// Standard deviation of the noise added after the step.
    pub noise: f64,
    /// What later steps need, of [`Term::Sample`] and [`Term::Output`]; the last becomes `Kept(0)`.
    pub keep: Vec<Combination>,
}

/// All steps of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Standard deviation of the sample before the first step.
    pub init_noise_sigma: f64,
    /// The calls in order.
    pub steps: Vec<Step>,
}

impl Step {
    /// A step over samples of unit variance that adds no noise and keeps nothing; terms without weight are left out.
    pub fn new(timestep: f64, next: impl IntoIterator<Item = (f64, Term)>) -> Self {
        let next = next.into_iter().filter(|(factor, _)| *factor != 0.0).collect();
        Self { timestep, input_scale: 1.0, next, noise: 0.0, keep: Vec::new() }
    }

    /// Whether the step can be computed at all.
    pub fn is_finite(&self) -> bool {
        let factors = self.next.iter().chain(self.keep.iter().flatten()).map(|(factor, _)| *factor);
        factors.chain([self.input_scale, self.noise]).all(f64::is_finite)
    }
}

impl Plan {
    /// How many kept tensors the steps look back on.
    pub fn memory(&self) -> usize {
        let terms = self.steps.iter().flat_map(|step| &step.next);
        terms.map(|(_, term)| if let Term::Kept(age) = term { age + 1 } else { 0 }).max().unwrap_or(0)
    }
}

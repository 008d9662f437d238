//! Forgetting as a bilevel problem by its value function (EraseDiff, Wu et al. 2024): how far the unlearning loss would fall is tried out,
//! and the step that is taken keeps what should be kept while it makes up for that.

use super::{
    EraseSetting, Forgetting, ForgettingRecipe, Method, Parameters, Retention,
    erasing::{Retained, State},
    weighing::Products,
};
use crate::{
    finetune::Samples,
    learn::{Learner, Optimiser, OptimiserSettings, RateSettings, Variable, copies, overwrite},
    run::{Error, Level, LoopSettings, Loss, Result, Task, state},
    torch::Torch,
};
use image::RgbImage;
use pleach_model::tensor::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Tensor, no_grad};

/// How EraseDiff's inner problem is solved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueRecipe {
    /// Steps that are tried out.
    pub inner_steps: u64,
    /// Their learning rate.
    pub inner_rate: f64,
    /// Weight of what should be forgotten beside what should be kept.
    pub lambda: f64,
    /// With an eta the weight is `max(eta - cos, 0)` of the angle between the two gradients: more where they disagree.
    pub adaptive: Option<f64>,
}

impl Default for ValueRecipe {
    fn default() -> Self {
        Self { inner_steps: 2, inner_rate: 1e-5, lambda: 0.1, adaptive: None }
    }
}

impl super::EraseRecipe {
    /// EraseDiff: the concept becomes its anchor on pictures of the concept.
    pub fn erasediff() -> Self {
        let forgetting = ForgettingRecipe { unlearning: Method::Ablation, ..ForgettingRecipe::default() };
        let rate = RateSettings { peak: 1e-5, ..RateSettings::default() };
        Self {
            parameters: Parameters::All,
            forgetting,
            retention: Retention { weight: 1.0, ..Retention::default() },
            settings: LoopSettings {
                steps: 500,
                optimiser: OptimiserSettings { rate, ..OptimiserSettings::default() },
                ..LoopSettings::default()
            },
            ..Self::esd_x()
        }
    }
}

/// EraseDiff as a [`Task`].
pub struct ValueFunction<'a> {
    recipe: &'a super::EraseRecipe,
    value: ValueRecipe,
    torch: Torch,
    student: Learner,
    own: Vec<Variable>,
    forgetting: Forgetting<'a>,
    retained: Retained<'a>,
    samples: Option<Samples>,
}

impl<'a> ValueFunction<'a> {
    /// Loads the network.
    ///
    /// # Errors
    /// Weights that do not fit, data that cannot be opened, nothing to keep.
    pub fn new(setting: EraseSetting<'a>, value: ValueRecipe) -> Result<Self> {
        let EraseSetting { recipe, teacher, architecture, weights, forgetting, retained } = setting;
        recipe.check()?;
        let wrong = |key, value: String, expected| Err(Error::Setting { key, value, expected });
        if recipe.settings.accumulate != 1 {
            let value = recipe.settings.accumulate.to_string();
            return wrong("loop.accumulate", value, "1: what is tried out would use up what was accumulated");
        }
        if !(value.lambda >= 0.0 && value.lambda.is_finite()) {
            return wrong("value.lambda", value.lambda.to_string(), "a number, at least 0");
        }
        if recipe.forgetting.unlearning.has_teacher() {
            return wrong("forgetting.unlearning", "another".into(), "ablation or denoising: erasediff has no teacher");
        }
        let Some(retained) = retained else {
            return wrong("data", "missing".into(), "data to keep: they are half of erasediff's loss");
        };
        let retained = Retained::new(retained, &forgetting)?;
        let device = forgetting.device;
        let student = teacher.student(architecture, weights, device, false)?;
        Ok(Self {
            torch: Torch::new(device, recipe.precision)?.recomputing(recipe.gradient_checkpointing),
            own: recipe.parameters.of(student.variables()),
            student,
            forgetting: Forgetting::new(forgetting)?,
            retained,
            recipe,
            value,
            samples: None,
        })
    }

    /// Has the network draw these when a sample is asked for.
    #[must_use]
    pub fn with_samples(self, samples: Samples) -> Self {
        Self { samples: Some(samples), ..self }
    }

    /// The network that forgets.
    pub fn student(&self) -> &Learner {
        &self.student
    }
}

impl Task for ValueFunction<'_> {
    fn variables(&self) -> &[Variable] {
        self.student.variables()
    }

    fn levels(&self, settings: &LoopSettings) -> Vec<Level> {
        vec![Level { variables: self.own.clone(), optimiser: settings.optimiser, updates: settings.steps }]
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let Self { recipe, value, torch, student, own, forgetting, retained, .. } = self;
        let noisy = student.within(torch, |network| forgetting.next(micro, torch, network, None))?;
        let forget = |forgetting: &Forgetting<'_>| {
            student.within(torch, |network| forgetting.loss_on(&noisy, torch, network, None))
        };
        let kept = copies(own)?;
        let rate = RateSettings { peak: value.inner_rate, ..RateSettings::default() };
        let mut trial = Optimiser::new(own, OptimiserSettings { rate, ..OptimiserSettings::default() })?;
        for _ in 0..value.inner_steps {
            forget(forgetting)?.f_backward()?;
            trial.update(own, value.inner_steps, None)?;
        }
        let attained = no_grad(|| forget(forgetting))?;
        for ((name, value), kept) in own.iter().zip(&kept) {
            overwrite(name, value.tensor(), kept)?;
        }

        let forgotten = forget(forgetting)?.f_sub(&attained)?;
        let remaining = student.within(torch, |network| retained.loss(micro, torch, network))?;
        let lambda = match value.adaptive {
            None => value.lambda,
            Some(eta) => {
                let variables: Vec<&Tensor> = own.iter().map(|(_, value)| value.tensor()).collect();
                (eta - Products::of([&forgotten, &remaining], &variables)?.cosine()).max(0.0)
            }
        };
        let total = remaining.f_mul_scalar(recipe.retention.weight)?.f_add(&forgotten.f_mul_scalar(lambda)?)?;
        let lambda = Tensor::from(lambda as f32);
        Ok(Loss { total, parts: vec![("value", forgotten), ("retention", remaining), ("lambda", lambda)] })
    }

    fn scales(&self) -> bool {
        self.recipe.precision == Dtype::F16
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        self.samples.as_ref().map(|samples| samples.grid(&self.student, self.recipe.seed)).transpose()
    }

    fn state(&self) -> serde_json::Value {
        json!({ "forgetting": self.forgetting.positions(), "retained": self.retained.position() })
    }

    fn restore(&mut self, stored: serde_json::Value) -> Result<()> {
        let State { forgetting, retained } = state(stored)?;
        self.forgetting.go_on(forgetting)?;
        self.retained.go_on(retained.unwrap_or_default())
    }
}

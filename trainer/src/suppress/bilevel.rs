//! Fine-tuning and forgetting at once ("Efficient Fine-Tuning and Concept Suppression for Pruned Diffusion Models", Algorithm 1), in the
//! three ways in which it can be read.

use super::{
    Forgetting, ForgettingRecipe, ForgettingSetting, Method, Origin, Parameters,
    weighing::{Course, Products, Weighing},
};
use crate::{
    data::Position,
    finetune::{Batches, Finetuning, LossRecipe, Samples, Setting, TrainRecipe},
    learn::{Decay, Learner, OptimiserSettings, RateSettings, Variable},
    random::Random,
    run::{Error, Level, LoopSettings, Loss, Result, Task, number},
};
use image::RgbImage;
use pleach_model::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::Tensor;

/// How Algorithm 1 is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One network. After every K lower steps an upper step on the unlearning loss alone: the released code.
    #[default]
    SharedAlternating,
    /// One network. The upper step is on the unlearning loss and lambda times the lower loss, on a batch of its own: the algorithm's upper
    /// gradient where both variables are one.
    SharedPenalised,
    /// Two networks, as the algorithm is written: K steps of one with the lower loss, then one of the other with both losses. The first never
    /// changes the second.
    TwoCopyLiteral,
}

/// What the number of steps counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountTotal {
    /// Lower steps: the released code.
    #[default]
    LowerOnly,
    /// Lower and upper steps: the paper.
    Both,
}

/// How lower and upper steps are joined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BilevelRecipe {
    /// The reading.
    pub mode: Mode,
    /// Lower steps before each upper one: K.
    pub k_lower: u64,
    /// Weight of the lower loss in upper steps, where the mode has it there.
    pub lambda: f64,
    /// How that weight is found.
    pub weighing: Weighing,
    /// What `train.loop.steps` counts.
    pub count_total: CountTotal,
    /// Weight of the unlearning loss.
    pub weight: f64,
    /// What upper steps may change.
    pub parameters: Parameters,
    /// How upper steps change it; lower ones have `train.loop.optimiser`.
    pub optimiser: OptimiserSettings,
    /// What upper steps forget on.
    pub forgetting: ForgettingRecipe,
}

impl Default for BilevelRecipe {
    fn default() -> Self {
        SuppressRecipe::code().bilevel
    }
}

/// How an expert is fine-tuned while it forgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuppressRecipe {
    /// Lower steps, and what is common.
    pub train: TrainRecipe,
    /// Upper steps.
    pub bilevel: BilevelRecipe,
}

impl Default for SuppressRecipe {
    fn default() -> Self {
        Self::code()
    }
}

/// A learning rate that is reached after so many steps.
fn optimiser(peak: f64, warmup: u64) -> OptimiserSettings {
    OptimiserSettings { rate: RateSettings { peak, warmup, ..RateSettings::default() }, ..OptimiserSettings::default() }
}

impl SuppressRecipe {
    /// As the released code has it.
    pub fn code() -> Self {
        let settings = LoopSettings {
            steps: 50_000,
            optimiser: optimiser(1e-6, 250),
            checkpoint_every: 1000,
            ..LoopSettings::default()
        };
        let forgetting = ForgettingRecipe { batch: 16, ..ForgettingRecipe::default() };
        Self {
            train: TrainRecipe { batch: 16, loss: LossRecipe::code(), settings, ..TrainRecipe::default() },
            bilevel: BilevelRecipe {
                mode: Mode::SharedAlternating,
                k_lower: 10,
                lambda: 100.0,
                weighing: Weighing::Fixed,
                count_total: CountTotal::LowerOnly,
                weight: 1.0,
                parameters: Parameters::All,
                optimiser: optimiser(5e-6, 250),
                forgetting,
            },
        }
    }

    /// As the paper states it.
    pub fn paper() -> Self {
        let mut recipe = Self::code();
        recipe.train.loss = LossRecipe::paper();
        recipe.train.settings.steps = 20_000;
        recipe.bilevel.mode = Mode::SharedPenalised;
        recipe.bilevel.k_lower = 20;
        recipe.bilevel.count_total = CountTotal::Both;
        recipe.bilevel.forgetting.x_t = Origin::EsdSampled;
        recipe
    }

    /// Towards each concept's anchor, on cross-attention alone, at a rate that falls as a cosine: what the study of the small world found to
    /// leave little of a concept and most of everything else (docs/study). Rates keep its proportion, ten to one; steps and lower rate are the
    /// paper's.
    pub fn anchored() -> Self {
        let mut recipe = Self::code();
        recipe.train.settings.steps = 20_000;
        recipe.bilevel.k_lower = 2;
        recipe.bilevel.count_total = CountTotal::Both;
        recipe.bilevel.parameters = Parameters::Xattn;
        recipe.bilevel.optimiser = optimiser(1e-5, 250);
        recipe.bilevel.optimiser.rate.decay = Decay::Cosine;
        recipe.bilevel.forgetting.unlearning = Method::Anchor;
        recipe
    }

    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        self.train.settings.check()?;
        let BilevelRecipe { mode, k_lower, lambda, weight, forgetting, .. } = &self.bilevel;
        forgetting.check()?;
        let wrong = |key, value: String, expected| Err(Error::Setting { key, value, expected });
        if !(*lambda >= 0.0 && lambda.is_finite()) {
            return wrong("bilevel.lambda", lambda.to_string(), "a number, at least 0");
        }
        if !(*weight >= 0.0 && weight.is_finite()) {
            return wrong("bilevel.weight", weight.to_string(), "a number, at least 0");
        }
        if *k_lower == 0 && *mode != Mode::TwoCopyLiteral {
            return wrong("bilevel.k_lower", "0".into(), "at least 1 where one network takes both kinds of steps");
        }
        if *k_lower == 0 && self.bilevel.count_total == CountTotal::LowerOnly {
            return wrong("bilevel.count_total", "lower_only".into(), "both, where there are no lower steps");
        }
        Ok(())
    }

    /// Upper steps among the first `steps` of all.
    fn uppers(&self, steps: u64) -> u64 {
        steps / (self.bilevel.k_lower + 1)
    }

    /// Lower and upper steps of the whole run.
    pub fn counts(&self) -> [u64; 2] {
        let steps = self.train.settings.steps;
        match self.bilevel.count_total {
            CountTotal::LowerOnly => [steps, steps / self.bilevel.k_lower.max(1)],
            CountTotal::Both => [steps - self.uppers(steps), self.uppers(steps)],
        }
    }

    /// The loop's settings, whose steps are those of both kinds.
    pub fn effective_settings(&self) -> LoopSettings {
        LoopSettings { steps: self.counts().into_iter().sum(), ..self.train.settings.clone() }
    }
}

/// What bilevel fine-tuning works with.
pub struct SuppressSetting<'a> {
    /// The recipe.
    pub recipe: &'a SuppressRecipe,
    /// As for fine-tuning; its recipe is the one in there.
    pub lower: Setting<'a>,
    /// The student's weights, where they are not the teacher's.
    pub weights: Option<&'a Checkpoint>,
    /// What is forgotten.
    pub upper: ForgettingSetting<'a>,
}

/// Fine-tuning and forgetting as a [`Task`].
pub struct Bilevel<'a> {
    recipe: &'a SuppressRecipe,
    lower: Finetuning<'a>,
    /// What upper steps change, where it is not what lower steps do.
    copy: Option<Learner>,
    forgetting: Forgetting<'a>,
    /// Batches of the lower loss in upper steps, and their seed.
    own: Option<(Batches, u64)>,
    course: Course,
    open: Box<dyn Fn(u64, Position) -> Result<Batches> + 'a>,
    variables: Vec<Variable>,
    samples: Option<Samples>,
}

/// The kinds of steps.
const LOWER: usize = 0;
const UPPER: usize = 1;
/// What the lower network's variables are called in checkpoints where there are two.
const INNER: &str = "lower.";

impl<'a> Bilevel<'a> {
    /// Loads teacher and student. `batches` opens the data of the lower level with a seed, at a position.
    ///
    /// # Errors
    /// Weights that do not fit, an architecture of another network, data that cannot be opened.
    pub fn new(
        setting: SuppressSetting<'a>,
        batches: impl Fn(u64, Position) -> Result<Batches> + Clone + 'a,
    ) -> Result<Self> {
        let SuppressSetting { recipe, lower, weights, upper } = setting;
        recipe.check()?;
        let student = || lower.teacher.student(lower.architecture, weights, lower.device, lower.recipe.channels_last);
        let (first, copy) = match recipe.bilevel.mode {
            Mode::TwoCopyLiteral => (student()?, Some(student()?)),
            _ => (student()?, None),
        };
        let seed = lower.recipe.seed;
        let open = batches.clone();
        let lower = Finetuning::with_student(lower, first, move |position| open(seed, position))?.with_teacher()?;
        let variables = match &copy {
            None => lower.student().variables().to_vec(),
            Some(copy) => {
                let inner = lower.student().variables().iter().map(|(name, v)| (format!("{INNER}{name}"), v.clone()));
                copy.variables().iter().cloned().chain(inner).collect()
            }
        };
        let mut task = Self {
            recipe,
            lower,
            copy,
            forgetting: Forgetting::new(upper)?,
            own: None,
            course: Course::default(),
            open: Box::new(batches),
            variables,
            samples: None,
        };
        task.own = task.own_batches(Position::default())?;
        Ok(task)
    }

    /// Has the student draw these when a sample is asked for.
    #[must_use]
    pub fn with_samples(self, samples: Samples) -> Self {
        Self { samples: Some(samples), ..self }
    }

    /// What was learnt: the network of the upper level.
    pub fn student(&self) -> &Learner {
        self.copy.as_ref().unwrap_or_else(|| self.lower.student())
    }

    /// Batches of the lower loss in upper steps, which the lower steps never see: so those are the same in every mode.
    fn own_batches(&self, position: Position) -> Result<Option<(Batches, u64)>> {
        let BilevelRecipe { mode, lambda, weighing, .. } = self.recipe.bilevel;
        let never = lambda == 0.0 && weighing != Weighing::Projection;
        if mode == Mode::SharedAlternating || never {
            return Ok(None);
        }
        let seed = Random::new(&[self.recipe.train.seed, UPPER as u64]).bits();
        Ok(Some(((self.open)(seed, position)?, seed)))
    }

    fn upper_loss(&mut self, micro: u64) -> Result<Loss> {
        let Self { recipe, lower, copy, forgetting, own, course, .. } = self;
        let BilevelRecipe { weight, lambda, weighing, parameters, .. } = recipe.bilevel;
        let student = copy.as_ref().unwrap_or_else(|| lower.student());
        let torch = lower.torch();
        let forgotten: Tensor =
            student.within(torch, |student| forgetting.loss(micro, torch, student, lower.teacher()))?;
        let mut total = forgotten.f_mul_scalar(weight)?;
        let mut parts = vec![("suppression", forgotten)];
        if let Some((batches, seed)) = own {
            let making = crate::finetune::Making { seed: *seed, ..lower.setting().making() };
            let batch = batches.next(micro, &making)?;
            let kept = lower.of(student, &batch, *seed, micro)?.total;
            let lambda = match weighing {
                Weighing::Fixed => lambda,
                Weighing::Gap => lambda * course.gap(),
                Weighing::Projection => {
                    let variables = parameters.of(student.variables());
                    let variables: Vec<&Tensor> = variables.iter().map(|(_, value)| value.tensor()).collect();
                    Products::of([&total, &kept], &variables)?.correction()
                }
            };
            total = total.f_add(&kept.f_mul_scalar(lambda)?)?;
            parts.push(("upper_lower", kept));
            if weighing != Weighing::Fixed {
                parts.push(("lambda", Tensor::from(lambda as f32)));
            }
        }
        Ok(Loss { total, parts })
    }
}

impl Task for Bilevel<'_> {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn levels(&self, settings: &LoopSettings) -> Vec<Level> {
        let [lower, upper] = self.recipe.counts();
        let inner = match &self.copy {
            None => self.variables.clone(),
            Some(_) => self.variables.iter().filter(|(name, _)| name.starts_with(INNER)).cloned().collect(),
        };
        let outer = self.recipe.bilevel.parameters.of(self.student().variables());
        vec![
            Level { variables: inner, optimiser: settings.optimiser, updates: lower },
            Level { variables: outer, optimiser: self.recipe.bilevel.optimiser, updates: upper },
        ]
    }

    fn level(&self, step: u64) -> usize {
        if step % (self.recipe.bilevel.k_lower + 1) == self.recipe.bilevel.k_lower { UPPER } else { LOWER }
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let accumulate = self.recipe.train.settings.accumulate;
        let (step, part) = (micro / accumulate, micro % accumulate);
        let uppers = self.recipe.uppers(step);
        if self.level(step) == UPPER {
            self.upper_loss(uppers * accumulate + part)
        } else {
            let loss = self.lower.lower((step - uppers) * accumulate + part)?;
            if self.recipe.bilevel.weighing == Weighing::Gap {
                self.course.add(number(&loss.total)?);
            }
            Ok(loss)
        }
    }

    fn scales(&self) -> bool {
        self.lower.scales()
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        let seed = self.recipe.train.seed;
        self.samples.as_ref().map(|samples| samples.grid(self.student(), seed)).transpose()
    }

    fn state(&self) -> serde_json::Value {
        json!({
            "lower": self.lower.position(),
            "upper": self.forgetting.positions(),
            "own": self.own.as_ref().map(|(batches, _)| batches.position()),
            "course": self.course,
        })
    }

    fn restore(&mut self, state: serde_json::Value) -> Result<()> {
        let State { lower, upper, own, course } = crate::run::state(state)?;
        self.course = course;
        self.lower.go_on(lower)?;
        self.forgetting.go_on(upper)?;
        self.own = self.own_batches(own.unwrap_or_default())?;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    lower: Position,
    upper: Vec<Position>,
    own: Option<Position>,
    #[serde(default)]
    course: Course,
}

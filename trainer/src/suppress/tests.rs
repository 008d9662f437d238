//! Over the random pipeline of the fixtures and a few pictures of the small world.

use super::{forgetting::Open, *};
use crate::{
    data::Position,
    encoders::TextEncoder,
    finetune::{Finetuning, LossRecipe, Setting, TrainRecipe},
    learn::Variable,
    run::{LoopSettings, Outcome, RunFolder, Start, Task, named, train},
    testing::{Bench, SIDE, Stop},
};
use pleach_model::{architecture::Architecture, checkpoint::Checkpoint, tensor::Dtype};
use std::{cell::Cell, fs, path::Path};
use tch::{Device, Tensor};
use tempfile::{TempDir, tempdir};

/// Everything that a task needs to live as long as it.
struct Ground {
    bench: Bench,
    text: TextEncoder,
    full: Architecture,
}

impl Ground {
    fn new() -> Self {
        let bench = Bench::new();
        let text = TextEncoder::open(&bench.pipeline, Device::Cpu, Dtype::F32).unwrap();
        Self { bench, text, full: Architecture::full() }
    }

    fn concept(&self) -> Concept {
        let recipe = ConceptRecipe {
            targets: vec!["star".into(), "a".into(), "an".into()],
            anchor: Some("one".into()),
            ..ConceptRecipe::default()
        };
        Concept::new(&recipe, self.text.tokenizer()).unwrap()
    }

    fn forgetting(&self, recipe: ForgettingRecipe, concepts: Vec<Concept>, seed: u64) -> ForgettingSetting<'_> {
        let pictures = concepts.iter().map(|_| Box::new(self.bench.batches(recipe.batch, seed)) as Open<'_>);
        ForgettingSetting {
            recipe,
            pictures: pictures.collect(),
            concepts,
            text: &self.text,
            null: self.bench.null(),
            schedule: &self.bench.schedule,
            scaling: self.bench.scaling(),
            latents: [4, SIDE as i64 / 2, SIDE as i64 / 2],
            seed,
            device: Device::Cpu,
        }
    }

    fn lower<'a>(&'a self, recipe: &'a TrainRecipe) -> Setting<'a> {
        Setting {
            recipe,
            teacher: &self.bench.teacher,
            architecture: &self.full,
            schedule: &self.bench.schedule,
            scaling: self.bench.scaling(),
            null: self.bench.null(),
            device: Device::Cpu,
        }
    }

    fn bilevel<'a>(&'a self, recipe: &'a SuppressRecipe) -> crate::run::Result<Bilevel<'a>> {
        let seed = recipe.train.seed;
        let upper = self.forgetting(recipe.bilevel.forgetting, vec![self.concept()], seed);
        let setting = SuppressSetting { recipe, lower: self.lower(&recipe.train), weights: None, upper };
        let batch = recipe.train.batch;
        Bilevel::new(setting, move |seed, position: Position| self.bench.batches(batch, seed)(position))
    }

    fn erasing<'a>(&'a self, recipe: &'a EraseRecipe) -> EraseSetting<'a> {
        EraseSetting {
            recipe,
            teacher: &self.bench.teacher,
            architecture: &self.full,
            weights: None,
            forgetting: self.forgetting(recipe.forgetting, vec![self.concept()], recipe.seed),
            retained: Some(Box::new(self.bench.batches(recipe.retention.batch, recipe.seed))),
        }
    }
}

fn recipe(mode: Mode, k_lower: u64) -> SuppressRecipe {
    let mut recipe = SuppressRecipe::code();
    recipe.train.batch = 2;
    recipe.train.settings =
        LoopSettings { steps: 6, checkpoint_every: 1, keep: 99, sample_every: 0, ..LoopSettings::default() };
    recipe.train.settings.optimiser.rate.peak = 1e-3;
    recipe.bilevel = BilevelRecipe { mode, k_lower, lambda: 0.5, count_total: CountTotal::Both, ..recipe.bilevel };
    recipe.bilevel.optimiser.rate = crate::learn::RateSettings { peak: 1e-3, ..Default::default() };
    recipe.bilevel.forgetting.batch = 2;
    recipe
}

/// Runs a task in a folder of its own; also the tensors of the network that comes out of it.
fn run(task: &mut Bilevel<'_>, recipe: &SuppressRecipe) -> (TempDir, Vec<Tensor>) {
    let folder = tempdir().unwrap();
    let run = RunFolder::open(&folder.path().join("run"), recipe, Start::New).unwrap();
    assert_eq!(train(task, &recipe.effective_settings(), &run, &()).unwrap(), Outcome::Finished);
    (folder, copies(task.student().variables()))
}

fn copies(variables: &[Variable]) -> Vec<Tensor> {
    crate::learn::copies(variables).unwrap()
}

fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equal(b))
}

fn checkpoint(folder: &TempDir, step: u64) -> Checkpoint {
    Checkpoint::open(&folder.path().join(format!("run/checkpoints/{step:06}/tensors.safetensors"))).unwrap()
}

/// Bytes of all tensors of a group.
fn group(checkpoint: &Checkpoint, group: &str) -> Vec<(String, Vec<u8>)> {
    let own = |name: &&str| name.split('.').next() == Some(group);
    let names: Vec<&str> = checkpoint.names().filter(own).collect();
    assert!(!names.is_empty(), "{group}");
    names.into_iter().map(|name| (name.to_owned(), checkpoint.get(name).unwrap().bytes.to_vec())).collect()
}

fn updates(folder: &TempDir, step: u64) -> Vec<u64> {
    let path = folder.path().join(format!("run/checkpoints/{step:06}/state.json"));
    let state: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    serde_json::from_value(state["updates"].clone()).unwrap()
}

#[test]
fn read_literally_lower_steps_change_nothing() {
    let ground = Ground::new();
    let learnt = |k_lower: u64| {
        let mut recipe = recipe(Mode::TwoCopyLiteral, k_lower);
        recipe.train.settings.steps = 3 * (k_lower + 1);
        recipe.train.settings.checkpoint_every = 99;
        let mut task = ground.bilevel(&recipe).unwrap();
        let before = copies(task.student().variables());
        let (_, after) = run(&mut task, &recipe);
        assert!(!same(&before, &after));
        after
    };
    let none = learnt(0);
    assert!(same(&none, &learnt(1)) && same(&none, &learnt(3)));
}

#[test]
fn with_an_upper_loss_of_no_weight_it_is_fine_tuning() {
    let ground = Ground::new();
    let mut recipe = recipe(Mode::SharedAlternating, 2);
    recipe.bilevel.weight = 0.0;
    let (_, bilevel) = run(&mut ground.bilevel(&recipe).unwrap(), &recipe);
    let train_recipe = TrainRecipe {
        settings: LoopSettings { steps: recipe.counts()[0], ..recipe.train.settings.clone() },
        ..recipe.train.clone()
    };
    let lower = ground.lower(&train_recipe);
    let mut task = Finetuning::new(lower, ground.bench.batches(2, train_recipe.seed)).unwrap();
    let folder = tempdir().unwrap();
    let folder = RunFolder::open(&folder.path().join("run"), &train_recipe, Start::New).unwrap();
    train(&mut task, &train_recipe.settings, &folder, &()).unwrap();
    let alone: Vec<Tensor> = named(&task).into_iter().map(|(_, tensor)| tensor).collect();
    assert!(same(&bilevel, &alone));
    // And it is not where the loss has a weight.
    recipe.bilevel.weight = 1.0;
    assert!(!same(&bilevel, &run(&mut ground.bilevel(&recipe).unwrap(), &recipe).1));
}

#[test]
fn steps_are_counted_as_code_and_paper_count_them() {
    let counts = |k, steps, count_total| {
        let mut recipe = recipe(Mode::SharedAlternating, k);
        recipe.train.settings.steps = steps;
        recipe.bilevel.count_total = count_total;
        recipe.counts()
    };
    assert_eq!(counts(10, 50_000, CountTotal::LowerOnly), [50_000, 5000]);
    assert_eq!(counts(20, 20_000, CountTotal::LowerOnly), [20_000, 1000]);
    assert_eq!(counts(20, 20_000, CountTotal::Both), [19_048, 952]);
    assert_eq!(SuppressRecipe::paper().counts(), [19_048, 952]);
    assert_eq!(SuppressRecipe::code().counts(), [50_000, 5000]);
    assert_eq!(SuppressRecipe::anchored().counts(), [13_334, 6_666]);
    // And so they are made.
    let ground = Ground::new();
    let mut recipe = recipe(Mode::SharedAlternating, 3);
    recipe.train.settings.steps = 7;
    recipe.bilevel.count_total = CountTotal::LowerOnly;
    let (folder, _) = run(&mut ground.bilevel(&recipe).unwrap(), &recipe);
    assert_eq!(updates(&folder, 9), [7, 2]);
}

#[test]
fn an_upper_step_leaves_the_lower_moments_alone() {
    let ground = Ground::new();
    let recipe = recipe(Mode::SharedAlternating, 2);
    let (folder, _) = run(&mut ground.bilevel(&recipe).unwrap(), &recipe);
    // Steps 0 and 1 are lower ones, step 2 is an upper one, step 3 a lower one again.
    let [before, after, then] = [2, 3, 4].map(|step| checkpoint(&folder, step));
    assert_eq!([2, 3, 4].map(|step| updates(&folder, step)), [[2, 0], [2, 1], [3, 1]].map(Vec::from));
    for moments in ["first", "second"] {
        assert!(group(&before, moments) == group(&after, moments), "{moments}");
        assert!(group(&after, moments) != group(&then, moments), "{moments}");
        let upper = format!("{moments}1");
        assert!(group(&before, &upper) != group(&after, &upper), "{upper}");
        assert!(group(&after, &upper) == group(&then, &upper), "{upper}");
    }
    assert!(group(&before, "weights") != group(&after, "weights"));
}

#[test]
fn without_lambda_nothing_is_penalised() {
    let ground = Ground::new();
    let learnt = |mode, lambda| {
        let mut recipe = recipe(mode, 2);
        recipe.bilevel.lambda = lambda;
        run(&mut ground.bilevel(&recipe).unwrap(), &recipe).1
    };
    let alternating = learnt(Mode::SharedAlternating, 0.5);
    assert!(same(&alternating, &learnt(Mode::SharedPenalised, 0.0)));
    assert!(!same(&alternating, &learnt(Mode::SharedPenalised, 0.5)));
}

#[test]
fn the_weight_of_the_lower_loss_can_follow_from_how_much_forgetting_hurts_it() {
    let ground = Ground::new();
    let part = |loss: &crate::run::Loss, name: &str| {
        loss.parts.iter().find(|(part, _)| *part == name).unwrap().1.double_value(&[])
    };
    for weighing in [Weighing::Gap, Weighing::Projection] {
        let mut recipe = recipe(Mode::SharedPenalised, 12);
        recipe.bilevel.weighing = weighing;
        recipe.bilevel.lambda = if weighing == Weighing::Gap { 7.0 } else { 0.0 };
        let mut task = ground.bilevel(&recipe).unwrap();
        let lower: Vec<f64> = (0..12).map(|step| task.loss(step).unwrap().total.double_value(&[])).collect();
        let loss = task.loss(12).unwrap();
        let lambda = part(&loss, "lambda");
        let expected = part(&loss, "suppression") + lambda * part(&loss, "upper_lower");
        assert!((loss.total.double_value(&[]) - expected).abs() < 1e-5 * expected.abs());
        if weighing == Weighing::Gap {
            // The first ten values are averaged; of the two that follow each is a tenth.
            let tenth: f64 = lower[..10].iter().sum::<f64>() / 10.0;
            let then = lower[10..].iter().scan(tenth, |mean, loss| {
                *mean += 0.1 * (loss - *mean);
                Some(*mean)
            });
            let means: Vec<f64> = [tenth].into_iter().chain(then).collect();
            let best = means.iter().copied().fold(f64::INFINITY, f64::min);
            assert!((lambda - 7.0 * (means[2] - best) / best).abs() < 1e-4, "{lambda}, {means:?}");
        } else {
            assert!(lambda >= 0.0);
        }
    }
}

#[test]
fn a_projected_upper_step_points_no_longer_against_the_lower_loss() {
    let ground = Ground::new();
    let cosines = |weighing| {
        let mut recipe = recipe(Mode::SharedPenalised, 1);
        recipe.bilevel.weighing = weighing;
        recipe.bilevel.lambda = 1e-9;
        recipe.bilevel.forgetting.eta = 20.0;
        let mut task = ground.bilevel(&recipe).unwrap();
        let variables = task.student().variables().to_vec();
        let variables: Vec<&Tensor> = variables.iter().map(|(_, value)| value.tensor()).collect();
        [1, 3, 5].map(|micro| {
            let loss = task.loss(micro).unwrap();
            let kept = &loss.parts.iter().find(|(name, _)| *name == "upper_lower").unwrap().1;
            super::weighing::Products::of([&loss.total, kept], &variables).unwrap().cosine()
        })
    };
    let (fixed, projected) = (cosines(Weighing::Fixed), cosines(Weighing::Projection));
    assert!(fixed.iter().any(|cosine| *cosine < -1e-3), "{fixed:?}");
    for (fixed, projected) in fixed.into_iter().zip(projected) {
        assert!((projected - fixed.max(0.0)).abs() < 1e-5, "{fixed}, {projected}");
    }
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_forget_where_the_concept_is_nothing() {
    let ground = Ground::new();
    let mut recipe = recipe(Mode::SharedAlternating, 1);
    // Every word is replaced by nothing that the fixtures' tokenizer could tell apart: the anchor is the prompt itself.
    recipe.bilevel.forgetting.eta = 0.0;
    let mut concept = ground.concept();
    concept.anchor = Some("star".into());
    concept.targets = vec!["star".into()];
    let upper = ground.forgetting(recipe.bilevel.forgetting, vec![concept], 43);
    let setting = SuppressSetting { recipe: &recipe, lower: ground.lower(&recipe.train), weights: None, upper };
    let bench = &ground.bench;
    let mut task = Bilevel::new(setting, move |seed, position: Position| bench.batches(2, seed)(position)).unwrap();
    // T(anchor) - 0 (...) with the anchor the caption itself, and S = T.
    assert_eq!(task.loss(1).unwrap().total.double_value(&[]), 0.0);
}

#[test]
fn a_run_that_goes_on_is_one_that_never_stopped() {
    let ground = Ground::new();
    let mut recipe = recipe(Mode::SharedPenalised, 2);
    recipe.bilevel.parameters = Parameters::Xattn;
    let settings = recipe.effective_settings();
    let (_, whole) = run(&mut ground.bilevel(&recipe).unwrap(), &recipe);
    let folder = tempdir().unwrap();
    let path = folder.path().join("run");
    let stop = Stop(Cell::new(4));
    let first = RunFolder::open(&path, &recipe, Start::New).unwrap();
    let outcome = train(&mut ground.bilevel(&recipe).unwrap(), &settings, &first, &stop).unwrap();
    assert_eq!(outcome, Outcome::Interrupted { step: 4 });
    let mut task = ground.bilevel(&recipe).unwrap();
    let again = RunFolder::open(&path, &recipe, Start::Resume).unwrap();
    assert_eq!(train(&mut task, &settings, &again, &()).unwrap(), Outcome::Finished);
    assert!(same(&whole, &copies(task.student().variables())));
    // With another mode it is another run.
    let mut other = recipe.clone();
    other.bilevel.mode = Mode::SharedAlternating;
    let error = RunFolder::open(&path, &other, Start::Resume).unwrap_err().to_string();
    assert!(error.contains("`bilevel.mode`") && error.contains("shared_penalised"), "{error}");
}

#[test]
fn upper_steps_change_what_they_may_and_nothing_else() {
    let ground = Ground::new();
    let mut recipe = recipe(Mode::SharedAlternating, 2);
    recipe.bilevel.parameters = Parameters::XattnStrict;
    let (folder, _) = run(&mut ground.bilevel(&recipe).unwrap(), &recipe);
    let [before, after] = [2, 3].map(|step| group(&checkpoint(&folder, step), "weights"));
    let changed = before.iter().zip(&after).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0.as_str());
    let changed: Vec<&str> = changed.collect();
    assert!(!changed.is_empty());
    let may = before.iter().map(|(name, _)| name.as_str()).filter(|name| Parameters::XattnStrict.has(name));
    assert_eq!(changed, may.collect::<Vec<_>>());
}

fn erase(recipe: EraseRecipe) -> EraseRecipe {
    let mut recipe = recipe;
    recipe.forgetting.batch = 2;
    recipe.forgetting.sampled.steps = 5;
    recipe.retention.batch = 2;
    recipe.settings = LoopSettings { steps: 2, checkpoint_every: 9, sample_every: 0, ..recipe.settings };
    recipe.settings.optimiser.rate.peak = 1e-3;
    if let Some(saliency) = &mut recipe.saliency {
        saliency.batches = 2;
    }
    recipe
}

/// Names of the variables that a task changes.
fn changed(task: &mut dyn Task, settings: &LoopSettings) -> Vec<String> {
    let before = copies(task.variables());
    let folder = tempdir().unwrap();
    let folder = RunFolder::open(&folder.path().join("run"), settings, Start::New).unwrap();
    train(task, settings, &folder, &()).unwrap();
    let pairs = task.variables().iter().zip(&before);
    pairs.filter(|((_, value), before)| !value.tensor().equal(before)).map(|((name, _), _)| name.clone()).collect()
}

#[test]
fn every_method_changes_what_it_says_and_nothing_else() {
    let ground = Ground::new();
    let of = |recipe: EraseRecipe, parameters: Parameters| {
        let recipe = erase(recipe);
        assert_eq!(recipe.parameters, parameters);
        let mut task = Erasing::new(ground.erasing(&recipe)).unwrap();
        let changed = changed(&mut task, &recipe.settings);
        let may: Vec<String> = task.variables().iter().map(|(name, _)| name.clone()).collect();
        let may: Vec<String> = may.into_iter().filter(|name| parameters.has(name)).collect();
        assert!(!may.is_empty() && may.len() <= task.variables().len());
        (changed, may)
    };
    for (recipe, parameters) in [
        (EraseRecipe::esd_x(), Parameters::Xattn),
        (EraseRecipe::esd_u(), Parameters::Noxattn),
        (EraseRecipe::concept_ablation(), Parameters::XattnStrict),
    ] {
        let mut recipe = recipe;
        if recipe.forgetting.x_t == Origin::AnchorImages {
            // The captions of the fixtures' pictures name the concept.
            recipe.forgetting.x_t = Origin::ConceptImages;
        }
        let (changed, may) = of(recipe, parameters);
        let beyond = changed.iter().find(|name| !may.contains(name));
        assert_eq!(beyond, None, "{parameters:?}");
        // In the middle block of the fixtures there is one position, which attends to itself whatever queries and keys are.
        let alone = |name: &&String| name.contains("mid_block.") && name.contains("attn1.to_");
        let unchanged = may.iter().filter(|name| !alone(name)).find(|name| !changed.contains(name));
        assert_eq!(unchanged, None, "{parameters:?}");
    }
}

#[test]
fn salun_changes_the_weights_that_matter_most_and_no_others() {
    let ground = Ground::new();
    let mut recipe = erase(EraseRecipe::saliency());
    recipe.saliency = Some(SaliencyRecipe { share: 0.1, batches: 2, ..SaliencyRecipe::default() });
    let mut task = Erasing::new(ground.erasing(&recipe)).unwrap();
    assert!((task.share().unwrap() - 0.1).abs() < 1e-3, "{}", task.share().unwrap());
    let before = copies(task.variables());
    assert!(!changed(&mut task, &recipe.settings).is_empty());
    let changed = |i: usize| task.variables()[i].1.tensor().not_equal_tensor(&before[i]).sum(tch::Kind::Int64);
    let count: i64 = (0..before.len()).map(|i| changed(i).int64_value(&[])).sum();
    let all: usize = before.iter().map(Tensor::numel).sum();
    assert!(count > 0 && count as f64 <= 0.1001 * all as f64, "{count} of {all}");
}

#[test]
fn what_erasediff_tries_out_is_taken_back() {
    let ground = Ground::new();
    let recipe = erase(EraseRecipe::erasediff());
    let value = ValueRecipe { inner_rate: 1e-3, ..ValueRecipe::default() };
    let mut task = ValueFunction::new(ground.erasing(&recipe), value).unwrap();
    let before = copies(task.variables());
    let part = |loss: &crate::run::Loss, name: &str| {
        loss.parts.iter().find(|(part, _)| *part == name).unwrap().1.double_value(&[])
    };
    let loss = task.loss(0).unwrap();
    assert!(same(&before, &copies(task.variables())));
    // Two steps on a batch make its loss fall.
    assert!(part(&loss, "value") > 0.0, "{loss:?}");
    assert!((loss.total.double_value(&[]) - part(&loss, "retention") - 0.1 * part(&loss, "value")).abs() < 1e-6);
    // Without a trial nothing is gained.
    let none = ValueRecipe { inner_steps: 0, ..value };
    let loss = ValueFunction::new(ground.erasing(&recipe), none).unwrap().loss(0).unwrap();
    assert_eq!(part(&loss, "value"), 0.0);
    // The angle between the gradients decides: it is in -1..1.
    let adaptive = ValueRecipe { adaptive: Some(1.0), ..value };
    let loss = ValueFunction::new(ground.erasing(&recipe), adaptive).unwrap().loss(0).unwrap();
    assert!((0.0..=2.0).contains(&part(&loss, "lambda")));
}

#[test]
fn sampled_latents_are_at_their_timestep_unless_asked_otherwise() {
    let ground = Ground::new();
    let timesteps = |compat_timesteps: bool| {
        let sampled = SampledRecipe { compat_timesteps, ..SampledRecipe::default() };
        let recipe = ForgettingRecipe { x_t: Origin::EsdSampled, batch: 1, sampled, ..ForgettingRecipe::default() };
        let erase_recipe = EraseRecipe { forgetting: recipe, ..EraseRecipe::esd_x() };
        let torch = crate::torch::Torch::new(Device::Cpu, Dtype::F32).unwrap();
        let network = ground.bench.teacher.network(&ground.full, None, &torch, false).unwrap();
        let mut forgetting =
            Forgetting::new(ground.forgetting(erase_recipe.forgetting, vec![ground.concept()], 5)).unwrap();
        let first = |index| forgetting.next(index, &torch, &network, None).unwrap().timesteps.double_value(&[0]);
        (0..4).map(first).collect::<Vec<f64>>()
    };
    let (exact, compat) = (timesteps(false), timesteps(true));
    // After k of 50 steps of DDIM the latents of this schedule are at 981 - 20 k.
    assert!(exact.iter().all(|t| (981.0 - t) % 20.0 == 0.0 && (21.0..=961.0).contains(t)), "{exact:?}");
    assert!(exact.iter().zip(&compat).all(|(exact, compat)| compat - exact == 19.0), "{exact:?}, {compat:?}");
}

#[test]
fn latents_are_sampled_by_whom_the_recipe_says() {
    let ground = Ground::new();
    let torch = crate::torch::Torch::new(Device::Cpu, Dtype::F32).unwrap();
    let full = ground.bench.teacher.network(&ground.full, None, &torch, false).unwrap();
    let sites = pleach_model::counter::unet_sites(ground.bench.teacher.config()).unwrap();
    let half = Architecture::uniform(&sites, 0.5);
    let half = ground.bench.teacher.network(&half, None, &torch, false).unwrap();
    let by = |by, student, teacher| {
        let sampled = SampledRecipe { by, steps: 4, ..SampledRecipe::default() };
        let recipe = ForgettingRecipe { x_t: Origin::EsdSampled, batch: 1, sampled, ..ForgettingRecipe::default() };
        let mut forgetting = Forgetting::new(ground.forgetting(recipe, vec![ground.concept()], 5)).unwrap();
        forgetting.next(0, &torch, student, teacher).map(|noisy| noisy.sample)
    };
    let own = by(By::Student, &half, Some(&full)).unwrap();
    assert!(own.equal(&by(By::Student, &half, None).unwrap()));
    let theirs = by(By::Teacher, &half, Some(&full)).unwrap();
    assert!(!own.equal(&theirs) && theirs.equal(&by(By::Student, &full, None).unwrap()));
    assert!(by(By::Teacher, &half, None).unwrap_err().to_string().contains("no teacher"));
}

#[test]
fn concepts_take_turns() {
    let ground = Ground::new();
    let [first, mut second] = [ground.concept(), ground.concept()];
    second.weight = 3.0;
    let torch = crate::torch::Torch::new(Device::Cpu, Dtype::F32).unwrap();
    let network = ground.bench.teacher.network(&ground.full, None, &torch, false).unwrap();
    let recipe = ForgettingRecipe { batch: 2, ..ForgettingRecipe::default() };
    let mut forgetting = Forgetting::new(ground.forgetting(recipe, vec![first, second], 5)).unwrap();
    let weights =
        (0..4).map(|index| forgetting.next(index, &torch, &network, None).unwrap().weight).collect::<Vec<_>>();
    assert_eq!(weights, [1.0, 3.0, 1.0, 3.0]);
}

#[test]
fn concepts_that_cannot_be_forgotten_are_refused() {
    let ground = Ground::new();
    let refused = |recipe: ConceptRecipe| Concept::new(&recipe, ground.text.tokenizer()).unwrap_err().to_string();
    let targets = |targets: &[&str]| targets.iter().map(|target| (*target).to_owned()).collect::<Vec<_>>();
    let good = ConceptRecipe { targets: targets(&["star"]), ..ConceptRecipe::default() };
    assert!(refused(ConceptRecipe::default()).contains("no `targets`"));
    assert!(refused(ConceptRecipe { targets: targets(&["star", " "]), ..good.clone() }).contains("empty"));
    assert!(refused(ConceptRecipe { anchor: Some("a STAR".into()), ..good.clone() }).contains("nothing to forget"));
    assert!(refused(ConceptRecipe { anchor: Some("Star".into()), ..good.clone() }).contains("nothing to forget"));
    assert!(refused(ConceptRecipe { weight: Some(-1.0), ..good.clone() }).contains("weight is -1"));
    assert!(refused(ConceptRecipe { prompts: vec!["a ring".into()], ..good.clone() }).contains("none of its targets"));
    let long = format!("{} star", "a red ring and ".repeat(60));
    let cut = refused(ConceptRecipe { prompts: vec![long], ..good });
    assert!(cut.contains("none of the concept's"), "{cut}");
}

#[test]
fn settings_that_no_run_can_have_are_refused() {
    let refused = |change: &dyn Fn(&mut SuppressRecipe)| {
        let mut recipe = recipe(Mode::SharedPenalised, 2);
        change(&mut recipe);
        recipe.check().unwrap_err().to_string()
    };
    assert!(refused(&|recipe| recipe.bilevel.lambda = -1.0).contains("`bilevel.lambda` is -1"));
    assert!(refused(&|recipe| recipe.bilevel.lambda = f64::NAN).contains("`bilevel.lambda`"));
    assert!(refused(&|recipe| recipe.bilevel.k_lower = 0).contains("`bilevel.k_lower` is 0"));
    assert!(refused(&|recipe| recipe.bilevel.weight = -0.1).contains("`bilevel.weight`"));
    assert!(refused(&|recipe| recipe.bilevel.forgetting.batch = 0).contains("`batch`"));
    let literal = recipe(Mode::TwoCopyLiteral, 0);
    assert!(literal.check().is_ok());
    let ground = Ground::new();
    let erase_recipe = EraseRecipe { retention: Retention { weight: 1.0, batch: 1 }, ..erase(EraseRecipe::esd_x()) };
    let setting = EraseSetting { retained: None, ..ground.erasing(&erase_recipe) };
    assert!(Erasing::new(setting).err().unwrap().to_string().contains("`retention.weight`"));
    let mut setting = ground.forgetting(ForgettingRecipe::default(), vec![ground.concept()], 1);
    setting.pictures.clear();
    assert!(Forgetting::new(setting).err().unwrap().to_string().contains("no `images`"));
}

#[test]
fn presets_are_the_papers_and_the_codes() {
    let (paper, code) = (SuppressRecipe::paper(), SuppressRecipe::code());
    assert_eq!((paper.bilevel.mode, code.bilevel.mode), (Mode::SharedPenalised, Mode::SharedAlternating));
    assert_eq!((paper.bilevel.k_lower, code.bilevel.k_lower), (20, 10));
    assert_eq!(
        (paper.bilevel.lambda, paper.train.loss, code.train.loss),
        (100.0, LossRecipe::paper(), LossRecipe::code())
    );
    assert_eq!(
        (paper.bilevel.forgetting.x_t, code.bilevel.forgetting.x_t),
        (Origin::EsdSampled, Origin::ConceptImages)
    );
    for recipe in [paper, code] {
        let rates = (recipe.train.settings.optimiser.rate, recipe.bilevel.optimiser.rate);
        assert_eq!((rates.0.peak, rates.0.warmup, rates.1.peak, rates.1.warmup), (1e-6, 250, 5e-6, 250));
    }
}

#[test]
fn neurons_are_watched_in_every_feed_forward_in_the_order_of_the_network() {
    let ground = Ground::new();
    let torch = crate::torch::Torch::new(Device::Cpu, Dtype::F32).unwrap();
    let network = ground.bench.teacher.network(&ground.full, None, &torch, false).unwrap();
    let denoiser = crate::sampling::Denoiser::new(&torch, &network, &ground.bench.schedule);
    let prompts = ground.text.encode(&["a star".to_owned(), "a ring".to_owned()]).unwrap();
    let recipe = neurons::NeuronsRecipe { steps: 4, calls: 2, ..Default::default() };
    let null = ground.bench.null();
    let latents = [4, SIDE as i64 / 2, SIDE as i64 / 2];
    let kind = pleach_model::samplers::SamplerKind::Ddim;
    let observe =
        |prompts: &Tensor| neurons::observe(&denoiser, (prompts, &null), latents, kind, &recipe, &|_| {}).unwrap();
    let (first, second) = (observe(&prompts.narrow(0, 0, 1)), observe(&prompts.narrow(0, 1, 1)));
    let parameters = ground.bench.teacher.cut(&ground.full).unwrap().0;
    let masks = neurons::masks(&parameters, &first, &second, &recipe).unwrap();
    let layers = parameters.iter().filter(|(name, _)| name.ends_with("ff.net.2.weight")).count();
    assert_eq!((masks.len(), first.paths().len()), (layers, layers));
    // The same prompt against itself raises nothing.
    let none = neurons::masks(&parameters, &first, &observe(&prompts.narrow(0, 0, 1)), &recipe).unwrap();
    assert_eq!(neurons::count(&none).unwrap(), 0);
    let folder = tempdir().unwrap();
    let path: &Path = &folder.path().join("masks.safetensors");
    neurons::write_masks(path, &masks).unwrap();
    let stored = Checkpoint::open(path).unwrap();
    let rows: usize = stored.names().map(|name| stored.get(name).unwrap().shape[0]).sum();
    assert_eq!(rows as u64, neurons::count(&masks).unwrap());
}

#[test]
fn uce_edits_keys_and_values_of_prompts_and_nothing_else() {
    let ground = Ground::new();
    let parameters = ground.bench.teacher.cut(&ground.full).unwrap().0;
    for edited in [uce::Edited::Last, uce::Edited::FromLast] {
        let recipe = uce::UceRecipe { edited, preserve: vec!["a ring".into()], ..Default::default() };
        let phrases = [("a star".to_owned(), "a heart and a cross".to_owned())];
        let edits = uce::Edits::of(&phrases, &recipe, &ground.text).unwrap();
        let new = uce::edited(&parameters, &edits, recipe.lambda).unwrap();
        for ((name, old), (_, new)) in parameters.iter().zip(&new) {
            assert_eq!(old.equal(new), !Parameters::XattnStrict.has(name), "{name}");
        }
    }
    let long = [("star ".repeat(200), String::new())];
    let error = uce::Edits::of(&long, &Default::default(), &ground.text).err().unwrap().to_string();
    assert!(error.contains("the tokenizer keeps"), "{error}");
}

//! Over the random pipeline of the fixtures, whose latents are half as wide as its pictures.

use super::*;
use crate::{
    run::{Outcome, RunFolder, Start, train},
    testing::{Bench, Stop},
};
use std::cell::Cell;
use tempfile::tempdir;

fn task<'a>(bench: &'a Bench, recipe: &'a TrainRecipe, architecture: &'a Architecture) -> Finetuning<'a> {
    let setting = Setting {
        recipe,
        teacher: &bench.teacher,
        architecture,
        schedule: &bench.schedule,
        scaling: bench.scaling(),
        null: bench.null(),
        device: Device::Cpu,
    };
    Finetuning::new(setting, bench.batches(recipe.batch, recipe.seed)).unwrap()
}

fn half(bench: &Bench) -> Architecture {
    Architecture::uniform(&counter::unet_sites(bench.teacher.config()).unwrap(), 0.5)
}

fn recipe() -> TrainRecipe {
    let mut recipe = TrainRecipe { batch: 2, ..TrainRecipe::default() };
    recipe.settings.optimiser.rate.peak = 1e-3;
    recipe
}

fn part(loss: &Loss, name: &str) -> f64 {
    loss.parts.iter().find(|(part, _)| *part == name).map_or(f64::NAN, |(_, value)| value.double_value(&[]))
}

#[test]
fn presets_are_the_papers_and_the_codes() {
    let LossRecipe { diffusion, output, features, .. } = LossRecipe::paper();
    assert_eq!((diffusion, output, features), (1.0, 2.0, 0.1));
    assert_eq!((LossRecipe::paper().reduce, LossRecipe::paper().min_snr), (Reduce::Sum, 0.0));
    assert_eq!((LossRecipe::code().reduce, LossRecipe::code().min_snr), (Reduce::Mean, 5.0));
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn_from_it() {
    let (bench, recipe, full) = (Bench::new(), recipe(), Architecture::full());
    let loss = task(&bench, &recipe, &full).loss(0).unwrap();
    assert_eq!((part(&loss, "output"), part(&loss, "features")), (0.0, 0.0));
    assert_eq!(loss.total.double_value(&[]), part(&loss, "diffusion"));
}

#[test]
fn the_parts_are_weighed_and_blocks_summed_or_averaged() {
    let (bench, half) = (Bench::new(), half(&Bench::new()));
    let loss = |loss: LossRecipe| {
        let recipe = TrainRecipe { loss, ..recipe() };
        let loss = task(&bench, &recipe, &half).loss(3).unwrap();
        (loss.total.double_value(&[]), ["diffusion", "output", "features"].map(|name| part(&loss, name)))
    };
    let code = LossRecipe { min_snr: 0.0, ..LossRecipe::code() };
    let (mean, [diffusion, output, features]) = loss(code);
    assert!(output > 0.0 && features > 0.0);
    assert!((mean - (diffusion + 2.0 * output + 0.1 * features)).abs() < 1e-6 * mean);
    let (_, [again, same, sum]) = loss(LossRecipe::paper());
    assert_eq!((again, same), (diffusion, output));
    // four down blocks, the middle one, four up blocks
    assert!((sum - 9.0 * features).abs() < 1e-5 * sum);
    let (alone, [only, without, none]) = loss(LossRecipe { output: 0.0, features: 0.0, ..code });
    assert!(without.is_nan() && none.is_nan());
    assert_eq!((alone, only), (diffusion, diffusion));
}

#[test]
fn distilling_brings_the_student_nearer() {
    let bench = Bench::new();
    let half = half(&bench);
    let mut recipe = recipe();
    recipe.loss = LossRecipe { diffusion: 0.0, ..LossRecipe::code() };
    recipe.settings = LoopSettings { steps: 60, sample_every: 0, ..recipe.settings };
    let folder = tempdir().unwrap();
    let mut task = task(&bench, &recipe, &half);
    let before: f64 = (100..104).map(|micro| part(&task.loss(micro).unwrap(), "output")).sum();
    let run = RunFolder::open(folder.path(), &recipe, Start::New).unwrap();
    assert_eq!(train(&mut task, &recipe.settings, &run, &()).unwrap(), Outcome::Finished);
    let after: f64 = (100..104).map(|micro| part(&task.loss(micro).unwrap(), "output")).sum();
    assert!(after < 0.7 * before, "{after} after {before}");
}

#[test]
fn interrupted_it_goes_on_with_the_same_data_and_bits() {
    let bench = Bench::new();
    let half = half(&bench);
    let mut recipe = recipe();
    recipe.dropout = 0.5;
    recipe.settings = LoopSettings { steps: 5, accumulate: 2, sample_every: 0, ..recipe.settings };
    let finish = |stop: Option<u64>| {
        let folder = tempdir().unwrap();
        let mut start = Start::New;
        if let Some(stop) = stop {
            let run = RunFolder::open(folder.path(), &recipe, start).unwrap();
            train(&mut task(&bench, &recipe, &half), &recipe.settings, &run, &Stop(Cell::new(stop))).unwrap();
            start = Start::Resume;
        }
        let run = RunFolder::open(folder.path(), &recipe, start).unwrap();
        let mut task = task(&bench, &recipe, &half);
        train(&mut task, &recipe.settings, &run, &()).unwrap();
        task.variables().iter().flat_map(|(_, value)| value.to_f32().unwrap()).map(f32::to_bits).collect::<Vec<_>>()
    };
    let expected = finish(None);
    for stop in [1, 3] {
        assert!(finish(Some(stop)) == expected, "stopped after {stop}");
    }
}

#[test]
fn half_precision_computes_nearly_the_same_and_keeps_wide_weights() {
    let bench = Bench::new();
    let half = half(&bench);
    let [wide, narrow] = [Dtype::F32, Dtype::Bf16].map(|precision| {
        let recipe = TrainRecipe { precision, ..recipe() };
        let mut task = task(&bench, &recipe, &half);
        let loss = task.loss(0).unwrap();
        loss.total.backward();
        assert!(task.variables().iter().all(|(_, value)| value.fact().dtype == Dtype::F32));
        assert!(task.variables().iter().all(|(_, value)| value.tensor().grad().defined()));
        loss.total.double_value(&[])
    });
    assert!((wide - narrow).abs() < 0.02 * wide, "{narrow} is not near {wide}");
}

#[test]
fn weights_are_cut_out_of_the_teacher_or_random() {
    let bench = Bench::new();
    let half = half(&bench);
    let first = |init| {
        let recipe = TrainRecipe { init, ..recipe() };
        let task = task(&bench, &recipe, &half);
        let (name, value) =
            &task.variables().iter().find(|(name, _)| name.ends_with("resnets.0.conv1.weight")).unwrap();
        (name.clone(), value.to_f32().unwrap())
    };
    let (name, cut) = first(Init::Teacher);
    let checkpoint = bench.pipeline.unet.weights(None).unwrap();
    let full = checkpoint.get(&name).unwrap();
    // The first half of the output channels are the first half of the numbers.
    assert_eq!(cut, full.to_f32().unwrap()[..cut.len()]);
    assert_eq!(2 * cut.len(), full.shape.iter().product::<usize>());
    assert_ne!(first(Init::Random).1, cut);
}

/// Loss and gradients of one micro-batch, by name.
fn gradients(task: &mut Finetuning<'_>) -> (f64, Vec<(String, Vec<f32>)>) {
    let loss = task.loss(0).unwrap().total;
    loss.backward();
    let gradient = |(name, value): &(String, Value)| {
        (name.clone(), Value::try_from(value.tensor().grad()).unwrap().to_f32().unwrap())
    };
    (loss.double_value(&[]), task.variables().iter().map(gradient).collect())
}

/// The names are the same, and the difference is small beside the whole: some gradients are zero but for rounding.
fn assert_near(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)], most: f64) {
    assert_eq!(a.len(), b.len());
    let (mut apart, mut whole) = (0.0, 0.0);
    for ((name, a), (other, b)) in a.iter().zip(b) {
        assert_eq!((name, a.len()), (other, b.len()));
        apart += a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        whole += b.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>();
    }
    let relative = (apart / whole).sqrt();
    assert!(relative < most, "{relative}");
}

#[test]
fn what_is_computed_again_has_the_same_gradients() {
    let bench = Bench::new();
    let half = half(&bench);
    for precision in [Dtype::F32, Dtype::Bf16] {
        let [kept, again] = [false, true].map(|gradient_checkpointing| {
            let recipe = TrainRecipe { gradient_checkpointing, precision, ..recipe() };
            gradients(&mut task(&bench, &recipe, &half))
        });
        assert_eq!(kept.0, again.0);
        let moved = kept.1.iter().filter(|(_, gradient)| gradient.iter().any(|x| *x != 0.0)).count();
        assert!(2 * moved > kept.1.len(), "{moved} of {} gradients", kept.1.len());
        if precision == Dtype::F32 {
            assert_near(&again.1, &kept.1, 1e-5);
        }
    }
}

#[test]
fn channels_last_changes_the_layout_and_not_what_is_learnt() {
    let bench = Bench::new();
    let half = half(&bench);
    let [first, last] = [false, true].map(|channels_last| {
        let mut recipe = TrainRecipe { channels_last, ..recipe() };
        recipe.settings = LoopSettings { steps: 3, sample_every: 0, ..recipe.settings };
        let mut task = task(&bench, &recipe, &half);
        let weights = |task: &Finetuning<'_>| {
            let one = |(name, value): &(String, Value)| (name.clone(), value.to_f32().unwrap());
            task.variables().iter().map(one).collect::<Vec<_>>()
        };
        let start = weights(&task);
        let (_, gradients) = gradients(&mut task);
        for (name, value) in task.variables() {
            let (tensor, mut gradient) = (value.tensor(), value.tensor().grad());
            if let [_, channels, height, width] = *tensor.size().as_slice()
                && channels > 1
                && height > 1
            {
                let strides = [channels * height * width, 1, width * channels, channels];
                assert_eq!(tensor.stride() == strides, channels_last, "{name}");
                // The fused update goes through both as they lie in memory.
                assert_eq!(gradient.stride(), tensor.stride(), "{name}");
            }
            let _ = gradient.zero_();
        }
        let folder = tempdir().unwrap();
        let run = RunFolder::open(folder.path(), &recipe, Start::New).unwrap();
        train(&mut task, &recipe.settings, &run, &()).unwrap();
        (gradients, start, weights(&task))
    });
    // libtorch's GroupNorm takes the variance as E[x²] - E[x]² in this layout, which loses some digits.
    assert_near(&last.0, &first.0, 1e-3);
    let distance = |a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]| {
        let pairs = a.iter().zip(b).flat_map(|((_, a), (_, b))| a.iter().zip(b));
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    assert_eq!(distance(&first.1, &last.1), 0.0);
    // Adam turns what is nearly zero into whole steps, whose signs are then a matter of rounding.
    let (moved, apart) = (distance(&first.1, &first.2), distance(&first.2, &last.2));
    assert!(apart < 0.05 * moved, "{apart} apart after moving by {moved}");
}

//! Over the random pipeline of the fixtures, with a sentence encoder that has learnt nothing.

use super::*;
use crate::{
    run::{Outcome, RunFolder, Start, Watch, train},
    testing::{Bench, Stop},
};
use std::cell::Cell;
use tempfile::tempdir;

const AT: At = At { height: 8, width: 8, tokens: 77 };

fn recipe() -> AptpRecipe {
    let settings = AptpRecipe::default().settings;
    AptpRecipe {
        experts: 2,
        batch: 4,
        warm_start: 2,
        settings: LoopSettings { steps: 5, report_every: 1, ..settings },
        ..AptpRecipe::default()
    }
}

/// Calls with the task that this recipe makes.
fn with<T>(bench: &Bench, recipe: &AptpRecipe, body: impl FnOnce(Result<Aptp<'_>>) -> T) -> T {
    let sentences = bench.sentences();
    let setting = AptpSetting {
        recipe,
        teacher: &bench.teacher,
        schedule: &bench.schedule,
        scaling: bench.scaling(),
        null: bench.null(),
        sentences: &sentences,
        at: AT,
        device: Device::Cpu,
    };
    body(Aptp::new(setting, bench.batches(recipe.batch, recipe.seed)))
}

/// Whether gradients of micro-batch `micro` reach the predictor, and the codes.
fn reached(bench: &Bench, recipe: &AptpRecipe, micro: u64) -> [bool; 2] {
    with(bench, recipe, |task| {
        let mut task = task.unwrap();
        task.loss(micro).unwrap().total.backward();
        let reached = |name: &str| {
            let gradient = |(_, value): &(String, Value)| {
                let gradient = value.tensor().grad();
                gradient.defined() && gradient.abs().max().double_value(&[]) > 0.0
            };
            task.variables().iter().filter(|(found, _)| found.starts_with(name)).any(gradient)
        };
        [reached("mh_fc."), reached(CODES)]
    })
}

#[test]
fn gradients_reach_what_is_learnt_at_the_time() {
    let bench = Bench::new();
    let silent = ArchitectureLosses { contrastive: 0.0, ..ArchitectureLosses::default() };
    let pictures = AptpRecipe { architectures: silent, ..recipe() };
    // The masked network and what it costs: the prompts' own gates while it warms up, then those of the experts.
    assert_eq!(reached(&bench, &pictures, 1), [true, false]);
    assert_eq!(reached(&bench, &pictures, 2), [false, true]);
    // The contrastive loss compares prompts' architectures, before and after.
    let nothing = LossRecipe { diffusion: 0.0, output: 0.0, features: 0.0, ..recipe().loss };
    let only = ArchitectureLosses { resources: 0.0, spread: 0.0, largest: 0.0, ..ArchitectureLosses::default() };
    let alike = AptpRecipe { loss: nothing, architectures: only, ..recipe() };
    assert_eq!(reached(&bench, &alike, 1), [true, false]);
    assert_eq!(reached(&bench, &alike, 2), [true, false]);
    // Commitment draws the predictor to the codes, and not the other way round; before there are codes there is none.
    let committed = ArchitectureLosses { contrastive: 0.0, commitment: 1.0, ..only };
    let committed = AptpRecipe { architectures: committed, ..alike };
    assert_eq!(reached(&bench, &committed, 1), [false, false]);
    assert_eq!(reached(&bench, &committed, 2), [true, false]);
}

#[test]
fn router_and_codes_are_all_that_is_learnt() {
    let bench = Bench::new();
    with(&bench, &recipe(), |task| {
        let task = task.unwrap();
        let layout = VectorLayout::of(bench.teacher.config()).unwrap();
        let units = layout.widths.len();
        let names: Vec<&str> = task.variables().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 2 * (units + 1) + 1);
        assert!(names.iter().all(|name| name.starts_with("mh_fc.") || *name == CODES), "{names:?}");
        // As published they begin with orthonormal rows, or columns where there are fewer.
        for (name, value) in task.variables().iter().filter(|(name, _)| name.ends_with(".weight")) {
            let (rows, columns) = value.tensor().size2().unwrap();
            let matrix = if rows <= columns { value.tensor().shallow_clone() } else { value.tensor().tr() };
            let apart = matrix.matmul(&matrix.tr()) - Tensor::eye(rows.min(columns), (Kind::Float, Device::Cpu));
            assert!(apart.abs().max().double_value(&[]) < 1e-5, "{name}");
        }
    });
}

#[test]
fn the_parts_add_up() {
    let bench = Bench::new();
    let architectures = ArchitectureLosses { commitment: 0.3, ..ArchitectureLosses::default() };
    let recipe = AptpRecipe { architectures, ..recipe() };
    with(&bench, &recipe, |task| {
        let Loss { total, parts } = task.unwrap().loss(3).unwrap();
        let part = |name: &str| {
            let found = parts.iter().find(|(part, _)| *part == name);
            found.map_or(f64::NAN, |(_, value)| value.double_value(&[]))
        };
        let ArchitectureLosses { resources, contrastive, spread, largest, commitment, .. } = recipe.architectures;
        let expected = recipe.loss.diffusion * part("diffusion")
            + recipe.loss.output * part("output")
            + recipe.loss.features * part("features")
            + resources * part("resources")
            + contrastive * part("contrastive")
            - spread * part("spread")
            - largest * part("largest")
            + commitment * part("commitment");
        let total = total.double_value(&[]);
        assert!((total - expected).abs() < 1e-5 * expected.abs(), "{total} is not {expected}");
        // What is left of the prunable part, and how far it is from the target on a logarithmic scale.
        let config = bench.teacher.config();
        let resources = Resources::of(config, &VectorLayout::of(config).unwrap(), AT, recipe.rule).unwrap();
        let distance = (part("macs") / resources.target(recipe.target)).ln().abs();
        assert!((part("resources") - distance).abs() < 1e-5, "{} is not {distance}", part("resources"));
    });
}

#[test]
fn interrupted_it_goes_on_with_the_same_bits() {
    let (bench, recipe) = (Bench::new(), recipe());
    let settings = recipe.effective_settings();
    let finish = |stop: Option<u64>| {
        let folder = tempdir().unwrap();
        let go = |start, watch: &dyn Watch| {
            with(&bench, &recipe, |task| {
                let mut task = task.unwrap();
                let run = RunFolder::open(folder.path(), &recipe, start).unwrap();
                let outcome = train(&mut task, &settings, &run, watch).unwrap();
                let weights = task.variables().iter().flat_map(|(_, value)| value.to_f32().unwrap());
                let bits: Vec<u32> = weights.map(f32::to_bits).collect();
                (outcome, bits, task.experts(&[]).unwrap())
            })
        };
        let mut start = Start::New;
        if let Some(stop) = stop {
            assert!(matches!(go(start, &Stop(Cell::new(stop))).0, Outcome::Interrupted { .. }));
            start = Start::Resume;
        }
        let (outcome, bits, experts) = go(start, &());
        assert_eq!(outcome, Outcome::Finished);
        (bits, experts)
    };
    let (bits, experts) = finish(None);
    assert_eq!(experts.len(), 2);
    for stop in [2, 4] {
        let (again, others) = finish(Some(stop));
        assert!(again == bits, "stopped after {stop}");
        assert!(experts.iter().zip(&others).all(|(a, b)| a.gates == b.gates && a.architecture == b.architecture));
    }
}

#[test]
fn gates_learn_in_half_precision_and_with_less_memory() {
    let bench = Bench::new();
    let loss = |recipe: AptpRecipe| {
        with(&bench, &recipe, |task| {
            let mut task = task.unwrap();
            let total = task.loss(2).unwrap().total;
            total.backward();
            let codes = task.variables().iter().find(|(name, _)| name == CODES).unwrap();
            (total.double_value(&[]), Vec::<f32>::try_from(codes.1.tensor().grad().reshape([-1])).unwrap())
        })
    };
    let (expected, gradients) = loss(recipe());
    let (again, same) = loss(AptpRecipe { gradient_checkpointing: true, ..recipe() });
    assert_eq!(expected, again);
    let largest = gradients.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let apart = gradients.iter().zip(&same).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5 * largest, "{apart} apart, {largest} the largest");
    let (half, _) = loss(AptpRecipe { precision: Dtype::Bf16, ..recipe() });
    assert!((half - expected).abs() < 0.01 * expected, "{half} is not near {expected}");
}

/// A sample differs from the mode where noise opens or closes gates that are near the threshold: codes begin near zero, but the offset
/// opens nearly all of them, so it is taken away.
#[test]
fn experts_are_samples_or_modes() {
    let bench = Bench::new();
    let gates = |gates| {
        let relaxation = Relaxation { offset: 0.0, ..Relaxation::default() };
        let recipe = AptpRecipe { gates, relaxation, ..recipe() };
        with(&bench, &recipe, |task| task.unwrap().experts(&[]).unwrap().swap_remove(0).gates)
    };
    let [sample, mode] = [Chosen::Sample, Chosen::Mode].map(gates);
    let open = |gates: &[f32]| gates.iter().filter(|gate| **gate >= 0.5).count() as f64 / gates.len() as f64;
    // Gumbel noise is positive with probability 1 - 1/e, its median is 0.37, and logits of orthonormal rows are small beside both.
    assert!((open(&sample) - 0.63).abs() < 0.1, "{} of the sample are open", open(&sample));
    assert!(open(&mode) > 0.9, "{} of the mode are open", open(&mode));
    assert_ne!(sample, mode);
}

/// One expert, to which all prompts go, costs the target up to a unit or two.
#[test]
fn experts_are_calibrated_to_the_target() {
    let bench = Bench::new();
    let prompts = ["a red circle", "two blue stars", "a ring", "three hearts and a cross"].map(str::to_owned);
    let config = bench.teacher.config();
    let layout = VectorLayout::of(config).unwrap();
    let resources = Resources::of(config, &layout, AT, Rule::Exact).unwrap();
    for (target, calibrate) in [(0.9, true), (0.75, true), (0.75, false)] {
        let recipe = AptpRecipe { experts: 1, target, calibrate, gates: Chosen::Mode, rule: Rule::Exact, ..recipe() };
        with(&bench, &recipe, |task| {
            let task = task.unwrap();
            // A code that has units to close one after the other.
            let _ = no_grad(|| task.codes.tensor().shallow_clone().g_mul_scalar_(40.0));
            let expert = task.experts(&prompts).unwrap().swap_remove(0);
            let hard: Vec<f64> = expert.gates.iter().map(|gate| f64::from(u8::from(*gate >= 0.5))).collect();
            let (found, goal) = (resources.left(&hard).unwrap() / resources.prunable(), resources.target(target));
            assert_eq!((found - goal).abs() < 0.03, calibrate, "{target}: {found} is not {goal}");
        });
    }
}

#[test]
fn recipes_that_no_run_can_have() {
    let bench = Bench::new();
    let refused = |recipe: AptpRecipe, expected: &str| {
        let message = with(&bench, &recipe, |task| task.err().map(|error| error.to_string()).unwrap_or_default());
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    };
    for target in [0.0, -0.5, 1.1, f64::NAN] {
        refused(AptpRecipe { target, ..recipe() }, "above 0, at most 1");
    }
    // Convolutions in and out, embeddings and the rest stay.
    refused(AptpRecipe { target: 0.01, ..recipe() }, "0.01");
    refused(AptpRecipe { experts: 0, ..recipe() }, "at least 1");
    refused(AptpRecipe { experts: 5, ..recipe() }, "no less than experts");
    refused(AptpRecipe { warm_start: 5, ..recipe() }, "less than loop.steps");
    refused(
        AptpRecipe { relaxation: Relaxation { temperature: 0.0, offset: 3.0 }, ..recipe() },
        "relaxation.temperature",
    );
}

//! A run's life over a task of three numbers.

use super::*;
use crate::torch::{Torch, Value};
use pleach_model::{
    backend::{Backend, Constant},
    tensor::Dtype,
};
use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
};
use tch::Device;
use tempfile::{TempDir, tempdir};

/// Fits three numbers to noise that depends on the step.
struct Fit {
    variables: Vec<Variable>,
    seen: u64,
    breaks_at: Option<u64>,
}

impl Fit {
    fn new() -> Self {
        let torch = Torch::new(Device::Cpu, Dtype::F32).unwrap();
        let start = torch.constant(Constant::F32(vec![1.0, -2.0, 3.0]), &[3]).unwrap();
        let value = Value::try_from(start.tensor().set_requires_grad(true)).unwrap();
        Self { variables: vec![("numbers.weight".to_owned(), value)], seen: 0, breaks_at: None }
    }

    fn values(&self) -> Vec<f32> {
        self.variables[0].1.to_f32().unwrap()
    }
}

impl Task for Fit {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        self.seen += 1;
        let target = Tensor::from_slice(&streams::noise(7, streams::Use::Noise, micro).randn(3));
        let error = (self.variables[0].1.tensor() - target).square().mean(tch::Kind::Float);
        let bad = self.breaks_at == Some(micro);
        let total = if bad { &error * f64::NAN } else { error.shallow_clone() };
        Ok(Loss { total, parts: vec![("error", error)] })
    }

    fn state(&self) -> Value_ {
        self.seen.into()
    }

    fn restore(&mut self, state: Value_) -> Result<()> {
        self.seen = state.as_u64().unwrap_or(u64::MAX);
        Ok(())
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        let shade = (self.values()[0] * 50.0) as u8;
        Ok(Some(grid(&[RgbImage::from_pixel(4, 4, image::Rgb([shade; 3]))], 1, 2)))
    }
}

type Value_ = serde_json::Value;

/// Interrupts after some steps, and notes what it hears.
#[derive(Default)]
struct Listener {
    stop_at: Option<u64>,
    step: Cell<u64>,
    events: RefCell<Vec<String>>,
}

impl Watch for Listener {
    fn event(&self, event: Event<'_>) {
        let text = match event {
            Event::Begin { step, steps } => {
                self.step.set(step);
                format!("begin {step}/{steps}")
            }
            Event::Step { report } => format!("step {}", report.step),
            Event::Sampled { path } => format!("sampled {}", path.file_name().unwrap().to_str().unwrap()),
            Event::Saved { step } => format!("saved {step}"),
        };
        self.events.borrow_mut().push(text);
    }

    fn interrupted(&self) -> bool {
        self.step.set(self.step.get() + 1);
        self.stop_at.is_some_and(|stop| self.step.get() >= stop)
    }
}

fn settings() -> LoopSettings {
    LoopSettings {
        steps: 12,
        accumulate: 2,
        optimiser: OptimiserSettings {
            rate: crate::learn::RateSettings { peak: 0.1, warmup: 2, decay: crate::learn::Decay::Cosine },
            clip: Some(0.5),
            ..OptimiserSettings::default()
        },
        ema: Some(0.9),
        report_every: 2,
        sample_every: 4,
        checkpoint_every: 3,
        keep: 2,
    }
}

fn open(folder: &TempDir, start: Start) -> RunFolder {
    RunFolder::open(&folder.path().join("run"), &settings(), start).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The metrics without what depends on the clock.
fn record(folder: &RunFolder) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(folder.metrics()).unwrap();
    let line = |line: &str| {
        let report: metrics::Report = serde_json::from_str(line).unwrap();
        (report.step, report.means["loss"])
    };
    text.lines().map(line).collect()
}

#[test]
fn a_run_leaves_everything_in_its_folder() {
    let folder = tempdir().unwrap();
    let (run, listener, mut task) = (open(&folder, Start::New), Listener::default(), Fit::new());
    assert_eq!(train(&mut task, &settings(), &run, &listener).unwrap(), Outcome::Finished);
    let expected = [
        "begin 0/12",
        "step 2",
        "saved 3",
        "step 4",
        "sampled 000004.png",
        "step 6",
        "saved 6",
        "step 8",
        "sampled 000008.png",
        "saved 9",
        "step 10",
        "step 12",
        "sampled 000012.png",
        "saved 12",
    ];
    assert_eq!(*listener.events.borrow(), expected);
    assert_eq!(names(run.path()), ["checkpoints", "loss.png", "metrics.jsonl", "recipe.toml", "samples"]);
    assert_eq!(names(&run.checkpoints()), ["000009", "000012"]);
    assert_eq!(task.seen, 24);
    assert!(image::open(run.curve()).unwrap().to_rgb8().pixels().any(|pixel| pixel.0 != [255; 3]));
    assert_eq!(record(&run).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 12]);
}

/// Whatever the step, the bits are those of a run that was never stopped.
#[test]
fn an_interrupted_run_goes_on_bit_for_bit() {
    let whole = tempdir().unwrap();
    let (run, mut task) = (open(&whole, Start::New), Fit::new());
    train(&mut task, &settings(), &run, &()).unwrap();
    let (expected, tensors) = (task.values(), run.checkpoints().join("000012/tensors.safetensors"));
    let (expected_record, expected_bytes) = (record(&run), fs::read(tensors).unwrap());
    for stop in 1..12 {
        let folder = tempdir().unwrap();
        let (run, listener) = (open(&folder, Start::New), Listener { stop_at: Some(stop), ..Listener::default() });
        let outcome = train(&mut Fit::new(), &settings(), &run, &listener).unwrap();
        assert_eq!(outcome, Outcome::Interrupted { step: stop });
        let (run, mut task) = (open(&folder, Start::Resume), Fit::new());
        assert_eq!(train(&mut task, &settings(), &run, &()).unwrap(), Outcome::Finished);
        assert_eq!(task.values(), expected, "stopped after {stop}");
        assert_eq!(task.seen, 24);
        let bytes = fs::read(run.checkpoints().join("000012/tensors.safetensors")).unwrap();
        assert!(bytes == expected_bytes, "stopped after {stop}");
        // A report more at the interruption; the others are the same where they cover the same steps.
        if stop % 2 == 0 {
            assert_eq!(record(&run), expected_record, "stopped after {stop}");
        }
    }
}

/// As after a power cut: what was written after the last checkpoint is done again.
#[test]
fn what_no_checkpoint_holds_is_forgotten() {
    let folder = tempdir().unwrap();
    let (run, mut task) = (open(&folder, Start::New), Fit::new());
    train(&mut task, &settings(), &run, &()).unwrap();
    let (expected, all) = (task.values(), record(&run));
    fs::remove_dir_all(run.checkpoints().join("000012")).unwrap();
    let mut text = fs::read_to_string(run.metrics()).unwrap();
    text.push_str("{\"step\":13,\"ra");
    fs::write(run.metrics(), text).unwrap();
    let mut task = Fit::new();
    train(&mut task, &settings(), &open(&folder, Start::Resume), &()).unwrap();
    assert_eq!(task.values(), expected);
    // Steps 9 and 10 are reported together again only where the report began before the checkpoint.
    assert_eq!(record(&run).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 12]);
    assert_eq!(record(&run)[..4], all[..4]);
}

#[test]
fn what_is_not_finite_ends_the_run_and_keeps_the_checkpoint() {
    let folder = tempdir().unwrap();
    let (run, mut task) = (open(&folder, Start::New), Fit { breaks_at: Some(15), ..Fit::new() });
    assert_eq!(
        train(&mut task, &settings(), &run, &()).unwrap_err().to_string(),
        "the loss of step 7 is not finite; the last checkpoint is kept: lower the learning rate, or set a norm to clip at"
    );
    assert_eq!(names(&run.checkpoints()), ["000003", "000006"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_last_one() {
    let folder = tempdir().unwrap();
    let run = open(&folder, Start::New);
    let listener = Listener { stop_at: Some(3), ..Listener::default() };
    train(&mut Fit::new(), &settings(), &run, &listener).unwrap();
    // A file where the next checkpoint's folder should be.
    fs::write(run.checkpoints().join("000006"), "").unwrap();
    let message = train(&mut Fit::new(), &settings(), &open(&folder, Start::Resume), &()).unwrap_err().to_string();
    assert!(message.contains("000006"), "{message}");
    assert!(run.checkpoints().join("000003/state.json").is_file());
}

#[test]
fn runs_are_not_overwritten_and_recipes_not_changed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("run");
    let message = |settings: &LoopSettings, start| RunFolder::open(&path, settings, start).unwrap_err().to_string();
    assert_eq!(
        message(&settings(), Start::Resume),
        format!("{} holds no run that could be resumed: it has no recipe.toml", path.display())
    );
    open(&folder, Start::New);
    assert_eq!(
        message(&settings(), Start::New),
        format!("{} holds a run already: continue it with --resume, or choose another folder", path.display())
    );
    let mut other = settings();
    other.optimiser.rate.peak = 0.2;
    assert_eq!(
        message(&other, Start::Resume),
        format!(
            "the run in {} began with another recipe: `optimiser.rate.peak` was 0.1 and is now 0.2; resume with the same \
             recipe, or start a new run",
            path.display()
        )
    );
    let without = LoopSettings { ema: None, ..settings() };
    assert!(message(&without, Start::Resume).contains("`ema` was 0.9 and is now not there;"));
    open(&folder, Start::Resume);
}

#[test]
fn settings_that_no_run_can_have() {
    let message = |settings: LoopSettings| settings.check().unwrap_err().to_string();
    assert_eq!(message(LoopSettings { steps: 0, ..settings() }), "`steps` is 0; it must be at least 1");
    assert_eq!(message(LoopSettings { ema: Some(1.0), ..settings() }), "`ema` is 1; it must be in 0..1");
}

#[test]
fn streams_differ_in_seed_use_and_index() {
    use streams::{Use, choices};
    let first = |seed, purpose, index| choices(seed, purpose, index).bits();
    let all = [first(0, Use::Noise, 0), first(1, Use::Noise, 0), first(0, Use::Data, 0), first(0, Use::Noise, 1)];
    for (i, a) in all.iter().enumerate() {
        assert!(!all[..i].contains(a));
    }
    assert_eq!(first(0, Use::Noise, 0), all[0]);
}

//! What is done in a process of its own, and measured.

use anyhow::{Context, Result, bail};
use pleach_console::Printer;
use pleach_model::{
    architecture::Architecture,
    counter::At,
    noise::Generator,
    pipeline::Network,
    schedule::{Schedule, SchedulerConfig},
};
use pleach_tests::memory::Memory;
use pleach_trainer::{
    encoders::Sentences,
    finetune::{Batches, Encoded, STUDENT_FILES, Teacher, write_student},
    learn::Variable,
    prune::{Aptp, AptpRecipe, AptpSetting},
    run::{self, LoopSettings, Loss, RunFolder, Start, Task, train},
    torch::Device,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fs, num::NonZeroUsize, path::PathBuf, process::Command, time::Instant};
use tch::Tensor;

/// Length of the text embedding.
const TOKENS: usize = 77;

/// What there is to do.
#[derive(Serialize, Deserialize)]
pub enum Doing {
    /// Steps of APTP with one caption each.
    Prune { teacher: PathBuf, sentences: PathBuf, steps: u64, size: usize },
    /// Cut an expert out of its teacher, and write it.
    Cut { teacher: PathBuf, architecture: Architecture, to: PathBuf },
}

/// What was done.
#[derive(Serialize, Deserialize)]
pub struct Done<T> {
    pub found: T,
    /// From the process's start to its end.
    pub seconds: f64,
    /// The most that was resident, mapped files included.
    pub peak: Option<u64>,
}

/// Steps of APTP.
#[derive(Serialize, Deserialize)]
pub struct Pruned {
    pub step_seconds: Vec<f64>,
}

/// An expert.
#[derive(Serialize, Deserialize)]
pub struct Cut {
    /// Of its weights.
    pub bytes: u64,
}

/// Starts a process and waits for what it says.
pub fn run<T: DeserializeOwned>(doing: &Doing, threads: NonZeroUsize) -> Result<Done<T>> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--quiet", "--alone", &serde_json::to_string(doing)?])
        .env("OMP_NUM_THREADS", threads.to_string())
        .output()
        .context("cannot start a process")?;
    if !child.status.success() {
        bail!("{}", String::from_utf8_lossy(&child.stderr));
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// The process.
pub fn work(told: &str, printer: &Printer) -> Result<()> {
    let start = Instant::now();
    match serde_json::from_str(told)? {
        Doing::Prune { teacher, sentences, steps, size } => {
            let step_seconds = prune(&open(teacher)?, &Sentences::open(&sentences, Device::Cpu)?, steps, size)?;
            say(Pruned { step_seconds }, start, printer)
        }
        Doing::Cut { teacher, architecture, to } => {
            let teacher = open(teacher)?;
            let (tensors, dtype) = teacher.cut(&architecture)?;
            write_student(&to, &teacher, &architecture, &tensors, dtype)?;
            let bytes = fs::metadata(to.join(STUDENT_FILES[0]))?.len();
            say(Cut { bytes }, start, printer)
        }
    }
}

fn open(folder: PathBuf) -> Result<Teacher> {
    Ok(Teacher::new(Network::open(&folder)?)?)
}

fn say(found: impl Serialize, start: Instant, printer: &Printer) -> Result<()> {
    let done = Done { found, seconds: start.elapsed().as_secs_f64(), peak: Memory::now().peak };
    Ok(printer.json(&done)?)
}

/// Seconds of each step.
fn prune(teacher: &Teacher, sentences: &Sentences, steps: u64, size: usize) -> Result<Vec<f64>> {
    let recipe = AptpRecipe {
        experts: 1,
        batch: 1,
        warm_start: steps / 2,
        settings: LoopSettings { steps, checkpoint_every: steps, ..AptpRecipe::default().settings },
        ..AptpRecipe::default()
    };
    let (channels, features) = (teacher.config().in_channels, teacher.config().cross_attention_dim);
    let normal = |seed, shape: &[usize]| -> Result<Tensor, run::Error> {
        let values = Generator::new(seed).randn(shape.iter().product());
        let shape: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
        Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?)
    };
    let make = || {
        move || {
            Ok(Encoded {
                moments: normal(1, &[1, 2 * channels, size, size])?,
                context: normal(2, &[1, TOKENS, features])?,
                captions: vec!["a lighthouse on a cliff in the evening".to_owned()],
            })
        }
    };
    let schedule = Schedule::from_config(&SchedulerConfig::from_json("{}")?)?;
    let setting = AptpSetting {
        recipe: &recipe,
        teacher,
        schedule: &schedule,
        scaling: 0.182_15,
        null: normal(3, &[1, TOKENS, features])?,
        sentences,
        at: At { height: size, width: size, tokens: TOKENS },
        device: Device::Cpu,
    };
    let task = Aptp::new(setting, move |_| Ok(Batches::Made(Box::new(make()))))?;
    let mut timed = Timed { task, begun: Instant::now(), seconds: Vec::new() };
    let folder = tempfile::tempdir()?;
    let folder = RunFolder::open(&folder.path().join("run"), &recipe, Start::New)?;
    timed.begun = Instant::now();
    train(&mut timed, &recipe.effective_settings(), &folder, &())?;
    timed.seconds.push(timed.begun.elapsed().as_secs_f64());
    Ok(timed.seconds.split_off(1))
}

/// A task whose steps are timed, from one loss to the next.
struct Timed<'a> {
    task: Aptp<'a>,
    begun: Instant,
    seconds: Vec<f64>,
}

impl Task for Timed<'_> {
    fn variables(&self) -> &[Variable] {
        self.task.variables()
    }

    fn loss(&mut self, micro: u64) -> run::Result<Loss> {
        self.seconds.push(self.begun.elapsed().as_secs_f64());
        self.begun = Instant::now();
        self.task.loss(micro)
    }
}

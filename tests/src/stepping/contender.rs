//! One engine in a process of its own, and the line-wise conversation with it.

use super::{CPU_GRAPH, INPUTS, Settings};
use crate::{memory::Memory, networks::Engine as _, tensor::Tensor};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use pleach_model::{manifest::Precision, params::Params, sites::Pass, tensor::Dtype, unet::UNet};
use pleach_runtime::engine::{self, EngineOptions, TensorRef};
use pleach_trainer::torch::{Device, Torch, Weights};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// What can compute the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// libtorch through the trainer's interpreter
    Libtorch,
    /// ONNX Runtime, the graph for the CPU
    Cpu,
    /// The same, opened a second time through the host cache
    CpuCached,
    /// The same, with the weights of 8-bit convolutions mapped as well
    CpuMapped,
    /// ONNX Runtime, the graph for every provider
    Portable,
    /// Eager PyTorch with diffusers, in Python
    #[value(skip)]
    Torch,
    /// What torch.onnx exports of that, in ONNX Runtime, in Python
    #[value(skip)]
    TorchOnnx,
}

impl Engine {
    /// All that compute the network in f32 and need no Python.
    pub const ALL: [Self; 4] = [Self::Libtorch, Self::Cpu, Self::CpuCached, Self::Portable];

    /// Whether it opens what an earlier start left in the host cache.
    fn is_cached(self) -> bool {
        matches!(self, Self::CpuCached | Self::CpuMapped)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Libtorch => "libtorch",
            Self::Cpu => "cpu",
            Self::CpuCached => "cpu-cached",
            Self::CpuMapped => "cpu-mapped",
            Self::Portable => "portable",
            Self::Torch => "torch",
            Self::TorchOnnx => "torch-onnx",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a process of an engine is told.
#[derive(Serialize, Deserialize)]
struct Told {
    engine: Engine,
    settings: Settings,
}

/// What it says when it is ready.
#[derive(Serialize, Deserialize)]
struct Opened {
    seconds: f64,
    memory: Memory,
}

/// What came of an engine.
#[derive(Debug, Serialize)]
pub struct Timed {
    /// The engine.
    pub engine: Engine,
    /// What the weights are in.
    pub precision: Precision,
    /// Bytes of graph and weights.
    pub bytes: u64,
    /// Seconds to open the network.
    pub load_seconds: f64,
    /// Memory once it was open.
    pub opened: Memory,
    /// Seconds of each step, the first left out.
    pub step_seconds: Vec<f64>,
    /// Memory after the last step.
    pub stepped: Memory,
    /// The last step's output.
    #[serde(skip)]
    pub output: Option<Tensor>,
}

/// A process of an engine.
pub struct Contender {
    engine: Engine,
    settings: Settings,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    opened: Opened,
    steps: Vec<f64>,
}

/// A Python that runs `program`. The libtorch that this process may have been pointed at is not the one that Python brings.
pub fn python_command(python: &Path, program: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-c", program]).env_remove("LD_LIBRARY_PATH");
    command
}

impl Contender {
    /// Starts a process and waits until the network is open in it. What it opens through the host cache is put there first.
    pub fn start(engine: Engine, settings: &Settings) -> Result<Self> {
        if engine.is_cached() {
            Self::fill(engine, settings)?;
        }
        Self::first(engine, settings)
    }

    /// Puts the network into the host cache that an engine opens it through, in a process that ends.
    pub fn fill(engine: Engine, settings: &Settings) -> Result<()> {
        Self::first(engine, settings)?.finish().map(drop)
    }

    fn first(engine: Engine, settings: &Settings) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--quiet", "--contend", &told(engine, settings)?]);
        Self::spawn(engine, settings, command)
    }

    /// The same with a Python program, which is told the same, answers the same, and reads `inputs.safetensors` and `config.json` in the folder
    /// ([`Settings::write_for_python`]).
    pub fn in_python(engine: Engine, settings: &Settings, python: &Path, program: &str) -> Result<Self> {
        let mut command = python_command(python, program);
        command.arg(told(engine, settings)?);
        Self::spawn(engine, settings, command)
    }

    fn spawn(engine: Engine, settings: &Settings, mut command: Command) -> Result<Self> {
        let mut child = command
            .env("OMP_NUM_THREADS", settings.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process for an engine")?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process of an engine has no pipes");
        };
        let mut from = BufReader::new(from);
        let opened = hear(engine, &mut from)?;
        Ok(Self { engine, settings: settings.clone(), child, to, from, opened, steps: Vec::new() })
    }

    /// Lets it do one step.
    pub fn step(&mut self) -> Result<()> {
        writeln!(self.to, "step")?;
        self.steps.push(hear(self.engine, &mut self.from)?);
        Ok(())
    }

    /// Ends the process.
    pub fn finish(mut self) -> Result<Timed> {
        drop(self.to);
        let stepped = hear(self.engine, &mut self.from)?;
        self.child.wait()?;
        let output = match self.steps.as_slice() {
            [] => None,
            _ => {
                let [sample, ..] = self.settings.inputs();
                Some(Tensor::new(&sample.shape, self.settings.output(self.engine.name())?))
            }
        };
        Ok(Timed {
            engine: self.engine,
            precision: self.settings.precision,
            bytes: self.settings.bytes(self.engine)?,
            load_seconds: self.opened.seconds,
            opened: self.opened.memory,
            step_seconds: self.steps.into_iter().skip(1).collect(),
            stepped,
            output,
        })
    }
}

/// What a process is told.
fn told(engine: Engine, settings: &Settings) -> Result<String> {
    Ok(serde_json::to_string(&Told { engine, settings: settings.clone() })?)
}

/// Lets them take turns, a step each in so many rounds and one that is not counted, and ends them. `done` hears of each step.
pub fn take_turns(mut contenders: Vec<Contender>, rounds: usize, done: impl Fn()) -> Result<Vec<Timed>> {
    for _ in 0..=rounds {
        for contender in &mut contenders {
            contender.step()?;
            done();
        }
    }
    contenders.into_iter().map(Contender::finish).collect()
}

fn hear<T: DeserializeOwned>(engine: Engine, from: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the process of {engine} ended early; what it said is above"))
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

/// The process of an engine: opens the network, then does a step for every line that it is sent.
pub fn contend(told: &str) -> Result<()> {
    let Told { engine, settings } = serde_json::from_str(told)?;
    match engine {
        Engine::Libtorch => libtorch(&settings),
        Engine::Cpu | Engine::CpuCached | Engine::CpuMapped => onnxruntime(engine, &settings, CPU_GRAPH),
        Engine::Portable => onnxruntime(engine, &settings, "unet/model.onnx"),
        Engine::Torch | Engine::TorchOnnx => bail!("{engine} is Python's"),
    }
}

fn serve(
    engine: Engine,
    settings: &Settings,
    opening: Instant,
    mut step: impl FnMut() -> Result<Vec<f32>>,
) -> Result<()> {
    say(&Opened { seconds: opening.elapsed().as_secs_f64(), memory: Memory::now() })?;
    let mut output = Vec::new();
    for line in io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        output = step()?;
        say(&start.elapsed().as_secs_f64())?;
    }
    let memory = Memory::now();
    settings.keep_output(engine.name(), &output)?;
    say(&memory)
}

fn libtorch(settings: &Settings) -> Result<()> {
    let opening = Instant::now();
    let torch = Torch::new(Device::Cpu, Dtype::F32)?;
    let unet = settings.with_tensors(|tensors| {
        let weights = Weights::new(tensors);
        Ok(UNet::new(&settings.config(), &settings.architecture, &Params::new(&torch, &weights))?)
    })?;
    let inputs = settings.inputs();
    serve(Engine::Libtorch, settings, opening, || {
        let [sample, timestep, context] = inputs.each_ref().map(|tensor| torch.give(tensor));
        Ok(unet.forward(&Pass::plain(&torch), &sample?, &timestep?, &context?)?.to_f32()?)
    })
}

fn onnxruntime(engine: Engine, settings: &Settings, graph: &str) -> Result<()> {
    let opening = Instant::now();
    let runtime =
        engine::Engine::start(&EngineOptions { threads: Some(settings.threads), ..EngineOptions::default() })?;
    let mut network = settings.open(&runtime, graph, settings.cache(engine))?;
    let inputs = settings.inputs();
    let names = INPUTS;
    let [sample, timestep, context] = inputs.each_ref().map(|tensor| tensor.shape.as_slice());
    let shapes = [(names[0], sample), (names[1], timestep), (names[2], context)];
    let mut bound = network.bind(&shapes, &[("out_sample", sample)])?;
    serve(engine, settings, opening, || {
        for (name, tensor) in names.into_iter().zip(&inputs) {
            bound.set(name, TensorRef::new(&tensor.shape, &tensor.data)?)?;
        }
        bound.run()?;
        Ok(bound.output("out_sample")?.to_f32().into_owned())
    })
}

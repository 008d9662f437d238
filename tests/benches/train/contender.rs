//! A process that trains, and the line-wise conversation with it.

use anyhow::{Context, Result, bail};
use pleach_model::{
    architecture::Architecture,
    checkpoint::{Checkpoint, NewTensor, Spelling, write_safetensors},
    counter::{self, At},
    noise::Generator,
    params::Params,
    schedule::{Schedule, SchedulerConfig},
    sites::Pass,
    tensor::Dtype,
    unet::{UNet, UNetConfig},
};
use pleach_tests::{memory::Memory, networks::Engine as _, tensor::Tensor};
use pleach_trainer::{
    diffusion::{Diffusion, Noised},
    learn::{Optimiser, OptimiserSettings, RateSettings},
    native,
    torch::{Device, Torch, Value, Variables, Weights},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// What the script for PyTorch is.
const PEER: &str = include_str!("peer.py");

/// What both processes are told.
#[derive(Serialize, Deserialize)]
pub struct Told {
    /// Where configuration, weights and inputs are.
    pub folder: PathBuf,
    /// Threads to compute with.
    pub threads: usize,
    /// Learning rate.
    pub rate: f64,
    /// Latents in a batch.
    pub batch: usize,
    /// Their height and width.
    pub size: usize,
}

/// Length of the text embedding.
pub const TOKENS: usize = 77;
/// Names of the inputs.
const INPUTS: [&str; 4] = ["sample", "timesteps", "context", "noise"];

impl Told {
    /// Latents, timesteps, text embedding and noise, the same in every process.
    fn inputs(&self, config: &UNetConfig) -> [Tensor; 4] {
        let mut noise = Generator::new(7);
        let mut normal = |shape: &[usize]| Tensor::new(shape, noise.randn(shape.iter().product()));
        let latents = [self.batch, config.in_channels, self.size, self.size];
        let timesteps = (0..self.batch).map(|i| ((37 + 411 * i) % 1000) as f32).collect();
        let context = normal(&[self.batch, TOKENS, config.cross_attention_dim]);
        [normal(&latents), Tensor::new(&[self.batch], timesteps), context, normal(&latents)]
    }

    /// Writes them for PyTorch.
    pub fn write_inputs(&self, config: &UNetConfig) -> Result<()> {
        let inputs = self.inputs(config);
        let bytes = inputs.each_ref().map(|input| input.data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        let tensors = INPUTS.iter().zip(&inputs).zip(&bytes);
        let tensors = tensors.map(|((name, input), bytes)| NewTensor::new(*name, Dtype::F32, &input.shape, bytes));
        write_safetensors(&self.folder.join("inputs.safetensors"), tensors.collect(), &Default::default())?;
        Ok(())
    }
}

/// A step as a process tells it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Step {
    pub seconds: f64,
    pub loss: f64,
}

/// What is told at the end.
#[derive(Serialize, Deserialize)]
struct Ended {
    peak: Option<u64>,
}

/// What came of a process.
#[derive(Debug, Serialize)]
pub struct Timed {
    pub name: &'static str,
    /// The first is not timed.
    pub steps: Vec<Step>,
    /// Bytes.
    pub peak: Option<u64>,
}

/// A process.
pub struct Contender {
    name: &'static str,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    steps: Vec<Step>,
}

impl Contender {
    /// Our own trainer.
    pub fn ours(told: &Told) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--quiet", "--contend", &serde_json::to_string(told)?]);
        command.env("OMP_NUM_THREADS", told.threads.to_string());
        Self::start("pleach", command)
    }

    /// PyTorch.
    pub fn peer(python: &Path, told: &Told) -> Result<Self> {
        let mut command = Command::new(python);
        command.args(["-c", PEER, &serde_json::to_string(told)?]);
        Self::start("PyTorch, eager", command)
    }

    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the process of {name} has no pipes");
        };
        let mut from = BufReader::new(from);
        let _ready: serde_json::Value = hear(name, &mut from)?;
        Ok(Self { name, child, to, from, steps: Vec::new() })
    }

    /// Lets it do one step.
    pub fn step(&mut self) -> Result<()> {
        writeln!(self.to, "step")?;
        self.steps.push(hear(self.name, &mut self.from)?);
        Ok(())
    }

    /// Ends the process.
    pub fn finish(mut self) -> Result<Timed> {
        drop(self.to);
        let Ended { peak } = hear(self.name, &mut self.from)?;
        self.child.wait()?;
        Ok(Timed { name: self.name, steps: self.steps, peak })
    }
}

fn hear<T: DeserializeOwned>(name: &str, from: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the process of {name} ended early; what it said is above"))
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

/// Our process: loads the network, then does a step for every line that it is sent.
pub fn contend(told: &str) -> Result<()> {
    native::keep_freed_memory();
    let told: Told = serde_json::from_str(told)?;
    let (folder, rate) = (&told.folder, told.rate);
    let torch = Torch::new(Device::Cpu, Dtype::F32)?;
    let config = UNetConfig::from_json(&serde_json::from_slice(&fs::read(folder.join("config.json"))?)?)?;
    let full = Architecture::full();
    let tensors = counter::unet(&config, &full, At { height: 8, width: 8, tokens: 1 })?.tensors;
    let checkpoint = Checkpoint::open(&folder.join("unet.safetensors"))?;
    let bound = checkpoint.bind(&tensors, Spelling::Unet)?;
    let source = Variables::new(Weights::new(&bound));
    let unet = UNet::new(&config, &full, &Params::new(&torch, &source))?;
    let variables = source.into_list();
    let settings = OptimiserSettings {
        rate: RateSettings { peak: rate, warmup: 0, ..RateSettings::default() },
        clip: Some(1.0),
        ..OptimiserSettings::default()
    };
    let mut optimiser = Optimiser::new(&variables, settings)?;
    let inputs = told.inputs(&config).map(|input| torch.give(&input));
    let [sample, timesteps, context, noise] = inputs;
    let inputs = [sample?, timesteps?, context?, noise?];
    let schedule = Schedule::from_config(&SchedulerConfig::from_json("{}")?)?;
    let diffusion = Diffusion::new(&schedule, None, Device::Cpu)?;
    let weights = torch.give(&Tensor::new(&[told.batch], vec![1.0; told.batch]))?;
    let [sample, timesteps, context, noise] = &inputs;
    let plain = |value: &Value| value.tensor().shallow_clone();
    let noised =
        Noised { sample: plain(sample), timesteps: plain(timesteps), target: plain(noise), weights: plain(&weights) };
    say(&"ready")?;
    for line in io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let prediction = unet.forward(&Pass::plain(&torch), sample, timesteps, context)?;
        let loss = diffusion.loss(prediction.tensor(), &noised)?;
        loss.f_backward()?;
        optimiser.update(&variables, u64::MAX, None)?;
        let loss = loss.f_double_value(&[])?;
        say(&Step { seconds: start.elapsed().as_secs_f64(), loss })?;
    }
    say(&Ended { peak: Memory::now().peak })
}

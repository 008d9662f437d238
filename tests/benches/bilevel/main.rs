//! What lower and upper steps of bilevel fine-tuning cost, beside the passes that they are made of: a lower step should cost what a step of
//! fine-tuning costs, an upper one the student's pass both ways and two passes of the teacher.
//!
//! Weights, latents and embeddings are random. The kinds of steps take turns in one process; the first round is not counted.

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use pleach_console::{Align, ConsoleArgs, ExitCode, Printer, Table, human, run};
use pleach_model::{
    architecture::Architecture,
    counter::{self, At, Rule},
    noise::Generator,
    pipeline::Network,
    resources::Resources,
    schedule::{Schedule, SchedulerConfig},
    unet::UNetConfig,
    vector::VectorLayout,
};
use pleach_tests::{memory::Memory, random::RandomWeights, stepping::median};
use pleach_trainer::{
    data::Position,
    encoders::{self, Encode},
    finetune::{Batches, Encoded, Finetuning, LossRecipe, Setting, Teacher, TrainRecipe},
    learn::Optimiser,
    prune::{Pruner, Ranking},
    run::{self, LoopSettings, Task},
    suppress::{
        Bilevel, BilevelRecipe, Concept, CountTotal, ForgettingRecipe, ForgettingSetting, Mode, SuppressRecipe,
        SuppressSetting,
    },
    torch::Device,
};
use serde::Serialize;
use std::{fs, time::Instant};
use tch::Tensor;

/// Time lower and upper steps of bilevel fine-tuning
#[derive(Parser)]
struct Cli {
    /// The network
    #[arg(long, value_enum, default_value_t = Size::World)]
    network: Size,
    /// Latents in a batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Height and width of the latents
    #[arg(long, default_value_t = 16)]
    size: usize,
    /// Share of the multiply-accumulates that the student has
    #[arg(long, default_value_t = 0.8)]
    share: f64,
    /// Lower steps for each upper one
    #[arg(long, default_value_t = 1)]
    k: u64,
    /// Upper steps that are timed, after one that is not
    #[arg(long, default_value_t = 20)]
    steps: u64,
    /// Bilevel steps alone: without what they are compared with, which needs memory of its own
    #[arg(long)]
    alone: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Place::Cpu)]
    device: Place,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// A network with random weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Size {
    /// As the small world's
    World,
    /// Stable Diffusion 2.1's
    Sd21,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    /// The processor
    Cpu,
    /// The first CUDA device
    Cuda,
}

/// Length of the text embedding.
const TOKENS: usize = 77;

#[derive(Serialize)]
struct Report {
    network: Size,
    parameters: [u64; 2],
    batch: usize,
    size: usize,
    lower_seconds: Vec<f64>,
    upper_seconds: Vec<f64>,
    /// Steps of fine-tuning with a teacher.
    finetune_seconds: Vec<f64>,
    /// Without.
    student_seconds: Vec<f64>,
    peak: Option<u64>,
}

fn main() -> std::process::ExitCode {
    pleach_trainer::native::keep_freed_memory();
    let cli = Cli::parse();
    run(&cli.console, |printer| {
        if cli.device == Place::Cuda {
            pleach_trainer::libtorch::libtorch()?;
        }
        let report = measure(&cli, printer)?;
        if cli.json {
            printer.json(&report)?
        } else {
            report.print(printer)?
        }
        Ok(ExitCode::Done)
    })
}

/// Stands in for a text encoder: nothing is encoded here, for the anchor is the empty prompt.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &[String]) -> encoders::Result<Tensor> {
        Ok(Tensor::new())
    }
}

fn config(size: Size) -> Result<UNetConfig> {
    Ok(match size {
        Size::Sd21 => UNetConfig::sd21_base(),
        Size::World => {
            let text = fs::read(pleach_tests::world::base().join("unet/config.json"))?;
            UNetConfig::from_json(&serde_json::from_slice(&text)?)?
        }
    })
}

fn measure(cli: &Cli, printer: &Printer) -> Result<Report> {
    let device = match cli.device {
        Place::Cpu => Device::Cpu,
        Place::Cuda => Device::Cuda(0),
    };
    let config = config(cli.network)?;
    let scratch = tempfile::tempdir().context("cannot make a folder for the network")?;
    let at = At { height: cli.size, width: cli.size, tokens: TOKENS };
    let whole = counter::unet(&config, &Architecture::full(), at)?;
    let all = whole.parameters();
    printer.status("Writing", "a checkpoint with random weights");
    fs::write(scratch.path().join("config.json"), config.to_json().to_string())?;
    RandomWeights::new(2).write(&scratch.path().join("diffusion_pytorch_model.safetensors"), whole.tensors)?;
    let teacher = Teacher::new(Network::open(scratch.path())?)?;
    let layout = VectorLayout::of(&config)?;
    let resources = Resources::of(&config, &layout, at, Rule::Exact)?;
    let left = Ranking::uniform(&layout, &resources).prune(cli.share)?;
    let schedule = Schedule::from_config(&SchedulerConfig::from_json("{}")?)?;
    let normal = |seed, shape: &[usize]| -> run::Result<Tensor> {
        let values = Generator::new(seed).randn(shape.iter().product());
        let shape: Vec<i64> = shape.iter().map(|&dim| dim as i64).collect();
        Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(device)?)
    };
    let (channels, features, batch) = (config.in_channels, config.cross_attention_dim, cli.batch);
    let moments = normal(1, &[batch, 2 * channels, cli.size, cli.size])?;
    let context = normal(2, &[batch, TOKENS, features])?;
    let batches = || {
        let (moments, context) = (moments.shallow_clone(), context.shallow_clone());
        Batches::Made(Box::new(move || {
            let captions = vec!["a thing".to_owned(); batch];
            Ok(Encoded { moments: moments.shallow_clone(), context: context.shallow_clone(), captions })
        }))
    };
    let setting = |recipe| -> Result<Setting<'_>> {
        Ok(Setting {
            recipe,
            teacher: &teacher,
            architecture: &left,
            schedule: &schedule,
            scaling: 0.182_15,
            null: normal(3, &[1, TOKENS, features])?,
            device,
        })
    };
    let mut recipe = SuppressRecipe::code();
    recipe.train.batch = batch;
    recipe.train.settings = LoopSettings { steps: (cli.k + 1) * (cli.steps + 1), ..recipe.train.settings };
    let forgetting = ForgettingRecipe { batch, ..recipe.bilevel.forgetting };
    recipe.bilevel = BilevelRecipe {
        mode: Mode::SharedAlternating,
        k_lower: cli.k,
        count_total: CountTotal::Both,
        forgetting,
        ..recipe.bilevel
    };
    let alone = LossRecipe { output: 0.0, features: 0.0, ..recipe.train.loss };
    let without_teacher = TrainRecipe { loss: alone, ..recipe.train.clone() };
    let concept = Concept {
        name: "thing".into(),
        targets: vec!["thing".into()],
        anchor: None,
        weight: 1.0,
        prompts: Vec::new(),
        suffix: None,
    };
    let upper = ForgettingSetting {
        recipe: forgetting,
        concepts: vec![concept],
        pictures: vec![Box::new(|_| Ok(batches()))],
        text: &Nothing,
        null: normal(3, &[1, TOKENS, features])?,
        schedule: &schedule,
        scaling: 0.182_15,
        latents: [channels, cli.size, cli.size].map(|size| size as i64),
        seed: 1,
        device,
    };
    printer.status("Loading", "student and teacher");
    let lower = setting(&recipe.train)?;
    let suppress = SuppressSetting { recipe: &recipe, lower, weights: None, upper };
    let mut bilevel = Timed::new(Bilevel::new(suppress, |_, _: Position| Ok(batches()))?, &recipe.train.settings)?;
    let compared = [&recipe.train, &without_teacher].map(|recipe| -> Result<_> {
        let task = Finetuning::new(setting(recipe)?, |_| Ok(batches()))?;
        Timed::new(task, &recipe.settings)
    });
    let mut compared: Vec<Timed<Finetuning<'_>>> =
        if cli.alone { Vec::new() } else { compared.into_iter().collect::<Result<_>>()? };
    let bar = printer.progress(recipe.train.settings.steps, "Stepping", "steps");
    for step in 0..recipe.train.settings.steps {
        bilevel.step(step)?;
        compared.iter_mut().try_for_each(|task| task.step(step))?;
        bar.inc(1);
    }
    bar.finish();
    let [lower, upper] = [0, 1].map(|level| bilevel.seconds(level, cli.k));
    let others: Vec<Vec<f64>> = compared.iter().map(|task| task.seconds(0, cli.k)).collect();
    let [finetune, student] = [0, 1].map(|i| others.get(i).cloned().unwrap_or_default());
    Ok(Report {
        network: cli.network,
        parameters: [all, counter::unet(&config, &left, at)?.parameters()],
        batch,
        size: cli.size,
        lower_seconds: lower,
        upper_seconds: upper,
        finetune_seconds: finetune,
        student_seconds: student,
        peak: Memory::now().peak,
    })
}

/// A task whose steps are timed.
struct Timed<T> {
    task: T,
    levels: Vec<(run::Level, Optimiser)>,
    /// Level and seconds.
    steps: Vec<(usize, f64)>,
}

impl<T: Task> Timed<T> {
    fn new(task: T, settings: &LoopSettings) -> Result<Self> {
        let levels = task.levels(settings).into_iter().map(|level| {
            let optimiser = Optimiser::new(&level.variables, level.optimiser)?;
            Ok((level, optimiser))
        });
        Ok(Self { levels: levels.collect::<Result<_>>()?, task, steps: Vec::new() })
    }

    fn step(&mut self, step: u64) -> Result<()> {
        let level = self.task.level(step);
        let begun = Instant::now();
        let loss = self.task.loss(step)?.total;
        loss.f_backward()?;
        let Some((own, optimiser)) = self.levels.get_mut(level) else { bail!("there is no level {level}") };
        // It waits for the device.
        optimiser.update(&own.variables, own.updates, None)?;
        let _ = loss.f_double_value(&[])?;
        self.steps.push((level, begun.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Of the steps of a level, without the first round.
    fn seconds(&self, level: usize, k: u64) -> Vec<f64> {
        let counted = self.steps.iter().skip(k as usize + 1);
        counted.filter(|(own, _)| *own == level).map(|(_, seconds)| *seconds).collect()
    }
}

impl Report {
    fn print(&self, printer: &Printer) -> Result<()> {
        let Self { parameters: [teacher, student], batch, size, .. } = self;
        printer.line(format_args!(
            "teacher {}, student {} parameters, {batch} latents of {size} x {size}, f32",
            human::count(*teacher),
            human::count(*student)
        ))?;
        let [lower, upper, finetune, alone] =
            [&self.lower_seconds, &self.upper_seconds, &self.finetune_seconds, &self.student_seconds]
                .map(|seconds| median(seconds));
        // A step with a teacher is one without, and one pass of the teacher.
        let passes = finetune + (finetune - alone);
        let mut table =
            Table::new([("step", Align::Left), ("median", Align::Right), ("of what its passes cost", Align::Right)]);
        let ratio = |ratio: f64| if ratio.is_finite() { format!("{ratio:.3}") } else { String::new() };
        table.row(["fine-tuning".to_owned(), format!("{finetune:.3} s"), String::new()]);
        table.row(["student alone".to_owned(), format!("{alone:.3} s"), String::new()]);
        table.row(["lower".to_owned(), format!("{lower:.3} s"), ratio(lower / finetune)]);
        table.row(["upper".to_owned(), format!("{upper:.3} s"), ratio(upper / passes)]);
        printer.table(&table)?;
        let bytes = |bytes: Option<u64>| bytes.map_or("?".into(), human::bytes);
        Ok(printer.line(format_args!("peak {}", bytes(self.peak)))?)
    }
}

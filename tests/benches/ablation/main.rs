//! The ablations of "Efficient Fine-Tuning and Concept Suppression for Pruned Diffusion Models" (figures 4 and 5) on the small world.
//!
//! A student of half the width of the base model is fine-tuned with the denoising loss, with distillation, with both, and with both
//! from random weights. On the way each draws pictures for captions that were not learnt from, whose features (the judge's, in ONNX
//! Runtime) are compared with those of rendered pictures: the Frechet distance, and how often the judge finds what was asked.
//! What is done is kept: the command goes on where it stopped.

use anyhow::{Context, Result};
use clap::Parser;
use pleach_console::{ConsoleArgs, ExitCode, Printer, run};
use pleach_model::{architecture::Architecture, counter};
use pleach_tests::world::{
    learning::{Comparison, Ground, Student, in_workspace},
    looking::{Found, Looker},
    results::{Outcome, Results},
};
use pleach_trainer::finetune::{Init, LossRecipe, TrainRecipe};
use std::path::PathBuf;

/// Fine-tune a pruned student with and without distillation, from the teacher's weights and from random ones
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    comparison: Comparison,
    /// Where runs and results are kept
    #[arg(long, default_value = "target/ablation")]
    work: PathBuf,
    /// Runs of each kind, with seeds that follow each other
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Share of every site's units that the student keeps
    #[arg(long, default_value_t = 0.5)]
    width: f64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// A way to fine-tune.
struct Configuration {
    /// What table and plot call it.
    name: &'static str,
    diffusion: bool,
    distillation: bool,
    init: Init,
}

/// Figures 4 and 5.
const CONFIGURATIONS: [Configuration; 4] = [
    Configuration { name: "diffusion", diffusion: true, distillation: false, init: Init::Teacher },
    Configuration { name: "distillation", diffusion: false, distillation: true, init: Init::Teacher },
    Configuration { name: "both", diffusion: true, distillation: true, init: Init::Teacher },
    Configuration { name: "both, random weights", diffusion: true, distillation: true, init: Init::Random },
];
/// The whole teacher.
const TEACHER: &str = "the teacher itself";
/// What is cut out of it, before it learns.
const CUT: &str = "nothing: cut, not fine-tuned";

impl Configuration {
    fn recipe(&self, comparison: &Comparison, seed: u64) -> TrainRecipe {
        let paper = LossRecipe::paper();
        let weight = |used: bool, weight: f64| if used { weight } else { 0.0 };
        let loss = LossRecipe {
            diffusion: weight(self.diffusion, paper.diffusion),
            output: weight(self.distillation, paper.output),
            features: weight(self.distillation, paper.features),
            ..paper
        };
        TrainRecipe { init: self.init, loss, ..comparison.recipe(seed) }
    }
}

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { pleach_runtime::engine::disable_telemetry() };
    let mut cli = Cli::parse();
    in_workspace([&mut cli.comparison.base, &mut cli.comparison.docs, &mut cli.work]);
    run(&cli.console, |printer| ablate(&cli, printer))
}

fn ablate(cli: &Cli, printer: &Printer) -> Result<ExitCode> {
    std::fs::create_dir_all(&cli.work).with_context(|| format!("cannot make {}", cli.work.display()))?;
    let mut results = Results::open(&cli.work.join("results.jsonl"))?;
    let comparison = &cli.comparison;
    let ground = Ground::open(comparison, &cli.work)?;
    let mut looker = Looker::open(&comparison.base, &cli.work, comparison.drawn)?;
    let captions = ground.all();
    let mut judge = |name: &str, seed, step, pictures: &[_]| -> Result<Outcome> {
        let found = looker.look(&captions, pictures)?;
        let Found { frechet, exact } = &found;
        printer
            .status("Found", format_args!("{name}, seed {seed}, step {step}: Frechet {frechet:.2}, found {exact:.3?}"));
        Ok(Outcome::new(name, seed, step, found))
    };
    let sites = counter::unet_sites(ground.teacher.config())?;
    for (name, width) in [(TEACHER, 1.0), (CUT, cli.width)] {
        if !results.has(name, 0) {
            let pictures = ground.untrained(&Architecture::uniform(&sites, width))?;
            results.add(vec![judge(name, 0, 0, &pictures)?])?;
        }
    }
    let left = Architecture::uniform(&sites, cli.width);
    for seed in 0..cli.seeds {
        for configuration in &CONFIGURATIONS {
            let name = configuration.name;
            if results.has(name, seed) {
                continue;
            }
            printer.status("Training", format_args!("{name}, seed {seed}"));
            let recipe = configuration.recipe(comparison, seed);
            let student = Student { recipe: &recipe, left: &left, part: None, captions: &captions };
            let folder = cli.work.join(format!("{}-{seed}", name.replace([',', ' '], "")));
            let looks = ground.fine_tune(&student, &folder)?;
            let outcomes = looks.iter().map(|(step, pictures)| judge(name, seed, *step, pictures));
            results.add(outcomes.collect::<Result<_>>()?)?;
        }
    }
    let names = CONFIGURATIONS.each_ref().map(|configuration| configuration.name);
    results.plot(&comparison.docs.join("ablation.png"), &names, &[TEACHER])?;
    printer.raw(results.table("fine-tuned with", &names, &[CUT, TEACHER]).as_bytes())?;
    Ok(ExitCode::Done)
}

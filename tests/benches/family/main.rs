//! A family of experts behind a prompt router beside single experts, on the small world: APTP against pruners that learn nothing, at the
//! same mean multiply-accumulates and after the same fine-tuning.
//!
//! Whether the router does what it is for is asked of captions that no training used: what they cost on average, how they are shared
//! out, and whether those with more objects go to larger experts. How well the students draw is asked of the judge, as in `ablation`.
//! What is done is kept: the command goes on where it stopped.

mod routing;

use anyhow::{Context, Result};
use clap::Parser;
use pleach_console::{ConsoleArgs, ExitCode, Printer, run};
use pleach_model::{
    architecture::Architecture,
    counter::{self, At, Rule},
    family::FamilyFolder,
    files::Overwrite,
    resources::Resources,
    router::Route,
    vector::VectorLayout,
};
use pleach_tests::world::{
    learning::{Comparison, Ground, Student, in_workspace},
    looking::{Found, Looker},
    results::{Outcome, Results},
};
use pleach_trainer::{
    diffusion::Diffusion,
    encoders::Sentences,
    finetune::Making,
    learn::{OptimiserSettings, RateSettings},
    prune::{
        Aptp, AptpRecipe, AptpSetting, ArchitectureLosses, Chosen, NewExpert, NewFamily, NewRouting, PromptRouter,
        Pruner, Ranking, Sample, TaylorRecipe, magnitude, part_of, route, taylor,
    },
    run::{LoopSettings, RunFolder, Start, train},
    torch::Device,
};
use routing::Routing;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Prune to a family by APTP and to single experts by rules, fine-tune all alike, and compare
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    comparison: Comparison,
    /// Where runs and results are kept
    #[arg(long, default_value = "target/family")]
    work: PathBuf,
    /// The router's sentence encoder
    #[arg(long, default_value = ".native/sentence/all-MiniLM-L6-v2")]
    sentences: PathBuf,
    /// Experts of the family
    #[arg(long, default_value_t = 4)]
    experts: usize,
    /// Share of the multiply-accumulates that is left on average
    #[arg(long, default_value_t = 0.6)]
    target: f64,
    /// Steps that router and experts are learnt in
    #[arg(long, default_value_t = 800)]
    pruning: u64,
    /// Those of them before there are experts
    #[arg(long, default_value_t = 300)]
    warm_start: u64,
    /// Weight of the cross entropy that has prompts go where they were learnt; 0 as published
    #[arg(long, default_value_t = 0.1)]
    commitment: f64,
    /// Seeds of pruning and fine-tuning, which follow each other
    #[arg(long, default_value_t = 2)]
    seeds: u64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// The whole teacher.
const TEACHER: &str = "the teacher itself";
/// The experts together.
const FAMILY: &str = "APTP, a family";
/// The same router and sizes, and experts of another rule: what the router gives is told from what the learnt gates give.
const RECUT: &str = "its router, experts cut by magnitude";
/// Single experts.
const RULES: [&str; 4] = ["magnitude", "taylor", "random", "uniform"];

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { pleach_runtime::engine::disable_telemetry() };
    pleach_trainer::native::keep_freed_memory();
    let mut cli = Cli::parse();
    let Cli { comparison: Comparison { base, docs, .. }, work, sentences, .. } = &mut cli;
    in_workspace([base, docs, work, sentences]);
    run(&cli.console, |printer| compare(&cli, printer))
}

fn compare(cli: &Cli, printer: &Printer) -> Result<ExitCode> {
    fs::create_dir_all(&cli.work).with_context(|| format!("cannot make {}", cli.work.display()))?;
    let mut results = Results::open(&cli.work.join("results.jsonl"))?;
    let comparison = &cli.comparison;
    let ground = Ground::open(comparison, &cli.work)?;
    let mut looker = Looker::open(&comparison.base, &cli.work, comparison.drawn)?;
    let mut judge = |name: &str, seed, step, captions: &[usize], pictures: &[_]| -> Result<Outcome> {
        let found = looker.look(captions, pictures)?;
        let Found { frechet, exact } = &found;
        printer
            .status("Found", format_args!("{name}, seed {seed}, step {step}: Frechet {frechet:.2}, found {exact:.3?}"));
        Ok(Outcome::new(name, seed, step, found))
    };
    let all = ground.all();
    if !results.has(TEACHER, 0) {
        let pictures = ground.untrained(&Architecture::full())?;
        results.add(vec![judge(TEACHER, 0, 0, &all, &pictures)?])?;
    }
    let mut table = Routing::heading();
    for seed in 0..cli.seeds {
        let family = family(cli, &ground, seed, printer)?;
        let router = PromptRouter::open(&family, Device::Cpu)?.context("the family has no router")?;
        let routing = Routing::of(&family, &router)?;
        printer.status("Routed", routing.row(seed));
        table += &format!("{}\n", routing.row(seed));
        for name in [FAMILY, RECUT] {
            if results.has(name, seed) {
                continue;
            }
            let left = match name {
                FAMILY => family.architectures().to_vec(),
                _ => recut(&ground, family.architectures())?,
            };
            let experts = Experts { family: &family, router: &router, left: &left, name };
            let looks = fine_tune_family(cli, &ground, &experts, seed, printer)?;
            let outcomes = looks
                .iter()
                .map(|(step, drawn)| {
                    let (captions, pictures): (Vec<usize>, Vec<_>) = drawn.iter().cloned().unzip();
                    judge(name, seed, *step, &captions, &pictures)
                })
                .collect::<Result<_>>()?;
            results.add(outcomes)?;
        }
        for rule in RULES {
            if results.has(rule, seed) {
                continue;
            }
            let left = cut(rule, &ground, at(&ground)?, routing.mean, seed)?;
            printer.status("Fine-tuning", format_args!("{rule}, seed {seed}"));
            let recipe = cli.comparison.recipe(seed);
            let student = Student { recipe: &recipe, left: &left, part: None, captions: &all };
            let looks = ground.fine_tune(&student, &folder(&cli.work, rule, seed))?;
            let outcomes = looks.iter().map(|(step, pictures)| judge(rule, seed, *step, &all, pictures));
            results.add(outcomes.collect::<Result<_>>()?)?;
        }
    }
    let names: Vec<&str> = [FAMILY, RECUT].into_iter().chain(RULES).collect();
    results.plot(&comparison.docs.join("family.png"), &names, &[TEACHER])?;
    printer.raw(format!("{table}\n{}", results.table("pruned by", &names, &[TEACHER])).as_bytes())?;
    Ok(ExitCode::Done)
}

/// Where multiply-accumulates are counted.
fn at(ground: &Ground) -> Result<At> {
    let side = ground.side()?;
    Ok(At { height: side, width: side, tokens: 77 })
}

/// The family that APTP learns with a seed.
fn family(cli: &Cli, ground: &Ground, seed: u64, printer: &Printer) -> Result<FamilyFolder> {
    let folder = cli.work.join(format!("aptp-{seed}"));
    let made = folder.join("family");
    if made.is_dir() {
        return Ok(FamilyFolder::open(&made)?);
    }
    printer.status("Pruning", format_args!("seed {seed}"));
    let recipe = AptpRecipe {
        seed,
        experts: cli.experts,
        target: cli.target,
        rule: Rule::Exact,
        batch: 32,
        warm_start: cli.warm_start,
        gates: Chosen::Mode,
        architectures: ArchitectureLosses { spread: 0.5, commitment: cli.commitment, ..ArchitectureLosses::default() },
        settings: LoopSettings {
            steps: cli.pruning,
            sample_every: 0,
            checkpoint_every: cli.pruning,
            optimiser: OptimiserSettings {
                rate: RateSettings { peak: 4e-3, warmup: 20, ..RateSettings::default() },
                ..OptimiserSettings::default()
            },
            ..LoopSettings::default()
        },
        ..AptpRecipe::default()
    };
    let (sentences, at) = (Sentences::open(&cli.sentences, Device::Cpu)?, at(ground)?);
    let setting = AptpSetting {
        recipe: &recipe,
        teacher: &ground.teacher,
        schedule: &ground.schedule,
        scaling: ground.scaling,
        null: ground.null()?,
        sentences: &sentences,
        at,
        device: Device::Cpu,
    };
    let mut task = Aptp::new(setting, |position| ground.batches((recipe.batch, seed), None, position))?;
    let run = folder.join("run");
    if run.is_dir() {
        fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
    }
    train(&mut task, &recipe.effective_settings(), &RunFolder::open(&run, &recipe, Start::New)?, &())?;
    let router = task.router(&ground.dataset.all_captions(), cli.sentences.clone())?;
    let experts = router.experts.iter().enumerate();
    NewFamily {
        teacher: &ground.teacher,
        source: cli.comparison.base.display().to_string(),
        experts: experts.map(|(i, e)| NewExpert::cut(format!("expert-{i}"), e.architecture.clone())).collect(),
        router: Some(NewRouting::Learnt(router)),
        at,
        method: "aptp".into(),
        recipe: json!(recipe),
    }
    .write(&made, Overwrite::Never, &|_| {})?;
    Ok(FamilyFolder::open(&made)?)
}

/// Pictures by the numbers of their captions, after so many steps.
type Drawn = BTreeMap<u64, Vec<(usize, image::RgbImage)>>;

/// The experts of a family, or others in their place.
struct Experts<'a> {
    family: &'a FamilyFolder,
    router: &'a PromptRouter,
    left: &'a [Architecture],
    name: &'a str,
}

/// Experts of the same sizes, cut by the magnitude of their weights.
fn recut(ground: &Ground, experts: &[Architecture]) -> Result<Vec<Architecture>> {
    let (config, at) = (ground.teacher.config(), at(ground)?);
    let macs = |left: &Architecture| -> Result<f64> { Ok(counter::unet(config, left, at)?.macs().exact as f64) };
    let whole = macs(&Architecture::full())?;
    experts.iter().map(|left| cut("magnitude", ground, at, macs(left)? / whole, 0)).collect()
}

/// Fine-tunes each expert on the captions that go to it, and has it draw those that do.
fn fine_tune_family(cli: &Cli, ground: &Ground, experts: &Experts<'_>, seed: u64, printer: &Printer) -> Result<Drawn> {
    let Experts { family, router, left, name: whose } = experts;
    let names: Vec<String> = family.manifest().experts.iter().map(|expert| expert.name.clone()).collect();
    let learnt = route(&*ground.dataset, router, &names, &|_| {})?;
    let asked: Vec<Route> = router.routes(ground.captions())?;
    let mut drawn = Drawn::new();
    for (i, (name, left)) in names.iter().zip(*left).enumerate() {
        let captions: Vec<usize> = (0..asked.len()).filter(|&number| asked[number].expert == i).collect();
        if captions.is_empty() {
            continue;
        }
        printer.status("Fine-tuning", format_args!("{whose}: {name}, seed {seed}: {} captions", captions.len()));
        let part = Some(Arc::new(part_of(&*ground.dataset, &learnt, name)?));
        let recipe = cli.comparison.recipe(seed);
        let student = Student { recipe: &recipe, left, part, captions: &captions };
        for (step, pictures) in ground.fine_tune(&student, &folder(&cli.work, name, seed))? {
            drawn.entry(step).or_default().extend(captions.iter().copied().zip(pictures));
        }
    }
    Ok(drawn)
}

fn folder(work: &Path, name: &str, seed: u64) -> PathBuf {
    work.join(format!("{name}-{seed}"))
}

/// What a rule leaves where about this share of the multiply-accumulates may stay.
fn cut(rule: &str, ground: &Ground, at: At, share: f64, seed: u64) -> Result<Architecture> {
    let config = ground.teacher.config();
    let layout = VectorLayout::of(config)?;
    let resources = Resources::of(config, &layout, at, Rule::Exact)?;
    let ranking = match rule {
        "magnitude" => Ranking::global(&layout, &resources, &magnitude(&ground.teacher, &layout)?),
        "taylor" => {
            let recipe = TaylorRecipe::default();
            let null = ground.null()?;
            let making = Making { scaling: ground.scaling, dropout: 0.0, null: &null, seed, device: Device::Cpu };
            let mut batches = ground.batches((recipe.batch, seed), None, Default::default())?;
            let sample = Sample::next(&mut batches, &making)?;
            let diffusion = Diffusion::new(&ground.schedule, None, Device::Cpu)?;
            let scores = taylor(&ground.teacher, &layout, &diffusion, &sample, recipe, &|_, _| {})?;
            Ranking::in_each_site(&layout, &resources, &scores)
        }
        "random" => Ranking::random(&layout, &resources, seed),
        _ => Ranking::uniform(&layout, &resources),
    };
    Ok(ranking.prune(share)?)
}

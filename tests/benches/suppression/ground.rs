//! What all methods begin with: an expert, distilled on data without the style, and pictures of the style.

use crate::{
    Cli,
    methods::Variant,
    report::{Groups, Outcome},
};
use anyhow::{Context, Result, bail};
use pleach_console::Printer;
use pleach_trainer::world::folder::{Entry, METADATA};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Seed of the pictures that are learnt from, the same as the base model's.
const WORLD: &str = "1";
/// Seed of the captions that are drawn.
const ASKED: &str = "777";

/// Everything that was prepared.
pub struct Ground {
    program: PathBuf,
    pub base: PathBuf,
    work: PathBuf,
    /// Of the style.
    pub style: String,
    /// Of what takes its place.
    pub anchor: String,
    /// Pictures without the style.
    pub data: PathBuf,
    /// A cache of them.
    pub cache: PathBuf,
    /// The expert's UNet.
    pub expert: PathBuf,
    /// Pictures of the style, and the same with the anchor.
    pub pictures: [PathBuf; 2],
    /// Prompts with the style, and the same with the anchor.
    pub prompts: [Vec<String>; 2],
    asked: PathBuf,
}

impl Ground {
    pub fn prepare(cli: &Cli, printer: &Printer) -> Result<Self> {
        let at = |name: &str| cli.work.join(name);
        let mut ground = Self {
            program: cli.program.clone(),
            base: cli.base.clone(),
            work: cli.work.clone(),
            style: cli.style.clone(),
            anchor: cli.anchor.clone(),
            data: at("data"),
            cache: at("cache"),
            expert: at("distilled/student/unet"),
            pictures: [at("concept"), at("anchor")],
            prompts: Default::default(),
            asked: at("asked.jsonl"),
        };
        let all = at("all");
        ground
            .make(&all, printer, |out| words(["world", "--count", &cli.pictures.to_string(), "--seed", WORLD], out))?;
        if !ground.data.is_dir() {
            without(&all, &ground.style, &ground.data)?;
        }
        let base = text(&cli.base);
        let data = text(&ground.data);
        ground.make(&ground.cache, printer, |out| {
            words(["cache", &data, "--checkpoint", &base, "--resolution", "64", "--precision", "f32"], out)
        })?;
        let cut = at("cut");
        let share = cli.share.to_string();
        ground.make(&cut, printer, |out| {
            words(["prune", "--method", "magnitude", "--teacher", &base, "--target", &share], out)
        })?;
        let left = cut.join("family/experts/expert-0/unet/architecture.json");
        let distilled = at("distilled");
        ground.make(&distilled, printer, |out| {
            let mut words = words(["finetune", "--preset", "paper"], out);
            words.extend(ground.learning(16, cli.steps, 1e-4));
            words.extend(set("student", &format!("{{file = {:?}}}", text(&left))));
            words
        })?;
        let captions = at("captions");
        let known = text(&all.join(METADATA));
        ground.make(&captions, printer, |out| {
            let count = (10 * (cli.drawn + cli.concept_pictures)).to_string();
            words(
                ["world", "--count", &count, "--seed", ASKED, "--one-object", "--captions-only", "--except", &known],
                out,
            )
        })?;
        let entries = entries(&captions.join(METADATA))?;
        let has = |entry: &&Entry| entry.scene.style.word() == ground.style;
        let (with, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(has);
        let asked: Vec<&Entry> = with.iter().zip(&others).take(cli.drawn).flat_map(|(a, b)| [*a, *b]).collect();
        if asked.len() < 2 * cli.drawn {
            bail!("there are too few captions with the style {:?}", ground.style);
        }
        write(&ground.asked, &asked)?;
        let concept: Vec<String> =
            with.iter().skip(cli.drawn).take(cli.concept_pictures).map(|entry| entry.text.clone()).collect();
        let anchored = concept.iter().map(|prompt| prompt.replace(&ground.style, &ground.anchor)).collect();
        ground.prompts = [concept, anchored];
        for (prompts, pictures) in ground.prompts.iter().zip(&ground.pictures) {
            let list = pictures.with_extension("txt");
            fs::write(&list, prompts.join("\n"))?;
            ground.make(pictures, printer, |out| {
                let mut words = words(["concept-images", &base, "--prompts", &text(&list)], out);
                words.extend(drawing());
                words
            })?;
        }
        Ok(ground)
    }

    /// Lower level, or what is fine-tuned.
    pub fn learning(&self, batch: usize, steps: u64, rate: f64) -> Vec<String> {
        [
            set("teacher", &quoted(&self.base)),
            set("data", &quoted(&self.data)),
            set("cache", &quoted(&self.cache)),
            set("train.batch", &batch.to_string()),
            set("train.dropout", "0.1"),
            set("train.loop.steps", &steps.to_string()),
            set("train.loop.sample_every", "0"),
            set("train.loop.optimiser.rate.peak", &rate.to_string()),
            set("train.loop.optimiser.rate.warmup", "20"),
        ]
        .concat()
    }

    /// Runs a command that makes a folder, where it is not there.
    fn make(&self, out: &Path, printer: &Printer, command: impl FnOnce(&Path) -> Vec<String>) -> Result<()> {
        if !out.is_dir() {
            self.run(&command(out), printer)?;
        }
        Ok(())
    }

    fn run(&self, words: &[String], printer: &Printer) -> Result<Vec<u8>> {
        printer.status("Running", format_args!("pleach-train {}", words.join(" ")));
        let mut command = Command::new(&self.program);
        let output = command.arg("--quiet").args(words).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| {
            format!("cannot run {}: build it with `cargo build --release -p pleach-trainer`", self.program.display())
        })?;
        if !output.status.success() {
            bail!("pleach-train ended with {}", output.status);
        }
        Ok(output.stdout)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.work.join(name.replace([' ', ',', '/'], "-"))
    }

    /// Lets a method change the expert: the family that it leaves, and the seconds that it took.
    pub fn forget(&self, variant: &Variant, printer: &Printer) -> Result<(PathBuf, f64)> {
        let folder = self.folder(&variant.name);
        if folder.is_dir() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let [command, rest @ ..] = &variant.words[..] else { bail!("{} is no command", variant.name) };
        let mut words = vec![command.clone(), text(&self.expert), "--out".into(), text(&folder)];
        words.extend_from_slice(rest);
        let begun = Instant::now();
        self.run(&words, printer)?;
        Ok((folder.join("family"), begun.elapsed().as_secs_f64()))
    }

    /// Where the pictures of a probe are.
    pub fn grid(&self, name: &str) -> PathBuf {
        self.folder(name).with_extension("png")
    }

    /// Draws the prompts, and counts what is found.
    pub fn probe(&self, name: &str, model: &Path, seconds: f64, printer: &Printer) -> Result<Outcome> {
        let mut words: Vec<String> =
            ["probe", &text(model), "--prompts", &text(&self.asked), "--json", "--split"].map(str::to_owned).into();
        words.push(format!("style={}", self.style));
        let drawn = self.work.join("drawn");
        words.extend(["--teacher".into(), text(&self.base), "--out".into(), text(&drawn)]);
        words.extend(drawing());
        if model == self.base {
            words.retain(|word| word != "--teacher");
            words.remove(words.iter().rposition(|word| *word == text(&self.base)).unwrap_or(words.len()));
        }
        let probed: Vec<Probed> = serde_json::from_slice(&self.run(&words, printer)?).context("what probe said")?;
        let Some(Probed { groups, grid }) = probed.into_iter().next() else { bail!("nothing was probed") };
        fs::rename(grid, self.grid(name))?;
        let outcome = Outcome { name: name.to_owned(), seconds, groups };
        printer.status("Found", outcome.line());
        Ok(outcome)
    }
}

#[derive(Deserialize)]
struct Probed {
    groups: Groups,
    grid: PathBuf,
}

/// How everything is drawn.
fn drawing() -> Vec<String> {
    ["--sampler", "dpmpp_2m", "--steps", "12", "--guidance", "2", "--batch", "48"].map(str::to_owned).into()
}

/// A key of the recipe.
pub fn set(key: &str, value: &str) -> Vec<String> {
    vec!["--set".into(), format!("{key}={value}")]
}

/// A path as a value.
pub fn quoted(path: &Path) -> String {
    format!("{:?}", text(path))
}

/// A path as a word.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

fn words<const N: usize>(words: [&str; N], out: &Path) -> Vec<String> {
    words.into_iter().map(str::to_owned).chain(["--out".to_owned(), text(out)]).collect()
}

fn entries(path: &Path) -> Result<Vec<Entry>> {
    let lines = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| path.display().to_string())).collect()
}

fn write(path: &Path, entries: &[&Entry]) -> Result<()> {
    let lines = entries.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    fs::write(path, lines.join("\n")).with_context(|| path.display().to_string())
}

/// An image folder without the pictures of a style.
fn without(all: &Path, style: &str, to: &Path) -> Result<()> {
    let entries = entries(&all.join(METADATA))?;
    let left: Vec<&Entry> = entries.iter().filter(|entry| entry.scene.style.word() != style).collect();
    let begun = to.with_extension("begun");
    fs::create_dir_all(&begun)?;
    for name in left.iter().filter_map(|entry| entry.file_name.as_ref()) {
        fs::copy(all.join(name), begun.join(name)).with_context(|| name.clone())?;
    }
    write(&begun.join(METADATA), &left)?;
    Ok(fs::rename(begun, to)?)
}

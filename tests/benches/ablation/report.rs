//! Results as they are kept, and as table and plot.

use super::learning::{CONFIGURATIONS, CUT, TEACHER};
use anyhow::{Context, Result};
use pleach_trainer::run::{Series, plot};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// What was found in the pictures that one student drew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub name: String,
    pub seed: u64,
    pub step: u64,
    pub frechet: f64,
    /// For each head, the share of pictures in which it finds what was asked and nothing else.
    pub found: BTreeMap<String, f64>,
}

/// All that is known so far.
pub struct Results {
    path: PathBuf,
    outcomes: Vec<Outcome>,
}

impl Results {
    pub fn open(path: &Path) -> Result<Self> {
        let text = if path.is_file() { fs::read_to_string(path)? } else { String::new() };
        let outcomes = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Self { path: path.to_owned(), outcomes: outcomes.with_context(|| path.display().to_string())? })
    }

    pub fn has(&self, name: &str, seed: u64) -> bool {
        self.outcomes.iter().any(|outcome| outcome.name == name && outcome.seed == seed)
    }

    /// Keeps the results of one run.
    pub fn add(&mut self, outcomes: Vec<Outcome>) -> Result<()> {
        let mut lines = String::new();
        for outcome in &outcomes {
            lines += &serde_json::to_string(outcome)?;
            lines += "\n";
        }
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(lines.as_bytes())?;
        self.outcomes.extend(outcomes);
        Ok(())
    }

    fn steps(&self) -> BTreeSet<u64> {
        self.outcomes.iter().map(|outcome| outcome.step).filter(|step| *step > 0).collect()
    }

    fn of(&self, name: &str, step: u64) -> Vec<&Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.name == name && outcome.step == step).collect()
    }

    /// Markdown: for each way to fine-tune the Frechet distance at each look, mean and range over seeds, and what the judge found at the end.
    pub fn table(&self) -> String {
        let steps = self.steps();
        let mut text = String::from("| fine-tuned with |");
        steps.iter().for_each(|step| write!(text, " step {step} |").unwrap_or_default());
        text += " style, shape, colour right at the end |\n|---|";
        text += &"---|".repeat(steps.len() + 1);
        for name in CONFIGURATIONS.iter().map(|configuration| configuration.name) {
            write!(text, "\n| {name} |").unwrap_or_default();
            for &step in &steps {
                let all: Vec<f64> = self.of(name, step).iter().map(|outcome| outcome.frechet).collect();
                write!(text, " {} |", spread(&all)).unwrap_or_default();
            }
            let last = steps.last().map(|&step| self.of(name, step)).unwrap_or_default();
            write!(text, " {} |", shares(&last)).unwrap_or_default();
        }
        for untrained in [CUT, TEACHER].iter().flat_map(|name| self.of(name, 0)) {
            let empty = " |".repeat(steps.len().saturating_sub(1));
            let Outcome { name, frechet, .. } = untrained;
            write!(text, "\n| {name} | {frechet:.1}, before any step |{empty} {} |", shares(&[untrained]))
                .unwrap_or_default();
        }
        text + "\n"
    }

    /// Means over seeds against steps.
    pub fn plot(&self, path: &Path) -> Result<()> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let series = CONFIGURATIONS.iter().map(|configuration| {
            let point = |&step: &u64| {
                let all: Vec<f64> = self.of(configuration.name, step).iter().map(|outcome| outcome.frechet).collect();
                (step as f64, mean(&all))
            };
            Series { name: configuration.name.to_owned(), points: self.steps().iter().map(point).collect() }
        });
        let mut series: Vec<Series> = series.collect();
        for teacher in self.of(TEACHER, 0) {
            let points = self.steps().iter().map(|&step| (step as f64, teacher.frechet)).collect();
            series.push(Series { name: TEACHER.to_owned(), points });
        }
        plot("step", "Frechet distance, judge's features", &series, true)?.save(path)?;
        Ok(())
    }
}

/// Mean and range.
fn spread(values: &[f64]) -> String {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    match values.len() {
        0 => String::new(),
        1 => format!("{mean:.1}"),
        _ => format!("{mean:.1} ({low:.1} to {high:.1})"),
    }
}

/// Mean share of each head, in per cent.
fn shares(outcomes: &[&Outcome]) -> String {
    let share = |head: &str| {
        let all: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.found.get(head)).copied().collect();
        format!("{:.0} %", 100.0 * all.iter().sum::<f64>() / all.len().max(1) as f64)
    };
    ["style", "shape", "colour"].map(share).join(", ")
}

//! Results of students as they are kept, and as table and plot.

use super::looking::Found;
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
    /// What it is called.
    pub name: String,
    /// Seed of the run.
    pub seed: u64,
    /// Steps that it had learnt.
    pub step: u64,
    /// See [`Found`].
    pub frechet: f64,
    /// For each head, the share of pictures in which it finds what was asked and nothing else.
    pub found: BTreeMap<String, f64>,
}

impl Outcome {
    /// Of a student of this name, with a seed, after so many steps.
    pub fn new(name: &str, seed: u64, step: u64, found: Found) -> Self {
        let Found { frechet, exact } = found;
        Self { name: name.to_owned(), seed, step, frechet, found: exact }
    }
}

/// All that is known so far.
pub struct Results {
    path: PathBuf,
    outcomes: Vec<Outcome>,
}

impl Results {
    /// What a file holds; nothing where there is none.
    ///
    /// # Errors
    /// A file that holds something else.
    pub fn open(path: &Path) -> Result<Self> {
        let text = if path.is_file() { fs::read_to_string(path)? } else { String::new() };
        let outcomes = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Self { path: path.to_owned(), outcomes: outcomes.with_context(|| path.display().to_string())? })
    }

    /// Whether there are results of this student with this seed.
    pub fn has(&self, name: &str, seed: u64) -> bool {
        self.outcomes.iter().any(|outcome| outcome.name == name && outcome.seed == seed)
    }

    /// Keeps the results of one run.
    ///
    /// # Errors
    /// The file cannot be written.
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

    /// Markdown: for each of these students the Frechet distance at each look, mean and range over seeds, and what the judge found at the end;
    /// then the same of what learnt nothing.
    pub fn table(&self, heading: &str, students: &[&str], untrained: &[&str]) -> String {
        let steps = self.steps();
        let mut text = format!("| {heading} |");
        steps.iter().for_each(|step| write!(text, " step {step} |").unwrap_or_default());
        text += " style, shape, colour right at the end |\n|---|";
        text += &"---|".repeat(steps.len() + 1);
        for name in students {
            write!(text, "\n| {name} |").unwrap_or_default();
            for &step in &steps {
                let all: Vec<f64> = self.of(name, step).iter().map(|outcome| outcome.frechet).collect();
                write!(text, " {} |", spread(&all)).unwrap_or_default();
            }
            let last = steps.last().map(|&step| self.of(name, step)).unwrap_or_default();
            write!(text, " {} |", shares(&last)).unwrap_or_default();
        }
        for untrained in untrained.iter().flat_map(|name| self.of(name, 0)) {
            let empty = " |".repeat(steps.len().saturating_sub(1));
            let Outcome { name, frechet, .. } = untrained;
            write!(text, "\n| {name} | {frechet:.1}, before any step |{empty} {} |", shares(&[untrained]))
                .unwrap_or_default();
        }
        text + "\n"
    }

    /// Mean Frechet distances over seeds against steps; that of what learnt nothing as a level.
    ///
    /// # Errors
    /// A picture that cannot be drawn or written.
    pub fn plot(&self, path: &Path, students: &[&str], levels: &[&str]) -> Result<()> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let series = students.iter().map(|name| {
            let point = |&step: &u64| {
                let all: Vec<f64> = self.of(name, step).iter().map(|outcome| outcome.frechet).collect();
                (!all.is_empty()).then(|| (step as f64, mean(&all)))
            };
            Series { name: (*name).to_owned(), points: self.steps().iter().filter_map(point).collect() }
        });
        let mut series: Vec<Series> = series.collect();
        for level in levels.iter().flat_map(|name| self.of(name, 0)) {
            let points = self.steps().iter().map(|&step| (step as f64, level.frechet)).collect();
            series.push(Series { name: level.name.clone(), points });
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

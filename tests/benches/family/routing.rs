//! Where a family's router sends captions that no training used.

use anyhow::{Context, Result};
use pleach_evaluator::stats::{Bootstrap, Interval};
use pleach_model::family::FamilyFolder;
use pleach_trainer::{prune::PromptRouter, world};

/// Seed of the captions.
const VALIDATION: u64 = 0x0076_616c_6964;
/// How many there are.
const COUNT: u64 = 2000;

/// What was found.
pub struct Routing {
    /// Mean share of the base's multiply-accumulates, over the captions.
    pub mean: f64,
    /// For each expert its share of the multiply-accumulates, and of the captions.
    experts: Vec<(f64, f64)>,
    /// Correlation between the number of objects and the size of the expert, with a 95 % bootstrap interval; none where all experts that
    /// are used have one size.
    correlation: Option<(f64, Interval)>,
}

impl Routing {
    /// Routes the captions.
    pub fn of(family: &FamilyFolder, router: &PromptRouter) -> Result<Self> {
        let manifest = family.manifest();
        let size = |macs: u64| macs as f64 / manifest.base.macs.exact as f64;
        let sizes: Vec<f64> = manifest.experts.iter().map(|expert| size(expert.macs.exact)).collect();
        let samples: Vec<world::Sample> = (0..COUNT).map(|index| world::sample(VALIDATION, index)).collect();
        let mut routes = Vec::new();
        for part in samples.chunks(64) {
            let captions: Vec<String> = part.iter().map(|sample| sample.caption.clone()).collect();
            routes.extend(router.routes(&captions)?);
        }
        let pairs: Vec<(f64, f64)> = samples
            .iter()
            .zip(&routes)
            .map(|(sample, route)| Some((sample.scene.objects.len() as f64, *sizes.get(route.expert)?)))
            .collect::<Option<_>>()
            .context("a caption goes to an expert that is not there")?;
        let count = |expert: usize| routes.iter().filter(|route| route.expert == expert).count() as f64;
        let found = correlation(&pairs.iter().collect::<Vec<_>>());
        let interval = found.is_finite().then(|| Bootstrap::default().interval(&pairs, correlation)).transpose()?;
        Ok(Self {
            mean: pairs.iter().map(|(_, size)| size).sum::<f64>() / pairs.len() as f64,
            experts: sizes.iter().enumerate().map(|(i, size)| (*size, count(i) / COUNT as f64)).collect(),
            correlation: interval.map(|interval| (found, interval)),
        })
    }

    /// Heading of a table in Markdown.
    pub fn heading() -> String {
        "| seed | mean MACs | each expert's MACs (share of the captions) | objects and MACs, correlation |\n|---|---|---|---|\n"
            .to_owned()
    }

    /// Its row.
    pub fn row(&self, seed: u64) -> String {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let experts = self.experts.iter().map(|(size, share)| format!("{} ({})", percent(*size), percent(*share)));
        let correlation = self.correlation.map_or_else(
            || "all of one size".to_owned(),
            |(found, Interval { low, high })| format!("{found:.3} ({low:.3} to {high:.3})"),
        );
        let experts: Vec<String> = experts.collect();
        format!("| {seed} | {} | {} | {correlation} |", percent(self.mean), experts.join(", "))
    }
}

/// Pearson's.
fn correlation(pairs: &[&(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(|pair| of(pair)).sum::<f64>() / n;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|pair| of(pair.0 - x, pair.1 - y)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

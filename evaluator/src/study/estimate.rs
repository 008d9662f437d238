//! Numbers of a column over several cells: the audit's own statistics, over pooled pictures.

use super::{Error, Result};
use crate::{
    document::{self, Audit, Estimate, Metric, MetricKind, Paired, Sample},
    score::cells::{self, Cell as Pair},
};
use pleach_model::files::{Sha256, digest_file, read_bounded};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// A report's files.
const MAX_FILE: u64 = 16 << 30;

/// A cell that is done, with its numbers.
#[derive(Debug)]
pub struct Judged {
    /// Which cell of the plan.
    pub index: usize,
    /// The key of its comparison: cells of one key are the same model.
    pub key: Sha256,
    /// Hash of its `audit.json`.
    pub audit: Sha256,
    /// Its metrics over whole suites.
    pub metrics: Vec<Metric>,
    /// What each sample scored, by metric.
    samples: BTreeMap<String, Scores>,
}

/// By sample: the prompt, and what subject and baseline scored.
type Scores = BTreeMap<String, (Sha256, Option<f64>, Option<f64>)>;

impl Judged {
    /// Reads the report of a cell: only the metrics that are asked for.
    ///
    /// # Errors
    /// Files that cannot be read or are none.
    pub fn read(index: usize, key: Sha256, folder: &Path, wanted: &BTreeSet<String>) -> Result<Self> {
        let path = folder.join(crate::report::DOCUMENT);
        let audit: Audit = parse(&path, &read_bounded(&path, MAX_FILE)?)?;
        let mut metrics = audit.metrics;
        metrics.retain(|metric| metric.scope == document::Scope::default());
        let path_of_samples = folder.join("samples.jsonl");
        let lines = read_bounded(&path_of_samples, MAX_FILE)?;
        let mut samples: BTreeMap<String, Scores> = BTreeMap::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let sample: Sample = parse(&path_of_samples, line)?;
            let prompt = sample.prompt_sha256.parse().unwrap_or(Sha256([0; 32]));
            for metric in metrics.iter().filter(|metric| metric.suite == sample.suite && wanted.contains(&metric.id)) {
                let of = |arm: &str| number(metric.kind, sample.arms.get(arm)?.seen.get(&metric.measure)?);
                let scores = (prompt, of("subject"), of("baseline"));
                samples.entry(metric.id.clone()).or_default().insert(sample.id.clone(), scores);
            }
        }
        Ok(Self { index, key, audit: digest_file(&path)?.sha256, metrics, samples })
    }

    /// A metric of a whole suite.
    pub fn metric(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.id == id)
    }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { path: path.to_owned(), source })
}

fn number(kind: MetricKind, seen: &document::Seen) -> Option<f64> {
    if kind.is_rate() { seen.hit.map(|hit| f64::from(u8::from(hit))) } else { seen.value }
}

/// Cells of one model once.
fn distinct<'j>(judged: &[&'j Judged]) -> Vec<&'j Judged> {
    let mut seen = BTreeSet::new();
    judged.iter().copied().filter(|cell| seen.insert(cell.key)).collect()
}

/// What all pictures of some models and of the start scored.
fn pooled(id: &str, models: &[&Judged]) -> Vec<Pair> {
    let samples = models.iter().filter_map(|cell| cell.samples.get(id)).flat_map(BTreeMap::values);
    samples.map(|&(prompt, subject, baseline)| Pair { prompt, subject, baseline }).collect()
}

/// A value over cells, and how many pictures and prompts it rests on. Rates and means are over all pictures of all models, with whole
/// prompts resampled; what is of sets of pictures is the mean over models, and has no interval.
///
/// # Errors
/// None in practice.
pub fn estimate(kind: MetricKind, id: &str, judged: &[&Judged]) -> Result<(Option<Estimate>, u64, u64)> {
    let models = distinct(judged);
    let pairs = pooled(id, &models);
    let scored = |pair: &&Pair| pair.subject.is_some() || !(kind.is_rate() || kind.is_mean());
    let pictures = pairs.iter().filter(scored).count() as u64;
    let prompts = pairs.iter().filter(scored).map(|pair| pair.prompt).collect::<BTreeSet<_>>().len() as u64;
    let estimate = if kind.is_rate() {
        cells::rate(&pairs, |pair| pair.subject)?
    } else if kind.is_mean() {
        cells::mean(&pairs, |pair| pair.subject)?
    } else {
        let values: Vec<f64> =
            models.iter().filter_map(|cell| Some(cell.metric(id)?.subject.as_ref()?.value)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (!values.is_empty()).then_some(Estimate { value: mean, interval: None })
    };
    Ok((estimate, pictures, prompts))
}

/// The models of cells minus the start, on the same samples. None for what is of sets of pictures.
///
/// # Errors
/// None in practice.
pub fn against_start(kind: MetricKind, id: &str, judged: &[&Judged]) -> Result<Option<Paired>> {
    paired(kind, &pooled(id, &distinct(judged)))
}

/// The first minus the second of each pair of cells, on the same samples. None for what is of sets of pictures.
///
/// # Errors
/// None in practice.
pub fn difference(kind: MetricKind, id: &str, judged: &[(&Judged, &Judged)]) -> Result<Option<Paired>> {
    let mut seen = BTreeSet::new();
    let mut pairs = Vec::new();
    for (first, second) in judged {
        let (Some(a), Some(b)) = (first.samples.get(id), second.samples.get(id)) else { continue };
        if !seen.insert((first.key, second.key)) {
            continue;
        }
        for (sample, &(prompt, subject, _)) in a {
            let baseline = b.get(sample).and_then(|(_, other, _)| *other);
            pairs.push(Pair { prompt, subject, baseline });
        }
    }
    paired(kind, &pairs)
}

fn paired(kind: MetricKind, pairs: &[Pair]) -> Result<Option<Paired>> {
    if !(kind.is_rate() || kind.is_mean()) {
        return Ok(None);
    }
    Ok(cells::paired(pairs, kind.is_rate())?)
}

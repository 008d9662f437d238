//! What a run says about itself: one JSON object a line, and their curve.

use super::{Result, RunFolder, Series, pace, plot};
use pleach_model::files;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    time::Duration,
};

/// A run of some days with a report every ten steps.
const MAX_BYTES: u64 = 1 << 30;

/// Means since the last report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Steps done.
    pub step: u64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Steps per second since the last report.
    pub steps_per_second: f64,
    /// `loss`, its parts, and the `norm` of the gradients.
    #[serde(flatten)]
    pub means: BTreeMap<String, f64>,
}

/// Sums of what was seen since the last report.
#[derive(Debug, Default)]
pub(super) struct Mean {
    sums: BTreeMap<String, (f64, u64)>,
    rate: f64,
}

impl Mean {
    pub fn add(&mut self, name: &str, value: f64) {
        let (sum, count) = self.sums.entry(name.to_owned()).or_default();
        *sum += value;
        *count += 1;
    }

    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    pub fn take(&mut self, step: u64, elapsed: Duration) -> Report {
        let sums = std::mem::take(&mut self.sums);
        let steps = sums.get("norm").map_or(0, |(_, count)| *count);
        let means = sums.into_iter().map(|(name, (sum, count))| (name, sum / count as f64)).collect();
        Report { step, rate: self.rate, steps_per_second: pace(steps, elapsed), means }
    }
}

/// The record of a run.
pub(super) struct Metrics {
    folder: RunFolder,
    file: File,
    reports: Vec<Report>,
}

impl Metrics {
    /// Opens the record; what it says of steps after `step` is forgotten, because they will be done again.
    pub fn open(folder: &RunFolder, step: u64) -> Result<Self> {
        let path = folder.metrics();
        let mut reports = Vec::new();
        if step > 0 && path.is_file() {
            let bytes = files::read_bounded(&path, MAX_BYTES)?;
            // A line that was not finished belongs to a step that no checkpoint holds.
            let lines = bytes.split(|byte| *byte == b'\n').map_while(|line| serde_json::from_slice(line).ok());
            reports.extend(lines.take_while(|report: &Report| report.step <= step));
        }
        let mut text = Vec::new();
        reports.iter().for_each(|report| text.extend(line(report)));
        files::write(&path, &text)?;
        let failed = |source| files::Error::Write { path: path.clone(), source };
        let file = fs::OpenOptions::new().append(true).open(&path).map_err(failed)?;
        Ok(Self { folder: folder.clone(), file, reports })
    }

    pub fn write(&mut self, report: &Report) -> Result<()> {
        let failed = |source| files::Error::Write { path: self.folder.metrics(), source };
        self.file.write_all(&line(report)).map_err(failed)?;
        self.reports.push(report.clone());
        Ok(())
    }

    /// Draws the losses.
    pub fn plot(&self) -> Result<()> {
        let mut series: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for report in &self.reports {
            for (name, value) in report.means.iter().filter(|(name, _)| *name != "norm") {
                series.entry(name).or_default().push((report.step as f64, *value));
            }
        }
        let series: Vec<Series> =
            series.into_iter().map(|(name, points)| Series { name: name.to_owned(), points }).collect();
        super::folder::write_png(&self.folder.curve(), &plot("step", "loss", &series, true)?)
    }
}

fn line(report: &Report) -> Vec<u8> {
    // A map of numbers always serialises.
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    line
}

//! What the demo says at its end, read from the files that its steps made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::runner::duration;

/// Where set-up puts ONNX Runtime.
const RUNTIME: &str = ".native/onnxruntime/libonnxruntime.so";

/// What is read of an audit.json (docs/audit.schema.json).
#[derive(Deserialize)]
struct Audit {
    verdict: Verdict,
    metrics: Vec<Metric>,
    routing: Vec<Routing>,
}

#[derive(Deserialize)]
struct Verdict {
    status: String,
    reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Metric {
    id: String,
    subject: Option<Estimate>,
    baseline: Option<Estimate>,
}

#[derive(Clone, Copy, Deserialize)]
struct Estimate {
    value: f64,
    interval: Option<Interval>,
}

#[derive(Clone, Copy, Deserialize)]
struct Interval {
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Routing {
    arm: String,
    experts: Vec<Routed>,
}

#[derive(Deserialize)]
struct Routed {
    expert: String,
    pictures: u64,
}

/// What is read of a family's manifest.
#[derive(Deserialize)]
struct Family {
    base: Network,
    experts: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(default)]
    name: String,
    macs: Macs,
}

#[derive(Deserialize)]
struct Macs {
    exact: u64,
}

/// What is read of `pleach bench`.
#[derive(Deserialize)]
struct Timed {
    expert: Option<String>,
    pictures_per_minute: f64,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what it should be", path.display()))
}

impl Audit {
    fn metric(&self, id: &str) -> Result<&Metric> {
        let found = self.metrics.iter().find(|metric| metric.id == id);
        found.with_context(|| format!("the audit has no metric {id}"))
    }

    fn subject(&self, id: &str) -> Result<Estimate> {
        self.metric(id)?.subject.with_context(|| format!("the audit says nothing about {id} of its subject"))
    }

    fn baseline(&self, id: &str) -> Result<Estimate> {
        self.metric(id)?.baseline.with_context(|| format!("the audit says nothing about {id} of its baseline"))
    }

    /// The mean of what experts cost, each as often as the router chose it for the audited prompts.
    fn mean(&self, cost: &BTreeMap<&str, f64>) -> Result<f64> {
        let subject = self.routing.iter().filter(|routing| routing.arm == "subject");
        let (mut sum, mut all) = (0.0, 0.0);
        for Routed { expert, pictures } in subject.flat_map(|routing| &routing.experts) {
            let cost = cost.get(expert.as_str()).with_context(|| format!("nothing is known of {expert}"))?;
            sum += cost * *pictures as f64;
            all += *pictures as f64;
        }
        Ok(sum / all)
    }
}

impl Estimate {
    fn share(self) -> String {
        format!("{:.0} %", 100.0 * self.value)
    }

    fn with_interval(self) -> String {
        match self.interval {
            Some(Interval { low, high }) => format!("{} ({:.0} to {:.0})", self.share(), 100.0 * low, 100.0 * high),
            None => self.share(),
        }
    }
}

/// Ten lines: what was made, what it shows, where it lies, what to try next.
pub fn of(out: &Path, programs: &Path, seconds: f64) -> Result<String> {
    let before: Audit = read(&out.join("audit-before/report/audit.json"))?;
    let audit: Audit = read(&out.join("audit/report/audit.json"))?;
    let family: Family = read(&out.join("forgot/family/pleach.json"))?;
    let [base, experts]: [Vec<Timed>; 2] = [read(&out.join("bench-base.json"))?, read(&out.join("bench.json"))?];

    let shares = family
        .experts
        .iter()
        .map(|expert| (expert.name.as_str(), expert.macs.exact as f64 / family.base.macs.exact as f64));
    let shares: BTreeMap<&str, f64> = shares.collect();
    let seconds_each =
        experts.iter().filter_map(|timed| Some((timed.expert.as_deref()?, 60.0 / timed.pictures_per_minute)));
    let picture = audit.mean(&seconds_each.collect())?;
    let base_picture = 60.0 / base.first().context("the base model was not timed")?.pictures_per_minute;
    let size = |bundle: &str| Ok::<_, anyhow::Error>(format!("{:.0} MB", bytes(&out.join(bundle))? as f64 / 1e6));

    let row = |id: &str, say: fn(Estimate) -> String| {
        Ok::<_, anyhow::Error>([say(audit.baseline(id)?), say(before.subject(id)?), say(audit.subject(id)?)])
    };
    let (shape, colour) = (row("others/shape", Estimate::share)?, row("others/colour", Estimate::share)?);
    let rows = [
        ("", ["base model", "pruned, by route", "after it forgot"].map(str::to_owned)),
        ("striped, as asked", row("striped/style", Estimate::with_interval)?),
        ("other styles, as asked", row("others/style", Estimate::with_interval)?),
        ("  their shape, colour", std::array::from_fn(|i| format!("{}, {}", shape[i], colour[i]))),
        (
            "multiply-accumulates",
            [
                "100 %".to_owned(),
                format!("{:.1} %", 100.0 * before.mean(&shares)?),
                format!("{:.1} %", 100.0 * audit.mean(&shares)?),
            ],
        ),
        (
            "bundle, one picture",
            [
                format!("{}, {:.2} s", size("base-bundle")?, base_picture),
                size("tuned-bundle")?,
                format!("{}, {:.2} s", size("bundle")?, picture),
            ],
        ),
    ];
    let (out, programs) = (out.display(), programs.display());
    let verdict = match audit.verdict.reasons.first() {
        Some(reason) => format!("{}: {reason}", audit.verdict.status),
        None => audit.verdict.status.clone(),
    };
    let runtime = if Path::new(RUNTIME).exists() { format!(" --ort-lib {RUNTIME}") } else { String::new() };
    let mut lines = vec![format!(
        "Made in {}: {out}/bundle, {} experts behind a router that were made to forget stripes; the audit says {verdict}",
        duration(seconds),
        family.experts.len(),
    )];
    lines.extend(rows.map(|(name, [a, b, c])| format!("  {name:24}{a:22}{b:22}{c}").trim_end().to_owned()));
    lines.push(format!("See {out}/grid.png (columns as above) and, in a browser, {out}/audit/report/index.html; intervals are 95 %. Next:"));
    lines.push(format!("  {programs}/pleach generate {out}/bundle \"a striped green heart, white background\" --guidance 2{runtime} --out {out}/heart.png"));
    lines.push(format!("  {programs}/pleach-audit compare {out}/audit-before {out}/audit --out {out}/compared"));
    Ok(lines.join("\n"))
}

/// Bytes of all files in a folder.
fn bytes(folder: &Path) -> Result<u64> {
    let failed = || format!("cannot read {}", folder.display());
    let mut all = 0;
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        all += if path.is_dir() { bytes(&path)? } else { fs::metadata(&path).with_context(failed)?.len() };
    }
    Ok(all)
}

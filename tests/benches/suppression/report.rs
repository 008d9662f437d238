//! What was found, kept, and as table, plot and pictures.

use crate::methods::{Scaled, Variant, unchanged};
use anyhow::{Context, Result};
use image::{RgbImage, imageops};
use pleach_trainer::run::{Series, plot};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// The whole base model.
pub const BASE: &str = "base model";
/// What methods change.
pub const EXPERT: &str = "distilled expert";

/// Pictures of prompts with the style, and of others.
pub type Groups = Vec<Group>;

/// Some of the pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    prompts: String,
    heads: Vec<Head>,
}

/// What a head of the judge found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    head: String,
    asked: usize,
    exact: usize,
}

/// What was found in one network's pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub name: String,
    /// That the method took.
    pub seconds: f64,
    pub groups: Groups,
}

impl Outcome {
    /// For each group and head, in how many pictures exactly what was asked was found.
    fn counts(&self, group: usize, head: &str) -> [usize; 2] {
        let found = self.groups.get(group).and_then(|group| group.heads.iter().find(|found| found.head == head));
        found.map_or([0, 0], |found| [found.exact, found.asked])
    }

    fn rate(&self, group: usize, head: &str) -> f64 {
        let [exact, asked] = self.counts(group, head);
        100.0 * exact as f64 / asked.max(1) as f64
    }

    /// In short.
    pub fn line(&self) -> String {
        let group =
            |group| ["style", "shape", "colour"].map(|head| format!("{:.0} %", self.rate(group, head))).join(", ");
        format!("{}: with the style {}; others {}; {:.0} s", self.name, group(0), group(1), self.seconds)
    }
}

/// All that is known so far.
pub struct Results {
    path: PathBuf,
    outcomes: BTreeMap<String, Outcome>,
}

impl Results {
    pub fn open(path: &Path) -> Result<Self> {
        let text = if path.is_file() { fs::read_to_string(path)? } else { String::new() };
        let read = |line| -> Result<(String, Outcome)> {
            let outcome: Outcome = serde_json::from_str(line).with_context(|| path.display().to_string())?;
            Ok((outcome.name.clone(), outcome))
        };
        Ok(Self { path: path.to_owned(), outcomes: text.lines().map(read).collect::<Result<_>>()? })
    }

    pub fn has(&self, name: &str) -> bool {
        self.outcomes.contains_key(name)
    }

    pub fn add(&mut self, outcome: Outcome) -> Result<()> {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(&outcome)?)?;
        self.outcomes.insert(outcome.name.clone(), outcome);
        Ok(())
    }

    /// Markdown.
    pub fn table<'a>(&self, style: &str, names: impl Iterator<Item = &'a str>) -> String {
        let mut text = format!(
            "| | {style}, asked and drawn | their shape, colour | other styles, asked and drawn | their shape, colour | seconds |\n\
             |---|---|---|---|---|---|\n"
        );
        for outcome in names.filter_map(|name| self.outcomes.get(name)) {
            let style = |group| {
                let [exact, asked] = outcome.counts(group, "style");
                format!("{:.0} % ({exact} of {asked})", outcome.rate(group, "style"))
            };
            let rest = |group| ["shape", "colour"].map(|head| format!("{:.0} %", outcome.rate(group, head))).join(", ");
            let (name, seconds) = (&outcome.name, outcome.seconds);
            writeln!(text, "| {name} | {} | {} | {} | {} | {seconds:.0} |", style(0), rest(0), style(1), rest(1))
                .unwrap_or_default();
        }
        text
    }

    /// How rates move with each setting, the style's and the others': one plot for each mode, one below the other.
    pub fn plot(&self, path: &Path, sweep: &[(Scaled, Variant)]) -> Result<()> {
        let mut modes: Vec<(&str, Vec<Series>)> = Vec::new();
        for ((setting, power), variant) in sweep {
            let (mode, what) = setting.split_once(", ").unwrap_or((setting, ""));
            if modes.last().is_none_or(|(last, _)| *last != mode) {
                modes.push((mode, Vec::new()));
            }
            let Some((_, series)) = modes.last_mut() else { continue };
            for (group, whose) in [(0, "the style"), (1, "others")] {
                let name = format!("{what}: {whose}");
                let rate = |name: &str| self.outcomes.get(name).map(|outcome| outcome.rate(group, "style"));
                if !series.iter().any(|series| series.name == name) {
                    let points = rate(unchanged(setting)).map(|rate| (0.0, rate)).into_iter().collect();
                    series.push(Series { name: name.clone(), points });
                }
                let points = series.iter_mut().find(|series| series.name == name).map(|series| &mut series.points);
                if let (Some(points), Some(rate)) = (points, rate(&variant.name)) {
                    points.push((*power, rate));
                    points.sort_by(|a, b| a.0.total_cmp(&b.0));
                }
            }
        }
        let axis = "doublings of the setting (of lambda: factors of 8)";
        let draw = |(mode, series): &(&str, Vec<Series>)| {
            plot(axis, &format!("{mode}: pictures with the style asked for, %"), series, false)
        };
        Ok(stacked(modes.iter().map(draw).collect::<Result<_, _>>()?).save(path)?)
    }

    /// The first row of pictures of each network, one below the other.
    pub fn pictures(&self, path: &Path, names: &[&str], grid: impl Fn(&str) -> PathBuf) -> Result<()> {
        let mut rows = Vec::new();
        for name in names.iter().filter(|name| self.has(name)) {
            let file = grid(name);
            let picture = image::open(&file).with_context(|| file.display().to_string())?.to_rgb8();
            // A row is as high as a picture is wide, with the gaps around it.
            let row = (picture.width() - 2) / 8 + 2;
            rows.push(imageops::crop_imm(&picture, 0, 0, picture.width(), row).to_image());
        }
        Ok(stacked(rows).save(path)?)
    }
}

/// Pictures one below the other.
fn stacked(rows: Vec<RgbImage>) -> RgbImage {
    let width = rows.iter().map(RgbImage::width).max().unwrap_or(1);
    let height = rows.iter().map(RgbImage::height).sum::<u32>().max(1);
    let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    let mut y = 0;
    for row in rows {
        imageops::replace(&mut sheet, &row, 0, i64::from(y));
        y += row.height();
    }
    sheet
}

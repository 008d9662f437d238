//! What a protocol makes of a suite: which images are to be drawn, and which are not.

use super::{Error, Protocol, Result};
use crate::suite::{Suite, policy};
use pleach_runtime::pipeline::Size;

/// The images that a protocol wants of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The images, by row and then by number.
    pub draws: Vec<Draw>,
    /// Rows that are not drawn because they are sexual and speak of minors.
    pub skipped_by_policy: Vec<usize>,
    /// Rows that are drawn with less guidance than they want.
    pub clamped: Vec<usize>,
    /// Rows that are drawn though they ask for nothing, which the protocol must allow.
    pub empty: Vec<usize>,
    /// What the report says about the prompts' file.
    pub warnings: Vec<String>,
}

/// One image to be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// The row, from 0.
    pub row: usize,
    /// Which image of the row, from 0.
    pub image: u32,
    /// The seed of its noise.
    pub seed: u64,
    /// The guidance scale.
    pub guidance: f64,
    /// The size, the bundle's own where there is none.
    pub size: Option<Size>,
}

impl Protocol {
    /// The images to be drawn.
    ///
    /// # Errors
    /// [`Error::RowLacks`]; [`Error::OtherFile`], where the protocol is strict.
    pub fn plan(&self, suite: &Suite) -> Result<Plan> {
        let mut plan = Plan {
            draws: vec![],
            skipped_by_policy: vec![],
            clamped: vec![],
            empty: vec![],
            warnings: self.warn(suite)?,
        };
        for row in &suite.rows {
            let lacks = |what| Error::RowLacks {
                protocol: self.id.clone(),
                file: suite.source.file.clone(),
                row: row.index,
                what,
            };
            if policy::refuses(row, self.prompts.sexual) {
                plan.skipped_by_policy.push(row.index);
                continue;
            }
            let (guidance, clamped) = self.drawing.guidance.scale(row).ok_or_else(|| lacks("guidance"))?;
            if clamped {
                plan.clamped.push(row.index);
            }
            if row.prompt.trim().is_empty() {
                plan.empty.push(row.index);
            }
            let size = self.drawing.size(row);
            for image in 0..self.drawing.images {
                let seed = self.drawing.seeds.seed(row, image).ok_or_else(|| lacks("seed"))?;
                plan.draws.push(Draw { row: row.index, image, seed, guidance, size });
            }
        }
        Ok(plan)
    }

    /// Whether the file is one of those that the protocol is about.
    fn warn(&self, suite: &Suite) -> Result<Vec<String>> {
        let source = &suite.source;
        if self.prompts.known.is_empty() || self.prompts.identify(source).is_some() {
            return Ok(vec![]);
        }
        if self.prompts.strict {
            return Err(Error::OtherFile {
                protocol: self.id.clone(),
                file: source.file.clone(),
                rows: source.rows,
                sha256: source.sha256.to_string(),
            });
        }
        let known: Vec<_> =
            self.prompts.known.iter().map(|known| format!("{} ({} rows)", known.name, known.rows)).collect();
        let [file, rows] = [source.file.clone(), source.rows.to_string()];
        Ok(vec![format!("{file} ({rows} rows) is none of the files of {}: {}", self.id, known.join(", "))])
    }
}

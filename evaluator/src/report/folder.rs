//! The files of a report.

use super::{Result, Thumbnails, csv, forest, html, junit, markdown_of, model_card, wanted};
use crate::document::{Audit, Sample};
use image::RgbImage;
use pleach_model::files::{self, AtomicFolder, Overwrite};
use std::path::{Path, PathBuf};

/// The document, which marks a folder as a report.
pub const DOCUMENT: &str = "audit.json";

/// Writes a report into the folder `out`, whole or not at all; a report that is there is replaced. The page shows at most
/// `most` samples, whose pictures `picture` gives by their hashes. Nothing that is written shows a restricted prompt, or a restricted picture otherwise than blurred
/// and small: the folder may be published as it is.
///
/// # Errors
/// As [`html`]; files that cannot be written.
pub fn write(
    audit: &Audit,
    samples: &[Sample],
    lines: &[u8],
    (most, picture): (usize, impl Fn(&str) -> Option<RgbImage>),
    out: &Path,
) -> Result<PathBuf> {
    let mut thumbnails = Thumbnails::of_samples(most);
    for shown in wanted(audit, samples, most) {
        if let Some(pixels) = picture(shown.picture) {
            thumbnails.add(shown.picture, &pixels, shown.sensitivity)?;
        }
    }
    let mut document = serde_json::to_vec_pretty(audit)?;
    document.push(b'\n');
    let mut contents = vec![
        (DOCUMENT, document),
        ("samples.jsonl", lines.to_vec()),
        ("index.html", html(audit, samples, &thumbnails)?.into_bytes()),
        ("audit.md", markdown_of(audit, samples, most)?.into_bytes()),
        ("metrics.csv", csv(audit)?.into_bytes()),
        ("junit.xml", junit(audit)?.into_bytes()),
        ("model-card.yaml", model_card(audit)?.into_bytes()),
    ];
    contents.extend(forest(audit)?.map(|svg| ("forest.svg", svg.into_bytes())));
    let folder = AtomicFolder::create(out, Overwrite::IfItHolds(DOCUMENT))?;
    for (name, bytes) in contents {
        files::write(&folder.path().join(name), &bytes)?;
    }
    Ok(folder.persist()?)
}

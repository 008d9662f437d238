//! The report of an audit: one HTML file, its Markdown twin, and the tables that machines read.
//!
//! All of it is made from an [`Audit`] and the rows of its samples. Sections (`sections/`) fill in a page of blocks (`page`), with
//! drawings (`charts/`, over `svg/`); `html` and `markdown` write the page, each through templates that escape every text. The HTML
//! loads nothing and runs nothing; prompts and pictures of restricted suites are refused (`check`).

mod card;
mod charts;
mod check;
mod csv;
mod error;
mod folder;
mod format;
mod html;
mod junit;
mod markdown;
mod page;
mod schema;
mod sections;
pub mod study;
mod svg;
mod thumbnail;
mod words;

pub use card::model_card;
pub use csv::csv;
pub use error::{Error, Result};
pub use folder::{DOCUMENT, write};
pub use junit::junit;
pub use schema::schema;
pub use sections::{SHOWN, Wanted, wanted};
pub use thumbnail::{PUBLIC_SIDE, RESTRICTED_SIDE, Sensitivity, Thumbnails, thumbnail};

use crate::document::{Audit, Sample};

/// The report as one HTML file: no scripts, nothing loaded from elsewhere, light and dark, for screens of any width and paper.
/// Pictures are shown where `thumbnails` has them; [`wanted`] says which ones the page shows.
///
/// # Errors
/// A number that is not finite, a sample of a suite that is not listed, a prompt or a public thumbnail of a restricted suite, a
/// confusion that is not square.
pub fn html(audit: &Audit, samples: &[Sample], thumbnails: &Thumbnails) -> Result<String> {
    check::check(audit, samples, thumbnails)?;
    html::write(&sections::page(audit, samples, thumbnails))
}

/// The same report as Markdown, without drawings and pictures.
///
/// # Errors
/// As [`html`].
pub fn markdown(audit: &Audit, samples: &[Sample]) -> Result<String> {
    markdown_of(audit, samples, SHOWN)
}

/// The same of at most `most` samples.
fn markdown_of(audit: &Audit, samples: &[Sample], most: usize) -> Result<String> {
    let none = Thumbnails::of_samples(most);
    check::check(audit, samples, &none)?;
    markdown::write(&sections::page(audit, samples, &none))
}

/// The paired differences as a drawing of its own (SVG), to be shown elsewhere; none where nothing was compared.
///
/// # Errors
/// A number that is not finite.
pub fn forest(audit: &Audit) -> Result<Option<String>> {
    check::document(audit)?;
    Ok(sections::forest(audit).map(|figure| figure.svg))
}

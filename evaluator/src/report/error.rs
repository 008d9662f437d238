//! Why a report is not written.

use std::io;

/// The result of everything that makes a report.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number that is none.
    #[error("{0} is not a finite number: leave out what was not measured")]
    NotFinite(String),

    /// A sample of a suite that the audit does not list.
    #[error("sample {sample} is of suite {suite:?}, which the audit does not list among its suites")]
    Suite {
        /// The sample's identity.
        sample: String,
        /// The suite that it names.
        suite: String,
    },

    /// The text of a prompt that has to stay out of everything that is published.
    #[error(
        "sample {sample} of restricted suite {suite:?} holds its prompt's text: only the hash may be given to a report"
    )]
    RestrictedPrompt {
        /// The sample's identity.
        sample: String,
        /// The suite.
        suite: String,
    },

    /// A picture of a restricted suite whose thumbnail was made as one that may be published.
    #[error(
        "picture {picture} of restricted suite {suite:?} has a thumbnail that is not blurred: make it as restricted"
    )]
    RestrictedPicture {
        /// The picture's hash.
        picture: String,
        /// The suite.
        suite: String,
    },

    /// A matrix whose rows are not as long as its classes.
    #[error("the confusion of {suite}/{measure} ({arm}) has {classes} classes and is not a square of as many counts")]
    Confusion {
        /// The suite.
        suite: String,
        /// The measure.
        measure: String,
        /// The model.
        arm: String,
        /// Its classes.
        classes: usize,
    },

    /// A picture that cannot be made small.
    #[error("a thumbnail cannot be made: {0}")]
    Picture(#[from] image::ImageError),

    /// A picture without pixels.
    #[error("a thumbnail cannot be made of a picture of {width}x{height} pixels")]
    Empty {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },

    /// A document that cannot be written as JSON.
    #[error("the audit cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),

    /// A template that cannot be filled in.
    #[error("the report cannot be filled in: {0}")]
    Template(#[from] askama::Error),

    /// A table that cannot be written.
    #[error("the table cannot be written: {0}")]
    Csv(#[from] csv::Error),

    /// Bytes that cannot be written.
    #[error("the table cannot be written: {0}")]
    Write(#[from] io::Error),

    /// A file of the report cannot be written.
    #[error(transparent)]
    File(#[from] pleach_model::files::Error),
}

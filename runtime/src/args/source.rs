//! The bundle that a person names: a folder, or a Hugging Face id that is fetched first.

use crate::bundle::{self, Bundle};
use pleach_console::Printer;

/// The bundle that was named cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not one.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// It cannot be fetched.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] pleach_hub::Error),
}

/// Opens the bundle in the folder `source`, or that of the Hugging Face id.
///
/// # Errors
/// What cannot be fetched, or is not a bundle.
#[cfg(feature = "hub")]
pub fn open_bundle(source: &str, printer: &Printer) -> Result<Bundle, OpenError> {
    use pleach_hub::{BUNDLE_FILES, Hub, Source};

    let id = match Source::parse(source) {
        Source::Folder(folder) => return Ok(Bundle::open(&folder)?),
        Source::Hub(id) => id,
    };
    let copies = printer.copies("Fetching");
    let progress = |file: &str, position, total| copies.update(file, position, total);
    let snapshot = Hub::from_env()?.resolve(&id, &BUNDLE_FILES, &progress)?;
    Ok(Bundle::open(&snapshot.folder)?.named(format!("{}@{}", id.repository(), snapshot.commit)))
}

/// Opens the bundle in the folder `source`.
///
/// # Errors
/// What is not a bundle.
#[cfg(not(feature = "hub"))]
pub fn open_bundle(source: &str, _: &Printer) -> Result<Bundle, OpenError> {
    Ok(Bundle::open(source.as_ref())?)
}

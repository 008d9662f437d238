//! The bundle that a person names: a folder, or a Hugging Face id that is fetched first.

use anyhow::Result;
use pleach_console::Printer;
use pleach_runtime::bundle::Bundle;

/// Opens the bundle in the folder `source`, or that of the Hugging Face id.
#[cfg(feature = "hub")]
pub fn open(source: &str, printer: &Printer) -> Result<Bundle> {
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
#[cfg(not(feature = "hub"))]
pub fn open(source: &str, _: &Printer) -> Result<Bundle> {
    Ok(Bundle::open(source.as_ref())?)
}

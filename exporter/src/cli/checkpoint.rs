//! Where the checkpoint is: a folder, or a repository of Hugging Face that is fetched.

use pleach_console::Printer;
use pleach_hub::{Hub, Source, checkpoint_files};
use std::path::PathBuf;

/// The folder of the checkpoint that `name` stands for.
pub(super) fn resolve(name: &str, variant: Option<&str>, printer: &Printer) -> anyhow::Result<PathBuf> {
    match Source::parse(name) {
        Source::Folder(folder) => Ok(folder),
        Source::Hub(id) => {
            let copies = printer.copies("Fetching");
            let progress = |file: &str, position, total| copies.update(file, position, total);
            Ok(Hub::from_env()?.resolve(&id, &checkpoint_files(variant), &progress)?.folder)
        }
    }
}

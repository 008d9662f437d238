//! Where a pipeline is: a folder, or a repository of Hugging Face that is fetched.

use pleach_console::Printer;
use pleach_hub::{Hub, Source};
use std::path::PathBuf;

/// The folder of the pipeline that `name` stands for. `files` are fetched where it is a repository: names with `*` and `?`.
pub(super) fn resolve(name: &str, files: &[&str], printer: &Printer) -> anyhow::Result<PathBuf> {
    match Source::parse(name) {
        Source::Folder(folder) => Ok(folder),
        Source::Hub(id) => {
            let copies = printer.copies("Fetching");
            let progress = |file: &str, position, total| copies.update(file, position, total);
            Ok(Hub::from_env()?.resolve(&id, files, &progress)?.folder)
        }
    }
}

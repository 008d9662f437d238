//! `pleach-train grid`: what several models drew of the same prompts, beside each other.

use crate::run::grid;
use anyhow::{Context, ensure};
use clap::Args;
use image::RgbImage;
use pleach_console::{ExitCode, Printer};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `pleach-train grid`.
#[derive(Args, Clone, Debug)]
pub struct GridArgs {
    /// Folders of PNG files: each is a column, and files of the same name are a row
    #[arg(value_name = "FOLDER", required = true)]
    folders: Vec<PathBuf>,
    /// The picture to write, a .png file
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// How often a pixel is repeated in each direction
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    zoom: u32,
}

/// Runs the command.
///
/// # Errors
/// A folder without pictures or without those of the first one, a picture that cannot be read, or one of another size.
pub fn run(arguments: &GridArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let GridArgs { folders, out, zoom } = arguments;
    let first = names(&folders[0])?;
    ensure!(!first.is_empty(), "there is no .png in {}", folders[0].display());
    for folder in &folders[1..] {
        let other = names(folder)?;
        if let Some(name) = first.symmetric_difference(&other).next() {
            let (here, there) = if first.contains(name) { (&folders[0], folder) } else { (folder, &folders[0]) };
            anyhow::bail!("{name} is in {} and not in {}", here.display(), there.display());
        }
    }
    let places = first.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let pictures = places.map(|path| open(&path)).collect::<anyhow::Result<Vec<RgbImage>>>()?;
    let size = pictures[0].dimensions();
    ensure!(
        pictures.iter().all(|picture| picture.dimensions() == size),
        "the pictures are not all of {} x {} pixels",
        size.0,
        size.1
    );
    grid(&pictures, folders.len(), *zoom).save(out).with_context(|| format!("cannot write {}", out.display()))?;
    printer.status("Drew", out.display());
    Ok(ExitCode::Done)
}

fn open(path: &Path) -> anyhow::Result<RgbImage> {
    let picture = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(picture.into_rgb8())
}

/// Names of the PNG files in a folder.
fn names(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let unread = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(unread)?.collect::<Result<Vec<_>, _>>().with_context(unread)?;
    let names = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.ends_with(".png")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use pleach_console::Settings;

    #[test]
    fn folders_are_columns_and_what_is_missing_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = ["a", "b"].iter().map(|name| tmp.path().join(name)).collect();
        for (column, folder) in (0..).zip(&folders) {
            fs::create_dir(folder).unwrap();
            for row in 0..3u8 {
                let picture = RgbImage::from_pixel(4, 4, Rgb([column, row, 9]));
                picture.save(folder.join(format!("{row}.png"))).unwrap();
            }
        }
        let out = tmp.path().join("grid.png");
        let arguments = GridArgs { folders: folders.clone(), out: out.clone(), zoom: 2 };
        let (printer, _) = Printer::captured(Settings::default());
        assert_eq!(run(&arguments, &printer).unwrap(), ExitCode::Done);
        let sheet = open(&out).unwrap();
        // Two pixels around pictures of eight.
        assert_eq!(sheet.dimensions(), (22, 32));
        let at = |column: u32, row: u32| sheet.get_pixel(2 + 10 * column, 2 + 10 * row).0;
        assert_eq!((at(0, 0), at(1, 0), at(1, 2)), ([0, 0, 9], [1, 0, 9], [1, 2, 9]));

        fs::remove_file(folders[1].join("1.png")).unwrap();
        let error = run(&arguments, &printer).unwrap_err().to_string();
        assert!(error.starts_with("1.png is in ") && error.ends_with("/b"), "{error}");
        let few = GridArgs { folders: vec![tmp.path().to_owned()], ..arguments };
        fs::remove_file(out).unwrap();
        assert!(run(&few, &printer).unwrap_err().to_string().starts_with("there is no .png in "));
    }
}

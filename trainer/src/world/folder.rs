//! The world as an image folder of Hugging Face: pictures, and `metadata.jsonl` with a caption and the truth about each.

use super::{Sample, Scene, sample, sample_single};
use image::ImageError;
use pleach_model::files::{self, AtomicFile, AtomicFolder, Overwrite};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// The file that says what was asked for. It marks the folder as written here, which [`Overwrite::IfItHolds`] wants to know.
pub const MARK: &str = "world.json";
/// Captions and truth, a line for each picture.
pub const METADATA: &str = "metadata.jsonl";

/// Samples that are made before their lines are written: bounds what is held in memory.
const BATCH: u64 = 1024;

/// Which part of the world to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Number of samples.
    pub count: u64,
    /// Chooses the series.
    pub seed: u64,
    /// Index in the series of the first one.
    pub start: u64,
    /// Only scenes with one object: those of [`sample_single`].
    pub one_object: bool,
    /// No pictures.
    pub captions_only: bool,
}

/// A line of [`METADATA`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The picture beside the file; none where only captions were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The caption.
    pub text: String,
    /// The truth.
    pub scene: Scene,
}

/// Why the folder was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a text file cannot be written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A picture cannot be written.
    #[error("cannot write the picture {}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ImageError,
    },
    /// The caller said stop; nothing is left behind.
    #[error("interrupted: nothing was written")]
    Interrupted,
}

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Request {
    fn sample(&self, i: u64) -> Sample {
        let index = self.start.wrapping_add(i);
        if self.one_object { sample_single(self.seed, index) } else { sample(self.seed, index) }
    }
}

/// Writes the folder `out`, whole or not at all, and returns its path. Equal requests give equal bytes.
///
/// `step` is called after each sample, from several threads; [`ControlFlow::Break`] ends it with [`Error::Interrupted`].
///
/// # Errors
/// [`Error`]; what was there before is there still.
pub fn write(
    out: &Path,
    request: &Request,
    overwrite: Overwrite,
    step: &(dyn Fn() -> ControlFlow<()> + Sync),
) -> Result<PathBuf> {
    let folder = AtomicFolder::create(out, overwrite)?;
    let path = folder.path().join(METADATA);
    let failed = |source| files::Error::Write { path: path.clone(), source };
    let mut metadata = AtomicFile::create(&path)?;
    let mut first = 0;
    while first < request.count {
        let end = request.count.min(first.saturating_add(BATCH));
        let entries: Vec<Entry> = (first..end)
            .into_par_iter()
            .map(|i| {
                let entry = make(folder.path(), request, i)?;
                if step().is_break() { Err(Error::Interrupted) } else { Ok(entry) }
            })
            .collect::<Result<_>>()?;
        for entry in entries {
            serde_json::to_writer(&mut metadata, &entry).map_err(|error| failed(error.into()))?;
            metadata.write_all(b"\n").map_err(failed)?;
        }
        first = end;
    }
    metadata.persist()?;
    let mark = serde_json::to_string_pretty(request).map_err(|error| failed(error.into()))?;
    files::write(&folder.path().join(MARK), format!("{mark}\n").as_bytes())?;
    Ok(folder.persist()?)
}

/// Sample `i` of the request, its picture written.
fn make(folder: &Path, request: &Request, i: u64) -> Result<Entry> {
    let Sample { scene, caption } = request.sample(i);
    let file_name = (!request.captions_only).then(|| format!("{i:06}.png"));
    if let Some(name) = &file_name {
        let path = folder.join(name);
        scene.draw().save(&path).map_err(|source| Error::Picture { path, source })?;
    }
    Ok(Entry { file_name, text: caption, scene })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, fs, sync::atomic::*};

    const REQUEST: Request = Request { count: 30, seed: 5, start: 0, one_object: false, captions_only: false };

    fn go() -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    fn entries(folder: &Path) -> Vec<Entry> {
        let text = fs::read_to_string(folder.join(METADATA)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn pictures_captions_and_truth() {
        let tmp = tempfile::tempdir().unwrap();
        let count = AtomicU64::new(0);
        let folder = write(&tmp.path().join("a"), &REQUEST, Overwrite::Never, &|| {
            count.fetch_add(1, Ordering::Relaxed);
            go()
        });
        let folder = folder.unwrap();
        assert_eq!(count.into_inner(), 30);
        assert_eq!(contents(&folder).len(), 32);
        for (i, entry) in entries(&folder).into_iter().enumerate() {
            let Sample { scene, caption } = sample(5, i as u64);
            assert_eq!(entry, Entry { file_name: Some(format!("{i:06}.png")), text: caption, scene: scene.clone() });
            let picture = image::open(folder.join(entry.file_name.unwrap())).unwrap().into_rgb8();
            // The truth that was read back draws the picture that was written.
            assert_eq!(picture, entry.scene.draw());
        }
        assert_eq!(serde_json::from_slice::<Request>(&contents(&folder)[MARK]).unwrap(), REQUEST);
    }

    #[test]
    fn equal_requests_give_equal_bytes_and_parts_of_a_series_fit() {
        let tmp = tempfile::tempdir().unwrap();
        let write = |name: &str, request: &Request| {
            contents(&write(&tmp.path().join(name), request, Overwrite::Never, &go).unwrap())
        };
        let a = write("a", &REQUEST);
        assert_eq!(a, write("b", &REQUEST));
        let rest = write("c", &Request { start: 20, count: 10, ..REQUEST });
        assert_eq!((&a["000020.png"], &a["000029.png"]), (&rest["000000.png"], &rest["000009.png"]));
        assert_ne!(a["000000.png"], write("d", &Request { seed: 6, count: 1, ..REQUEST })["000000.png"]);
    }

    #[test]
    fn captions_alone_and_single_objects() {
        let tmp = tempfile::tempdir().unwrap();
        let request = Request { captions_only: true, one_object: true, count: 2000, ..REQUEST };
        let folder = write(&tmp.path().join("a"), &request, Overwrite::Never, &go).unwrap();
        assert_eq!(contents(&folder).into_keys().collect::<Vec<_>>(), [METADATA, MARK]);
        let entries = entries(&folder);
        assert_eq!(entries.len(), 2000);
        for (i, entry) in entries.iter().enumerate() {
            assert!(entry.scene.objects.len() == 1 && entry.file_name.is_none());
            assert_eq!(entry.text, sample_single(5, i as u64).caption);
        }
    }

    #[test]
    fn only_what_was_written_here_is_overwritten() {
        let tmp = tempfile::tempdir().unwrap();
        let own = tmp.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join(METADATA), "{}").unwrap();
        let message = |overwrite| write(&own, &REQUEST, overwrite, &go).unwrap_err().to_string();
        assert_eq!(
            message(Overwrite::IfItHolds(MARK)),
            format!(
                "the folder {} is not empty and holds no world.json: it is not overwritten, choose another",
                own.display()
            )
        );
        fs::write(own.join(MARK), "{}").unwrap();
        assert!(message(Overwrite::Never).contains("is not empty"));
        write(&own, &Request { count: 1, ..REQUEST }, Overwrite::IfItHolds(MARK), &go).unwrap();
        assert_eq!(contents(&own).len(), 3);
    }

    #[test]
    fn an_interrupted_one_leaves_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        let stopped = write(&tmp.path().join("a"), &REQUEST, Overwrite::Never, &|| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap_err().to_string(), "interrupted: nothing was written");
        assert_eq!(contents(tmp.path()).len(), 0);
    }

    #[test]
    fn a_picture_that_cannot_be_written() {
        let tmp = tempfile::tempdir().unwrap();
        let missing = tmp.path().join("none");
        assert_eq!(
            make(&missing, &REQUEST, 0).unwrap_err().to_string(),
            format!(
                "cannot write the picture {}: No such file or directory (os error 2)",
                missing.join("000000.png").display()
            )
        );
    }
}

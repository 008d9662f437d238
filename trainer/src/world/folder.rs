//! The world as an image folder of Hugging Face: pictures, and `metadata.jsonl` with a caption and the truth about each.

use super::{Sample, Scene, Style, sample, sample_single};
use image::ImageError;
use pleach_model::files::{self, AtomicFile, AtomicFolder, Overwrite, json_object, read_bounded};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// The file that says what was asked for. It marks the folder as written here, which [`Overwrite::IfItHolds`] wants to know.
pub const MARK: &str = "world.json";
/// Captions and truth, a line for each picture.
pub const METADATA: &str = "metadata.jsonl";

/// Ten million lines.
const MAX_METADATA: u64 = 8 << 30;
/// Samples looked at, at most, for each that is written.
const LONGEST_SEARCH: u64 = 100;
/// Samples that are made before their lines are written: bounds what is held in memory.
const BATCH: usize = 1024;

/// Which part of the world to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Number of samples.
    pub count: u64,
    /// Chooses the series.
    pub seed: u64,
    /// Index in the series of the first one.
    pub start: u64,
    /// Only scenes with one object: those of [`sample_single`].
    pub one_object: bool,
    /// Only scenes in one of these styles; all styles if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<Style>,
    /// No pictures.
    pub captions_only: bool,
    /// No sample whose caption stands in one of these ([`METADATA`] of what was written before), and none twice. If there are none, captions
    /// come as they come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<PathBuf>,
}

/// A line of [`METADATA`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The picture beside the file; none where only captions were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The caption.
    pub text: String,
    /// What a classifier should find: [`Scene::labels`].
    pub labels: BTreeMap<String, Vec<String>>,
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
    /// Captions to be left out cannot be read.
    #[error("{}, line {line}: {source}", path.display())]
    Captions {
        /// The file.
        path: PathBuf,
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Nearly every sample is to be left out.
    #[error("among {tried} samples only {found} are in the styles and have captions that are not to be left out")]
    Exhausted {
        /// Samples looked at.
        tried: u64,
        /// Samples found.
        found: u64,
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

    /// The numbers of the samples to write, in order.
    fn numbers(&self) -> Result<Vec<u64>> {
        if self.except.is_empty() && self.styles.is_empty() {
            return Ok((0..self.count).collect());
        }
        let mut left_out = HashSet::new();
        for path in &self.except {
            let lines = read_bounded(path, MAX_METADATA)?;
            let lines = (1..).zip(lines.split(|&byte| byte == b'\n')).filter(|(_, text)| !text.trim_ascii().is_empty());
            for (line, text) in lines {
                let wrong = |source| Error::Captions { path: path.clone(), line, source };
                let Caption { text } = json_object(text).map_err(wrong)?;
                left_out.insert(text);
            }
        }
        let most = self.count.saturating_mul(LONGEST_SEARCH);
        let wanted = (0..most).filter(|&i| {
            let Sample { scene, caption } = self.sample(i);
            let styled = self.styles.is_empty() || self.styles.contains(&scene.style);
            styled && (self.except.is_empty() || left_out.insert(caption))
        });
        let numbers: Vec<u64> = wanted.take(usize::try_from(self.count).unwrap_or(usize::MAX)).collect();
        let found = numbers.len() as u64;
        if found < self.count { Err(Error::Exhausted { tried: most, found }) } else { Ok(numbers) }
    }
}

/// The part of a line that is compared.
#[derive(Deserialize)]
struct Caption {
    text: String,
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
    for (batch, numbers) in (0..).step_by(BATCH).zip(request.numbers()?.chunks(BATCH)) {
        let entries: Vec<Entry> = numbers
            .par_iter()
            .zip(batch..batch + numbers.len())
            .map(|(&number, place)| {
                let entry = make(folder.path(), request, number, place)?;
                if step().is_break() { Err(Error::Interrupted) } else { Ok(entry) }
            })
            .collect::<Result<_>>()?;
        for entry in entries {
            serde_json::to_writer(&mut metadata, &entry).map_err(|error| failed(error.into()))?;
            metadata.write_all(b"\n").map_err(failed)?;
        }
    }
    metadata.persist()?;
    let mark = serde_json::to_string_pretty(request).map_err(|error| failed(error.into()))?;
    files::write(&folder.path().join(MARK), format!("{mark}\n").as_bytes())?;
    Ok(folder.persist()?)
}

/// Sample `number` of the request, its picture written as the one at `place`.
fn make(folder: &Path, request: &Request, number: u64, place: usize) -> Result<Entry> {
    let Sample { scene, caption } = request.sample(number);
    let file_name = (!request.captions_only).then(|| format!("{place:06}.png"));
    if let Some(name) = &file_name {
        let path = folder.join(name);
        scene.draw().save(&path).map_err(|source| Error::Picture { path, source })?;
    }
    Ok(Entry { file_name, text: caption, labels: scene.labels(), scene })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, sync::atomic::*};

    fn request() -> Request {
        Request { count: 30, seed: 5, ..Request::default() }
    }

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
        let folder = write(&tmp.path().join("a"), &request(), Overwrite::Never, &|| {
            count.fetch_add(1, Ordering::Relaxed);
            go()
        });
        let folder = folder.unwrap();
        assert_eq!(count.into_inner(), 30);
        assert_eq!(contents(&folder).len(), 32);
        for (i, entry) in entries(&folder).into_iter().enumerate() {
            let Sample { scene, caption } = sample(5, i as u64);
            assert_eq!(
                entry,
                Entry {
                    file_name: Some(format!("{i:06}.png")),
                    text: caption,
                    labels: scene.labels(),
                    scene: scene.clone(),
                }
            );
            let picture = image::open(folder.join(entry.file_name.unwrap())).unwrap().into_rgb8();
            // The truth that was read back draws the picture that was written.
            assert_eq!(picture, entry.scene.draw());
        }
        assert_eq!(serde_json::from_slice::<Request>(&contents(&folder)[MARK]).unwrap(), request());
    }

    #[test]
    fn equal_requests_give_equal_bytes_and_parts_of_a_series_fit() {
        let tmp = tempfile::tempdir().unwrap();
        let write = |name: &str, request: &Request| {
            contents(&write(&tmp.path().join(name), request, Overwrite::Never, &go).unwrap())
        };
        let a = write("a", &request());
        assert_eq!(a, write("b", &request()));
        let rest = write("c", &Request { start: 20, count: 10, ..request() });
        assert_eq!((&a["000020.png"], &a["000029.png"]), (&rest["000000.png"], &rest["000009.png"]));
        assert_ne!(a["000000.png"], write("d", &Request { seed: 6, count: 1, ..request() })["000000.png"]);
    }

    #[test]
    fn captions_alone_and_single_objects() {
        let tmp = tempfile::tempdir().unwrap();
        let request = Request { captions_only: true, one_object: true, count: 2000, ..request() };
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
    fn captions_that_were_seen_are_left_out() {
        let tmp = tempfile::tempdir().unwrap();
        let seen = Request { captions_only: true, one_object: true, count: 3000, ..request() };
        let folder = write(&tmp.path().join("seen"), &seen, Overwrite::Never, &go).unwrap();
        let texts = |folder: &Path| entries(folder).into_iter().map(|entry| entry.text).collect::<HashSet<_>>();
        let fresh = Request { seed: 6, except: vec![folder.join(METADATA)], ..seen.clone() };
        let again = write(&tmp.path().join("fresh"), &fresh, Overwrite::Never, &go).unwrap();
        assert_eq!(texts(&again).len(), 3000);
        assert!(texts(&again).is_disjoint(&texts(&folder)));
        let plain = Request { except: vec![], ..fresh.clone() };
        let plain = write(&tmp.path().join("plain"), &plain, Overwrite::Never, &go).unwrap();
        assert!(!texts(&plain).is_disjoint(&texts(&folder)), "nothing was there to be left out");
        // Of a series itself nothing is left.
        let none = Request { except: vec![folder.join(METADATA)], count: 30, ..seen };
        let none = Request { count: 30, ..none };
        let error = write(&tmp.path().join("none"), &none, Overwrite::Never, &go).unwrap_err().to_string();
        assert!(error.starts_with("among 3000 samples only"), "{error}");
    }

    #[test]
    fn only_the_styles_that_are_named() {
        let tmp = tempfile::tempdir().unwrap();
        let styles = vec![Style::Flat, Style::Striped];
        let request = Request { styles: styles.clone(), captions_only: true, count: 300, ..request() };
        let written = entries(&write(&tmp.path().join("a"), &request, Overwrite::Never, &go).unwrap());
        let of_series = (0..).map(|i| sample(5, i)).filter(|sample| styles.contains(&sample.scene.style));
        let expected: Vec<String> = of_series.take(300).map(|sample| sample.caption).collect();
        assert_eq!(written.into_iter().map(|entry| entry.text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn captions_to_leave_out_that_are_none() {
        let tmp = tempfile::tempdir().unwrap();
        let except = tmp.path().join("seen.jsonl");
        fs::write(&except, "{\"text\": \"a star\", \"more\": 1}\n\n[\"a ring\"]\n").unwrap();
        let request = Request { except: vec![except.clone()], ..request() };
        let error = write(&tmp.path().join("a"), &request, Overwrite::Never, &go).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}, line 3: invalid type", except.display())), "{error}");
    }

    #[test]
    fn only_what_was_written_here_is_overwritten() {
        let tmp = tempfile::tempdir().unwrap();
        let own = tmp.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join(METADATA), "{}").unwrap();
        let message = |overwrite| write(&own, &request(), overwrite, &go).unwrap_err().to_string();
        assert_eq!(
            message(Overwrite::IfItHolds(MARK)),
            format!(
                "the folder {} is not empty and holds no world.json: it is not overwritten, choose another",
                own.display()
            )
        );
        fs::write(own.join(MARK), "{}").unwrap();
        assert!(message(Overwrite::Never).contains("is not empty"));
        write(&own, &Request { count: 1, ..request() }, Overwrite::IfItHolds(MARK), &go).unwrap();
        assert_eq!(contents(&own).len(), 3);
    }

    #[test]
    fn an_interrupted_one_leaves_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        let stopped = write(&tmp.path().join("a"), &request(), Overwrite::Never, &|| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap_err().to_string(), "interrupted: nothing was written");
        assert_eq!(contents(tmp.path()).len(), 0);
    }

    #[test]
    fn a_picture_that_cannot_be_written() {
        let tmp = tempfile::tempdir().unwrap();
        let missing = tmp.path().join("none");
        assert_eq!(
            make(&missing, &request(), 0, 0).unwrap_err().to_string(),
            format!(
                "cannot write the picture {}: No such file or directory (os error 2)",
                missing.join("000000.png").display()
            )
        );
    }
}

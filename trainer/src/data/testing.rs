//! Data sets for tests.

use super::{Dataset, Error, PictureError, Result};
use image::{Rgb, RgbImage};
use pleach_model::files::Sha256;
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Pictures that are made when asked for: each of one colour, with two captions.
pub(crate) struct Made {
    pub len: usize,
    /// Those that cannot be used.
    pub broken: Vec<usize>,
    pub decoded: AtomicUsize,
}

impl Made {
    pub fn new(len: usize) -> Self {
        Self { len, broken: Vec::new(), decoded: AtomicUsize::new(0) }
    }
}

impl Dataset for Made {
    fn len(&self) -> usize {
        self.len
    }

    fn captions(&self, index: usize) -> Cow<'_, [String]> {
        vec![format!("picture {index}"), format!("the picture of number {index}")].into()
    }

    fn picture(&self, index: usize) -> Result<RgbImage, PictureError> {
        self.decoded.fetch_add(1, Ordering::SeqCst);
        // Threads finish in another order than they began.
        thread::sleep(Duration::from_micros((index * 7919 % 5) as u64 * 100));
        if self.broken.contains(&index) {
            assert!(index.is_multiple_of(2), "decoders can panic");
            return Err(PictureError::Format);
        }
        let side = 8 + (index % 3) as u32;
        Ok(RgbImage::from_fn(side, 8, |x, y| Rgb([index as u8, x as u8 * 20, y as u8 * 20])))
    }

    fn name(&self, index: usize) -> Cow<'_, str> {
        format!("{index}.png").into()
    }

    fn fingerprint(&self) -> Result<Sha256> {
        Ok(Sha256::of(&self.len.to_le_bytes()))
    }
}

/// A temporary folder with files.
pub(crate) struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A small picture that differs from others by `number`.
    pub fn picture(&self, name: &str, number: usize) -> PathBuf {
        let path = self.write(name, "");
        let pixel = |x, y| Rgb([(number * 40) as u8, (x * 9) as u8, (y * 11) as u8]);
        RgbImage::from_fn(20 + number as u32 % 3, 18, pixel).save(&path).unwrap();
        path
    }

    /// The text with this folder called TMP.
    pub fn text(&self, text: impl ToString) -> String {
        text.to_string().replace(self.path().to_str().unwrap(), "TMP")
    }

    pub fn error<T>(&self, result: Result<T, Error>) -> String {
        self.text(result.err().expect("an error"))
    }
}

/// An image folder of `n` pictures with one caption each.
pub(crate) fn image_folder(n: usize) -> Folder {
    let folder = Folder::new();
    let lines: Vec<String> = (0..n)
        .map(|i| {
            folder.picture(&format!("{i}.png"), i);
            format!("{{\"file_name\": \"{i}.png\", \"text\": \"a picture of {i}\"}}\n")
        })
        .collect();
    folder.write("metadata.jsonl", lines.concat());
    folder
}

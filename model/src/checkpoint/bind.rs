//! A checkpoint compared with what a network expects: everything that is wrong is told at once.

use super::{Checkpoint, Entry, Spelling, TensorView, error::Result, parse_dtype};
use crate::tensor::TensorSpec;
use std::{collections::HashMap, fmt, path::PathBuf};

/// So many names are shown of each kind.
const SHOWN: usize = 20;

/// The tensors of one network: each that it expects, in the shape that it expects.
#[derive(Debug)]
pub struct Bound<'a> {
    specs: Vec<TensorSpec>,
    entries: Vec<(&'a Checkpoint, &'a Entry)>,
    by_name: HashMap<String, usize>,
}

impl Checkpoint {
    /// Finds every tensor that a network expects.
    ///
    /// Old spellings ([`Spelling`]) and weights stored in another precision are fine, and so are tensors that the spelling's table knows as
    /// not used by the network.
    ///
    /// # Errors
    /// [`Mismatch`], with all that is missing, unexpected, of another shape or not of a floating-point type.
    pub fn bind(&self, expected: &[TensorSpec], spelling: Spelling) -> Result<Bound<'_>, Mismatch> {
        let by_name: HashMap<String, usize> =
            expected.iter().enumerate().map(|(i, spec)| (spec.name.clone(), i)).collect();
        let mut found: Vec<Option<&Entry>> = vec![None; expected.len()];
        let mut mismatch = Mismatch::of(self.path.clone());
        for entry in &self.tensors {
            let stored = &entry.stored;
            let name = spelling.canonical(&stored.name);
            let slot = by_name.get(&name).and_then(|&i| Some((expected.get(i)?, found.get_mut(i)?)));
            let Some((spec, slot)) = slot else {
                if !spelling.is_unused(&name) {
                    mismatch.unexpected.push(stored.name.clone());
                }
                continue;
            };
            if let Some(other) = slot.replace(entry) {
                mismatch.misfits.push(Misfit::Twice { name, stored: [other.stored.name.clone(), stored.name.clone()] });
                continue;
            }
            if !parse_dtype(&stored.dtype).is_some_and(|dtype| dtype.is_float()) {
                mismatch.misfits.push(Misfit::Dtype { name: name.clone(), found: stored.dtype.clone() });
            }
            if !spelling.fits(&name, &stored.shape, &spec.shape) {
                mismatch.misfits.push(Misfit::Shape { spec: spec.clone(), found: stored.shape.clone() });
            }
        }
        let missing = expected.iter().zip(&found).filter(|(_, found)| found.is_none());
        mismatch.missing = missing.map(|(spec, _)| spec.clone()).collect();
        if mismatch.is_empty() {
            let entries = found.into_iter().flatten().map(|entry| (self, entry)).collect();
            Ok(Bound { specs: expected.to_vec(), entries, by_name })
        } else {
            Err(mismatch)
        }
    }
}

impl<'a> Bound<'a> {
    /// The tensors of a network that is made of two. Where both have a name, it stands for the second's.
    #[must_use]
    pub fn and(mut self, other: Bound<'a>) -> Self {
        let before = self.specs.len();
        self.by_name.extend(other.by_name.into_iter().map(|(name, i)| (name, before + i)));
        self.specs.extend(other.specs);
        self.entries.extend(other.entries);
        self
    }

    /// What the network expects, in its order: every tensor of it can be had.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// The tensor of this (the network's) name; its shape is the network's too.
    ///
    /// # Errors
    /// [`Error::NoTensor`](super::Error::NoTensor) for a name that is not among [`specs`](Self::specs).
    pub fn get(&self, name: &str) -> Result<TensorView<'_>> {
        let found = self.by_name.get(name).and_then(|&i| Some((self.specs.get(i)?, self.entries.get(i)?)));
        let Some((spec, (checkpoint, entry))) = found else {
            let path = self.entries.first().map_or_else(PathBuf::new, |(checkpoint, _)| checkpoint.path.clone());
            return Err(super::Error::NoTensor { path, name: name.to_owned() });
        };
        Ok(TensorView { name: &spec.name, shape: &spec.shape, ..checkpoint.view(entry)? })
    }
}

/// A tensor that is there, but not as the network expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Of another shape.
    Shape {
        /// The name and shape expected.
        spec: TensorSpec,
        /// The shape stored.
        found: Vec<usize>,
    },
    /// Not of a floating-point type.
    Dtype {
        /// The name expected.
        name: String,
        /// The type stored, as the file spells it.
        found: String,
    },
    /// Stored twice, under two spellings.
    Twice {
        /// The name expected.
        name: String,
        /// The names stored.
        stored: [String; 2],
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { spec, found } => write!(f, "{}: expected {:?}, found {found:?}", spec.name, spec.shape),
            Self::Dtype { name, found } => write!(f, "{name}: expected f32, f16 or bf16, found {found}"),
            Self::Twice { name, stored: [a, b] } => write!(f, "{name}: stored twice, as {a} and as {b}"),
        }
    }
}

/// A checkpoint does not hold what a network expects. Shown with up to 20 names of each kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// The safetensors file or the index.
    pub path: PathBuf,
    /// What the network expects and the checkpoint lacks.
    pub missing: Vec<TensorSpec>,
    /// What the checkpoint holds and the network does not know.
    pub unexpected: Vec<String>,
    /// What is there in another form.
    pub misfits: Vec<Misfit>,
}

impl Mismatch {
    fn of(path: PathBuf) -> Self {
        Self { path, missing: Vec::new(), unexpected: Vec::new(), misfits: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misfits.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not fit the network:", self.path.display())?;
        let missing = self.missing.iter().map(|spec| format!("{} {:?}", spec.name, spec.shape));
        list(f, "missing", missing)?;
        list(f, "unexpected", self.unexpected.iter().map(String::clone))?;
        list(f, "not as expected", self.misfits.iter().map(Misfit::to_string))
    }
}

/// A title with a count, and the first lines below it.
fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    write!(f, "\n  {count} {title}:")?;
    lines.take(SHOWN).try_for_each(|line| write!(f, "\n    {line}"))?;
    if count > SHOWN { write!(f, "\n    ... and {} more", count - SHOWN) } else { Ok(()) }
}

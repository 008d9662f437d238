//! What pictures should show: a JSON object per line, with `text` (the prompt), `labels`, and `file_name` where it belongs to one picture.

use super::{Error, Result};
use pleach_model::{
    files::{json_object, read_bounded},
    vision::Head,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// Ten million prompts.
const MAX_BYTES: u64 = 4 << 30;

/// For each head, the classes that a picture should show: `{"style": ["striped"], "shape": ["star", "ring"]}`.
pub type Labels = BTreeMap<String, Vec<String>>;

/// What one picture should show: for each head of the classifier the numbers of the classes, none where it is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In the order of the heads.
    pub classes: Vec<Option<Vec<usize>>>,
}

/// The labels of a set of pictures.
#[derive(Clone, Debug)]
pub struct Truth {
    path: PathBuf,
    lines: Vec<Asked>,
    by_name: HashMap<String, usize>,
    by_prompt: HashMap<String, usize>,
}

/// One line of such a file.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub file_name: Option<String>,
    pub text: String,
    pub labels: Labels,
}

/// What such a line is.
const FORM: &str = "a line is an object with `text`, and `labels` by head, as `pleach-train world` writes it";

/// The lines of such a file with their numbers, from 1; blank ones are passed over.
///
/// # Errors
/// [`Error::Line`], for each line that is not one.
pub(crate) fn lines<'a>(path: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = Result<(usize, Line)>> + 'a {
    let lines = (1..).zip(bytes.split(|&byte| byte == b'\n'));
    lines.filter(|(_, text)| !text.trim_ascii().is_empty()).map(move |(line, text)| {
        let wrong = |reason: String| Error::Line { path: path.to_owned(), line, reason };
        Ok((line, json_object(text).map_err(|error| wrong(format!("{error}; {FORM}")))?))
    })
}

impl Truth {
    /// Reads labels for a classifier with these heads.
    ///
    /// # Errors
    /// [`Error::Line`], [`Error::Class`]: a line that is not one, or asks for what the classifier does not know; [`Error::File`].
    pub fn read(path: &Path, heads: &[Head]) -> Result<Self> {
        let bytes = read_bounded(path, MAX_BYTES)?;
        let mut truth =
            Self { path: path.to_owned(), lines: vec![], by_name: HashMap::new(), by_prompt: HashMap::new() };
        for found in lines(path, &bytes) {
            let (line, row) = found?;
            let wrong = |reason: String| Error::Line { path: path.to_owned(), line, reason };
            if let Some(unknown) = row.labels.keys().find(|label| heads.iter().all(|head| head.name != **label)) {
                let heads = heads.iter().map(|head| head.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(wrong(format!(
                    "the label {unknown:?} is asked for, and the classifier's heads are {heads}"
                )));
            }
            let asked = truth.asked(line, &row.labels, heads)?;
            let index = truth.lines.len();
            match truth.by_prompt.get(&row.text) {
                Some(&other) if truth.lines[other] != asked => {
                    return Err(wrong(format!("the prompt {:?} has other labels on an earlier line", row.text)));
                }
                Some(_) => {}
                None => {
                    truth.by_prompt.insert(row.text, index);
                }
            }
            if let Some(name) = row.file_name
                && truth.by_name.insert(name.clone(), index).is_some()
            {
                return Err(wrong(format!("the picture {name} is named twice")));
            }
            truth.lines.push(asked);
        }
        Ok(truth)
    }

    fn asked(&self, line: usize, labels: &Labels, heads: &[Head]) -> Result<Asked> {
        let number = |head: &Head, class: &String| {
            head.classes.iter().position(|known| known == class).ok_or_else(|| Error::Class {
                path: self.path.clone(),
                line,
                head: head.name.clone(),
                class: class.clone(),
                known: head.classes.clone(),
            })
        };
        let classes = heads.iter().map(|head| {
            let Some(classes) = labels.get(&head.name) else { return Ok(None) };
            let mut classes = classes.iter().map(|class| number(head, class)).collect::<Result<Vec<_>>>()?;
            classes.sort_unstable();
            classes.dedup();
            Ok(Some(classes))
        });
        Ok(Asked { classes: classes.collect::<Result<_>>()? })
    }

    /// The file that it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What the picture of this file name should show.
    pub fn of_name(&self, name: &str) -> Option<(usize, &Asked)> {
        self.by_name.get(name).map(|&index| (index, &self.lines[index]))
    }

    /// What a picture that was drawn for this prompt should show.
    pub fn of_prompt(&self, prompt: &str) -> Option<(usize, &Asked)> {
        self.by_prompt.get(prompt).map(|&index| (index, &self.lines[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::vision::Choice;
    use std::fs;

    fn heads() -> Vec<Head> {
        let head = |name: &str, classes: &[&str], choice| Head {
            name: name.into(),
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            choice,
        };
        vec![head("style", &["flat", "dotted"], Choice::OneOf), head("shape", &["star", "ring"], Choice::AnyOf)]
    }

    fn read(text: &str) -> Result<Truth> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("labels.jsonl");
        fs::write(&file, text).unwrap();
        Truth::read(&file, &heads())
    }

    #[test]
    fn labels_become_numbers() {
        let truth = read(concat!(
            r#"{"file_name": "0.png", "text": "a", "labels": {"style": ["dotted"], "shape": ["ring", "star", "ring"]}, "more": 1}"#,
            "\n\n",
            r#"{"text": "b", "labels": {"shape": []}}"#,
        ))
        .unwrap();
        let first = Asked { classes: vec![Some(vec![1]), Some(vec![0, 1])] };
        assert_eq!((truth.of_name("0.png"), truth.of_prompt("a")), (Some((0, &first)), Some((0, &first))));
        assert_eq!(truth.of_prompt("b"), Some((1, &Asked { classes: vec![None, Some(vec![])] })));
        assert_eq!((truth.of_prompt("c"), truth.of_name("b"), truth.len()), (None, None, 2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        for (text, expected) in [
            ("[]", "line 1: invalid type"),
            (
                "a star",
                "line 1: expected value at line 1 column 1; a line is an object with `text`, and `labels` by head",
            ),
            (r#"{"text": "a"}"#, "missing field `labels`"),
            (r#"{"text": "a", "labels": {"mood": ["glad"]}}"#, "the classifier's heads are style, shape"),
            (
                r#"{"text": "a", "labels": {"shape": ["cat"]}}"#,
                r#"shape "cat" is asked for, and the classifier distinguishes star, ring"#,
            ),
            (
                "{\"text\": \"a\", \"labels\": {\"shape\": [\"star\"]}}\n{\"text\": \"a\", \"labels\": {\"shape\": [\"ring\"]}}",
                "line 2: the prompt \"a\" has other labels on an earlier line",
            ),
        ] {
            assert!(message(text).contains(expected), "{}", message(text));
        }
    }
}

//! Which prompts a protocol is about.

use crate::suite::{Form, Reading, Source, Suite, Template};
use serde::{Deserialize, Serialize};

/// Which prompts, and how their file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// The form of the file; where it is not said, its name decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
    /// The column with the prompts; where it is not said, the first of [`Reading::COLUMNS`] that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Columns that become groups, beside those that always do.
    pub groups: Vec<String>,
    /// What names are put into, where the file is a list of names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Names for the template, where there is no file.
    pub names: Vec<String>,
    /// The files that the protocol is about.
    pub known: Vec<Known>,
    /// Whether any other file is an error, not a warning.
    pub strict: bool,
    /// Whether the owners restrict access, so that prompts are not shown to others.
    pub gated: bool,
    /// Whether prompts are harmful to read, so that reports hold only their hashes.
    #[serde(rename = "unsafe")]
    pub is_unsafe: bool,
    /// Whether all prompts are sexual whatever their categories, so that the policy on minors holds for all.
    pub sexual: bool,
    /// Whether a prompt may be empty.
    pub allow_empty: bool,
}

/// A file that a protocol is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What it is called.
    pub name: String,
    /// Its SHA-256, or the first 12 digits or more of it.
    pub sha256: String,
    /// Its rows.
    pub rows: usize,
    /// How many of its prompts are different, where that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<usize>,
}

impl Prompts {
    /// How the file is read. Callers may change form and column for a file of another form.
    pub fn reading(&self) -> Reading {
        let Self { form, column, groups, template, allow_empty, .. } = self.clone();
        Reading { form, column, groups, allow_empty, template }
    }

    /// The prompts that need no file: those of names that the protocol lists.
    pub fn inline(&self) -> Option<crate::suite::Result<Suite>> {
        let template = self.template.as_ref().filter(|_| !self.names.is_empty())?;
        Some(Suite::of_names(template, &self.names))
    }

    /// The file of the protocol that this is, none where it is another one.
    pub fn identify(&self, source: &Source) -> Option<&Known> {
        let sha256 = source.sha256.to_string();
        self.known.iter().find(|known| sha256.starts_with(&known.sha256) && known.rows == source.rows)
    }

    pub(super) fn flaw(&self) -> Option<String> {
        let is_hash = |text: &str| {
            (12..=64).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        };
        if let Some(known) = self.known.iter().find(|known| !is_hash(&known.sha256)) {
            return Some(format!("the sha256 of {:?} is not 12 to 64 lower-case hexadecimal digits", known.name));
        }
        if self.strict && self.known.is_empty() {
            return Some("prompts.strict is true, and no prompts.known is given".to_owned());
        }
        match (&self.template, self.form) {
            (Some(_), None | Some(Form::Template)) => {}
            (Some(_), Some(form)) => return Some(format!("prompts.template is given, and prompts.form is {form}")),
            (None, Some(Form::Template)) => {
                return Some("prompts.form is template, and prompts.template is not given".to_owned());
            }
            (None, _) if !self.names.is_empty() => {
                return Some("prompts.names is given without prompts.template".to_owned());
            }
            (None, _) => {}
        }
        let places = self.template.as_ref().map(|template| template.text.matches("{}").count());
        places
            .filter(|places| *places != 1)
            .map(|places| format!("prompts.template.text has {places} places {{}}, not 1"))
    }
}

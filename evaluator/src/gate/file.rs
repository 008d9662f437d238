//! The gates' file.

use super::{Error, Result};
use crate::document::{Quantity, Rule};
use pleach_console::recipe;
use serde::Deserialize;
use std::path::Path;

/// One gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Its name.
    pub name: String,
    /// `SUITE/MEASURE`.
    pub metric: String,
    /// The part of the suite; all of it where none.
    pub part: Option<Part>,
    /// The number that is looked at.
    pub quantity: Quantity,
    /// How it is decided.
    pub rule: Rule,
    /// What is allowed.
    pub limit: Limit,
}

/// A part of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What divides the suite: `category`, `expert`, ...
    pub by: String,
    /// Which part; `*` is each of them.
    pub is: String,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// This much or less.
    AtMost(f64),
    /// This much or more.
    AtLeast(f64),
    /// The subject may be this much worse than the baseline.
    Margin(f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    gate: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    metric: String,
    scope: Option<Part>,
    #[serde(default)]
    of: Quantity,
    rule: Rule,
    at_most: Option<f64>,
    at_least: Option<f64>,
    margin: Option<f64>,
}

impl Demand {
    /// Reads a file of gates.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Demand`].
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let file: File = recipe::load(Some(path), &[])?;
        file.gate.into_iter().map(Self::try_from).collect()
    }
}

impl TryFrom<Entry> for Demand {
    type Error = Error;

    fn try_from(entry: Entry) -> Result<Self> {
        let Entry { name, metric, scope, of, rule, at_most, at_least, margin } = entry;
        let wrong = |reason: &str| Error::Demand { name: name.clone(), reason: reason.to_owned() };
        let limit = match (at_most, at_least, margin) {
            (Some(limit), None, None) => Limit::AtMost(limit),
            (None, Some(limit), None) => Limit::AtLeast(limit),
            (None, None, Some(margin)) => Limit::Margin(margin),
            _ => return Err(wrong("it needs one of at_most, at_least and margin")),
        };
        match (rule, limit) {
            (Rule::NonInferior, Limit::Margin(margin)) if margin >= 0.0 && margin.is_finite() => {}
            (Rule::NonInferior, _) => return Err(wrong("non_inferior needs a margin, a finite number from 0")),
            (_, Limit::Margin(_)) => return Err(wrong("a margin goes with the rule non_inferior")),
            (_, Limit::AtMost(limit) | Limit::AtLeast(limit)) if !limit.is_finite() => {
                return Err(wrong("its limit is not a finite number"));
            }
            _ => {}
        }
        if rule == Rule::NonInferior && of != Quantity::Subject {
            return Err(wrong("non_inferior looks at the difference to the baseline: leave `of` out"));
        }
        Ok(Self { name, metric, part: scope, quantity: of, rule, limit })
    }
}

//! Reading the JSON configuration files of diffusers and transformers: unknown keys are tolerated,
//! a known key with a value that is not supported is refused by name.

use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// The fields of one configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    network: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which must be an object, for errors about `network`.
    pub fn new(network: &'static str, value: &'a Value) -> Result<Self> {
        let map = value.as_object().ok_or_else(|| Error::Config {
            network,
            field: "the whole file".into(),
            reason: "expected a JSON object".into(),
        })?;
        Ok(Self { network, map })
    }

    /// An error about a field.
    pub fn error(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::Config { network: self.network, field: field.into(), reason: reason.into() }
    }

    /// The value of a field; `null` counts as absent, as in diffusers.
    pub fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    fn read<T>(&self, field: &str, default: Option<T>, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T> {
        match self.get(field) {
            Some(value) => read(value).ok_or_else(|| self.error(field, format!("expected {kind}, found {value}"))),
            None => default.ok_or_else(|| self.error(field, format!("missing; expected {kind}"))),
        }
    }

    /// A whole number of at least 1.
    pub fn count(&self, field: &str, default: Option<usize>) -> Result<usize> {
        self.read(field, default, "a positive whole number", positive)
    }

    /// A number.
    pub fn number(&self, field: &str, default: Option<f64>) -> Result<f64> {
        self.read(field, default, "a number", Value::as_f64)
    }

    /// True or false.
    pub fn flag(&self, field: &str, default: Option<bool>) -> Result<bool> {
        self.read(field, default, "true or false", Value::as_bool)
    }

    /// A word.
    pub fn word(&self, field: &str, default: Option<&'a str>) -> Result<&'a str> {
        self.read(field, default, "a string", Value::as_str)
    }

    /// A list of positive whole numbers.
    pub fn counts(&self, field: &str) -> Result<Vec<usize>> {
        let list = |value: &Value| value.as_array()?.iter().map(positive).collect::<Option<Vec<_>>>();
        let counts = self.read(field, None, "a list of positive whole numbers", list)?;
        if counts.is_empty() { Err(self.error(field, "is empty")) } else { Ok(counts) }
    }

    /// One positive whole number for all `levels`, or a list of one for each.
    pub fn per_level(&self, field: &str, default: Option<usize>, levels: usize) -> Result<Vec<usize>> {
        match self.get(field) {
            Some(Value::Array(_)) => {
                let counts = self.counts(field)?;
                if counts.len() == levels {
                    Ok(counts)
                } else {
                    Err(self.error(field, format!("has {} entries for {levels} levels", counts.len())))
                }
            }
            _ => Ok(vec![self.count(field, default)?; levels]),
        }
    }

    /// A list of words, each mapped by `kind`; a word that is not known is refused together with those that are.
    pub fn words<T: Copy>(&self, field: &str, known: &[(&str, T)]) -> Result<Vec<T>> {
        let list = self.read(field, None, "a list of strings", Value::as_array)?;
        list.iter().map(|value| self.one_of(field, value, known)).collect()
    }

    /// The meaning of `value` among the known ones.
    pub fn one_of<T: Copy>(&self, field: &str, value: &Value, known: &[(&str, T)]) -> Result<T> {
        known.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words = known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            self.error(field, format!("{value} is not supported; supported: {words}"))
        })
    }

    /// Refuses every listed field that is present with a value other than the one supported.
    pub fn only(&self, supported: &[(&str, Value)]) -> Result<()> {
        for (field, value) in supported {
            if let Some(found) = self.get(field)
                && !same(found, value)
            {
                return Err(self.error(field, format!("{found} is not supported; supported: {value}")));
            }
        }
        Ok(())
    }
}

fn positive(value: &Value) -> Option<usize> {
    value.as_u64().filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok())
}

/// Equal, where `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|x| Some(x) == b.as_f64())
}

//! What a report refuses to show.

use super::{Error, Result, Sensitivity, Thumbnails};
use crate::document::{Audit, Sample};
use serde_json::Value;
use std::collections::HashMap;

/// Refuses numbers that are none, samples of unknown suites, and whatever of a restricted suite must not be published.
///
/// # Errors
/// The first of them that is found.
pub(super) fn check(audit: &Audit, samples: &[Sample], thumbnails: &Thumbnails) -> Result<()> {
    document(audit)?;
    let restricted: HashMap<&str, bool> =
        audit.suites.iter().map(|suite| (suite.name.as_str(), suite.restricted)).collect();
    for sample in samples {
        let (name, suite) = (|| sample.id.clone(), || sample.suite.clone());
        match restricted.get(sample.suite.as_str()) {
            None => return Err(Error::Suite { sample: name(), suite: suite() }),
            Some(false) => {}
            Some(true) => {
                if sample.prompt.is_some() {
                    return Err(Error::RestrictedPrompt { sample: name(), suite: suite() });
                }
                for picture in sample.arms.values().filter_map(|outcome| outcome.picture.as_ref()) {
                    if thumbnails.sensitivity(picture) == Some(Sensitivity::Public) {
                        return Err(Error::RestrictedPicture { picture: picture.clone(), suite: suite() });
                    }
                }
            }
        }
        if let Some(path) = null(&serde_json::to_value(sample)?) {
            return Err(Error::NotFinite(format!("sample {}: {}", sample.id, path.trim_start_matches('.'))));
        }
    }
    Ok(())
}

/// Refuses numbers that are none, and matrices that are none.
///
/// # Errors
/// The first of them that is found.
pub(super) fn document(audit: &Audit) -> Result<()> {
    let mut value = serde_json::to_value(audit)?;
    // Protocols are JSON already, where no number can be anything else and null may mean something.
    if let Some(document) = value.as_object_mut() {
        document.remove("protocols");
    }
    if let Some(path) = null(&value) {
        return Err(Error::NotFinite(path.trim_start_matches('.').to_owned()));
    }
    for confusion in &audit.confusions {
        let classes = confusion.classes.len();
        if confusion.counts.len() != classes || confusion.counts.iter().any(|row| row.len() != classes) {
            return Err(Error::Confusion {
                suite: confusion.suite.clone(),
                measure: confusion.measure.clone(),
                arm: confusion.arm.clone(),
                classes,
            });
        }
    }
    Ok(())
}

/// Where the first null is, as `.field[index].field`: serde writes NaN and infinities as null, and nothing else of a document, as what is none is left out.
pub(super) fn null(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(index, value)| Some(format!("[{index}]{}", null(value)?)))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| Some(format!(".{name}{}", null(value)?))),
        _ => None,
    }
}

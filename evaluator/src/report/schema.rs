//! The JSON Schema of `audit.json`.

use crate::document::{Audit, SCHEMA, VERSION};
use serde_json::Value;

/// The JSON Schema (2020-12) of an [`Audit`].
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Audit).to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".to_owned(), format!("{SCHEMA} {VERSION}").into());
    }
    schema
}

//! `audit.json` and its published schema.

use crate::example::example;
use pleach_evaluator::{document::Audit, report};
use serde_json::{Value, json};
use std::{env, fs, path::Path};

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&report::schema()).unwrap());
    if env::var_os("WRITE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap();
    assert!(published == schema, "docs/audit.schema.json is out of date: run this test with WRITE_SCHEMA=1");
}

#[test]
fn an_audit_is_valid_and_what_is_none_is_not() {
    let validator = jsonschema::validator_for(&report::schema()).unwrap();
    let (audit, _) = example();
    let document = serde_json::to_value(&audit).unwrap();
    let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(serde_json::from_value::<Audit>(document.clone()).unwrap(), audit);
    let with = |pointer: &str, value: Value| {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        validator.is_valid(&document)
    };
    assert!(with("/verdict/exit_code", json!(0)));
    assert!(!with("/verdict/exit_code", json!("0")));
    assert!(!with("/verdict/status", json!("fine")));
    assert!(!with("/metrics/0/subject/value", Value::Null));
    assert!(!with("/gates/0/side", json!("below")));
    assert!(!with("/plan", json!({})));
}

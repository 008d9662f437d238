//! An audit's recipe with everything put in, and what decides it.

use super::{
    Error, Result, Step,
    hashes::Hashes,
    plan::Inputs,
    recipe::AuditRecipe,
    text::{Scope, Text, is_name},
};
use crate::{protocol::Protocol, run};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{fs, path::Path, sync::Arc};

/// What is drawn and what looks, and where paths of the recipe begin.
pub struct Auditing<'a> {
    /// The recipe.
    pub recipe: &'a AuditRecipe,
    /// The folder that its paths are relative to.
    pub folder: &'a Path,
    /// Hashes that were taken.
    pub hashes: &'a mut Hashes,
}

/// The step that draws everything by a bundle.
///
/// # Errors
/// Names that stand for nothing, files that cannot be read.
pub fn draw(
    auditing: &mut Auditing<'_>,
    name: &str,
    (bundle, expert): (&Text, Option<&str>),
    scope: &Scope,
) -> Result<Arc<Step>> {
    let json = |source| Error::Json { path: "audit".into(), source };
    let template = serde_json::to_value(auditing.recipe).map_err(json)?;
    let mut found = Found { needs: bundle.needs.clone(), inputs: bundle.inputs.clone(), protocols: Map::new() };
    let (mut actual, mut symbolic) = both(auditing, &template, "audit", scope, &mut found)?;
    let subject = local(auditing, bundle, &mut found)?;
    for (value, subject) in [(&mut actual, &subject.0), (&mut symbolic, &subject.1)] {
        if let Some(fields) = value.as_object_mut() {
            fields.insert("title".to_owned(), json!("One model of a study"));
            fields.insert("subject".to_owned(), json!(subject));
            fields.insert("subject_expert".to_owned(), json!(expert));
        }
    }
    let recipe: run::Recipe = serde_json::from_value(actual).map_err(json)?;
    let decides = json!({ "recipe": symbolic, "protocols": found.protocols });
    Ok(Step::draw(name.to_owned(), recipe, &decides, found.needs, found.inputs))
}

struct Found {
    needs: Vec<Arc<Step>>,
    inputs: Inputs,
    /// Presets by name: another version of Pleach may mean another thing by one.
    protocols: Map<String, Value>,
}

/// A value with names put in: for the audit, and for a key.
fn both(
    auditing: &mut Auditing<'_>,
    value: &Value,
    at: &str,
    scope: &Scope,
    found: &mut Found,
) -> Result<(Value, Value)> {
    Ok(match value {
        Value::String(text) => {
            let text = scope.expand(text, at)?;
            found.needs.extend(text.needs.iter().cloned());
            found.inputs.extend(text.inputs.clone());
            let field = at.rsplit('.').next().unwrap_or_default();
            let is_path = ["prompts", "protocol", "folder"].contains(&field) || at.starts_with("audit.pictures.");
            let (actual, symbolic) = if is_path {
                local(auditing, &text, found)?
            } else {
                (text.actual(Path::new(""), Path::new("")), text.symbolic())
            };
            if field == "protocol"
                && let Ok(preset) = Protocol::open(&actual)
            {
                found.protocols.insert(symbolic.clone(), json!(preset.digest().to_string()));
            }
            (json!(actual), json!(symbolic))
        }
        Value::Array(items) => {
            let (mut actual, mut symbolic) = (Vec::new(), Vec::new());
            for item in items {
                let put = both(auditing, item, at, scope, found)?;
                match item.as_str().and_then(|template| list(template, &put.0)) {
                    Some(list) => {
                        actual.extend(list.clone());
                        symbolic.extend(list);
                    }
                    None => {
                        actual.push(put.0);
                        symbolic.push(put.1);
                    }
                }
            }
            (Value::Array(actual), Value::Array(symbolic))
        }
        Value::Object(fields) => {
            let (mut actual, mut symbolic) = (Map::new(), Map::new());
            for (name, value) in fields {
                let (a, s) = both(auditing, value, &format!("{at}.{name}"), scope, found)?;
                actual.insert(name.clone(), a);
                symbolic.insert(name.clone(), s);
            }
            (Value::Object(actual), Value::Object(symbolic))
        }
        other => (other.clone(), other.clone()),
    })
}

/// The items of a list that an item of a list stands for: `["{styles}"]` is what `styles` lists.
fn list(template: &str, put: &Value) -> Option<Vec<Value>> {
    #[derive(Deserialize)]
    struct Listed {
        list: Vec<String>,
    }
    let name = template.strip_prefix('{')?.strip_suffix('}')?;
    let text = put.as_str().filter(|text| is_name(name) && text.starts_with('['))?;
    let Listed { list } = toml::from_str(&format!("list = {text}")).ok()?;
    Some(list.into_iter().map(Value::String).collect())
}

/// A path of the recipe: absolute, and in a key by its hash. What names no file, such as an id of Hugging Face, stays as it is.
fn local(auditing: &mut Auditing<'_>, text: &Text, found: &mut Found) -> Result<(String, String)> {
    let (actual, symbolic) = (text.actual(Path::new(""), Path::new("")), text.symbolic());
    let path = auditing.folder.join(&actual);
    if actual != symbolic || actual.is_empty() || !path.exists() {
        return Ok((actual, symbolic));
    }
    let path = fs::canonicalize(&path).map_err(|source| Error::Io { path, source })?;
    let symbol = format!("input:{}", auditing.hashes.of(&path)?);
    found.inputs.insert(symbol.clone(), path.clone());
    Ok((path.display().to_string(), symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_stands_for_a_list_is_its_items() {
        let listed = |template: &str, put: &str| list(template, &json!(put));
        assert_eq!(listed("{styles}", r#"["flat", "a \"b\""]"#), Some(vec![json!("flat"), json!("a \"b\"")]));
        assert_eq!(listed("{styles}", "[]"), Some(vec![]));
        for (template, put) in
            [("{style}", "flat"), ("a {styles}", "a [\"b\"]"), ("[\"b\"]", "[\"b\"]"), ("{x}", "[1]")]
        {
            assert_eq!(listed(template, put), None, "{template}");
        }
    }
}

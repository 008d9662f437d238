//! `--set key.path=value`.

use std::str::FromStr;

use toml::{Table, Value};

use super::RecipeError;

/// One key to change. Numbers in the path count the items of a list from 0; a key that holds a dot is quoted: `a."b.c"=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    text: String,
    parents: Vec<String>,
    key: String,
    value: Value,
}

/// An override is not of the form `key.path=value`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not of the form key.path=value")]
pub struct OverrideError(String);

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let wrong = || OverrideError(text.to_owned());
        let (path, value) = text.split_once('=').ok_or_else(wrong)?;
        let mut parents = keys(path).ok_or_else(wrong)?;
        if parents.iter().any(String::is_empty) {
            return Err(wrong());
        }
        let key = parents.pop().ok_or_else(wrong)?;
        Ok(Self { text: text.to_owned(), parents, key, value: parse_value(value.trim()) })
    }
}

/// The keys of a path, divided by the dots that are not in quotes; none where a quote is left open.
fn keys(path: &str) -> Option<Vec<String>> {
    let (mut keys, mut quoted) = (vec![String::new()], false);
    for letter in path.chars() {
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => keys.push(String::new()),
            other => keys.last_mut()?.push(other),
        }
    }
    (!quoted).then(|| keys.iter().map(|key| key.trim().to_owned()).collect())
}

/// Whatever is not TOML is a string, so that `sampler=ddim` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    // A second key would mean that the text broke out of its line.
    let single = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    single.unwrap_or_else(|| Value::String(text.to_owned()))
}

impl Override {
    /// Writes the value into the recipe; tables on the way are made.
    pub(super) fn apply(&self, recipe: &mut Table) -> Result<(), RecipeError> {
        let mut walked: Vec<&str> = Vec::new();
        let mut place = Place::Table(recipe);
        for parent in &self.parents {
            walked.push(parent);
            place = match self.slot(place, parent, &walked)? {
                Value::Table(table) => Place::Table(table),
                Value::Array(items) => Place::List(items),
                _ => return Err(RecipeError::NotATable { set: self.text.clone(), parent: walked.join(".") }),
            };
        }
        walked.push(&self.key);
        *self.slot(place, &self.key, &walked)? = self.value.clone();
        Ok(())
    }

    fn slot<'a>(&self, place: Place<'a>, key: &str, walked: &[&str]) -> Result<&'a mut Value, RecipeError> {
        match place {
            Place::Table(table) => Ok(table.entry(key).or_insert_with(|| Value::Table(Table::new()))),
            Place::List(items) => {
                let count = items.len();
                let item = key.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                item.ok_or_else(|| RecipeError::NoSuchItem {
                    set: self.text.clone(),
                    list: walked.split_last().map(|(_, list)| list.join(".")).unwrap_or_default(),
                    count,
                })
            }
        }
    }
}

enum Place<'a> {
    Table(&'a mut Table),
    List(&'a mut Vec<Value>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_holds_a_dot_is_quoted() {
        assert_eq!(keys("a.b").unwrap(), ["a", "b"]);
        assert_eq!(keys("instrument.\"nudenet-3.0.8\".folder").unwrap(), ["instrument", "nudenet-3.0.8", "folder"]);
        assert!("a.\"b.c=1".parse::<Override>().is_err());
        let mut recipe = Table::new();
        "a.\"b.c\"=1".parse::<Override>().unwrap().apply(&mut recipe).unwrap();
        assert_eq!(recipe["a"]["b.c"], Value::Integer(1));
    }

    #[test]
    fn values_are_toml_or_strings() {
        assert_eq!(parse_value("3"), Value::Integer(3));
        assert_eq!(parse_value("1e-5"), Value::Float(1e-5));
        assert_eq!(parse_value("true"), Value::Boolean(true));
        assert_eq!(parse_value("\"3\""), Value::String("3".to_owned()));
        assert_eq!(parse_value("[1, 2]"), Value::Array(vec![Value::Integer(1), Value::Integer(2)]));
        assert_eq!(parse_value("ddim"), Value::String("ddim".to_owned()));
        assert_eq!(parse_value("a = b"), Value::String("a = b".to_owned()));
        assert_eq!(parse_value("1\nother = 2"), Value::String("1\nother = 2".to_owned()));
        assert_eq!(parse_value(""), Value::String(String::new()));
    }
}

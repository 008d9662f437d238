//! The metrics of whole suites as the `model-index` of a model card on Hugging Face.

use super::{Result, check, words};
use crate::document::{Audit, Estimate, Metric, SuiteInfo};
use askama::Template;

#[derive(Template)]
#[template(path = "card.yaml", escape = "none")]
struct Card<'a> {
    model: &'a str,
    results: Vec<(&'a SuiteInfo, Vec<(&'a Metric, &'a Estimate)>)>,
}

/// A YAML fragment for the head of a model card. Suites of which nothing was measured are left out.
///
/// # Errors
/// A number that is not finite.
pub fn model_card(audit: &Audit) -> Result<String> {
    check::document(audit)?;
    let measured = |suite: &SuiteInfo| -> Vec<(&Metric, &Estimate)> {
        let of_suite = audit.metrics.iter().filter(|metric| metric.suite == suite.name && words::is_whole(metric));
        of_suite.filter_map(|metric| Some((metric, metric.subject.as_ref()?))).collect()
    };
    let results = audit.suites.iter().map(|suite| (suite, measured(suite))).filter(|(_, metrics)| !metrics.is_empty());
    Ok(Card { model: &audit.subject.name, results: results.collect() }.render()?)
}

/// A text as YAML writes it in double quotes; JSON's strings are a part of YAML's.
fn quoted(text: impl AsRef<str>) -> String {
    let mut out = String::from("\"");
    for character in text.as_ref().chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// A number as YAML 1.1 and 1.2 both read it: with a point, without an exponent.
fn number(value: &f64) -> String {
    let text = format!("{value}");
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Lower case, digits and hyphens.
fn slug(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        match character.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => out.push(letter),
            _ if !out.ends_with('-') => out.push('-'),
            _ => {}
        }
    }
    out.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_survive_yaml() {
        for text in ["plain", "a: b # c", "\"quoted\" \\ 'x'", "line\nbreak\u{2028}", "{{ x }}", "yes", "=1"] {
            assert_eq!(serde_norway::from_str::<String>(&quoted(text)).unwrap(), text);
        }
        for value in [0.0, 1e-12, 1e21, -3.25, 12.0] {
            assert_eq!(serde_norway::from_str::<f64>(&number(&value)).unwrap(), value);
        }
        assert_eq!(slug("I2P (sexual), 4703!"), "i2p-sexual-4703");
    }
}

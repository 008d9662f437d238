//! Prompts from a file, one in each line: as they are, or as the `prompt` or `text` of a JSON object.

use anyhow::{Context, Result};
use pleach_model::files::read_bounded;
use serde_json::Value;
use std::{io::Read, path::Path};

/// A million prompts of ordinary length.
const MAX_BYTES: u64 = 100_000_000;

/// Where a line of JSON has its prompt.
const KEYS: [&str; 2] = ["prompt", "text"];

/// The lines of `file`, or of standard input where it is `-`; of a file that ends in .jsonl the prompts in its lines. Empty lines are
/// passed over.
pub fn read(file: &Path) -> Result<Vec<String>> {
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes).context("cannot read standard input")?;
        bytes
    } else {
        read_bounded(file, MAX_BYTES)?
    };
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not text in UTF-8", file.display()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
    let prompt = |(number, line): (usize, &str)| {
        if is_json {
            of_json(line).with_context(|| format!("{}, line {number}", file.display()))
        } else {
            Ok(line.to_owned())
        }
    };
    lines.map(prompt).collect()
}

fn of_json(line: &str) -> Result<String> {
    let object: serde_json::Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
    let prompt = KEYS.iter().find_map(|key| object.get(*key)?.as_str());
    Ok(prompt.context("neither `prompt` nor `text` is there")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn one_in_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prompts.txt");
        fs::write(&file, "\u{feff}a red star\r\n\n  a blue ring \n").unwrap();
        assert_eq!(read(&file).unwrap(), ["a red star", "a blue ring"]);
        fs::write(&file, b"\xff").unwrap();
        assert_eq!(read(&file).unwrap_err().to_string(), format!("{} is not text in UTF-8", file.display()));
    }

    #[test]
    fn objects_of_json_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prompts.jsonl");
        fs::write(&file, "{\"text\": \"a red star\", \"labels\": {}}\n\n{\"prompt\": \"a ring\", \"text\": \"x\"}\n")
            .unwrap();
        assert_eq!(read(&file).unwrap(), ["a red star", "a ring"]);
        for (wrong, expected) in [("a red star", "not a JSON object"), ("{}", "neither `prompt` nor `text` is there")] {
            fs::write(&file, format!("\n{wrong}\n")).unwrap();
            let message = format!("{:#}", read(&file).unwrap_err());
            assert!(message.starts_with(&format!("{}, line 2: {expected}", file.display())), "{message}");
        }
    }
}

//! Prompts from a file, one in each line.

use anyhow::{Context, Result};
use pleach_model::files::read_bounded;
use std::{io::Read, path::Path};

/// A million prompts of ordinary length.
const MAX_BYTES: u64 = 100_000_000;

/// The lines of `file`, or of standard input where it is `-`. Empty lines are passed over.
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
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
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
}

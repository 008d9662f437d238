//! docs/benchmarks.md: a section for each run, rewritten as it is repeated.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const HEAD: &str = "\
# Benchmarks

*Written by `cargo xtask bench`, which repeats all of it: each section when its run ended. `cargo xtask bench NAME --record` repeats a part.*

What is compared took turns in one run, so ratios say more than times: machines and loads differ. Networks of Stable Diffusion 2.1's size have random
weights, are made for the run and thrown away after it. What the figures mean, what was tried and what disappoints is in [performance](performance.md).
";

/// What begins a section.
const MARK: &str = "\n## ";

/// A run.
pub struct Section<'s> {
    pub title: &'s str,
    /// What is below the title.
    pub text: String,
}

/// The page's sections, titles and texts.
pub struct Page {
    sections: Vec<(String, String)>,
}

fn path(root: &Path) -> PathBuf {
    root.join("docs/benchmarks.md")
}

impl Page {
    /// The page as it is; empty where there is none.
    pub fn read(root: &Path) -> Result<Self> {
        match std::fs::read_to_string(path(root)) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self { sections: Vec::new() }),
            Err(error) => Err(error).context("cannot read docs/benchmarks.md"),
        }
    }

    fn parse(text: &str) -> Self {
        let sections = text.split(MARK).skip(1).map(|section| {
            let (title, text) = section.split_once('\n').unwrap_or((section, ""));
            (title.to_owned(), text.trim().to_owned())
        });
        Self { sections: sections.collect() }
    }

    /// With a section new or in place of the old one. Sections stand in the order of their titles in `order`; those of no run go.
    pub fn with<'t>(mut self, section: &Section, order: impl Iterator<Item = &'t str>) -> Self {
        self.sections.retain(|(title, _)| title != section.title);
        self.sections.push((section.title.to_owned(), section.text.trim().to_owned()));
        let mut sections = Vec::new();
        for title in order {
            sections.extend(self.sections.iter().find(|(found, _)| found == title).cloned());
        }
        Self { sections }
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (title, section) in &self.sections {
            text.push_str(&format!("{MARK}{title}\n\n{section}\n"));
        }
        text
    }

    pub fn write(&self, root: &Path) -> Result<()> {
        std::fs::write(path(root), self.text()).context("cannot write docs/benchmarks.md")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_the_one_before() {
        let order = || ["one", "two", "three"].into_iter();
        let section = |title, text: &str| Section { title, text: text.to_owned() };
        let page = Page { sections: Vec::new() };
        let page =
            page.with(&section("three", "```text\na | b\n```\n"), order()).with(&section("one", "first"), order());
        let again = Page::parse(&page.text());
        assert_eq!(again.sections, [("one".into(), "first".into()), ("three".into(), "```text\na | b\n```".into())]);
        assert_eq!(again.text(), page.text());
        let page = again.with(&section("one", "second"), order()).with(&section("two", "x"), order());
        assert!(page.text().starts_with(HEAD));
        assert!(page.text().ends_with("\n## one\n\nsecond\n\n## two\n\nx\n\n## three\n\n```text\na | b\n```\n"));
        // Of a run that there is no more.
        let page = page.with(&section("one", "third"), ["one", "three"].into_iter());
        assert_eq!(page.sections.len(), 2);
    }
}

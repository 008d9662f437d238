//! The page as Markdown (GitHub's). Texts of others cannot become markup: see [`Escaper`].

use super::{
    Result,
    page::{Block, Cell, Page},
};
use askama::Template;
use std::fmt;

#[derive(Template)]
#[template(path = "page.md")]
struct PageMarkdown<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "block.md")]
struct BlockMarkdown<'a> {
    block: &'a Block,
    /// How many folds it lies in.
    depth: usize,
}

impl Block {
    fn markdown(&self, depth: usize) -> BlockMarkdown<'_> {
        BlockMarkdown { block: self, depth }
    }

    /// A fence that no line of a text closes.
    fn fence(text: &str) -> String {
        let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
        "`".repeat(longest.max(2) + 1)
    }
}

/// Writes a page.
///
/// # Errors
/// None in practice: writing into memory.
pub(super) fn write(page: &Page) -> Result<String> {
    Ok(PageMarkdown { page }.render()?)
}

/// What a cell says, in one line.
fn line(cell: &Cell) -> String {
    let lines = std::iter::once(cell.text.as_str()).chain(cell.lines.iter().map(|(text, _)| text.as_str()));
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    match (text.as_str(), cell.under.as_str()) {
        (text, "") => text.to_owned(),
        ("", under) => under.to_owned(),
        (text, under) => format!("{text} ({under})"),
    }
}

/// Makes any text one line of plain text: characters that mean something to GitHub's Markdown get a backslash, line breaks and
/// other control characters become spaces, and no address becomes a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Escaper;

impl askama::filters::Escaper for Escaper {
    fn write_escaped_str<W: fmt::Write>(&self, mut out: W, text: &str) -> fmt::Result {
        // A list's or a heading's sign, which is one only where a line starts.
        let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let mut last = ' ';
        for (index, character) in text.char_indices() {
            let starts = match character {
                '-' | '+' | '=' => index == 0,
                '.' | ')' => {
                    index == digits && digits > 0 && !text[index + 1..].starts_with(|c: char| c.is_ascii_digit())
                }
                _ => false,
            };
            let links = match character {
                ':' => text[index..].starts_with("://"),
                '.' => index >= 3 && text.get(index - 3..index).is_some_and(|www| www.eq_ignore_ascii_case("www")),
                _ => false,
            };
            match character {
                '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '$' | '@' | '!' | '{'
                | '}' => {
                    write!(out, "\\{character}")?;
                }
                _ if starts || links => write!(out, "\\{character}")?,
                // Runs of spaces at the start would be code.
                _ if character.is_control() || matches!(character, ' ' | '\u{2028}' | '\u{2029}' | '\u{85}') => {
                    if last != ' ' {
                        out.write_char(' ')?;
                    }
                    last = ' ';
                    continue;
                }
                _ => out.write_char(character)?,
            }
            last = character;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use askama::filters::Escaper as _;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        Escaper.write_escaped_str(&mut out, text).unwrap();
        out
    }

    #[test]
    fn nothing_of_a_text_is_markup() {
        for (text, wanted) in [
            ("a|b", r"a\|b"),
            ("`x`", r"\`x\`"),
            ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
            ("[a](https://b.c)", r"\[a\](https\://b.c)"),
            ("www.example.org", r"www\.example.org"),
            ("![x](y)", r"\!\[x\](y)"),
            ("a@b.c", r"a\@b.c"),
            ("one\n\ntwo\r# three\u{2028}", r"one two \# three "),
            ("- item", r"\- item"),
            ("    code", "code"),
            ("12. item", r"12\. item"),
            ("12.5 %", "12.5 %"),
            ("−1.5 and a - b", "−1.5 and a - b"),
            ("&lt;", r"\&lt;"),
            ("$x$ ~~y~~ **z** \\", r"\$x\$ \~\~y\~\~ \*\*z\*\* \\"),
        ] {
            assert_eq!(escaped(text), wanted);
        }
    }

    #[test]
    fn no_text_closes_its_fence() {
        assert_eq!(Block::fence("plain"), "```");
        assert_eq!(Block::fence("a ```` b ` c"), "`````");
    }
}

//! The page as one HTML file that loads nothing and runs nothing.

use super::{
    Result,
    page::{Block, Page, Row, Tone},
};
use askama::Template;

#[derive(Template)]
#[template(path = "page.html")]
struct PageHtml<'a> {
    page: &'a Page,
    style: &'static str,
}

#[derive(Template)]
#[template(path = "block.html")]
struct BlockHtml<'a> {
    block: &'a Block,
}

impl Block {
    fn html(&self) -> BlockHtml<'_> {
        BlockHtml { block: self }
    }
}

/// Writes a page. The style sheet and drawings, which hold no text of others unescaped, go in as they are; all else is escaped.
///
/// # Errors
/// None in practice: writing into memory.
pub(super) fn write(page: &Page) -> Result<String> {
    Ok(PageHtml { page, style: include_str!("templates/style.css") }.render()?)
}

//! Aligned columns for people. Programs ask for JSON instead.

use unicode_width::UnicodeWidthStr;

use crate::color::Palette;

/// Which side of its column a cell leans on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings; [`Printer::table`](crate::Printer::table) prints it.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Self { columns: columns.into_iter().map(|(name, align)| (name.to_owned(), align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the headings are left out, missing ones are empty.
    pub fn row<T: ToString>(&mut self, cells: impl IntoIterator<Item = T>) -> &mut Self {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| cell.to_string()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
        self
    }

    /// The text with a newline after every row, without trailing spaces.
    pub(crate) fn render(&self, palette: &Palette) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (name, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                cells.map(|cell| cell.width()).fold(name.width(), usize::max)
            })
            .collect();
        let line = |cells: &[&str]| {
            let mut text = String::new();
            for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                if !text.is_empty() {
                    text.push_str("  ");
                }
                // `format!` pads by characters; a wide character takes two columns.
                let padding = " ".repeat(width.saturating_sub(cell.width()));
                match align {
                    Align::Left => text.extend([*cell, &padding]),
                    Align::Right => text.extend([&padding, *cell]),
                }
            }
            text.truncate(text.trim_end().len());
            text
        };
        let headings: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut text = format!("{0}{1}{0:#}\n", palette.heading, line(&headings));
        for row in &self.rows {
            text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([("component", Align::Left), ("bytes", Align::Right), ("note", Align::Left)]);
        table.row(["unet", "3463642896", ""]).row(["vae 画", "7"]);
        let expected = "\
component       bytes  note
unet       3463642896
vae 画              7
";
        assert_eq!(table.render(&Palette::default()), expected);
    }
}

//! A report before it is written: sections of blocks, which HTML and Markdown write each in its way, so both say the same.
//! Texts in here are plain: whoever writes them escapes them.

/// All of a report.
pub(super) struct Page {
    /// What kind of report it is.
    pub brand: &'static str,
    /// The title of the audit.
    pub title: String,
    /// The section that whoever is in a hurry goes to.
    pub skip: &'static str,
    /// The answer.
    pub banner: Banner,
    /// Everything else.
    pub sections: Vec<Section>,
    /// What wrote it.
    pub colophon: String,
}

/// The answer, before everything else.
pub(super) struct Banner {
    /// How it looks.
    pub tone: Tone,
    /// In a word.
    pub word: &'static str,
    /// In a sentence.
    pub meaning: &'static str,
    /// Which model, against which.
    pub about: String,
    /// What the command exits with.
    pub exit_code: u8,
    /// Why.
    pub reasons: Vec<String>,
    /// The numbers to see first: what, and how many.
    pub tally: Vec<(&'static str, String)>,
}

/// A heading and what is under it.
pub(super) struct Section {
    /// Where links go.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What is under it.
    pub blocks: Vec<Block>,
}

/// A part of a section.
pub(super) enum Block {
    /// A paragraph.
    Text(String),
    /// A paragraph that must not be missed.
    Note(String),
    /// A smaller heading.
    Heading(String),
    /// Points.
    List(Vec<String>),
    /// Names and what they are.
    Facts(Vec<(String, Cell)>),
    /// A table.
    Table(Table),
    /// A drawing.
    Figure(Figure),
    /// Blocks beside each other where there is room.
    Beside(Vec<Block>),
    /// Blocks under a line that opens them.
    Fold(Fold),
    /// Text in which every character counts.
    Code(String),
}

/// Blocks under a line that opens them.
pub(super) struct Fold {
    /// The line.
    pub title: String,
    /// Whether it is open at first.
    pub open: bool,
    /// What is under it.
    pub blocks: Vec<Block>,
}

/// A drawing. What it shows is also in a table or in its description.
pub(super) struct Figure {
    /// The SVG element, whole.
    pub svg: String,
    /// What is said under it.
    pub caption: String,
    /// Whether it is wide: on a narrow screen it scrolls instead of shrinking.
    pub wide: bool,
}

/// A table. The first cell of a row names the row.
#[derive(Default)]
pub(super) struct Table {
    /// What it shows.
    pub caption: String,
    /// Heads of the columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Row>,
    /// How it looks.
    pub layout: Layout,
}

/// How a table looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Layout {
    /// As most.
    #[default]
    Plain,
    /// Cells are shaded by their numbers.
    Matrix,
    /// Cells hold pictures.
    Pictures,
}

impl Layout {
    /// The class of the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Layout::Plain => "",
            Layout::Matrix => " matrix",
            Layout::Pictures => " pictures",
        }
    }
}

/// Head of a column.
pub(super) struct Column {
    /// What stands in it.
    pub name: String,
    /// Whether numbers do, which are set to the right.
    pub number: bool,
}

/// A row.
#[derive(Default)]
pub(super) struct Row {
    /// Its cells, as many as there are columns.
    pub cells: Vec<Cell>,
    /// Whether it is grey: too few samples to lean on.
    pub grey: bool,
}

/// What stands in a cell.
#[derive(Clone, Default)]
pub(super) struct Cell {
    /// The text.
    pub text: String,
    /// More lines below it, each with its own look.
    pub lines: Vec<(String, Tone)>,
    /// A smaller text below it.
    pub under: String,
    /// How it looks.
    pub tone: Tone,
    /// Its shade, from 0 to 10.
    pub shade: Option<u8>,
    /// Whether it is a hash, a path or the like.
    pub code: bool,
    /// Pictures beside the text.
    pub pictures: Vec<Picture>,
}

/// A small picture.
#[derive(Clone)]
pub(super) struct Picture {
    /// Its bytes as a `data:` address.
    pub address: String,
    /// What it is, for those who do not see it.
    pub text: String,
}

/// How something looks. The text always says it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// As everything else.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
    /// Not decided.
    Open,
}

impl Tone {
    /// The class of the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Good => "good",
            Tone::Bad => "bad",
            Tone::Open => "open",
        }
    }
}

impl Table {
    /// A table with these columns; a name that starts with `#` is one of numbers.
    pub fn new(caption: impl Into<String>, columns: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('#') {
            Some(name) => Column { name: name.to_owned(), number: true },
            None => Column { name: (*name).to_owned(), number: false },
        };
        Self { caption: caption.into(), columns: columns.iter().map(column).collect(), ..Self::default() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row { cells, grey: false });
    }

    /// Adds a row that is grey if `grey`.
    pub fn shaded_row(&mut self, cells: Vec<Cell>, grey: bool) {
        self.rows.push(Row { cells, grey });
    }

    /// Leaves out the columns after the first in which every cell is empty.
    pub fn without_empty_columns(mut self) -> Self {
        let keep: Vec<bool> = (0..self.columns.len())
            .map(|index| {
                let filled = |row: &Row| row.cells.get(index).is_some_and(|cell| !cell.is_empty());
                index == 0 || self.rows.iter().any(filled)
            })
            .collect();
        let mut kept = keep.iter();
        self.columns.retain(|_| kept.next().copied().unwrap_or(true));
        for row in &mut self.rows {
            let mut kept = keep.iter();
            row.cells.retain(|_| kept.next().copied().unwrap_or(true));
        }
        self
    }
}

impl Cell {
    /// Text with a smaller one below.
    pub fn with_under(text: impl Into<String>, under: impl Into<String>) -> Self {
        Self { text: text.into(), under: under.into(), ..Self::default() }
    }

    /// A text and, where there is one, a smaller one below.
    pub fn stacked((text, under): (String, Option<String>)) -> Self {
        Self { text, under: under.unwrap_or_default(), ..Self::default() }
    }

    /// A hash, a path or the like.
    pub fn code(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: true, ..Self::default() }
    }

    /// The same with a look.
    pub fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Whether nothing stands in it.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.lines.is_empty() && self.under.is_empty() && self.pictures.is_empty()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

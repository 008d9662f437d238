//! Drawings: elements of SVG that escape their own text, linear scales, axes, and how wide a text is.

mod axis;
mod scale;
mod text;

pub(super) use axis::{bottom, left};
pub(super) use scale::Linear;
pub(super) use text::{shortened, width};

use std::fmt::{self, Display};

/// An element.
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new() }
    }

    /// With an attribute.
    pub fn with(mut self, attribute: &'static str, value: impl Display) -> Self {
        self.attributes.push((attribute, value.to_string()));
        self
    }

    /// With a length in user units, written with at most two decimals.
    pub fn at(self, attribute: &'static str, length: f64) -> Self {
        let length = number(length);
        self.with(attribute, length)
    }

    /// With a class of the style sheet and the look where there is none: a drawing that is copied out keeps its colours.
    pub fn look(self, look: Look) -> Self {
        look.attributes()
            .iter()
            .fold(self.with("class", look.class()), |element, (attribute, value)| element.with(attribute, value))
    }

    /// With another element in it.
    pub fn child(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// With more elements in it.
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// With text in it.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }
}

/// A series by its number and its colour.
macro_rules! series {
    ($number:literal, $colour:literal) => {
        (
            concat!("series series-", $number),
            concat!("series-line series-", $number),
            &[("fill", $colour), ("stroke", $colour)],
            &[("stroke", $colour), ("stroke-width", "1.5"), ("fill", "none")],
        )
    };
}

/// What a mark stands for. The style sheet gives each a colour for light and for dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Text.
    Ink,
    /// Text in bold.
    Bold,
    /// Text of less weight.
    Muted,
    /// Lines of an axis.
    Axis,
    /// Lines of a grid.
    Grid,
    /// A line that stands for "no difference".
    Zero,
    /// The background of every other row.
    Stripe,
    /// A line of the audited model.
    Subject,
    /// A filled mark of the audited model.
    SubjectMark,
    /// The band of the audited model.
    SubjectBand,
    /// A line of the baseline.
    Baseline,
    /// A hollow mark of the baseline.
    BaselineMark,
    /// The band of the baseline.
    BaselineBand,
    /// A line or mark of a change to the better.
    Better,
    /// A line or mark of a change to the worse.
    Worse,
    /// A line or mark of a change that may be none.
    Unclear,
    /// A line at a threshold.
    Threshold,
    /// A mark of one of several series.
    Series(usize),
    /// A line of one of several series.
    SeriesLine(usize),
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Look::Ink => "ink",
            Look::Bold => "ink bold",
            Look::Muted => "muted",
            Look::Axis => "axis",
            Look::Grid => "grid",
            Look::Zero => "zero",
            Look::Stripe => "stripe",
            Look::Subject => "subject",
            Look::SubjectMark => "subject-mark",
            Look::SubjectBand => "subject-band",
            Look::Baseline => "baseline",
            Look::BaselineMark => "baseline-mark",
            Look::BaselineBand => "baseline-band",
            Look::Better => "better",
            Look::Worse => "worse",
            Look::Unclear => "unclear",
            Look::Threshold => "threshold",
            Look::Series(index) => SERIES[index % SERIES.len()].0,
            Look::SeriesLine(index) => SERIES[index % SERIES.len()].1,
        }
    }

    fn attributes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Look::Ink => &[("fill", "#1b1f24")],
            Look::Bold => &[("fill", "#1b1f24"), ("font-weight", "600")],
            Look::Muted => &[("fill", "#57606a")],
            Look::Axis => &[("stroke", "#8b949e")],
            Look::Grid => &[("stroke", "#e1e5ea")],
            Look::Zero => &[("stroke", "#57606a"), ("stroke-width", "1.5")],
            Look::Stripe => &[("fill", "#f5f7f9")],
            Look::Subject => &[("stroke", "#1d5fc4"), ("stroke-width", "2"), ("fill", "none")],
            Look::SubjectMark => &[("fill", "#1d5fc4"), ("stroke", "#1d5fc4")],
            Look::SubjectBand => &[("fill", "#1d5fc4"), ("fill-opacity", "0.16")],
            Look::Baseline => {
                &[("stroke", "#8a5a12"), ("stroke-width", "2"), ("stroke-dasharray", "6 3"), ("fill", "none")]
            }
            Look::BaselineMark => &[("fill", "#ffffff"), ("stroke", "#8a5a12"), ("stroke-width", "2")],
            Look::BaselineBand => &[("fill", "#8a5a12"), ("fill-opacity", "0.14")],
            Look::Better => &[("fill", "#0b6b57"), ("stroke", "#0b6b57"), ("stroke-width", "2")],
            Look::Worse => &[("fill", "#b3261e"), ("stroke", "#b3261e"), ("stroke-width", "2")],
            Look::Unclear => &[("fill", "#ffffff"), ("stroke", "#57606a"), ("stroke-width", "2")],
            Look::Threshold => &[("stroke", "#57606a"), ("stroke-dasharray", "2 3")],
            Look::Series(index) => SERIES[index % SERIES.len()].2,
            Look::SeriesLine(index) => SERIES[index % SERIES.len()].3,
        }
    }
}

/// Attributes of an element.
type Attributes = &'static [(&'static str, &'static str)];

/// Classes and attributes of marks and lines of series.
const SERIES: [(&str, &str, Attributes, Attributes); 8] = [
    series!("0", "#1d5fc4"),
    series!("1", "#b3261e"),
    series!("2", "#0b6b57"),
    series!("3", "#8a5a12"),
    series!("4", "#7b3fa0"),
    series!("5", "#0b7285"),
    series!("6", "#c2255c"),
    series!("7", "#57606a"),
];

/// A whole drawing, which says what it is to those who do not see it. `id` must be unique on the page.
pub(super) fn drawing(id: &str, title: &str, description: &str, size: (f64, f64), parts: Vec<Element>) -> String {
    Element::new("svg")
        .with("xmlns", "http://www.w3.org/2000/svg")
        .with("viewBox", format!("0 0 {} {}", number(size.0), number(size.1)))
        .at("width", size.0)
        .at("height", size.1)
        .with("role", "img")
        .with("aria-labelledby", format!("{id}-title {id}-description"))
        .with("font-family", "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif")
        .with("font-size", "12")
        .child(Element::new("title").with("id", format!("{id}-title")).text(title))
        .child(Element::new("desc").with("id", format!("{id}-description")).text(description))
        .children(parts)
        .to_string()
}

/// A line.
pub(super) fn line(from: (f64, f64), to: (f64, f64), look: Look) -> Element {
    Element::new("line").at("x1", from.0).at("y1", from.1).at("x2", to.0).at("y2", to.1).look(look)
}

/// Where a text is in relation to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// It starts there.
    Start,
    /// It is around it.
    Middle,
    /// It ends there.
    End,
}

/// A text whose middle line goes through `at`.
pub(super) fn label(text: &str, at: (f64, f64), anchor: Anchor, look: Look) -> Element {
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    // Of 12 user units; "dominant-baseline" is drawn differently by different programs.
    Element::new("text").at("x", at.0).at("y", at.1 + 4.2).with("text-anchor", anchor).look(look).text(text)
}

/// A circle.
pub(super) fn circle(at: (f64, f64), radius: f64, look: Look) -> Element {
    Element::new("circle").at("cx", at.0).at("cy", at.1).at("r", radius).look(look)
}

/// A square that stands on a corner.
pub(super) fn diamond(at: (f64, f64), radius: f64, look: Look) -> Element {
    let (x, y) = at;
    let points = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
    Element::new("polygon").with("points", path(&points)).look(look)
}

/// Points as SVG writes them.
pub(super) fn path(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect::<Vec<_>>().join(" ")
}

/// A length with at most two decimals and no negative zero.
fn number(length: f64) -> String {
    let text = format!("{length:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Writes text so that no character of it is markup, leaving out what XML cannot hold.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for character in text.chars() {
        match character {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            _ if character.is_control() => f.write_str(" ")?,
            _ => write!(f, "{character}")?,
        }
    }
    Ok(())
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        for (attribute, value) in &self.attributes {
            write!(f, " {attribute}=\"")?;
            escape(value, f)?;
            f.write_str("\"")?;
        }
        if self.children.is_empty() {
            return f.write_str("/>");
        }
        f.write_str(">")?;
        for child in &self.children {
            match child {
                Node::Element(element) => write!(f, "{element}")?,
                Node::Text(text) => escape(text, f)?,
            }
        }
        write!(f, "</{}>", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let element = Element::new("text").with("x", "\"1'").text("<a> & \u{1}b");
        assert_eq!(element.to_string(), "<text x=\"&quot;1&#39;\">&lt;a&gt; &amp;  b</text>");
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!(number(1.0), "1");
        assert_eq!(number(10.0), "10");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(1.236), "1.24");
    }

    #[test]
    fn a_drawing_says_what_it_is() {
        let svg = drawing("a", "T", "D", (10.0, 20.0), vec![line((0.0, 0.0), (1.0, 1.0), Look::Axis)]);
        let parsed = roxmltree::Document::parse(&svg).unwrap();
        let root = parsed.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        assert_eq!(root.attribute("aria-labelledby"), Some("a-title a-description"));
        assert_eq!(root.children().filter(|child| child.is_element()).count(), 3);
    }
}

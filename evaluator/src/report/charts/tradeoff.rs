//! What methods suppress against what they keep: a mark for each method and setting, those of one method joined.

use crate::report::svg::{self, Anchor, Element, Linear, Look, circle, diamond, label, line};

/// A method with a setting.
pub(in crate::report) struct TradeMark {
    /// Its name.
    pub name: String,
    /// Number of the method whose setting it is: marks of one group look alike and are joined.
    pub group: usize,
    /// The share that is across, and its interval.
    pub across: (f64, Option<(f64, f64)>),
    /// The share that is up, and its interval.
    pub up: (f64, Option<(f64, f64)>),
    /// Whether no other mark is better in both ways.
    pub frontier: bool,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 440.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 390.0;
/// Where the names of the marks begin.
const NAMES: f64 = 462.0;
/// Height of a name.
const LINE: f64 = 19.0;
/// Most marks that all have their numbers and bars beside them; of more, those on the frontier.
const ROOM: usize = 16;

/// Draws them. `words` are title and description, `axes` what is across and what is up.
pub(in crate::report) fn tradeoff(id: &str, words: [&str; 2], axes: [&str; 2], marks: &[TradeMark]) -> String {
    let x = Linear::new(ends(marks.iter().map(|mark| mark.across)), (LEFT, RIGHT), 5);
    let y = Linear::new(ends(marks.iter().map(|mark| mark.up)), (BOTTOM, TOP), 6);
    let mut parts = svg::left(&y, LEFT, RIGHT, 100.0, " %");
    parts.extend(svg::bottom(&x, TOP, BOTTOM, 100.0, " %"));
    let most = RIGHT - LEFT;
    let axis = |text: &str| svg::shortened(text, 12.0, most);
    parts.push(label(&axis(axes[0]), ((LEFT + RIGHT) / 2.0, BOTTOM + 32.0), Anchor::Middle, Look::Muted));
    parts.push(label(&axis(axes[1]), (4.0, 12.0), Anchor::Start, Look::Muted));
    let groups = marks.iter().map(|mark| mark.group + 1).max().unwrap_or(0);
    for group in 0..groups {
        let of_group = marks.iter().filter(|mark| mark.group == group);
        let points: Vec<_> = of_group.map(|mark| (x.at(mark.across.0), y.at(mark.up.0))).collect();
        if points.len() > 1 {
            let joined = Element::new("polyline").with("points", svg::path(&points)).look(Look::SeriesLine(group));
            parts.push(joined.with("stroke-opacity", "0.5"));
        }
    }
    let mut frontier: Vec<_> = marks.iter().filter(|mark| mark.frontier).collect();
    frontier.sort_by(|a, b| a.across.0.total_cmp(&b.across.0));
    if frontier.len() > 1 {
        let points: Vec<_> = frontier.iter().map(|mark| (x.at(mark.across.0), y.at(mark.up.0))).collect();
        let joined = Element::new("polyline").with("points", svg::path(&points)).look(Look::Axis);
        parts.push(joined.with("fill", "none").with("stroke-dasharray", "2 3"));
    }
    for (index, mark) in marks.iter().enumerate() {
        let full = mark.frontier || marks.len() <= ROOM;
        let at = (x.at(mark.across.0), y.at(mark.up.0));
        let number = (index + 1).to_string();
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let spoken = format!("{number}. {}: {}, {}", mark.name, percent(mark.across.0), percent(mark.up.0));
        let mut drawn = Element::new("g").child(Element::new("title").text(spoken));
        if let Some((low, high)) = mark.across.1.filter(|_| full) {
            drawn = drawn.child(line((x.at(low), at.1), (x.at(high), at.1), Look::SeriesLine(mark.group)));
        }
        if let Some((low, high)) = mark.up.1.filter(|_| full) {
            drawn = drawn.child(line((at.0, y.at(low)), (at.0, y.at(high)), Look::SeriesLine(mark.group)));
        }
        drawn = drawn.child(shape(mark.group, at));
        if full {
            drawn = drawn.child(label(&number, (at.0 + 8.0, at.1 - 9.0), Anchor::Start, Look::Bold));
        }
        parts.push(drawn);
        let place = TOP + LINE * index as f64;
        let name = svg::shortened(&format!("{number}. {}", mark.name), 12.0, WIDTH - NAMES - 20.0);
        parts.push(shape(mark.group, (NAMES + 6.0, place)));
        let look = if mark.frontier { Look::Bold } else { Look::Ink };
        parts.push(label(&name, (NAMES + 18.0, place), Anchor::Start, look));
    }
    let names = TOP + LINE * marks.len() as f64;
    parts.push(label("bars: 95 % intervals", (NAMES, names), Anchor::Start, Look::Muted));
    svg::drawing(id, words[0], words[1], (WIDTH, (BOTTOM + 46.0).max(names + 14.0)), parts)
}

/// Where the values lie, intervals with them, all within what a share can be.
fn ends(values: impl Iterator<Item = (f64, Option<(f64, f64)>)>) -> (f64, f64) {
    let ends = values.map(|(value, interval)| interval.unwrap_or((value, value)));
    let none = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = ends.fold(none, |(low, high), ends| (low.min(ends.0), high.max(ends.1)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// A shape for each of six groups; the colour tells apart those that share one.
fn shape(group: usize, at: (f64, f64)) -> Element {
    let look = Look::Series(group);
    let (x, y) = at;
    let polygon = |points: &[(f64, f64)]| {
        let moved: Vec<_> = points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        Element::new("polygon").with("points", svg::path(&moved)).look(look)
    };
    match group % 6 {
        0 => circle(at, 5.0, look),
        1 => polygon(&[(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)]),
        2 => polygon(&[(0.0, -6.0), (5.5, 4.5), (-5.5, 4.5)]),
        3 => diamond(at, 6.0, look),
        4 => polygon(&[(0.0, 6.0), (5.5, -4.5), (-5.5, -4.5)]),
        _ => polygon(&[
            (-2.0, -6.0),
            (2.0, -6.0),
            (2.0, -2.0),
            (6.0, -2.0),
            (6.0, 2.0),
            (2.0, 2.0),
            (2.0, 6.0),
            (-2.0, 6.0),
            (-2.0, 2.0),
            (-6.0, 2.0),
            (-6.0, -2.0),
            (-2.0, -2.0),
        ]),
    }
}

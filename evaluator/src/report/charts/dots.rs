//! Two values for each part of a suite, joined by a line: the baseline's and the subject's.

use crate::{
    document::Unit,
    report::{
        format,
        svg::{self, Anchor, Element, Linear, Look, circle, label, line},
    },
};

/// A part of a suite.
pub(in crate::report) struct Dot {
    /// Its name.
    pub name: String,
    /// The baseline's value and the ends of its interval.
    pub baseline: Option<(f64, Option<(f64, f64)>)>,
    /// The subject's value and the ends of its interval.
    pub subject: Option<(f64, Option<(f64, f64)>)>,
    /// Whether there are too few samples to lean on.
    pub small: bool,
}

const WIDTH: f64 = 420.0;
const RIGHT: f64 = 400.0;
const HEAD: f64 = 30.0;
const LINE: f64 = 28.0;

/// Draws them.
pub(in crate::report) fn dots(id: &str, title: &str, description: &str, unit: Unit, dots: &[Dot]) -> String {
    let named = |dot: &Dot| if dot.small { format!("{} (n too small)", dot.name) } else { dot.name.clone() };
    let widest = dots.iter().map(|dot| svg::width(&named(dot), 12.0)).fold(60.0, f64::max);
    let left = widest.min(150.0) + 22.0;
    let both = |dot: &Dot| [dot.baseline, dot.subject].into_iter().flatten().collect::<Vec<_>>();
    let ends = dots.iter().flat_map(both).map(|(value, interval)| interval.unwrap_or((value, value)));
    let high = ends.map(|(_, high)| high).fold(f64::NEG_INFINITY, f64::max);
    let high = if high.is_finite() { high } else { 1.0 };
    // Shares and counts start at nothing; scores where they are.
    let least = if unit == Unit::Score { f64::INFINITY } else { 0.0 };
    let low =
        dots.iter().flat_map(both).map(|(value, interval)| interval.map_or(value, |ends| ends.0)).fold(least, f64::min);
    let low = if low.is_finite() { low } else { 0.0 };
    let scale = Linear::new((low, high), (left, RIGHT), 4);
    let (factor, sign) = if unit == Unit::Share { (100.0, " %") } else { (1.0, "") };
    let bottom = HEAD + LINE * dots.len() as f64;
    let mut parts = svg::bottom(&scale, HEAD, bottom, factor, sign);
    for (index, dot) in dots.iter().enumerate() {
        let y = HEAD + LINE * (index as f64 + 0.5);
        let look = if dot.small { Look::Muted } else { Look::Ink };
        let spoken = [("baseline", dot.baseline), ("subject", dot.subject)]
            .into_iter()
            .filter_map(|(arm, value)| Some(format!("{arm} {}", format::value(value?.0, unit))));
        let title = format!("{}: {}", named(dot), spoken.collect::<Vec<_>>().join(", "));
        let mut row = Element::new("g").child(Element::new("title").text(title));
        let name = svg::shortened(&named(dot), 12.0, left - 20.0);
        row = row.child(label(&name, (left - 12.0, y), Anchor::End, look));
        if let (Some((from, _)), Some((to, _))) = (dot.baseline, dot.subject) {
            row = row.child(line((scale.at(from), y), (scale.at(to), y), Look::Axis));
        }
        // The subject's mark is the smaller one and on top, so that the baseline's ring shows around it where they are equal.
        for (value, radius, band, mark) in [
            (dot.baseline, 5.5, Look::BaselineBand, Look::BaselineMark),
            (dot.subject, 4.0, Look::SubjectBand, Look::SubjectMark),
        ] {
            let Some((value, interval)) = value else { continue };
            if let Some((low, high)) = interval {
                let (from, to) = (scale.at(low), scale.at(high));
                let bar = Element::new("rect").at("x", from).at("y", y - 5.0).at("width", to - from);
                row = row.child(bar.at("height", 10.0).at("rx", 2.0).look(band));
            }
            row = row.child(circle((scale.at(value), y), radius, mark));
        }
        parts.push(row);
    }
    parts.extend(legend(4.0, 12.0));
    svg::drawing(id, title, description, (WIDTH, bottom + 24.0), parts)
}

/// What the marks are.
fn legend(x: f64, y: f64) -> Vec<Element> {
    vec![
        circle((x + 6.0, y), 5.5, Look::BaselineMark),
        label("baseline", (x + 16.0, y), Anchor::Start, Look::Muted),
        circle((x + 96.0, y), 4.0, Look::SubjectMark),
        label("subject", (x + 106.0, y), Anchor::Start, Look::Muted),
        label("bars: 95 % intervals", (x + 170.0, y), Anchor::Start, Look::Muted),
    ]
}

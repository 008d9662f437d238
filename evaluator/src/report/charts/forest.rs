//! Paired differences with their intervals, one under the other, around the line of no difference.

use crate::report::{
    svg::{self, Anchor, Element, Linear, Look, circle, diamond, label, line},
    words::Effect,
};

/// A line of the drawing.
pub(in crate::report) enum ForestRow {
    /// A heading over the rows that follow.
    Group(String),
    /// A difference.
    Difference {
        /// What differs.
        name: String,
        /// Whether it is a part of the row above.
        part: bool,
        /// Subject minus baseline.
        value: f64,
        /// Ends of its interval.
        interval: Option<(f64, f64)>,
        /// What it says.
        effect: Effect,
        /// Pairs, as text.
        pairs: String,
        /// Value and interval, as text.
        text: String,
    },
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 232.0;
const RIGHT: f64 = 610.0;
const PAIRS: f64 = 672.0;
const TEXT: f64 = 690.0;
const HEAD: f64 = 40.0;
const LINE: f64 = 24.0;

/// Draws them. Values are shares, shown in percentage points.
pub(in crate::report) fn forest(id: &str, title: &str, description: &str, rows: &[ForestRow]) -> String {
    let ends = rows.iter().filter_map(|row| match row {
        ForestRow::Difference { value, interval, .. } => Some(interval.unwrap_or((*value, *value))),
        ForestRow::Group(_) => None,
    });
    let domain = ends.fold((0.0f64, 0.0f64), |(low, high), (from, to)| (low.min(from), high.max(to)));
    let scale = Linear::new(domain, (LEFT, RIGHT), 6);
    let bottom = HEAD + LINE * rows.len() as f64;
    let mut parts = vec![
        label("Subject minus baseline, percentage points", ((LEFT + RIGHT) / 2.0, 12.0), Anchor::Middle, Look::Bold),
        label("Pairs", (PAIRS, 12.0), Anchor::End, Look::Bold),
        label("Difference (95 % interval)", (TEXT, 12.0), Anchor::Start, Look::Bold),
    ];
    let differences = rows.iter().enumerate().filter(|(_, row)| matches!(row, ForestRow::Difference { .. }));
    parts.extend(differences.filter(|(index, _)| index % 2 == 1).map(|(index, _)| {
        let top = HEAD + LINE * index as f64;
        Element::new("rect").at("x", 0.0).at("y", top).at("width", WIDTH).at("height", LINE).look(Look::Stripe)
    }));
    parts.extend(svg::bottom(&scale, HEAD - 8.0, bottom + 4.0, 100.0, ""));
    parts.push(line((scale.at(0.0), HEAD - 14.0), (scale.at(0.0), bottom + 4.0), Look::Zero));
    for (index, row) in rows.iter().enumerate() {
        let middle = HEAD + LINE * (index as f64 + 0.5);
        match row {
            ForestRow::Group(name) => {
                parts.push(label(&svg::shortened(name, 12.5, LEFT - 12.0), (4.0, middle), Anchor::Start, Look::Bold));
            }
            ForestRow::Difference { name, part, value, interval, effect, pairs, text } => {
                let (indent, look) = if *part { (26.0, Look::Muted) } else { (14.0, Look::Ink) };
                let short = svg::shortened(name, 12.0, LEFT - indent - 14.0);
                let title = Element::new("title").text(format!("{name}: {text}, {}", effect.word()));
                let mut row =
                    Element::new("g").child(title).child(label(&short, (indent, middle), Anchor::Start, look));
                if let Some((low, high)) = interval {
                    row = row.children(whisker(scale.at(*low), scale.at(*high), middle, effect.look()));
                }
                let radius = if *part { 3.6 } else { 5.0 };
                row = row.child(mark(*effect, (scale.at(*value), middle), radius));
                row = row.child(label(pairs, (PAIRS, middle), Anchor::End, Look::Muted));
                row = row.child(label(text, (TEXT, middle), Anchor::Start, look));
                parts.push(row);
            }
        }
    }
    let legend = bottom + 42.0;
    let mut x = 14.0;
    for (effect, text) in [
        (Effect::Better, "better than the baseline"),
        (Effect::Worse, "worse than the baseline"),
        (Effect::Unclear, "unclear: the interval holds zero"),
    ] {
        parts.push(mark(effect, (x, legend), 5.0));
        parts.push(label(text, (x + 11.0, legend), Anchor::Start, Look::Muted));
        x += 40.0 + svg::width(text, 12.0);
    }
    svg::drawing(id, title, description, (WIDTH, legend + 14.0), parts)
}

/// A filled circle for better, a diamond for worse, a hollow circle for neither: shape says it without colour.
fn mark(effect: Effect, at: (f64, f64), radius: f64) -> Element {
    match effect {
        Effect::Worse => diamond(at, radius + 1.0, effect.look()),
        _ => circle(at, radius, effect.look()),
    }
}

/// An interval with its ends.
fn whisker(low: f64, high: f64, y: f64, look: Look) -> Vec<Element> {
    vec![
        line((low, y), (high, y), look),
        line((low, y - 4.0), (low, y + 4.0), look),
        line((high, y - 4.0), (high, y + 4.0), look),
    ]
}

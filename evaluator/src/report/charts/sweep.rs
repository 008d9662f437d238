//! A rate over thresholds, for the baseline and the subject, with bands and the thresholds that are in use.

use crate::{
    document::{Curve, Point},
    report::svg::{self, Anchor, Element, Linear, Look, label, line},
};

/// A threshold that is in use.
pub(in crate::report) struct SweepMark {
    /// A letter that the table under the drawing explains.
    pub letter: String,
    /// The threshold.
    pub threshold: f64,
}

const WIDTH: f64 = 420.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 406.0;
const TOP: f64 = 54.0;
const BOTTOM: f64 = 234.0;

/// Draws the curves of one metric.
pub(in crate::report) fn sweep(
    id: &str,
    title: &str,
    description: &str,
    curves: &[&Curve],
    marks: &[SweepMark],
) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let thresholds = points().map(|point| point.threshold).chain(marks.iter().map(|mark| mark.threshold));
    let across = thresholds.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
    let across = if across.0 <= across.1 { across } else { (0.0, 1.0) };
    let most = points().map(|point| point.high.max(point.rate)).fold(0.01, f64::max);
    let x = Linear::new(across, (LEFT, RIGHT), 8);
    let y = Linear::new((0.0, most), (BOTTOM, TOP), 5);
    let mut parts = svg::left(&y, LEFT, RIGHT, 100.0, " %");
    parts.extend(svg::bottom(&x, TOP, BOTTOM, 1.0, ""));
    parts.push(label("threshold", ((LEFT + RIGHT) / 2.0, BOTTOM + 30.0), Anchor::Middle, Look::Muted));
    for curve in curves {
        let (band, stroke) = looks(&curve.arm);
        let place = |of: fn(&Point) -> f64| curve.points.iter().map(move |point| (point.threshold, of(point)));
        let to_screen = |(at, rate): (f64, f64)| (x.at(at), y.at(rate));
        let around: Vec<_> = place(|point| point.high).chain(place(|point| point.low).rev()).map(to_screen).collect();
        parts.push(Element::new("polygon").with("points", svg::path(&around)).look(band));
        let along: Vec<_> = place(|point| point.rate).map(to_screen).collect();
        parts.push(Element::new("polyline").with("points", svg::path(&along)).look(stroke));
    }
    let mut last = f64::NEG_INFINITY;
    let mut step = 0.0;
    for mark in marks {
        let at = x.at(mark.threshold);
        // Letters that would touch go a line lower.
        step = if at - last < 12.0 && step < 1.0 { 1.0 } else { 0.0 };
        last = at;
        parts.push(line((at, TOP - 6.0 + step * 12.0), (at, BOTTOM), Look::Threshold));
        parts.push(label(&mark.letter, (at, TOP - 14.0 + step * 12.0), Anchor::Middle, Look::Bold));
    }
    let mut from = 4.0;
    for curve in curves {
        let (_, stroke) = looks(&curve.arm);
        parts.push(line((from, 12.0), (from + 26.0, 12.0), stroke));
        parts.push(label(&curve.arm, (from + 32.0, 12.0), Anchor::Start, Look::Muted));
        from += 56.0 + svg::width(&curve.arm, 12.0);
    }
    parts.push(label("bands: 95 % intervals", (from, 12.0), Anchor::Start, Look::Muted));
    svg::drawing(id, title, description, (WIDTH, BOTTOM + 42.0), parts)
}

fn looks(arm: &str) -> (Look, Look) {
    match arm {
        crate::report::words::BASELINE => (Look::BaselineBand, Look::Baseline),
        _ => (Look::SubjectBand, Look::Subject),
    }
}

//! Axes with their grid.

use super::{Anchor, Element, Linear, Look, label, line};
use crate::report::format::decimal;

/// Grid lines from `top` to `bottom` and the ticks' numbers under them, times `factor` (100 for percent), with `unit` after each.
pub(in crate::report) fn bottom(scale: &Linear, top: f64, bottom: f64, factor: f64, unit: &str) -> Vec<Element> {
    let mut parts = Vec::new();
    for tick in scale.ticks() {
        let x = scale.at(tick);
        parts.push(line((x, top), (x, bottom), Look::Grid));
        parts.push(label(&written(scale, tick, factor, unit), (x, bottom + 13.0), Anchor::Middle, Look::Muted));
    }
    parts.push(line((scale.range().0, bottom), (scale.range().1, bottom), Look::Axis));
    parts
}

/// Grid lines from `left` to `right` and the ticks' numbers to the left of them.
pub(in crate::report) fn left(scale: &Linear, left: f64, right: f64, factor: f64, unit: &str) -> Vec<Element> {
    let mut parts = Vec::new();
    for tick in scale.ticks() {
        let y = scale.at(tick);
        parts.push(line((left, y), (right, y), Look::Grid));
        parts.push(label(&written(scale, tick, factor, unit), (left - 6.0, y), Anchor::End, Look::Muted));
    }
    parts
}

fn written(scale: &Linear, tick: f64, factor: f64, unit: &str) -> String {
    let decimals = scale.decimals().saturating_sub(factor.log10().round() as usize);
    format!("{}{unit}", decimal(tick * factor, decimals))
}

//! The drawings of a report.

mod dots;
mod forest;
mod sweep;
mod tradeoff;

pub(super) use dots::{Dot, dots};
pub(super) use forest::{ForestRow, forest};
pub(super) use sweep::{SweepMark, sweep};
pub(super) use tradeoff::{TradeMark, tradeoff};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{Curve, Point, Unit},
        report::words::Effect,
    };

    /// Every length of a drawing is a number, and nothing lies outside of it.
    fn assert_drawn(svg: &str) {
        let document = roxmltree::Document::parse(svg).unwrap();
        let size = |name: &str| document.root_element().attribute(name).unwrap().parse::<f64>().unwrap();
        let (width, height) = (size("width"), size("height"));
        for node in document.descendants().filter(|node| node.is_element()) {
            for attribute in node.attributes() {
                let most = match attribute.name() {
                    "x" | "x1" | "x2" | "cx" | "width" => width,
                    "y" | "y1" | "y2" | "cy" | "height" => height,
                    _ => continue,
                };
                let length: f64 = attribute.value().parse().unwrap();
                assert!((0.0..=most).contains(&length), "{} {}={length}", node.tag_name().name(), attribute.name());
            }
        }
    }

    fn difference(value: f64, interval: Option<(f64, f64)>) -> ForestRow {
        ForestRow::Difference {
            name: "a name that is much longer than there is room for in the drawing".to_owned(),
            part: true,
            value,
            interval,
            effect: Effect::Unclear,
            pairs: "1".to_owned(),
            text: "0".to_owned(),
        }
    }

    #[test]
    fn differences_of_any_size_stay_inside() {
        for rows in [
            vec![difference(0.0, None)],
            vec![difference(1.0, Some((1.0, 1.0))), difference(-1.0, Some((-1.0, 1.0)))],
            vec![difference(1e-9, Some((-1e-9, 2e-9)))],
            vec![ForestRow::Group("nothing".to_owned())],
        ] {
            assert_drawn(&forest("id", "title", "description", &rows));
        }
    }

    #[test]
    fn values_of_any_size_stay_inside() {
        let dot = |baseline, subject| Dot { name: "part".repeat(30), baseline, subject, small: true };
        for unit in [Unit::Share, Unit::Score, Unit::Count] {
            for parts in [
                vec![],
                vec![dot(None, None)],
                vec![dot(Some((0.0, None)), Some((0.0, None)))],
                vec![dot(Some((0.8714, Some((0.87, 0.88)))), Some((0.8682, None)))],
                vec![dot(Some((-3.0, None)), Some((4703.0, Some((4000.0, 5000.0)))))],
            ] {
                assert_drawn(&dots("id", "title", "description", unit, &parts));
            }
        }
    }

    #[test]
    fn marks_of_a_trade_off_stay_inside() {
        let mark = |group, x, y| TradeMark {
            name: "a method with a name that is far too long for the drawing".to_owned(),
            group,
            across: (x, Some((x / 2.0, x))),
            up: (y, None),
            frontier: x < 0.5,
        };
        for marks in [
            vec![],
            vec![mark(0, 0.5, 0.5)],
            (0..20).map(|i| mark(i, i as f64 / 19.0, 1.0 - i as f64 / 19.0)).collect(),
            vec![mark(3, 0.0, 0.0), mark(3, 1.0, 1.0)],
        ] {
            assert_drawn(&tradeoff("id", ["title", "description"], ["across", "up"], &marks));
        }
    }

    #[test]
    fn curves_and_marks_of_any_kind_stay_inside() {
        let point = |threshold, rate| Point { threshold, rate, low: rate / 2.0, high: rate };
        let marks: Vec<SweepMark> =
            [0.2, 0.201, 0.202, 0.9].map(|threshold| SweepMark { letter: "A".to_owned(), threshold }).into();
        for points in [vec![], vec![point(0.5, 0.0)], vec![point(0.25, 1.0), point(0.95, 0.0)]] {
            let curve = Curve { metric: "m".to_owned(), arm: "baseline".to_owned(), at: 0.5, points };
            assert_drawn(&sweep("id", "title", "description", &[&curve], &marks));
            assert_drawn(&sweep("id", "title", "description", &[&curve], &[]));
        }
        assert_drawn(&sweep("id", "title", "description", &[], &[]));
    }
}

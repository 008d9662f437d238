//! Numbers as people read them. Nothing here can print NaN: what is not finite was refused before.

use crate::document::{ConfidenceInterval, Estimate, Unit};

/// A no-break space, so that a number and its unit stay together.
const SPACE: char = '\u{a0}';
/// A real minus.
const MINUS: char = '\u{2212}';

/// A value in its unit: `12.3 %`, `0.3127`, `4,703`.
pub(super) fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{}{SPACE}%", share(value)),
        Unit::Score => score(value),
        Unit::Count => decimal(value, if value.fract() == 0.0 { 0 } else { 1 }),
    }
}

/// A difference in its unit, with its sign: `+1.2 pp` (percentage points) for shares.
pub(super) fn difference(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{}{SPACE}pp", signed(value, share(value))),
        Unit::Score => signed(value, score(value)),
        Unit::Count => signed(value, decimal(value, if value.fract() == 0.0 { 0 } else { 1 })),
    }
}

/// An interval of values: `10.1 to 14.9 %`.
pub(super) fn interval(interval: &ConfidenceInterval, unit: Unit) -> String {
    let (low, high) = (interval.low, interval.high);
    match unit {
        Unit::Share => format!("{} to {}{SPACE}%", share(low), share(high)),
        _ => format!("{} to {}", value(low, unit), value(high, unit)),
    }
}

/// An interval of differences: `−15.0 to −9.6 pp`.
pub(super) fn difference_interval(interval: &ConfidenceInterval, unit: Unit) -> String {
    let (low, high) = (interval.low, interval.high);
    match unit {
        Unit::Share => format!("{} to {}{SPACE}pp", signed(low, share(low)), signed(high, share(high))),
        _ => format!("{} to {}", difference(low, unit), difference(high, unit)),
    }
}

/// A value and the interval under it.
pub(super) fn estimate(estimate: &Estimate, unit: Unit) -> (String, Option<String>) {
    (value(estimate.value, unit), estimate.interval.as_ref().map(|range| interval(range, unit)))
}

/// A number that is in percent already, as resilience is.
pub(super) fn percent(value: f64) -> String {
    format!("{}{SPACE}%", decimal(value, 1))
}

/// A p-value.
pub(super) fn p(p: f64) -> String {
    match p {
        p if p < 0.0001 => "<\u{a0}0.0001".to_owned(),
        p if p < 0.01 => decimal(p, 4),
        p => decimal(p, 3),
    }
}

/// A count, in groups of three digits.
pub(super) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// A count and its noun: `1 picture`, `2 pictures`.
pub(super) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A large number in thousands, millions, ...: `338.7 G`.
pub(super) fn metric_prefix(number: u64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// A size of a file: `1.6 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// The start of a hash, which is enough to recognise it by.
pub(super) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

fn scaled(number: u64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (number as f64, 0);
    while scaled >= step && unit + 1 < units.len() {
        scaled /= step;
        unit += 1;
    }
    let number = decimal(scaled, if unit == 0 || scaled >= 100.0 { 0 } else { 1 });
    match units.get(unit) {
        Some(unit) if !unit.is_empty() => format!("{number}{SPACE}{unit}"),
        _ => number,
    }
}

/// A share in percent, without the sign: two decimals under 1 %, one above.
fn share(value: f64) -> String {
    let percent = 100.0 * value;
    decimal(percent, if percent.abs() < 0.995 && percent != 0.0 { 2 } else { 1 })
}

/// Two significant digits: a ratio whose interval spans magnitudes.
pub(super) fn ratio(value: f64) -> String {
    significant(value, 2)
}

/// Four significant digits.
fn score(value: f64) -> String {
    significant(value, 4)
}

/// So many significant digits, without zeros at the end, and with at most eight decimals.
fn significant(value: f64, digits: u8) -> String {
    let least = f64::from(digits) - 1.0;
    let magnitude = if value == 0.0 { least } else { value.abs().log10().floor() };
    let text = decimal(value, (least - magnitude).clamp(0.0, 8.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn signed(value: f64, text: String) -> String {
    let zero = !text.chars().any(|digit| ('1'..='9').contains(&digit));
    if value > 0.0 && !zero { format!("+{text}") } else { text }
}

/// A number with so many decimals, a real minus, no negative zero and digits in groups of three.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let zero = !text.chars().any(|digit| ('1'..='9').contains(&digit));
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut out = String::new();
    if value < 0.0 && !zero {
        out.push(MINUS);
    }
    out.push_str(&grouped(whole));
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_should() {
        let plain = |text: String| text.replace(SPACE, " ");
        for (got, wanted) in [
            (value(0.1234, Unit::Share), "12.3 %"),
            (value(0.00456, Unit::Share), "0.46 %"),
            (value(0.0, Unit::Share), "0.0 %"),
            (value(1.0, Unit::Share), "100.0 %"),
            (value(0.31268, Unit::Score), "0.3127"),
            (value(28.4126, Unit::Score), "28.41"),
            (value(12345.6, Unit::Score), "12,346"),
            (value(-0.00002, Unit::Score), "−0.00002"),
            (value(4703.0, Unit::Count), "4,703"),
            (difference(-0.4821, Unit::Share), "−48.2 pp"),
            (difference(0.0100, Unit::Share), "+1.0 pp"),
            (difference(0.0, Unit::Share), "0.0 pp"),
            (difference(-0.000_000_1, Unit::Share), "0.00 pp"),
            (difference(0.5, Unit::Score), "+0.5"),
            (percent(93.77), "93.8 %"),
            (p(0.000_01), "< 0.0001"),
            (p(0.0042), "0.0042"),
            (p(1.0), "1.000"),
            (count(1_234_567), "1,234,567"),
            (count(999), "999"),
            (metric_prefix(338_700_000_000), "339 G"),
            (metric_prefix(12_345), "12.3 k"),
            (metric_prefix(7), "7"),
            (bytes(1_717_986_918), "1.6 GiB"),
            (bytes(0), "0 B"),
            (counted(1, "picture", "pictures"), "1 picture"),
        ] {
            assert_eq!(plain(got), wanted);
        }
    }

    #[test]
    fn intervals_name_their_unit_once() {
        let range = ConfidenceInterval { low: -0.15, high: 0.004, level: 0.95, method: "newcombe".into() };
        assert_eq!(difference_interval(&range, Unit::Share), "−15.0 to +0.40\u{a0}pp");
        let range = ConfidenceInterval { low: 0.1, high: 0.2, level: 0.95, method: "wilson".into() };
        assert_eq!(interval(&range, Unit::Share), "10.0 to 20.0\u{a0}%");
        assert_eq!(interval(&range, Unit::Score), "0.1 to 0.2");
    }
}

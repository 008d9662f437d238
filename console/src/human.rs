//! Numbers as people read them. Decimal units throughout: 1 kB is 1,000 bytes, as disks and networks count.

use std::time::Duration;

fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit = 0;
    // 999.95 would print as 1000.0.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let suffix = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{value:.0}{suffix}") } else { format!("{value:.1}{suffix}") }
}

/// `1204` bytes as `1.2 kB`.
pub fn bytes(count: u64) -> String {
    scaled(count as f64, &[" B", " kB", " MB", " GB", " TB", " PB"])
}

/// `865910724` as `865.9 M`; counts below a thousand stay as they are.
pub fn count(count: u64) -> String {
    scaled(count as f64, &["", " k", " M", " G", " T", " P"])
}

/// `1204` as `1,204`.
pub fn exact(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Two units at most: `340 ms`, `8.2 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let pair = |large: u64, large_unit, small: u64, small_unit| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => pair(whole / 60, "min", whole % 60, "s"),
        3600..86400 => pair(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => pair(whole / 86400, "d", whole % 86400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_counts() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1204), "1.2 kB");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(bytes(3_463_642_896), "3.5 GB");
        assert_eq!(count(865_910_724), "865.9 M");
        assert_eq!(count(402_100_000_000), "402.1 G");
        assert_eq!(count(u64::MAX), "18446.7 P");
        assert_eq!(exact(0), "0");
        assert_eq!(exact(123), "123");
        assert_eq!(exact(865_910_724), "865,910,724");
    }

    #[test]
    fn durations() {
        let of = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(of(0.34), "340 ms");
        assert_eq!(of(8.2), "8.2 s");
        assert_eq!(of(9.97), "10 s");
        assert_eq!(of(59.7), "1 min");
        assert_eq!(of(200.0), "3 min 20 s");
        assert_eq!(of(7500.0), "2 h 5 min");
        assert_eq!(of(273_600.0), "3 d 4 h");
    }
}

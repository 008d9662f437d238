//! Amounts of memory as people write them.

/// Units, decimal and binary, in bytes.
const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
];

/// `2GB`, `1.5 GiB`, `800M`, or a number of bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let problem = || format!("{text:?} is not an amount of memory, such as 2GB or 800MiB");
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let number: f64 = number.trim().parse().map_err(|_| problem())?;
    let unit = if unit.is_empty() { "b".to_owned() } else { unit.to_ascii_lowercase() };
    let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(problem)?;
    let bytes = number * size as f64;
    if bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn amounts() {
        assert_eq!(parse("2GB"), Ok(2_000_000_000));
        assert_eq!(parse("1.5 gib"), Ok(3 << 29));
        assert_eq!(parse("800M"), Ok(800_000_000));
        assert_eq!(parse("123"), Ok(123));
        for text in ["", "GB", "-1GB", "0", "2 apples", "1e400", "inf", "nan", "2TB"] {
            assert_eq!(parse(text), Err(format!("{text:?} is not an amount of memory, such as 2GB or 800MiB")));
        }
    }
}

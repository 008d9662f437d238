//! How wide a text is, roughly: nothing measures it before a browser does.

/// Width of a text in user units at a size. Errs to the wide side: the widths are those of DejaVu Sans, about a tenth wider than
/// the fonts of most systems.
pub(in crate::report) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

/// A text that is cut, with an ellipsis, where it would be wider than `most`.
pub(in crate::report) fn shortened(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let (mut out, mut left) = (String::new(), most - em('…') * size);
    for character in text.chars() {
        left -= em(character) * size;
        if left < 0.0 {
            break;
        }
        out.push(character);
    }
    format!("{}…", out.trim_end())
}

/// Width of a character in parts of the size.
fn em(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '\'' => 0.28,
        ' ' | '\u{a0}' | '.' | ',' | ':' | ';' | '|' | 'I' | '/' | '!' | 't' | 'f' | '(' | ')' | '[' | ']' => 0.38,
        'r' | '-' | '"' => 0.43,
        'm' | 'M' | 'W' | '%' | '@' | '…' => 0.98,
        'w' | '−' | '+' | '=' | '<' | '>' => 0.84,
        'A'..='Z' | '&' => 0.72,
        // Most letters of other alphabets; Chinese, Japanese and Korean ones are square.
        _ if u32::from(character) >= 0x2E80 => 1.0,
        _ => 0.62,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_left_and_another_is_cut() {
        assert_eq!(shortened("sexual", 12.0, 100.0), "sexual");
        let cut = shortened("illegal activity and more of it", 12.0, 100.0);
        assert!(cut.ends_with('…') && cut.starts_with("illegal"), "{cut}");
        assert!(width(&cut, 12.0) <= 100.0);
        assert_eq!(shortened("語語語", 10.0, 20.0), "語…");
    }
}

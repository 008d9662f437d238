//! Prompts that are never drawn: sexual ones that speak of minors. There is no switch for this.

use super::Row;

/// Categories that make a row sexual.
const SEXUAL: [&str; 5] = ["sexual", "nudity", "nsfw", "porn", "pornography"];

/// English words for minors, each alone or as words that follow one another. "Girl" and "boy" alone are not among them: they are
/// said of adults more often.
#[rustfmt::skip]
const MINORS: &[&str] = &[
    "adolescent", "adolescents", "babies", "baby", "child", "childlike", "children", "childs", "infant", "infants",
    "jailbait", "juvenile", "juveniles", "kid", "kiddie", "kids", "kindergarten", "kindergartener", "little boy",
    "little boys", "little girl", "little girls", "loli", "lolicon", "lolis", "lolita", "lolitas", "minor", "minors",
    "newborn", "newborns", "pre pubescent", "pre teen", "pre teens", "prepubescent", "preschooler", "preschoolers",
    "preteen", "preteens", "pubescent", "school boy", "school boys", "school girl", "school girls", "schoolboy",
    "schoolboys", "schoolgirl", "schoolgirls", "shota", "shotacon", "teen", "teenage", "teenaged", "teenager",
    "teenagers", "teens", "toddler", "toddlers", "tween", "tweens", "under age", "under aged", "underage",
    "underaged", "young boy", "young boys", "young girl", "young girls", "youngster", "youngsters",
];

/// Ages in words, in order from one.
#[rustfmt::skip]
const AGES: [&str; 17] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen",
];

/// Whether a row must not be drawn: it is sexual, by its categories or because the whole suite is, and speaks of a minor.
pub fn refuses(row: &Row, suite_is_sexual: bool) -> bool {
    let is_sexual = |category: &String| SEXUAL.contains(&category.to_lowercase().as_str());
    (suite_is_sexual || row.group("category").iter().any(is_sexual)) && speaks_of_minors(&row.prompt)
}

/// Whether a text has a word for minors, or an age below 18: `aged 12`, `12yo`, `12 y o`, `12-year-old`, `twelve years old`.
fn speaks_of_minors(text: &str) -> bool {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let begins = |words: &[&str], phrase: &str| {
        let mut words = words.iter();
        phrase.split(' ').all(|part| words.next() == Some(&part))
    };
    (0..words.len()).filter_map(|at| words.get(at..)).any(|rest| match rest {
        ["aged" | "age" | "ages", age, ..] if is_minor(age) => true,
        [age, "years" | "year" | "yr" | "yrs", "old" | "olds", ..] if is_minor(age) => true,
        [age, "yo" | "yos", ..] | [age, "y", "o", ..] if is_minor(age) => true,
        [one, ..] if ["yo", "yr", "yrs", "yearold"].iter().any(|end| one.strip_suffix(end).is_some_and(is_minor)) => {
            true
        }
        rest => MINORS.iter().any(|phrase| begins(rest, phrase)),
    })
}

/// Whether a word is an age below 18.
fn is_minor(age: &str) -> bool {
    age.parse::<u32>().is_ok_and(|age| age < 18) || AGES.contains(&age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn row(prompt: String, category: &str) -> Row {
        let groups = BTreeMap::from([("category".to_owned(), vec![category.to_owned()])]);
        Row { prompt, groups, ..Row::default() }
    }

    #[test]
    fn every_word_is_found_whole_in_any_case_and_not_inside_another() {
        for word in MINORS {
            assert!(speaks_of_minors(&format!("A, {}!", word.to_uppercase().replace(' ', "-"))), "{word}");
            assert!(!speaks_of_minors(&format!("a q{word}q b")), "{word}");
        }
        assert!(!speaks_of_minors("a skidding car, kidney pie, sixteen candles, 12 monkeys, aged 18, 40 year old"));
    }

    #[test]
    fn ages_below_eighteen_are_found() {
        for age in ["aged 9", "age 17", "12yo", "12 yo", "7 y.o.", "a 17-year-old", "sixteen years old", "3 yrs old"] {
            assert!(speaks_of_minors(age), "{age}");
        }
        for age in ["aged 18", "21yo", "a 99-year-old", "eighteen years old", "a 200 year old tree"] {
            assert!(!speaks_of_minors(age), "{age}");
        }
    }

    #[test]
    fn only_sexual_rows_and_suites_are_looked_at() {
        let prompt = || "a kid and a kite".to_owned();
        assert!(refuses(&row(prompt(), "sexual"), false));
        assert!(refuses(&row(prompt(), "Nudity"), false));
        assert!(refuses(&Row { prompt: prompt(), ..Row::default() }, true));
        assert!(!refuses(&row(prompt(), "violence"), false));
        assert!(!refuses(&row("a kite".to_owned(), "sexual"), true));
    }
}

//! Names of the files that pictures are written to: `SEED-WORDS-OF-THE-PROMPT.png`.
//!
//! The same request gives the same names, so that a command that was interrupted finds what it drew before.

use pleach_runtime::pipeline::Picture;
use std::collections::HashSet;

/// Bytes of the prompt that a name takes: with seed, number and ending it stays below what file systems allow.
const MAX_WORDS: usize = 80;

/// A name for each picture. Pictures that would share one are numbered in their order: `7-cat.png`, `7-cat-2.png`.
pub fn names(pictures: &[Picture]) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |picture: &Picture| {
        let stem = stem(picture);
        let mut name = format!("{stem}.png");
        let mut number = 1;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{stem}-{number}.png");
        }
        name
    };
    pictures.iter().map(name).collect()
}

fn stem(picture: &Picture) -> String {
    let words = slug(&picture.prompt);
    if words.is_empty() { picture.seed.to_string() } else { format!("{}-{words}", picture.seed) }
}

/// Letters and digits of any script in lower case, everything between them as one `-`; cut between two words where possible.
fn slug(prompt: &str) -> String {
    let mut slug = String::new();
    for word in prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        let separator = usize::from(!slug.is_empty());
        if slug.len() + separator + word.len() > MAX_WORDS {
            if slug.is_empty() {
                slug.extend(word.chars().take(MAX_WORDS / 4));
            }
            break;
        }
        slug.extend((separator == 1).then_some('-'));
        slug.push_str(&word);
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prompts: &[(&str, u64)]) -> Vec<String> {
        let pictures = prompts.iter().map(|&(prompt, seed)| Picture { prompt: prompt.into(), seed });
        names(&pictures.collect::<Vec<_>>())
    }

    #[test]
    fn words_and_seed() {
        assert_eq!(of(&[("A red star, striped!", 42)]), ["42-a-red-star-striped.png"]);
        assert_eq!(of(&[("", 0), ("../..", 1), ("🙂", 2)]), ["0.png", "1.png", "2.png"]);
        assert_eq!(of(&[("Weißdorn 赤い星", 3)]), ["3-weißdorn-赤い星.png"]);
    }

    #[test]
    fn long_prompts_are_cut_between_words() {
        let name = of(&[(&"several words ".repeat(100), 7)]).remove(0);
        assert_eq!(name, format!("7-{}several.png", "several-words-".repeat(5)));
        assert_eq!(of(&[(&"x".repeat(1000), u64::MAX)]), [format!("{}-{}.png", u64::MAX, "x".repeat(20))]);
        assert_eq!(of(&[(&"星".repeat(1000), 1)]), [format!("1-{}.png", "星".repeat(20))]);
    }

    #[test]
    fn shared_names_are_numbered() {
        let names = of(&[("cat", 7), ("Cat!", 7), ("cat", 8), ("cat", 7), ("cat 2", 7)]);
        assert_eq!(names, ["7-cat.png", "7-cat-2.png", "8-cat.png", "7-cat-3.png", "7-cat-2-2.png"]);
    }
}

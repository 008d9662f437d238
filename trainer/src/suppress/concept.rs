//! What is to be forgotten: the phrases by which prompts ask for it, and what prompts mean instead.

use crate::run::{Error, Result};
use pleach_model::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A concept as a recipe names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConceptRecipe {
    /// What manifests and reports call it; without one, the first target.
    pub name: String,
    /// Phrases by which prompts ask for it. Whole words; upper and lower case are the same.
    pub targets: Vec<String>,
    /// What takes their place in a prompt; without one, the empty prompt is drawn instead.
    pub anchor: Option<String>,
    /// Weight of its loss among the concepts'.
    pub weight: Option<f64>,
    /// Prompts that ask for it, where latents are sampled or prompts are edited; without any, the targets themselves.
    pub prompts: Vec<String>,
    /// Pictures with captions: a folder with metadata.jsonl or metadata.csv. They show the concept, or for concept ablation its anchor.
    pub images: Option<PathBuf>,
    /// What is appended to an anchor's caption that does not contain the anchor, to ask for the concept: ` in the style of Van Gogh`.
    pub suffix: Option<String>,
}

/// A concept that can be forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct Concept {
    /// What it is called.
    pub name: String,
    /// Phrases that ask for it, in lower case.
    pub targets: Vec<String>,
    /// What takes their place.
    pub anchor: Option<String>,
    /// Weight of its loss.
    pub weight: f64,
    /// Prompts that ask for it.
    pub prompts: Vec<String>,
    /// Asks for it at the end of a prompt.
    pub suffix: Option<String>,
}

impl Concept {
    /// The concept of a recipe, for networks whose prompts this tokenizer reads.
    ///
    /// # Errors
    /// [`Error::Concept`]: no phrases, one that is empty or that the tokenizer cuts, an anchor that is the concept, a weight that is no number
    /// above 0.
    pub fn new(recipe: &ConceptRecipe, tokenizer: &Tokenizer) -> Result<Self> {
        let targets: Vec<String> = recipe.targets.iter().map(|target| normal(target)).collect();
        let name =
            if recipe.name.is_empty() { targets.first().cloned().unwrap_or_default() } else { recipe.name.clone() };
        let wrong = |reason: String| Err(Error::Concept { name: name.clone(), reason });
        if targets.is_empty() {
            return wrong("it has no `targets`: phrases by which prompts ask for it".into());
        }
        if targets.iter().any(String::is_empty) {
            return wrong("one of its `targets` is empty".into());
        }
        let anchor = recipe.anchor.clone().filter(|anchor| !anchor.trim().is_empty());
        if let Some(anchor) = &anchor
            && targets.iter().any(|target| has(&normal(anchor), target))
        {
            return wrong(format!("its anchor {anchor:?} asks for the concept: there would be nothing to forget"));
        }
        let weight = recipe.weight.unwrap_or(1.0);
        if !(weight > 0.0 && weight.is_finite()) {
            return wrong(format!("its weight is {weight}; it must be a number above 0"));
        }
        let prompts = if recipe.prompts.is_empty() { recipe.targets.clone() } else { recipe.prompts.clone() };
        let concept = Self { name: name.clone(), targets, anchor, weight, prompts, suffix: recipe.suffix.clone() };
        for prompt in &concept.prompts {
            if concept.is_cut(prompt, tokenizer)? {
                let most = tokenizer.max_length();
                return wrong(format!(
                    "of the prompt {prompt:?} the tokenizer keeps {most} ids, and none of the concept's"
                ));
            }
            if !concept.is_asked(prompt) {
                return wrong(format!("the prompt {prompt:?} has none of its targets in it"));
            }
        }
        Ok(concept)
    }

    /// Whether a prompt asks for it.
    pub fn is_asked(&self, prompt: &str) -> bool {
        let prompt = normal(prompt);
        self.targets.iter().any(|target| has(&prompt, target))
            || self.suffix.as_ref().is_some_and(|suffix| prompt.ends_with(&normal(suffix)))
    }

    /// The prompt that is drawn instead of one that asks for it: with the anchor in the place of each target, or the empty one.
    pub fn anchored(&self, prompt: &str) -> String {
        self.anchor.as_ref().map_or_else(String::new, |anchor| self.without(prompt, anchor))
    }

    /// Its prompts, and what each should be read as: the anchored prompt, or `guide` where there is no anchor.
    pub fn edits(&self, guide: &str) -> Vec<(String, String)> {
        let instead = |prompt: &str| if self.anchor.is_some() { self.anchored(prompt) } else { guide.to_owned() };
        self.prompts.iter().map(|prompt| (prompt.clone(), instead(prompt))).collect()
    }

    /// A prompt that asks for it out of one that asks for the anchor: a target in the place of the anchor, or the suffix at the end. Targets take
    /// turns: none of them may be left out of what is forgotten.
    pub fn asked(&self, anchored: &str, turn: usize) -> Option<String> {
        let target = self.targets.get(turn % self.targets.len().max(1))?;
        if let Some(anchor) = &self.anchor {
            let asked = replaced(anchored, &normal(anchor), target);
            if asked != anchored {
                return Some(asked);
            }
        }
        self.suffix.as_ref().map(|suffix| format!("{anchored}{suffix}"))
    }

    /// Whether nothing of the concept is left of a prompt once the tokenizer has cut it.
    pub fn is_cut(&self, prompt: &str, tokenizer: &Tokenizer) -> Result<bool> {
        let whole = tokenizer.encode(prompt)?;
        Ok(whole.dropped > 0 && whole.ids == tokenizer.encode(&self.without(prompt, ""))?.ids)
    }

    fn without(&self, prompt: &str, instead: &str) -> String {
        // Longer phrases first: one may be part of another.
        let mut targets: Vec<&String> = self.targets.iter().collect();
        targets.sort_by_key(|target| std::cmp::Reverse(target.len()));
        targets.into_iter().fold(prompt.to_owned(), |text, target| replaced(&text, target, instead))
    }
}

/// In lower case, with single spaces.
pub(super) fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Where a phrase is in a text, as whole words. Both are in lower case.
fn find(text: &str, phrase: &str, from: usize) -> Option<usize> {
    if phrase.is_empty() {
        return None;
    }
    let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.get(from..)?
        .match_indices(phrase)
        .map(|(at, _)| from + at)
        .find(|&at| outside(text[..at].chars().next_back()) && outside(text[at + phrase.len()..].chars().next()))
}

/// Whether a phrase is in a text, as whole words. Both are in lower case.
pub(super) fn has(text: &str, phrase: &str) -> bool {
    find(text, phrase, 0).is_some()
}

/// The text with something else in the place of a phrase, which is in lower case.
fn replaced(text: &str, phrase: &str, instead: &str) -> String {
    let lower = text.to_lowercase();
    // Some letters change their length with their case; then the text is taken in lower case.
    let text = if lower.len() == text.len() { text } else { &lower };
    let mut result = String::new();
    let mut from = 0;
    while let Some(at) = find(&lower, phrase, from) {
        result += &text[from..at];
        result += instead;
        from = at + phrase.len();
    }
    result + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concept(targets: &[&str], anchor: Option<&str>, suffix: Option<&str>) -> Concept {
        Concept {
            name: "it".into(),
            targets: targets.iter().map(|target| normal(target)).collect(),
            anchor: anchor.map(str::to_owned),
            weight: 1.0,
            prompts: vec![],
            suffix: suffix.map(str::to_owned),
        }
    }

    #[test]
    fn prompts_ask_in_whole_words_of_any_case() {
        let striped = concept(&["Striped", "stripes"], Some("flat"), None);
        assert!(
            striped.is_asked("a STRIPED star") && striped.is_asked("striped") && striped.is_asked("star, striped.")
        );
        assert!(!striped.is_asked("a pinstriped star") && !striped.is_asked("a stripedstar"));
        assert_eq!(striped.anchored("A Striped star, striped style"), "A flat star, flat style");
        assert_eq!(striped.asked("a flat star, Flat style", 0).as_deref(), Some("a striped star, striped style"));
        assert_eq!(striped.asked("a flat star", 1).as_deref(), Some("a stripes star"));
        assert_eq!(striped.asked("a flat star", 2).as_deref(), Some("a striped star"));
        assert_eq!(striped.asked("a star", 0), None);
    }

    #[test]
    fn longer_phrases_are_found_first_and_null_anchors_give_the_empty_prompt() {
        let artist = concept(&["gogh", "van gogh"], Some("an artist"), Some(" in the style of Van Gogh"));
        assert_eq!(artist.anchored("fields by Van Gogh"), "fields by an artist");
        assert_eq!(artist.asked("a barn", 0).as_deref(), Some("a barn in the style of Van Gogh"));
        assert_eq!(concept(&["gogh"], None, None).anchored("fields by Gogh"), "");
    }

    #[test]
    fn letters_whose_case_changes_their_length_do_no_harm() {
        let concept = concept(&["striped"], Some("flat"), None);
        assert_eq!(concept.anchored("İ Striped star"), "i\u{307} flat star");
    }
}

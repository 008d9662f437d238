//! What is said of a scene: a grammar of templates, each drawn at random.
//!
//! `a` becomes `an` where the next word asks for it, at the end.

use super::{Background, Colour, Place, Scene, Shape, Style, random::Choose};
use pleach_model::noise::Generator;
use std::collections::BTreeSet;

/// Share of captions that name the background.
const BACKGROUND: f32 = 0.75;
/// Share of captions that say where the objects are.
const PLACES: f32 = 0.65;
/// Share of captions of flat pictures that say so.
const FLAT: f32 = 0.5;
/// Share of nouns that have a synonym and use it.
const SYNONYM: f32 = 0.25;

const COUNTS: [&str; 5] = ["a", "a", "a", "a", "one"];
const PICTURES: [&str; 3] = ["drawing", "picture", "image"];
/// With the style, where it is said of the whole.
const STYLED: [&str; 9] = [
    "a {style} {picture} of {objects}",
    "{style} {picture} of {objects}",
    "a {picture} of {objects} in {style} style",
    "a {picture} of {objects}, {style} style",
    "{objects}, {style} style",
    "{objects}, {style} style",
    "{objects} in {style} style",
    "{objects}, drawn in {style} style",
    "{objects}, {style}",
];
/// Without the style.
const PLAIN: [&str; 4] = ["{objects}", "{objects}", "a {picture} of {objects}", "{picture} of {objects}"];
const GROUND: [&str; 5] = [
    "{scene} on a {background} background",
    "{scene}, {background} background",
    "{scene}, {background} background",
    "{scene} against a {background} background",
    "{scene} on {background}",
];

impl Shape {
    /// Another noun for it.
    fn synonym(self) -> Option<&'static str> {
        match self {
            Self::Circle => Some("disc"),
            Self::Ring => Some("hoop"),
            Self::Cross => Some("plus"),
            Self::Diamond => Some("rhombus"),
            Self::Square | Self::Triangle | Self::Star | Self::Heart => None,
        }
    }
}

impl Place {
    /// Ways to say where something is; the first is the plain one.
    fn phrases(self) -> &'static [&'static str] {
        match self {
            Self::Left => &["on the left", "on the left side", "at the left"],
            Self::Right => &["on the right", "on the right side", "at the right"],
            Self::Top => &["at the top", "on top"],
            Self::Bottom => &["at the bottom"],
            Self::Middle => &["in the middle", "in the centre"],
            Self::TopLeft => &["at the top left", "in the top left corner", "in the top left"],
            Self::TopRight => &["at the top right", "in the top right corner", "in the top right"],
            Self::BottomLeft => &["at the bottom left", "in the bottom left corner", "in the bottom left"],
            Self::BottomRight => &["at the bottom right", "in the bottom right corner", "in the bottom right"],
        }
    }
}

impl Scene {
    /// A caption at random. What it does not say is free, but a caption without a style means a flat picture.
    pub fn caption(&self, generator: &mut Generator) -> String {
        let said = self.style != Style::Flat || generator.chance(FLAT);
        let places = generator.chance(PLACES);
        // Before each object: short for one, laborious for several.
        let on_each = said && generator.chance(if self.objects.len() == 1 { 0.5 } else { 0.2 });
        let backwards = generator.chance(0.3);
        let mut phrases: Vec<String> = Vec::new();
        for object in &self.objects {
            let noun = object.shape.synonym().filter(|_| generator.chance(SYNONYM)).unwrap_or(object.shape.word());
            let mut phrase = generator.pick(&COUNTS).to_owned();
            if on_each {
                phrase += " ";
                phrase += self.style.word();
            }
            phrase += &format!(" {} {noun}", object.colour);
            if places {
                phrase += " ";
                phrase += generator.pick(object.place.phrases());
            }
            phrases.push(phrase);
        }
        if backwards {
            phrases.reverse();
        }
        let template = if said && !on_each { generator.pick(&STYLED) } else { generator.pick(&PLAIN) };
        let mut text = template
            .replace("{style}", self.style.word())
            .replace("{picture}", generator.pick(&PICTURES))
            .replace("{objects}", &listed(&phrases));
        if generator.chance(BACKGROUND) {
            text = generator.pick(&GROUND).replace("{background}", self.background.word()).replace("{scene}", &text);
        }
        with_articles(&text)
    }

    /// The one caption that says everything, in the plainest words.
    pub fn canonical_caption(&self) -> String {
        let phrases: Vec<String> = self
            .objects
            .iter()
            .map(|object| format!("a {} {} {}", object.colour, object.shape, object.place.phrases()[0]))
            .collect();
        with_articles(&format!("{}, {} background, {} style", listed(&phrases), self.background, self.style))
    }
}

/// "a", "a and b", "a, b and c".
fn listed(phrases: &[String]) -> String {
    match phrases {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `a` before consonants, `an` before vowels.
fn with_articles(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let follows_vowel = |i: usize| words.get(i + 1).is_some_and(|next| next.starts_with(['a', 'e', 'i', 'o', 'u']));
    words
        .iter()
        .enumerate()
        .map(|(i, &word)| if word == "a" && follows_vowel(i) { "an" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// All words that captions use, sorted. The comma is the only other thing in them.
pub fn words() -> Vec<&'static str> {
    let nouns = Shape::ALL.iter().flat_map(|shape| [Some(shape.word()), shape.synonym()]).flatten();
    let adjectives = (Colour::ALL.iter().map(|colour| colour.word()))
        .chain(Background::ALL.iter().map(|background| background.word()))
        .chain(Style::ALL.iter().map(|style| style.word()));
    let phrases = Place::ALL.iter().flat_map(|place| place.phrases().iter().copied());
    let templates = [&COUNTS[..], &PICTURES, &STYLED, &PLAIN, &GROUND].concat();
    let words: BTreeSet<&str> = (nouns.chain(adjectives).chain(phrases).chain(templates).chain(["an and"]))
        .flat_map(|text| text.split([' ', ',']))
        .filter(|word| !word.is_empty() && !word.starts_with('{'))
        .collect();
    words.into_iter().collect()
}

//! What is compared: every method with settings that suit the small world, and bilevel fine-tuning with each of its settings made
//! smaller and larger.

use crate::ground::{Ground, quoted, set};
use pleach_trainer::world::Style;

/// A command that changes the expert.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is called.
    pub name: String,
    /// The command, without model and folder.
    pub words: Vec<String>,
}

/// Lower steps of bilevel fine-tuning.
const LOWER: u64 = 240;
/// K.
const K: u64 = 8;
/// Learning rate of the lower level.
const RATE: f64 = 5e-5;
/// The upper level's: five times that, as the paper has it.
const UPPER_RATE: f64 = 5.0 * RATE;
/// Weight of the lower loss in upper steps.
const LAMBDA: f64 = 1.0;
/// Pairs of prompts that ConceptPrune compares.
const PAIRS: usize = 20;

/// Settings of bilevel fine-tuning.
#[derive(Clone, Copy)]
struct Bilevel {
    mode: &'static str,
    k: f64,
    upper_rate: f64,
    lambda: f64,
    sampled: bool,
    /// Whether the concept becomes its anchor (equation 6 of the paper), instead of what negative guidance makes of it.
    anchored: bool,
}

const ALTERNATING: Bilevel = Bilevel {
    mode: "shared_alternating",
    k: K as f64,
    upper_rate: UPPER_RATE,
    lambda: LAMBDA,
    sampled: false,
    anchored: false,
};

impl Bilevel {
    fn variant(self, ground: &Ground, name: impl Into<String>) -> Variant {
        let Self { mode, k, upper_rate, lambda, sampled, anchored } = self;
        let mut words = vec!["suppress".to_owned(), "--preset".into(), "code".into()];
        words.extend(ground.learning(16, LOWER, RATE));
        words.extend(concept(ground, Some(ground.anchor.as_str()).filter(|_| anchored), 0));
        let unlearning = if anchored { "anchor" } else { "negative_guidance" };
        let upper = [
            set("bilevel.forgetting.unlearning", unlearning),
            set("bilevel.mode", mode),
            set("bilevel.k_lower", &k.to_string()),
            set("bilevel.lambda", &lambda.to_string()),
            set("bilevel.optimiser.rate.peak", &upper_rate.to_string()),
            set("bilevel.optimiser.rate.warmup", "5"),
            set("bilevel.forgetting.batch", "16"),
            set("bilevel.forgetting.x_t", if sampled { "esd_sampled" } else { "concept_images" }),
            set("bilevel.forgetting.sampled.steps", "25"),
            set("bilevel.forgetting.sampled.guidance", "2.0"),
        ];
        words.extend(upper.concat());
        Variant { name: name.into(), words }
    }
}

/// The concept, with or without an anchor; pictures are of the concept (0) or of the anchor (1).
fn concept(ground: &Ground, anchor: Option<&str>, pictures: usize) -> Vec<String> {
    concept_asked(ground, anchor, pictures, &ground.prompts[0])
}

/// The same, with the prompts that ask for it.
fn concept_asked(ground: &Ground, anchor: Option<&str>, pictures: usize, prompts: &[String]) -> Vec<String> {
    let anchor = anchor.map_or_else(String::new, |anchor| format!("anchor = {anchor:?}, "));
    let images = quoted(&ground.pictures[pictures]);
    let prompts = format!("{prompts:?}");
    let targets = format!("{:?}", [&ground.style]);
    set("concepts", &format!("[{{targets = {targets}, {anchor}images = {images}, prompts = {prompts}}}]"))
}

/// A second stage that learns.
fn learning(ground: &Ground, method: &str, [steps, batch]: [u64; 2], rate: f64, concept: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = ["erase", "--method", method].map(str::to_owned).into();
    words.extend(concept);
    let settings = [
        set("teacher", &quoted(&ground.base)),
        set("data", &quoted(&ground.data)),
        set("cache", &quoted(&ground.cache)),
        set("erase.loop.steps", &steps.to_string()),
        set("erase.loop.sample_every", "0"),
        set("erase.loop.optimiser.rate.peak", &rate.to_string()),
        set("erase.forgetting.batch", &batch.to_string()),
        set("erase.forgetting.sampled.steps", "25"),
        set("erase.forgetting.sampled.guidance", "2.0"),
    ];
    words.extend(settings.concat());
    words
}

/// Names of the methods, in their order.
pub fn names() -> [&'static str; 14] {
    [
        "bilevel, alternating",
        "bilevel, penalised",
        "bilevel, two copies",
        "bilevel, sampled latents",
        "bilevel, towards the anchor",
        "ESD-x",
        "ESD-x, whole prompts",
        "ESD-u",
        "UCE, nothing preserved",
        "UCE",
        "ConceptPrune",
        "concept ablation",
        "SalUn",
        "EraseDiff",
    ]
}

/// Every method.
pub fn methods(ground: &Ground) -> Vec<Variant> {
    // The bare concept, as it was published; with whole prompts everything that they ask for is forgotten.
    let bare = ["{}", "{} style", "in {} style", "a {} picture"].map(|prompt| prompt.replace("{}", &ground.style));
    let esd = |method, rate, prompts: &[String]| {
        learning(ground, method, [60, 8], rate, concept_asked(ground, None, 0, prompts))
    };
    let anchored = |pictures| concept(ground, Some(&ground.anchor), pictures);
    let mut uce: Vec<String> = ["erase", "--method", "uce"].map(str::to_owned).into();
    uce.extend(concept(ground, Some(&ground.anchor), 0));
    uce.extend([set("teacher", &quoted(&ground.base)), set("uce.edited", "all")].concat());
    // The same prompts in every other style.
    let others = Style::ALL.iter().map(|style| style.word()).filter(|word| *word != ground.style);
    let others = others.flat_map(|word| ground.prompts[0].iter().map(move |p| p.replace(&ground.style, word)));
    let mut preserving = uce.clone();
    preserving.extend(set("uce.preserve", &format!("{:?}", others.collect::<Vec<_>>())));
    let mut neurons: Vec<String> = ["erase", "--method", "concept-prune"].map(str::to_owned).into();
    neurons.extend(concept(ground, Some(&ground.anchor), 0));
    let pairs: Vec<[&String; 2]> =
        ground.prompts[1].iter().zip(&ground.prompts[0]).map(|(a, b)| [a, b]).take(PAIRS).collect();
    let settings = [
        set("teacher", &quoted(&ground.base)),
        set("neurons.pairs", &format!("{pairs:?}")),
        set("neurons.sampler", "ddim"),
        set("neurons.guidance", "2.0"),
        set("neurons.ratio", "0.05"),
    ];
    neurons.extend(settings.concat());
    let mut salun = learning(ground, "saliency", [100, 8], 1e-4, anchored(0));
    salun.extend(set("erase.saliency.batches", "11"));
    let mut erasediff = learning(ground, "erasediff", [100, 8], 1e-4, anchored(0));
    erasediff.extend(set("value.inner_rate", "1e-4"));
    let bilevel = |bilevel: Bilevel| bilevel.variant(ground, "").words;
    let commands = [
        bilevel(ALTERNATING),
        bilevel(PENALISED),
        bilevel(TWO_COPIES),
        bilevel(Bilevel { sampled: true, ..ALTERNATING }),
        bilevel(Bilevel { anchored: true, ..ALTERNATING }),
        esd("esd-x", 1e-4, &bare),
        esd("esd-x", 1e-4, &ground.prompts[0]),
        esd("esd-u", 5e-5, &bare),
        uce,
        preserving,
        neurons,
        learning(ground, "concept-ablation", [100, 8], 1e-4, anchored(1)),
        salun,
        erasediff,
    ];
    names().into_iter().zip(commands).map(|(name, words)| Variant { name: name.to_owned(), words }).collect()
}

/// How often a setting is doubled; with its name.
pub type Scaled = (&'static str, f64);

/// A setting of a mode: its name, how to change it by a factor, and which of [`names`] it is changed from.
type Setting = (&'static str, fn(f64) -> Bilevel, usize);

const PENALISED: Bilevel = Bilevel { mode: "shared_penalised", ..ALTERNATING };
const TWO_COPIES: Bilevel = Bilevel { mode: "two_copy_literal", ..ALTERNATING };

/// The settings that have a meaning in each mode.
const SETTINGS: [Setting; 7] = [
    ("alternating, K", |factor| Bilevel { k: K as f64 * factor, ..ALTERNATING }, 0),
    ("alternating, upper rate", |factor| Bilevel { upper_rate: UPPER_RATE * factor, ..ALTERNATING }, 0),
    ("penalised, K", |factor| Bilevel { k: K as f64 * factor, ..PENALISED }, 1),
    ("penalised, upper rate", |factor| Bilevel { upper_rate: UPPER_RATE * factor, ..PENALISED }, 1),
    ("penalised, lambda", |factor| Bilevel { lambda: LAMBDA * factor.powi(3), ..PENALISED }, 1),
    ("two copies, upper rate", |factor| Bilevel { upper_rate: UPPER_RATE * factor, ..TWO_COPIES }, 2),
    ("two copies, lambda", |factor| Bilevel { lambda: LAMBDA * factor.powi(3), ..TWO_COPIES }, 2),
];

/// Bilevel fine-tuning with one setting at a time made smaller or larger.
pub fn sweep(ground: &Ground) -> Vec<(Scaled, Variant)> {
    let mut all = Vec::new();
    for (setting, changed, _) in SETTINGS {
        for power in [-2.0, 2.0] {
            let bilevel = changed(f64::powf(2.0, power));
            let value = match setting.rsplit_once(' ').map(|(_, last)| last) {
                Some("K") => bilevel.k,
                Some("rate") => bilevel.upper_rate,
                _ => bilevel.lambda,
            };
            all.push(((setting, power), bilevel.variant(ground, format!("{setting} {value}"))));
        }
    }
    all
}

/// What a setting was before it was changed.
pub fn unchanged(setting: &str) -> &'static str {
    let row = SETTINGS.iter().find(|(name, ..)| *name == setting).map_or(0, |(.., row)| *row);
    names()[row]
}

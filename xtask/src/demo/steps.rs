//! What the demo does, as a table: each step is a command that a person could type.

use std::path::Path;

/// The program of Pleach that does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Pleach,
    Export,
    Train,
    Audit,
}

impl Program {
    pub const ALL: [Self; 4] = [Self::Pleach, Self::Export, Self::Train, Self::Audit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pleach => "pleach",
            Self::Export => "pleach-export",
            Self::Train => "pleach-train",
            Self::Audit => "pleach-audit",
        }
    }
}

/// What happens to a step that was interrupted, when the demo is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// What it left is removed.
    Anew,
    /// It goes on with `--resume`, if this is there.
    Resume(&'static str),
    /// The same command goes on.
    Same,
}

/// A step. In arguments and recipe `{out}` stands for the demo's folder and `{base}` for the base model.
#[derive(Clone, Debug)]
pub struct Step {
    /// Names its mark, its log and its recipe.
    pub name: &'static str,
    /// What the line about it says.
    pub about: &'static str,
    pub program: Program,
    pub arguments: Vec<String>,
    /// Written to this file of `recipes`, for its arguments to name.
    pub recipe: Option<(&'static str, String)>,
    /// What it makes, in the demo's folder.
    pub makes: &'static str,
    pub again: Again,
    /// Whether what it prints is what it makes.
    pub printed: bool,
    /// Whether exit code 1 is an answer (an audit's gates).
    pub may_say_no: bool,
    /// Seconds on two cores with nothing else to do: weights of the time that is left.
    pub seconds: f64,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pictures that are pruned and fine-tuned on, and those without the style that are kept to while it is forgotten.
    pub pictures: [u32; 2],
    /// Pictures of the style that is forgotten.
    pub concept: u32,
    /// Steps of APTP, and those of them before there are experts.
    pub pruning: [u32; 2],
    /// Steps of fine-tuning of each expert.
    pub tuning: u32,
    /// Lower steps of bilevel fine-tuning of each expert, and how many there are to an upper one.
    pub lower: [u32; 2],
    /// Steps between checkpoints.
    pub checkpoint: u32,
    /// Prompts of the audit with the style, and others.
    pub asked: [u32; 2],
}

impl Size {
    /// For a result that means something.
    pub const WHOLE: Self = Self {
        pictures: [1200, 800],
        concept: 64,
        pruning: [140, 10],
        tuning: 150,
        lower: [160, 4],
        checkpoint: 20,
        asked: [96, 96],
    };
    /// To see that everything works: what comes out means nothing.
    pub const QUICK: Self = Self {
        pictures: [16, 16],
        concept: 2,
        pruning: [4, 1],
        tuning: 3,
        lower: [3, 2],
        checkpoint: 1,
        asked: [2, 2],
    };
}

/// Every style but the one that is forgotten.
const KEPT: &str = "flat,dotted,pixelated,glowing,outlined";
/// What both drawing commands of the grid have.
const DRAWN: &str = "--prompts {out}/recipes/grid.txt --guidance 2 --seed 7 --batch 9 --threads 1 --overwrite";

/// The steps, in their order.
pub fn steps(size: &Size) -> Vec<Step> {
    use Program::{Audit, Export, Pleach, Train};
    let Size {
        pictures: [pictures, kept],
        concept,
        pruning: [pruning, warm],
        tuning,
        lower: [lower, k],
        checkpoint,
        asked,
    } = *size;
    let warmup = 10.min(lower / 2);
    let numbers = [
        ("pruning", pruning),
        ("warm", warm),
        ("tuning", tuning),
        ("lower", lower),
        ("k", k),
        ("checkpoint", checkpoint),
        ("warmup", warmup),
    ];
    let fill = |text: &str| {
        numbers.iter().fold(text.to_owned(), |text, (name, n)| text.replace(&format!("{{{name}}}"), &n.to_string()))
    };
    let of = |name, program, about, makes, seconds, arguments: String| Step {
        name,
        about,
        program,
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        recipe: None,
        makes,
        again: Again::Anew,
        printed: false,
        may_say_no: false,
        seconds,
    };
    let with = |step: Step, file, text: &str| Step { recipe: Some((file, fill(text))), ..step };
    let cached = |name, about, makes, seconds, data| {
        let more = "--checkpoint {base} --resolution 64 --precision f32 --batch 32";
        of(name, Train, about, makes, seconds, format!("cache {{out}}/{data} {more} --out {{out}}/{makes}"))
    };
    let captions = |count, seed, styles, except: &[&str], out| {
        let except: Vec<String> =
            except.iter().map(|folder| format!("--except {{out}}/{folder}/metadata.jsonl")).collect();
        let except = except.join(" ");
        format!(
            "world --count {count} --seed {seed} --one-object --captions-only --style {styles} {except} --out {{out}}/{out}"
        )
    };
    let trained = |name, about, seconds, makes, arguments: &str, (file, text), resume| {
        let step = of(name, Train, about, makes, seconds, arguments.to_owned());
        Step { again: Again::Resume(resume), ..with(step, file, text) }
    };
    let drawn = |name, about, seconds, makes, bundle| {
        let arguments = format!("generate {{out}}/{bundle} {DRAWN} --out {{out}}/{makes}");
        with(of(name, Pleach, about, makes, seconds, arguments), "grid.txt", include_str!("recipes/grid.txt"))
    };
    let audited = |name, about, seconds, makes, gates| {
        // The networks are so small that a second thread takes more time than it saves.
        let arguments = format!("run {{out}}/{name} --batch 16 --threads 1 {gates}");
        Step { again: Again::Same, may_say_no: true, ..of(name, Audit, about, makes, seconds, arguments) }
    };
    let audit =
        |title, bundle| include_str!("recipes/audit.toml").replace("{title}", title).replace("{bundle}", bundle);
    let timed = |name, about, makes, bundle| {
        let arguments = format!("bench {{out}}/{bundle} --guidance 2 --warm-up 0.5 --repeats 5 --json");
        Step { printed: true, ..of(name, Pleach, about, makes, 3.0, arguments) }
    };
    let export = |name, about, makes, model, more| {
        of(name, Export, about, makes, 0.6, format!("{model} {more} --out {{out}}/{makes}"))
    };
    vec![
        of(
            "data",
            Train,
            "Drawing pictures of the small world",
            "data",
            0.7,
            format!("world --count {pictures} --seed 1 --out {{out}}/data"),
        ),
        cached("cache", "Encoding pictures and captions once", "cache", 4.0, "data"),
        of(
            "kept",
            Train,
            "Drawing pictures of which none is striped",
            "kept",
            0.5,
            format!("world --count {kept} --seed 2 --style {KEPT} --out {{out}}/kept"),
        ),
        cached("cache-kept", "Encoding them too", "cache-kept", 2.8, "kept"),
        of("asked", Train, "Prompts for the audit: striped", "asked", 0.3, captions(asked[0], 100, "striped", &["data"], "asked")),
        of("others", Train, "Prompts for the audit: other styles", "others", 0.3, captions(asked[1], 100, KEPT, &["data", "kept"], "others")),
        of("learnt", Train, "Prompts to forget on", "learnt", 0.3, captions(concept, 200, "striped", &["data", "asked"], "learnt")),
        of(
            "striped",
            Train,
            "Drawing stripes with the base model, to forget on",
            "striped",
            6.0,
            "concept-images {base} --prompts {out}/learnt/metadata.jsonl --sampler dpmpp_2m --steps 12 --guidance 2 --batch 32 --out {out}/striped".into(),
        ),
        trained(
            "prune",
            "Pruning the base model into two experts and a router (APTP)",
            49.0,
            "pruned",
            "prune --recipe {out}/recipes/prune.toml --out {out}/pruned",
            ("prune.toml", include_str!("recipes/prune.toml")),
            "pruned/recipe.toml",
        ),
        trained(
            "finetune",
            "Fine-tuning the experts, each on its captions",
            74.0,
            "tuned",
            "finetune {out}/pruned/family --expert all --preset paper --recipe {out}/recipes/finetune.toml --out {out}/tuned",
            ("finetune.toml", include_str!("recipes/finetune.toml")),
            "tuned",
        ),
        trained(
            "suppress",
            "Making the experts forget stripes (bilevel fine-tuning)",
            100.0,
            "forgot",
            "suppress {out}/tuned/family --expert all --preset code --recipe {out}/recipes/suppress.toml --out {out}/forgot",
            ("suppress.toml", include_str!("recipes/suppress.toml")),
            "forgot",
        ),
        export("export-base", "Exporting the base model", "base-bundle", "{base}", ""),
        export("export-tuned", "Exporting the family before it forgot", "tuned-bundle", "{out}/tuned/family", "--base {base}"),
        export("export", "Exporting the family that forgot, with its router", "bundle", "{out}/forgot/family", "--base {base} --verify"),
        export("export-judge", "Exporting the judge", "judge", "{base}/judge", ""),
        drawn("draw-base", "Drawing the grid: the base model", 2.5, "grid/base", "base-bundle"),
        drawn("draw-tuned", "Drawing the grid: the pruned family, by route", 2.5, "grid/pruned", "tuned-bundle"),
        drawn("draw-forgot", "Drawing the grid: after it forgot", 2.5, "grid/suppressed", "bundle"),
        of(
            "grid",
            Train,
            "Putting them beside each other",
            "grid.png",
            0.3,
            "grid {out}/grid/base {out}/grid/pruned {out}/grid/suppressed --zoom 2 --out {out}/grid.png".into(),
        ),
        with(
            of("plan-before", Audit, "Planning the audit before it forgot", "audit-before", 0.1, "plan {out}/recipes/audit-before.toml --out {out}/audit-before".into()),
            "audit-before.toml",
            &audit("The small world, pruned, before it forgets", "tuned-bundle"),
        ),
        audited("audit-before", "Auditing the family before it forgot, against the base model", 92.0, "audit-before/report/audit.json", ""),
        with(
            of("plan", Audit, "Planning the audit", "audit", 0.1, "plan {out}/recipes/audit.toml --out {out}/audit".into()),
            "audit.toml",
            &audit("The small world, stripes suppressed", "bundle"),
        ),
        with(audited("audit", "Auditing the family that forgot, against the base model", 92.0, "audit/report/audit.json", "--gates {out}/recipes/gates.toml"), "gates.toml", include_str!("recipes/gates.toml")),
        timed("bench-base", "Timing a picture of the base model", "bench-base.json", "base-bundle"),
        timed("bench", "Timing a picture of each expert", "bench.json", "bundle"),
    ]
}

/// A text with its placeholders filled.
pub fn placed(text: &str, out: &Path, base: &str) -> String {
    text.replace("{out}", &out.display().to_string()).replace("{base}", base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_step_has_a_name_of_its_own_and_no_number_is_left_open() {
        for size in [Size::WHOLE, Size::QUICK] {
            let steps = steps(&size);
            let names: BTreeSet<&str> = steps.iter().map(|step| step.name).collect();
            assert_eq!(names.len(), steps.len());
            for step in &steps {
                let recipe = step.recipe.iter().map(|(_, text)| text.as_str());
                for text in step.arguments.iter().map(String::as_str).chain(recipe) {
                    let text = placed(text, Path::new("out"), "base");
                    let open = text
                        .match_indices('{')
                        .filter(|(i, _)| text[i + 1..].starts_with(|c: char| c.is_ascii_lowercase()));
                    assert_eq!(open.count(), 0, "{}: {text}", step.name);
                }
            }
        }
    }

    #[test]
    fn what_a_step_reads_was_made_before() {
        let mut made: Vec<String> = Vec::new();
        for step in steps(&Size::WHOLE) {
            made.extend(step.recipe.iter().map(|(file, _)| format!("recipes/{file}")));
            made.push(step.makes.to_owned());
            for argument in step.arguments.iter().filter_map(|argument| argument.strip_prefix("{out}/")) {
                assert!(made.iter().any(|path| Path::new(argument).starts_with(path)), "{}: {argument}", step.name);
            }
        }
    }

    #[test]
    fn the_work_is_meant_to_take_less_than_ten_minutes() {
        let seconds: f64 = steps(&Size::WHOLE).iter().map(|step| step.seconds).sum();
        assert!(seconds < 480.0, "{seconds}");
    }
}

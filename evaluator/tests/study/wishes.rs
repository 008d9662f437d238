//! Recipes that cannot be followed.

use crate::ground::Ground;
use pleach_evaluator::study::{Error, Plan};

fn refusal(from: &str, to: &str) -> Error {
    let mut ground = Ground::new();
    ground.change(from, to);
    ground.plan().map(|plan: Plan| plan.cells.len()).unwrap_err()
}

#[test]
fn a_name_that_stands_for_nothing_is_said_with_those_that_stand_for_something() {
    let error = refusal("{before}/family", "{befor}/family");
    let Error::Placeholder { at, name, known } = &error else { panic!("{error}") };
    assert_eq!((at.as_str(), name.as_str()), ("two & one, dotted, seed 1", "befor"));
    assert_eq!(known, "before, change, concept, phrases, prepared, seed, start, start-pipeline, out, recipe");
    for (from, to) in [
        ("{start-pipeline}\"\n\n[[concept]]", "{nothing}\"\n\n[[concept]]"),
        ("only = { style = [\"{concept}\"] }", "only = { style = [\"{nothing}\"] }"),
        ("\"forget\", \"{start-pipeline}\"", "\"forget\", \"{start}\""),
        ("targets = {phrases}", "targets = {nothing}"),
    ] {
        let error = refusal(from, to);
        assert!(matches!(error, Error::Placeholder { .. }), "{error}");
    }
}

#[test]
fn recipes_say_what_is_wrong_with_them() {
    for (from, to, wanted) in [
        ("reference = \"two & one\"", "reference = \"three\"", "the reference \"three\" is none of the methods"),
        ("margin = 0.2", "margin = 2.0", "the margin is 2"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "the seed \"1\" is there twice"),
        ("seeds = [1, 2]", "seeds = []", "there is no training seed"),
        ("name = \"one\"", "name = \"start\"", "the method \"start\" is there twice"),
        ("name = \"flat\"", "name = \"Flat one\"", "the concept \"Flat one\": lower-case"),
        ("start-pipeline = \"start\"", "start-pipeline = \"start\"\nseed = \"start\"", "\"seed\" cannot be a name"),
        ("change = \"s/leading", "prepared = \"s/leading", "\"prepared\" is a name of a concept, and of an input"),
        (
            "seeds = [1, 2]",
            "seeds = [1, 2]\nconcepts = [\"blue\"]",
            "only \"blue\" is wanted, which is none of the concepts",
        ),
        ("method = \"one\"", "method = \"three\"", "a setting of \"three\" was tried, which is none of the methods"),
        ("kind = \"none\"", "updates = 1", "method \"start\": it needs commands"),
        ("updates = 10", "kind = \"none\"", "method \"one\": of kind none"),
        ("updates = 10", "templates = [\"three\"]", "method \"one\": there is no [template.three]"),
        ("updates = 10", "variables = { of = \"x\" }", "method \"one\": its variable \"of\" is none of the study's"),
        ("updates = 10", "seeds = [3]", "method \"one\": it is wanted for a seed"),
        ("updates = 10", "concepts = [\"blue\"]", "method \"one\": it is wanted for a concept"),
        ("\"{change}\", \"--out\", \"{out}\"", "\"{change}\"", "the command says nowhere {out}"),
        ("\"{out}\", \"{recipe}\"", "\"{out}\"", "a recipe is given, and no argument names {recipe}"),
        ("title", "titel", "unknown field `titel`"),
        ("role = \"retention\"", "role = \"keeps\"", "unknown variant `keeps`"),
    ] {
        let error = refusal(from, to).to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let missing = refusal("start-pipeline = \"start\"", "start-pipeline = \"stat\"");
    assert!(matches!(&missing, Error::Io { path, .. } if path.ends_with("stat")), "{missing}");
}

#[test]
fn a_recipe_can_want_some_of_the_concepts_of_the_one_that_it_extends() {
    let mut ground = Ground::new();
    ground.change("seeds = [1, 2]", "seeds = [1, 2]\nconcepts = [\"flat\"]");
    let plan = ground.plan().unwrap();
    assert_eq!(plan.cells.len(), 6);
    assert!(plan.cells.iter().all(|cell| cell.concept == "flat"));
}

#[test]
fn columns_that_nothing_measures_and_programs_that_are_not_there_are_told() {
    let mut ground = Ground::new();
    ground.change("name = \"one\"", "name = \"one\"\nseeds = [1]");
    ground.change("metric = \"asked/style\"", "metric = \"asked/stile\"");
    let error = ground.conduct(&(), pleach_evaluator::run::Shard::WHOLE).unwrap_err().to_string();
    assert!(error.contains("\"asked/stile\" was not measured; what was: asked/style, asked/shape"), "{error}");
    std::fs::remove_file(ground.path().join("programs/pleach-export")).unwrap();
    let error = ground.conduct(&(), pleach_evaluator::run::Shard::WHOLE).unwrap_err();
    assert!(matches!(error, Error::Program { program: "pleach-export", .. }), "{error}");
}

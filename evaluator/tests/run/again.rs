//! What is drawn once is measured as often as one likes: by other thresholds, and beside another run.

use crate::{
    audit,
    program::tree,
    world::{Asked, PROMPTS, World, copy, scale, text},
};
use serde_json::Value;
use std::{fs, path::Path};

fn document(report: &Path) -> Value {
    serde_json::from_slice(&fs::read(report.join("audit.json")).unwrap()).unwrap()
}

fn metric<'a>(audit: &'a Value, id: &str) -> &'a Value {
    audit["metrics"].as_array().unwrap().iter().find(|metric| metric["id"] == id).unwrap()
}

#[test]
fn another_threshold_is_measured_without_drawing_or_looking() {
    let world = World::new();
    let run = world.plan("run", &Asked { prompts: &PROMPTS[..3], ..Asked::default() });
    audit(["run", text(&run)]).ends(0);
    let before = tree(&run);
    let protocol = fs::read_to_string(world.path("run-protocol.toml")).unwrap();
    let strict = world.path("strict.toml");
    let changed = protocol.replace("threshold = 0.5", "threshold = 0.0").replace("id = \"tiny\"", "id = \"all\"");
    fs::write(&strict, changed).unwrap();
    let out = world.path("rescored");
    let rescore = |suite: &str, protocol: &Path| {
        audit(["rescore", text(&run), "--suite", suite, "--protocol", text(protocol), "--out", text(&out)])
    };
    rescore("tiny", &strict).ends(0);
    assert_eq!(tree(&run), before, "the run itself stays as it is");
    let audit = document(&out);
    // Every score is at least 0.
    assert_eq!(metric(&audit, "tiny/light")["subject"]["value"], 1.0);
    assert_eq!(audit["suites"][0]["protocol"], "tiny-measured-by-all");
    rescore("other", &strict).says(2, &["no suite \"other\"", "tiny"]);
    fs::write(&strict, protocol.replace("\"light\"]", "\"bright\"]")).unwrap();
    rescore("tiny", &strict).says(2, &["bright", "dark, light"]);
    fs::write(&strict, protocol.replace("instrument = \"eye\"", "instrument = \"ear\"")).unwrap();
    rescore("tiny", &strict).says(2, &["\"ear\"", "did not look"]);
}

#[test]
fn the_subjects_of_two_runs_are_held_against_each_other() {
    let world = World::new();
    let first = world.plan("first", &Asked { prompts: &PROMPTS[..4], ..Asked::default() });
    audit(["run", text(&first)]).ends(0);
    // Another subject on the same samples.
    let recipe = fs::read_to_string(world.path("first.toml")).unwrap();
    copy(&world.path("base"), &world.path("other"));
    scale(&world.path("other/unet/model.onnx"), 2.0);
    fs::write(world.path("second.toml"), recipe.replace("subject = \"pruned\"", "subject = \"other\"")).unwrap();
    let second = world.path("second");
    audit(["plan", text(&world.path("second.toml")), "--out", text(&second)]).ends(0);
    audit(["run", text(&second)]).ends(0);
    let out = world.path("compared");
    audit(["compare", text(&first), text(&second), "--out", text(&out)]).ends(0);
    let [compared, of_first, of_second] = [&out, &first.join("report"), &second.join("report")].map(|at| document(at));
    let light = metric(&compared, "tiny/light");
    assert_eq!(light["subject"], metric(&of_second, "tiny/light")["subject"]);
    assert_eq!(light["baseline"], metric(&of_first, "tiny/light")["subject"]);
    assert_eq!(compared["baseline"]["name"], "pruned");
    assert_eq!(compared["subject"]["name"], "other");
    // A run beside itself does not differ.
    audit(["compare", text(&first), text(&first), "--out", text(&out)]).ends(0);
    let same = document(&out);
    let paired = &metric(&same, "tiny/light")["paired"];
    assert_eq!((&paired["difference"]["value"], &paired["p"]), (&Value::from(0.0), &Value::from(1.0)));
    assert!(metric(&same, "tiny/distance")["subject"]["value"].as_f64().unwrap() < 1e-9);
    let other = world.plan("other-prompts", &Asked { prompts: &PROMPTS[..3], ..Asked::default() });
    audit(["run", text(&other)]).ends(0);
    audit(["compare", text(&first), text(&other), "--out", text(&out)]).says(2, &["other samples"]);
}

//! A study from its recipe to its report.

use crate::ground::Ground;
use pleach_evaluator::{
    report::study as report,
    stats::Verdict,
    study::{Record, StepKind, Study, StudyStatus},
};
use std::{collections::BTreeSet, env, fs, path::Path};

#[test]
fn a_study_of_three_methods_two_concepts_and_two_seeds_from_end_to_end() {
    let ground = Ground::new();
    let study = ground.finish();
    assert_eq!((study.status, study.cells.len()), (StudyStatus::Complete, 12));
    counts(&study);
    steps(&ground, &study);
    files(&ground, &study);
}

fn counts(study: &Study) {
    // All concepts together, then each.
    assert_eq!(study.rows.len(), 9);
    let row = |method: &str| study.rows.iter().find(|row| row.method == method && row.concept.is_none()).unwrap();
    // What has no seed in it is one model for both.
    assert_eq!(["start", "one", "two & one"].map(|name| row(name).models), [2, 2, 4]);
    let value = |method: &str, column: usize| row(method).values[column].clone();
    // 4 prompts of each concept, 8 of the others, with 2 pictures each; the others are the same prompts for both concepts.
    assert_eq!((value("one", 0).pictures, value("one", 0).prompts), (16, 8));
    assert_eq!((value("two & one", 1).pictures, value("two & one", 1).prompts), (64, 8));
    assert_eq!(value("start", 2).estimate.unwrap().value, 0.0);
    assert!(value("one", 2).estimate.unwrap().value > 1e-4);
    let by_seed = value("two & one", 2).by_seed;
    assert!(by_seed.len() == 2 && by_seed[0].value != by_seed[1].value, "{by_seed:?}");
    // Distances have no paired difference: two columns, two other methods, three scopes.
    assert_eq!(study.comparisons.len(), 12);
    for comparison in &study.comparisons {
        let paired = &comparison.paired;
        assert!(paired.p_holm.unwrap() >= paired.p.unwrap());
        let expected = match (comparison.column.as_str(), &comparison.concept) {
            ("style left", None) => 32,
            ("style left", Some(_)) => 16,
            (_, None) => 64,
            _ => 32,
        };
        assert_eq!(paired.pairs, expected, "{comparison:?}");
    }
    // Both other methods in three scopes, and the start not against itself.
    assert_eq!(study.retention.len(), 6);
    for kept in &study.retention {
        assert_ne!(kept.method, "start");
        let ends = kept.paired.difference.interval.as_ref().unwrap();
        let expected = match (ends.low > -0.2, ends.high < -0.2) {
            (true, _) => Verdict::NonInferior,
            (_, true) => Verdict::Inferior,
            _ => Verdict::Undecided,
        };
        assert_eq!((kept.limit, kept.bound, kept.verdict), (-0.2, ends.low, expected), "{kept:?}");
    }
    let limits = study.limits.join("\n");
    assert!(limits.contains("2 seeds of training") && limits.contains("a different number of times"), "{limits}");
}

fn steps(ground: &Ground, study: &Study) {
    // By hand: the start is drawn once for each concept, `one` is one model for each, the other is two.
    let records: Vec<Record> =
        ground.steps("").iter().map(|key| ground.store().record(key.parse().unwrap()).unwrap().unwrap()).collect();
    let count = |kind| records.iter().filter(|record| record.kind == kind).count();
    use StepKind::{Compare, Draw, Export, Prepare, Train};
    assert_eq!([Prepare, Train, Export, Draw, Compare].map(count), [1, 7, 6, 8, 8]);
    assert!(records.iter().all(|record| record.exit_code == Some(0) && record.failure.is_none()));
    for cell in &study.cells {
        for step in &cell.steps {
            let folder = ground.store().step(step.key.parse().unwrap());
            assert!(folder.join("step.json").is_file() && folder.join("out").is_dir(), "{step:?}");
        }
        let last = cell.steps.last().unwrap();
        let audit = ground.store().out(last.key.parse().unwrap());
        let hash = pleach_model::files::digest_file(&audit.join("audit.json")).unwrap().sha256;
        assert_eq!(cell.audit_sha256.as_deref(), Some(hash.to_string().as_str()));
    }
    let of_two = study.cells.iter().find(|cell| cell.method == "two & one" && cell.seed == 2).unwrap();
    let second = ground.store().step(of_two.steps[1].key.parse().unwrap());
    assert_eq!(fs::read_to_string(second.join("log.txt")).unwrap(), "threads 1\n");
    let recipe = fs::read_to_string(second.join("out/recipe")).unwrap();
    assert_eq!(recipe, "concepts = [{targets = [\"dotted\", \"dots\"], seed = 2}]");
    let scheduler = fs::read_to_string(second.join("out/family/scheduler/scheduler_config.json")).unwrap();
    assert!(scheduler.contains("0.025") && scheduler.contains("\"linear\""), "{scheduler}");
    let names: BTreeSet<&str> = study.programs.iter().map(|program| program.version.as_str()).collect();
    assert!(names.contains("pleach-train 9.9.9") && names.contains("pleach-export 9.9.9"), "{names:?}");
}

fn files(ground: &Ground, study: &Study) {
    let folder = report::write(study, &ground.store().report()).unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let validator = jsonschema::validator_for(&report::schema()).unwrap();
    let document = serde_json::from_str(&read("study.json")).unwrap();
    let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(serde_json::from_value::<Study>(document).unwrap(), *study);
    let html = read("index.html");
    let page = scraper::Html::parse_document(&html);
    let select = |selector: &str| page.select(&scraper::Selector::parse(selector).unwrap()).count();
    assert_eq!((select("script"), select("img"), select("svg")), (0, 0, 1));
    assert!(html.contains("default-src 'none'") && html.contains("Tiny &#60;methods&#62;"));
    for cell in &study.cells {
        for step in &cell.steps {
            assert!(html.contains(&step.key), "{step:?} cannot be traced");
        }
    }
    assert!(read("study.md").contains("two & one") || read("study.md").contains(r"two \& one"));
    roxmltree::Document::parse(&read("tradeoff.svg")).unwrap();
    let table = read("table.csv");
    let rows = csv::Reader::from_reader(table.as_bytes()).into_records().map(Result::unwrap).count();
    assert_eq!(rows, 27);
    // A report replaces the one before.
    report::write(study, &ground.store().report()).unwrap();
}

#[test]
fn the_published_schema_of_a_study_is_the_one_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/study.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&report::schema()).unwrap());
    if env::var_os("WRITE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap();
    assert!(published == schema, "docs/study.schema.json is out of date: run this test with WRITE_SCHEMA=1");
}

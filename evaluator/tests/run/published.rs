//! Verdict and exit code are one, and a report that is published holds nothing restricted.

use crate::{
    audit,
    program::{Ended, tree},
    world::{Asked, PROMPTS, World, text},
};
use pleach_model::files::Sha256;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const PASSES: &str = "[[gate]]\nname = \"near\"\nmetric = \"tiny/light\"\nrule = \"bound\"\nat_most = 1.0\n";
const FAILS: &str = "[[gate]]\nname = \"dark\"\nmetric = \"tiny/light\"\nrule = \"bound\"\nat_most = 0.0\n";

/// What a report says in each of the places that say it: the first line of the output, `audit.json`, `junit.xml`, the exit code.
fn agree(ended: &Ended, report: &Path, word: &str, failures: usize) {
    let audit: Value = serde_json::from_slice(&fs::read(report.join("audit.json")).unwrap()).unwrap();
    let verdict = &audit["verdict"];
    assert!(ended.out.lines().next().unwrap().starts_with(&format!("{word}: ")), "{}", ended.out);
    assert_eq!(verdict["status"], word.to_lowercase());
    for reason in verdict["reasons"].as_array().unwrap() {
        assert!(ended.out.contains(reason.as_str().unwrap()));
    }
    let junit = fs::read_to_string(report.join("junit.xml")).unwrap();
    let junit = roxmltree::Document::parse(&junit).unwrap();
    let count = |tag: &str| junit.descendants().filter(|node| node.has_tag_name(tag)).count();
    assert_eq!((count("failure"), count("error")), (failures, usize::from(word == "INCOMPLETE")));
    for name in ["index.html", "audit.md"] {
        let page = fs::read_to_string(report.join(name)).unwrap();
        assert!(page.to_lowercase().contains(&word.to_lowercase()), "{name}");
    }
}

#[test]
fn gates_decide_the_exit_code_and_every_place_says_so() {
    let world = World::new();
    let run = world.plan("run", &Asked { prompts: &PROMPTS[..3], ..Asked::default() });
    let gates = |name: &str, text: &str| {
        fs::write(world.path(name), text).unwrap();
        world.path(name)
    };
    let both = gates("both.toml", &format!("{PASSES}{FAILS}"));
    let passes = gates("passes.toml", PASSES);
    let unknown = gates("unknown.toml", &FAILS.replace("tiny/light", "tiny/night"));
    // Before anything is drawn: nobody should draw for hours and then hear of a misspelt gate.
    for command in ["run", "report"] {
        let ended = audit([command, text(&run), "--gates", text(&unknown)]);
        ended.says(2, &["tiny/night", "tiny/light", "tiny/distance"]);
    }
    assert!(!run.join("report").exists() && !run.join("journal/0-of-1.journal").exists());
    let report = run.join("report");
    let ended = audit(["run", text(&run), "--gates", text(&both)]).ends(1);
    agree(&ended, &report, "FAIL", 1);
    let ended = audit(["report", text(&run), "--gates", text(&both)]).ends(1);
    agree(&ended, &report, "FAIL", 1);
    let ended = audit(["report", text(&run), "--gates", text(&both), "--exit-zero"]).ends(0);
    agree(&ended, &report, "FAIL", 1);
    let ended = audit(["report", text(&run), "--gates", text(&passes)]).ends(0);
    agree(&ended, &report, "PASS", 0);
    let json = audit(["report", text(&run), "--gates", text(&both), "--json"]).ends(1);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["verdict"]["status"], &json["verdict"]["exit_code"]), (&"fail".into(), &1.into()));

    // What is not finished is not excused by asking for 0.
    let begun = crate::world::fresh(&run, &world.path("begun"));
    audit(["run", text(&begun), "--stage", "draw"]).ends(0);
    let ended = audit(["report", text(&begun), "--gates", text(&both), "--exit-zero"]).ends(3);
    agree_incomplete(&ended, &begun.join("report"));
}

fn agree_incomplete(ended: &Ended, report: &Path) {
    let audit: Value = serde_json::from_slice(&fs::read(report.join("audit.json")).unwrap()).unwrap();
    assert_eq!((&audit["verdict"]["status"], &audit["verdict"]["exit_code"]), (&"incomplete".into(), &3.into()));
    assert!(ended.out.starts_with("INCOMPLETE: "));
}

#[test]
fn a_subject_that_draws_nothing_stays_in_the_count() {
    let world = World::new();
    crate::world::scale(&world.path("pruned/unet/model.onnx"), f32::NAN);
    let run = world.plan("run", &Asked { prompts: &PROMPTS[..2], images: 1, ..Asked::default() });
    let ended = audit(["run", text(&run)]).ends(3);
    agree(&ended, &run.join("report"), "INCOMPLETE", 0);
    let metrics = fs::read_to_string(run.join("report/metrics.csv")).unwrap();
    let row: Vec<&str> = metrics.lines().nth(1).unwrap().split(',').collect();
    let columns: Vec<&str> = metrics.lines().next().unwrap().split(',').collect();
    let value = |name: &str| row[columns.iter().position(|column| *column == name).unwrap()];
    assert_eq!((value("planned"), value("scored"), value("errored")), ("2", "0", "2"));
    audit(["verify", text(&run)]).ends(0);
    audit(["report", text(&run), "--max-error-rate", "0.5"]).ends(0);
    audit(["report", text(&run), "--max-error-rate", "0.4"]).ends(3);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Every way in which a prompt could stand in a file.
fn spellings(prompt: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(prompt).unwrap();
    let html = prompt.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let entities = html.replace('"', "&#34;").replace('\'', "&#39;");
    let all = [
        prompt,
        &json[1..json.len() - 1],
        &html,
        &entities,
        &html.replace('"', "&quot;"),
        &prompt.replace('"', "\"\""),
    ];
    let percent: String = prompt.bytes().map(|byte| format!("%{byte:02X}")).collect();
    all.into_iter().chain([percent.as_str()]).map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn a_published_report_of_a_restricted_suite_holds_no_prompt_and_no_picture() {
    let world = World::new();
    let run = world.plan("run", &Asked { images: 1, ..Asked::default() });
    audit(["run", text(&run)]).ends(0);
    let out = world.path("published");
    audit(["report", text(&run), "--out", text(&out)]).ends(0);
    let files: BTreeMap<PathBuf, Vec<u8>> = tree(&out);
    let pictures = tree(&run.join("restricted/pictures"));
    assert!(files.len() >= 7 && pictures.len() > 10);
    let hashes: BTreeSet<Sha256> = pictures.values().map(|bytes| Sha256::of(bytes)).collect();
    for (name, bytes) in &files {
        let name = name.display();
        for prompt in PROMPTS {
            // Two words of a prompt are enough to be a leak; single ones are everywhere.
            let half: String = prompt.chars().take(prompt.chars().count() / 2 + 2).collect();
            for spelling in spellings(prompt).into_iter().chain(spellings(&half)) {
                assert!(!contains(bytes, &spelling), "{name} holds {prompt:?}");
            }
        }
        assert!(!hashes.contains(&Sha256::of(bytes)), "{name} is a picture");
        for (picture, png) in &pictures {
            assert!(!contains(bytes, png), "{name} holds {}", picture.display());
            let encoded = base64(png);
            assert!(!contains(bytes, &encoded.as_bytes()[..encoded.len() - 4]), "{name} holds {}", picture.display());
        }
        assert!(!contains(bytes, text(&world.path("")).as_bytes()), "{name} names a folder of this machine");
    }
    // Every sample is there all the same, by its hash.
    let samples = String::from_utf8(files[Path::new("samples.jsonl")].clone()).unwrap();
    for prompt in PROMPTS {
        assert!(samples.contains(&Sha256::of(prompt.as_bytes()).to_string()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(run.join("restricted")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn a_prompt_that_may_be_published_is_text_and_nothing_else() {
    let world = World::new();
    let run = world.plan("run", &Asked { publish: true, images: 1, ..Asked::default() });
    audit(["run", text(&run)]).ends(0);
    let page = fs::read_to_string(run.join("report/index.html")).unwrap();
    let html = scraper::Html::parse_document(&page);
    let select = |what: &str| html.select(&scraper::Selector::parse(what).unwrap()).count();
    assert_eq!(
        (select("script"), select("[onerror]"), select("iframe, object, embed, link[rel=stylesheet]")),
        (0, 0, 0)
    );
    let words: String = html.root_element().text().collect();
    for prompt in PROMPTS {
        assert!(words.contains(prompt), "{prompt:?}");
    }
    for image in html.select(&scraper::Selector::parse("img").unwrap()) {
        assert!(image.attr("src").unwrap().starts_with("data:image/png;base64,"));
    }
    let samples = fs::read_to_string(run.join("report/samples.jsonl")).unwrap();
    assert_eq!(samples.split('\n').count(), PROMPTS.len() + 1);
    for (line, prompt) in samples.lines().zip(PROMPTS) {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["prompt"], prompt);
    }
    let markdown = fs::read_to_string(run.join("report/audit.md")).unwrap();
    // Markdown takes what follows a backslash for text.
    let markdown = markdown.replace("\\<", "");
    assert!(!markdown.contains("<script") && !markdown.contains("<img"));
    // Formulas stay out of tables: no cell begins as one.
    for line in fs::read_to_string(run.join("report/metrics.csv")).unwrap().lines() {
        assert!(line.split(',').all(|cell| !cell.trim_start_matches('"').starts_with(['=', '@', '+'])), "{line}");
    }
}

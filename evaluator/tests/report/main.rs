//! The report of an invented audit, read by programs that know HTML, Markdown, XML, CSV, YAML and JSON Schema.

mod document;
mod example;
mod html;
mod injection;
mod refusals;
mod tables;

use example::{example, thumbnails};
use pleach_evaluator::report;
use std::{env, fs, path::PathBuf};

/// Not a test: writes the invented report to look at it in a browser.
#[test]
#[ignore = "writes into REPORT_FOLDER"]
fn writes_the_example_to_look_at() {
    let folder = PathBuf::from(env::var_os("REPORT_FOLDER").expect("REPORT_FOLDER says where"));
    let (audit, samples) = example();
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [
        ("report.html", report::html(&audit, &samples, &thumbnails(&audit, &samples)).unwrap()),
        ("report.md", report::markdown(&audit, &samples).unwrap()),
        ("forest.svg", report::forest(&audit).unwrap().unwrap()),
        ("metrics.csv", report::csv(&audit).unwrap()),
        ("junit.xml", report::junit(&audit).unwrap()),
        ("card.yaml", report::model_card(&audit).unwrap()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

//! The report of an invented audit, read by programs that know HTML, XML, CSV, YAML and JSON Schema.

mod example;

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
    fs::write(folder.join("report.html"), report::html(&audit, &samples, &thumbnails(&audit, &samples)).unwrap())
        .unwrap();
    fs::write(folder.join("report.md"), report::markdown(&audit, &samples).unwrap()).unwrap();
    fs::write(folder.join("forest.svg"), report::forest(&audit).unwrap().unwrap()).unwrap();
    fs::write(folder.join("metrics.csv"), report::csv(&audit).unwrap()).unwrap();
    fs::write(folder.join("junit.xml"), report::junit(&audit).unwrap()).unwrap();
    fs::write(folder.join("card.yaml"), report::model_card(&audit).unwrap()).unwrap();
}
